package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/names"
)

func (a *app) search() *cobra.Command {
	var mode string
	var k int
	var explain bool
	c := &cobra.Command{
		Use:   "search QUERY",
		Short: "Find passages",
		Example: `  rxedge search "warfarin amiodarone interaction" -k 5
  rxedge search --explain "zestril start dose, CrCl 8"`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			m := index.Mode(mode)
			if m != index.ModeBM25 && m != index.ModeDense && m != index.ModeHybrid {
				return usage("--mode: %q is none of bm25, dense, hybrid", mode)
			}
			if k < 1 || k > 1000 {
				return usage("-k: %d is outside 1 to 1000", k)
			}
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			res, err := st.Search(c.Context(), index.Query{Text: strings.Join(given, " "), K: k, Mode: m})
			if err != nil {
				return err
			}
			if res.Hits == nil {
				res.Hits = []index.Hit{}
			}
			if a.json {
				return a.print(res)
			}
			if explain {
				for _, c := range res.Codes {
					if c.Problem != "" {
						a.printf("code %s %s: %s\n", c.System, c.Value, c.Problem)
						continue
					}
					a.printf("code %s %s: %d documents\n", c.System, c.Value, len(c.Documents))
				}
				a.printReading(res.Explain)
			}
			if len(res.Hits) == 0 {
				a.printf("Nothing found.\n")
			}
			for i, h := range res.Hits {
				a.printf("%d. %s, %s  (%.3f)\n", i+1, h.DocumentTitle, h.SectionTitle, h.Score)
				a.printf("   %s bytes %d-%d\n", h.Passage.SectionID, h.Passage.Start, h.Passage.End)
				if explain {
					a.printf("   %s\n", parts(h))
				}
				a.printf("%s\n\n", wrap(shorten(h.Text, 280), "   ", lineWidth))
			}
			return nil
		},
	}
	c.Flags().StringVar(&mode, "mode", string(index.ModeHybrid), "bm25, dense or hybrid")
	c.Flags().IntVarP(&k, "results", "k", 10, "passages wanted")
	c.Flags().BoolVar(&explain, "explain", false, "print how the question was read and what each score is made of")
	return c
}

// printReading prints what a question was taken to say.
func (a *app) printReading(r names.Reading) {
	for _, s := range r.Subjects {
		what := "medicine " + s.Name
		switch {
		case s.Class:
			what = "class " + s.Name
		case s.Substance:
			what = "substance " + s.Name
		case s.Spelling:
			what += ", by its spelling"
		}
		a.printf("“%s”: %s, %d documents\n", s.Asked, what, len(s.Documents))
	}
	for _, e := range r.Expansions {
		if e.Weight > 0 {
			a.printf("“%s”: also “%s”  (%s, %.2f)\n", e.From, e.To, e.Why, e.Weight)
		}
	}
	for _, p := range r.Sections {
		title := p.LOINC
		if s, ok := document.SectionByLOINC(p.LOINC); ok {
			title = s.Name
		}
		a.printf("“%s”: asks for %s, prefers %s  (%.2f)\n", p.Cue, p.Asks, title, p.Weight)
	}
	if len(r.Subjects)+len(r.Expansions)+len(r.Sections) > 0 {
		a.printf("\n")
	}
}

// parts of a hit's score.
func parts(h index.Hit) string {
	var out []string
	if h.BM25Rank > 0 {
		words := h.BM25 - h.Name - h.Section
		out = append(out, fmt.Sprintf("bm25 %.3f (rank %d): words %.3f + name %.3f + section %.3f", h.BM25, h.BM25Rank, words, h.Name, h.Section))
	}
	if h.DenseRank > 0 {
		out = append(out, fmt.Sprintf("cosine %.3f (rank %d)", h.Dense, h.DenseRank))
	}
	return strings.Join(out, "; ")
}

func shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + " …"
}
