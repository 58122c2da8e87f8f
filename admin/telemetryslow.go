package main

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/telemetry"
)

func (a *app) telemetrySlow() *cobra.Command {
	hours := 24
	c := &cobra.Command{Use: "slow", Short: "Which stage slow questions spent their time in",
		Long: fmt.Sprintf(`List the answers that took %d ms or more, the latest first, with the milliseconds of
each stage and what they do not account for ("rest"). The 500 latest of eight days are
kept; never a word of a question.`, telemetry.SlowFrom),
		Example: `  rxedge telemetry slow --hours 8 --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			ts, err := s.Slow(c.Context(), hours)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(ts)
			}
			if len(ts) == 0 {
				a.printf("No answer took %d ms or more.\n", telemetry.SlowFrom)
				return nil
			}
			stages := telemetry.Stages[:len(telemetry.Stages)-1]
			head := table.Row{"when", "total"}
			for _, s := range stages {
				head = append(head, s)
			}
			head = append(head, "rest", "outcome", "mode", "kind", "fallback", "model")
			var rows []table.Row
			for _, t := range ts {
				row := table.Row{t.At.Local().Format(time.DateTime), fmt.Sprintf("%.0f", t.Total)}
				for _, s := range stages {
					row = append(row, fmt.Sprintf("%.0f", t.Stages[s]))
				}
				rows = append(rows, append(row, fmt.Sprintf("%.0f", t.Rest), t.Outcome, t.Mode, t.Kind, t.Fallback, orNone(t.Model)))
			}
			a.table(head, rows)
			return nil
		}}
	c.Flags().IntVar(&hours, "hours", hours, "hours to look back, at most 192")
	return c
}
