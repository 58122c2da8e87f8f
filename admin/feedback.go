package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/feedback"
)

func (a *app) feedback() *cobra.Command {
	c := &cobra.Command{Use: "feedback", Short: "What people said of answers",
		Long:    "What people said of answers. It stays on this box; what they wrote is shown only with --text.",
		Example: `  rxedge feedback list`, RunE: group}
	c.AddCommand(a.feedbackList(), a.feedbackExport(), a.feedbackAdd(), a.feedbackRemove())
	return c
}

func (a *app) feedbackList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Count what was said, by kind", Example: `  rxedge feedback list --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (feedback.Summary, error) { return s.FeedbackSummary(c.Context()) }, func(s feedback.Summary) {
				if s.Records == 0 {
					a.printf("Nothing was said yet; %d answers are remembered.\n", s.Answers)
					return
				}
				a.printf("%d items on answers of this box, %d with text, %s to %s\n", s.Records, s.Corrections, s.First.Format(time.DateOnly), s.Last.Format(time.DateOnly))
				var rows []table.Row
				for _, g := range []struct {
					what   string
					counts map[string]int
				}{{"thumb", s.Thumbs}, {"reason", s.Reasons}, {"outcome", s.Outcomes}, {"override", s.Overrides}, {"mode", s.ByMode}, {"model", s.ByModel}, {"generation", s.ByGeneration}} {
					for _, k := range sortedKeys(g.counts) {
						rows = append(rows, table.Row{g.what, k, g.counts[k]})
					}
				}
				a.table(table.Row{"what", "is", "items"}, rows)
			})
		}}
}

func (a *app) feedbackExport() *cobra.Command {
	var text bool
	c := &cobra.Command{Use: "export", Short: "Every item as a line of JSON, with the numbers of its answer",
		Long: `Every item as a line of JSON, with the numbers of its answer. With --json, one list.
What people wrote is replaced by "(text)"; --text shows it, and what is exported so is to be kept as patient data is.`,
		Example: `  rxedge feedback export > feedback.jsonl`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			rs, err := st.FeedbackRecords(c.Context(), text)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(rs)
			}
			enc := json.NewEncoder(a.out)
			enc.SetEscapeHTML(false)
			for _, r := range rs {
				if err := enc.Encode(r); err != nil {
					return err
				}
			}
			return nil
		}}
	c.Flags().BoolVar(&text, "text", false, "with what people wrote")
	return c
}

func (a *app) feedbackAdd() *cobra.Command {
	var i feedback.Item
	c := &cobra.Command{Use: "add ANSWER-ID", Short: "Say what was right or wrong with an answer",
		Long: "Say what was right or wrong with an answer that this box gave; 'rxedge ask --json' shows its id.\nWith --correction - the text is read from standard input.",
		Example: `  rxedge feedback add 3f2a90c1d5e6b7a8c9d0e1f2 --thumb down --reason incomplete
  echo "The label has a table for this." | rxedge feedback add 3f2a90c1d5e6b7a8c9d0e1f2 --correction -`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			i.AnswerID = given[0]
			if i.Correction == "-" {
				b, err := io.ReadAll(io.LimitReader(a.in, feedback.MaxText+1))
				if err != nil {
					return fmt.Errorf("reading the correction: %w", err)
				}
				i.Correction = string(b)
			}
			if err := i.Check(); err != nil {
				return err
			}
			return on(a, c, func(s station) (feedback.Record, error) { return s.AddFeedback(c.Context(), i) }, func(r feedback.Record) {
				a.printf("Kept as %s.\n", r.ID)
			})
		}}
	c.Flags().StringVar(&i.ID, "id", "", "id of the item; the same again counts once")
	c.Flags().StringVar(&i.Thumb, "thumb", "", "up or down")
	c.Flags().StringVar(&i.Reason, "reason", "", "what is wrong, for example wrong, incomplete, outdated, unsafe")
	c.Flags().StringVar(&i.OverrideReason, "override-reason", "", "code, why advice was overridden")
	c.Flags().StringVar(&i.Correction, "correction", "", "what should have been said")
	return c
}

func (a *app) feedbackRemove() *cobra.Command {
	var before string
	c := &cobra.Command{Use: "remove --before DATE", Short: "Take out what was said before a day", Example: `  rxedge feedback remove --before 2026-01-01`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			day, err := time.Parse(time.DateOnly, before)
			if err != nil {
				return usage("--before: %q is not a date such as 2026-01-01", before)
			}
			return on(a, c, func(s station) (int, error) { return s.RemoveFeedback(c.Context(), day) }, func(n int) {
				a.printf("%d items removed.\n", n)
			})
		}}
	c.Flags().StringVar(&before, "before", "", "`date`; that day and later stay")
	return c
}
