package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/compare"
	"rxedge/centre/library"
	"rxedge/centre/review"
	"rxedge/daemon/rollout/validate"
	"rxedge/sync/central"
)

func (a *app) centralReview(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "review", Short: "What matters between two versions of a document, and the decision about it",
		Long: `What matters between a new version of a document and the approved one: changed doses, boxed
warnings, indications, contraindications, warnings, and golden questions that are answered
otherwise. 'run' looks at all that came in and approves, by the policy, those in which
nothing matters; the others wait for a person. Every decision is a signed record: see
'rxedge central fleet record'. 'rxedge central publish --library' publishes what is approved.`,
		Example: `  rxedge central review run --golden questions.jsonl
  rxedge central review list
  rxedge central review show 5f2a-…
  rxedge central review approve 5f2a-… --note "as the letter of 12 May says"`, RunE: group}
	c.AddCommand(a.reviewRun(dir), a.reviewList(dir), a.reviewShow(dir), a.reviewDecide(dir, true), a.reviewDecide(dir, false))
	return c
}

func (a *app) reviewRun(dir *string) *cobra.Command {
	var who, golden string
	c := &cobra.Command{Use: "run", Short: "Look at all that came in; approve, by the policy, what has nothing that matters",
		Long: `Look at all that came in, and approve by the policy, on record, each document that is new and
each new version in which nothing matters. The others wait for a person.`,
		Example: `  rxedge central review run --golden questions.jsonl`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			if err := useGolden(d, golden); err != nil {
				return err
			}
			bar := a.progress()
			s, err := d.Run(c.Context(), who, func(done, total int) { bar.set("versions", int64(done), int64(total)) })
			bar.finish()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(s)
			}
			a.printf("%s looked at: %d approved by the policy, %d for a person to decide.\n", amount(s.Looked, "version"), s.Policy, s.Waiting)
			if s.Waiting > 0 {
				a.printf("Next: 'rxedge central review list'.\n")
			} else if s.Policy > 0 {
				a.printf("Next: 'rxedge central publish --library'.\n")
			}
			return nil
		}}
	c.Flags().StringVar(&who, "as", whoami(), "`name` of who lets it run, for the record")
	goldenFlag(c, &golden)
	return c
}

func goldenFlag(c *cobra.Command, golden *string) {
	c.Flags().StringVar(golden, "golden", "", "`file` of questions with known answers (JSONL, as 'eval answers' reads), asked of both versions")
}

// waiting is a version that waits for review, with what a person must see.
type waiting struct {
	library.Version
	Against string         `json:"against,omitempty"`
	First   bool           `json:"first"`
	Matters bool           `json:"matters"`
	Reasons map[string]int `json:"reasons"` // how many of each code
}

