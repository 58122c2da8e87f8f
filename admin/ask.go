package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
)

func (a *app) ask() *cobra.Command {
	var mode string
	var k int
	var explain bool
	c := &cobra.Command{
		Use:   "ask QUESTION",
		Short: "Answer a question from the documents, with citations",
		Long: `Answer a question from the documents of this box. Every sentence comes with the
section it rests on. "Not in my documents" is an answer, and exits with 0.
With - the question is read from standard input.`,
		Example: `  rxedge ask "Can metformin be started with an eGFR of 40?"
  rxedge ask "max dose of gabapentin?" --explain
  echo "max dose of gabapentin?" | rxedge ask - --json`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			q := answer.Question{Text: strings.Join(given, " "), Mode: mode, K: k, Explain: explain}
			if q.Text == "-" {
				b, err := io.ReadAll(io.LimitReader(a.in, answer.MaxQuestionBytes+1))
				if err != nil {
					return fmt.Errorf("reading the question: %w", err)
				}
				q.Text = string(b)
			}
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			res, err := st.Ask(c.Context(), q, answer.Events{})
			if err != nil {
				return err
			}
			if a.json {
				return a.print(res)
			}
			a.showAnswer(res)
			return nil
		},
	}
	c.Flags().StringVar(&mode, "mode", "", "extractive or generated (default: generated where a language model is configured)")
	c.Flags().IntVarP(&k, "passages", "k", 0, "passages to look at (default 8)")
	c.Flags().BoolVar(&explain, "explain", false, "say why the answer is trusted, or is not")
	return c
}

func (a *app) showAnswer(res *answer.Answer) {
	if res.Status == answer.StatusAbstained {
		a.printf("Not in my documents.\n%s\n", wrap(res.Message, "", lineWidth))
		if len(res.Retrieved) > 0 {
			a.printf("\nLooked at:\n")
			seen := map[string]bool{}
			for _, r := range res.Retrieved {
				if len(seen) < 3 && !seen[r.SectionID] {
					seen[r.SectionID] = true
					a.printf("  %s, %s\n", r.DocumentTitle, r.SectionTitle)
				}
			}
		}
	} else {
		if res.Message != "" {
			a.printf("%s\n\n", wrap(res.Message, "", lineWidth))
		}
		number := map[string]int{}
		var sources []string
		for _, cl := range res.Claims {
			marks := ""
			for _, ci := range cl.Citations {
				if number[ci.SectionID] == 0 {
					number[ci.SectionID] = len(sources) + 1
					sources = append(sources, source(ci))
				}
				marks += fmt.Sprintf(" [%d]", number[ci.SectionID])
			}
			switch cl.Support {
			case answer.Partly:
				marks += " (borne out in part: read the source)"
			case answer.Unverified:
				marks += " (not checked: read the source)"
			}
			a.printf("%s\n", wrap(cl.Text+marks, "", lineWidth))
		}
		a.printf("\n")
		for i, s := range sources {
			a.printf("[%d] %s\n", i+1, s)
		}
	}
	for _, n := range res.Notices {
		a.printf("    %s.\n", strings.TrimSuffix(n, "."))
	}
	if res.Withheld > 0 {
		a.printf("    %d sentences of the language model were withheld: no passage supports them.\n", res.Withheld)
	}
	if res.Path == answer.PathShort {
		a.printf("    A simple lookup: the language model was not asked.\n")
	}
	if res.Fallback != "" {
		a.printf("    Note: %s.\n", res.Fallback)
	}
	a.showDecision(res.Decision)
}

// showDecision says what the guard thinks of an answer: at length where that was
// asked for, and otherwise only where it doubts.
func (a *app) showDecision(d *guard.Decision) {
	switch {
	case d == nil:
		return
	case d.Contributions == nil:
		if d.Doubt == guard.High {
			a.printf("    Doubtful: answers like this one are wrong in about %.0f of 100.\n", 100*d.Wrong)
		}
		return
	}
	a.printf("\n%s\n", wrap(d.Summary[0], "", lineWidth))
	for _, c := range d.Contributions {
		a.printf("  %+6.1f  %s\n", c.Points, c.Text)
	}
	if g := d.Group; g != nil {
		a.printf("%s\n", wrap(d.Summary[len(d.Summary)-1], "  ", lineWidth))
	}
	a.printf("  A linear model around this answer (LIME, R² %.2f):", d.Lime.R2)
	for _, w := range d.Lime.Weights[:min(4, len(d.Lime.Weights))] {
		a.printf(" %s %+.3f", w.Feature, w.Weight)
	}
	a.printf("\n")
}

func source(c answer.Citation) string {
	s := c.DocumentTitle + ", " + c.SectionTitle
	if c.Page > 0 {
		s += fmt.Sprintf(", page %d", c.Page)
	}
	if c.Element != "" {
		s += ", " + c.Element
	}
	if c.EffectiveDate != "" {
		s += ", effective " + c.EffectiveDate
	}
	if c.Version != "" {
		s += ", version " + c.Version
	}
	return fmt.Sprintf("%s\n    %s bytes %d-%d", s, c.SectionID, c.Start, c.End)
}
