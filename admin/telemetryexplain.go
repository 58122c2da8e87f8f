package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/telemetry/explain"
)

var explained = map[string]string{
	explain.Refused: "doubted highly",
	explain.Wrong:   "somebody said that they were bad",
	explain.Usual:   "not doubted, one in 20",
}

func (a *app) telemetryExplain() *cobra.Command {
	return a.telemetryOf(&cobra.Command{Use: "explain", Short: "Why the guard doubted and where it was wrong, by group of patients, this week and the last",
		Long: `Why the guard doubted, and what answers that somebody said were bad had in common, by group of
patients, this week and the last. Points are hundredths of probability: exact Shapley values,
averaged; all of a group's add up to its doubt less the baseline. Beside that, which numbers of a
question tell its group: what a decision could be unfair by without being told the group.`,
		Example: `  rxedge telemetry explain --json`}, func(t box.Telemetry) any { return t.Explain }, func(t box.Telemetry) {
		r := t.Explain
		if len(r.Why) == 0 {
			a.printf("Fewer than 11 answers of any group were doubted or said to be bad.\n")
		}
		for _, w := range r.Why {
			a.printf("\n%s, %s: %d answers, doubt %.0f %% on average, baseline %.0f %%\n", printableText(w.Cohort), explained[w.What], w.N, 100*w.Doubt, 100*w.Baseline)
			var rows []table.Row
			for _, d := range w.Drivers[:6] {
				excess := "–"
				if d.Excess != nil {
					excess = fmt.Sprintf("%+.1f", *d.Excess)
				}
				rows = append(rows, table.Row{d.Feature, fmt.Sprintf("%+.1f", d.Points), excess})
			}
			a.table(table.Row{"feature", "points", "beside the usual"}, rows)
		}
		var rows []table.Row
		for _, p := range r.Proxies[:min(len(r.Proxies), 10)] {
			rows = append(rows, table.Row{p.Feature, printableText(p.Cohort), fmt.Sprintf("%.3f", p.AUC), fmt.Sprintf("%.3f", p.Bits), p.N})
		}
		if len(rows) > 0 {
			a.printf("\nWhat tells a group:\n")
			a.table(table.Row{"feature", "group", "AUC", "bits", "questions"}, rows)
		}
		if r.Hidden > 0 {
			a.printf("%d figures are of fewer than 11 and not told.\n", r.Hidden)
		}
	})
}