func (a *app) reviewList(dir *string) *cobra.Command {
	var f library.Filter
	c := &cobra.Command{Use: "list", Short: "List the versions that wait for review", Example: `  rxedge central review list --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			vs, err := d.Library.Candidates(c.Context(), f)
			if err != nil {
				return err
			}
			list, rows := []waiting{}, []table.Row{}
			for i := range vs {
				r, err := d.Assess(c.Context(), &vs[i])
				if err != nil {
					return err
				}
				w := waiting{Version: vs[i], Against: r.Against, First: r.First, Matters: r.Matters, Reasons: map[string]int{}}
				for _, x := range r.Reasons {
					w.Reasons[x.Code]++
				}
				list = append(list, w)
				rows = append(rows, table.Row{nameOf(w.Ref), printableText(w.Title), orDash(w.Version.Version), orDash(w.Effective), whyOf(&w)})
			}
			if a.json {
				return a.print(list)
			}
			if len(list) == 0 {
				a.printf("Nothing waits for review.\n")
				return nil
			}
			a.table(table.Row{"what", "title", "version", "effective", "why"}, rows)
			return nil
		}}
	c.Flags().StringVar(&f.Run, "run", "", "`id` of the run in which it came")
	c.Flags().IntVar(&f.Limit, "limit", 0, "`number` of versions at most")
	return c
}

func whyOf(w *waiting) string {
	switch {
	case !w.Matters && w.First:
		return "new; the policy approves it"
	case !w.Matters:
		return "nothing that matters; the policy approves it"
	}
	var out []string
	for _, r := range review.Reasons {
		if n := w.Reasons[r.Code]; n == 1 {
			out = append(out, r.Code)
		} else if n > 1 {
			out = append(out, fmt.Sprintf("%s ×%d", r.Code, n))
		}
	}
	return strings.Join(out, ", ")
}

func (a *app) reviewShow(dir *string) *cobra.Command {
	var golden string
	var all bool
	c := &cobra.Command{Use: "show ID[@HASH]", Short: "Show what matters between a version and the approved one",
		Long:    "Show what matters between a version and the approved one: each sentence as it was and as it is.\n--all shows what does not matter too; --json has all of it.",
		Example: `  rxedge central review show 5f2a-… --golden questions.jsonl`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			v, err := versionNamed(c.Context(), d.Library, given[0])
			if err != nil {
				return err
			}
			if err := useGolden(d, golden); err != nil {
				return err
			}
			r, err := d.Assess(c.Context(), v)
			if err != nil {
				return err
			}
			ds, err := d.Library.Decisions(c.Context(), v.Ref)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(struct {
					*review.Report
					State     library.State      `json:"state"`
					Decisions []library.Decision `json:"decisions"`
				}{r, v.State, ds})
			}
			a.showReport(v, r, all)
			a.showDecisions(ds)
			if v.State == library.Candidate && r.Matters {
				a.printf("\nNext: 'rxedge central review approve %s --note WHY', or 'reject'.\n", printableText(nameOf(v.Ref)))
			}
			return nil
		}}
	goldenFlag(c, &golden)
	c.Flags().BoolVar(&all, "all", false, "what does not matter too")
	return c
}

func (a *app) showReport(v *library.Version, r *review.Report, all bool) {
	a.printf("%s\n%s, version %s of %s; it is %s.\n", printableText(v.Title), nameOf(v.Ref), orDash(v.Version), orDash(v.Effective), v.State)
	for _, f := range r.Findings {
		a.printf("%s (%s): %s\n", f.Code, f.Severity, printableText(f.Reason))
	}
	if r.First {
		a.printf("There is no version before.\n")
		return
	}
	a.printf("Beside the approved version %.12s: ", r.Against)
	if len(r.Reasons) == 0 {
		a.printf("nothing that matters.\n")
	} else {
		a.printf("%d changes matter.\n", len(r.Reasons))
	}
	last := ""
	for _, x := range r.Reasons {
		if x.Code != last {
			for _, m := range review.Reasons {
				if m.Code == x.Code {
					a.printf("\n%s: %s\n", strings.ToUpper(x.Code), m.Meaning)
				}
			}
			last = x.Code
		}
		if x.Title != "" {
			a.printf("  %s\n", printableText(x.Title))
		}
		a.showSentences(x.Before, x.After, x.Doses)
	}
	if !all || r.Comparison == nil {
		return
	}
	a.printf("\nALL CHANGES\n")
	for _, x := range r.Comparison.Changes {
		a.printf("  %s\n", printableText(x.Title))
		a.showSentences(x.Before, x.After, x.Doses)
	}
}

func (a *app) showSentences(before, after string, ds []compare.Dose) {
	if before != "" {
		a.printf("%s\n", wrap(printableText(before), "    - ", 96))
	}
	if after != "" {
		a.printf("%s\n", wrap(printableText(after), "    + ", 96))
	}
	for _, d := range ds {
		times := ""
		if d.Ratio > 0 && d.Kind == compare.Value {
			times = fmt.Sprintf("  (×%.3g)", d.Ratio)
		}
		a.printf("      %s → %s%s\n", orDash(d.Before), orDash(d.After), times)
	}
}

func (a *app) reviewDecide(dir *string, approve bool) *cobra.Command {
	name, what := "reject", "rejected"
	if approve {
		name, what = "approve", "approved"
	}
	var by central.By
	c := &cobra.Command{Use: name + " ID[@HASH]...", Short: strings.ToUpper(name[:1]) + name[1:] + " versions, on record",
		Long:    strings.ToUpper(name[:1]) + name[1:] + " versions that wait for review, all or none, on record. What was approved since it was looked at\nis compared anew: the decision is about what 'show' shows now.",
		Example: "  rxedge central review " + name + ` 5f2a-… --note "read with the publisher's letter"`, Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if by.Reason == "" {
				return usage("--note: say why")
			}
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			var vs []library.Version
			var refs []library.Ref
			for _, g := range given {
				v, err := versionNamed(c.Context(), d.Library, g)
				if err != nil {
					return err
				}
				if v.State != library.Candidate {
					return fmt.Errorf("%s is %s, and does not wait for review: %w", nameOf(v.Ref), v.State, library.ErrState)
				}
				vs, refs = append(vs, *v), append(refs, v.Ref)
			}
			record, err := d.Decide(c.Context(), vs, approve, by)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"done": what, "versions": refs, "record": record, "at": time.Now().UTC().Truncate(time.Second)})
			}
			a.printf("%d %s. It is on record as %s.\n", len(refs), what, record)
			return nil
		}}
	decider(c, &by)
	return c
}

// useGolden lets the desk ask the questions of a file.
func useGolden(d *review.Desk, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotFound, err)
	}
	defer f.Close()
	qs, err := validate.ReadGolden(path, f)
	if err != nil {
		return usage("--golden: %w", err)
	}
	d.Golden = review.Golden(qs, time.Now())
	return nil
}
