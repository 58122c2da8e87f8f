package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/telemetry/quality"
)

func (a *app) evalThresholds() *cobra.Command {
	var path, score, label string
	maxFPR := 0.05
	c := &cobra.Command{
		Use:   "thresholds --csv FILE --score COLUMN --label COLUMN",
		Short: "From which value a score should raise an alarm, by ROC over labelled history",
		Long: `Find thresholds of a score (a PSI by day, the guard's doubt by answer) from history in
which it is known what was true: a CSV with a header, a number and a 0 or 1 a row.
Decided is "yes" from the threshold on. youden has the largest TPR − FPR, f1 the
largest F1, max_fpr the largest TPR with at most --max-fpr of false alarms (null where
no threshold has so few). Of equals the highest. Nothing is changed by it.

JSON keys: n, positives, auc, youden, f1, max_fpr, curve (of each threshold, tpr, fpr,
ppv, f1, j).`,
		Example: `  rxedge eval thresholds --csv days.csv --score psi --label changed --max-fpr 0.02`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if score == "" || label == "" {
				return usage("--score and --label are to name a column each")
			}
			if !(maxFPR >= 0 && maxFPR <= 1) {
				return usage("--max-fpr: %g is outside 0 to 1", maxFPR)
			}
			f, err := file("--csv", path)
			if err != nil {
				return err
			}
			defer f.Close()
			scores, positive, err := quality.ReadScores(f, score, label)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			t, err := quality.ROC(scores, positive, maxFPR)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if a.json {
				return a.print(t)
			}
			row := func(name string, p *quality.Point) table.Row {
				if p == nil {
					return table.Row{name, "–", "–", "–", "–", "–"}
				}
				return table.Row{name, fmt.Sprintf("%.4g", p.Threshold), f4(p.TPR), f4(p.FPR), optional(p.PPV), f4(p.F1)}
			}
			a.table(table.Row{"best by", "threshold", "TPR", "FPR", "PPV", "F1"}, []table.Row{row("Youden's J", &t.Youden), row("F1", &t.F1), row(fmt.Sprintf("FPR ≤ %g", maxFPR), t.MaxFPR)})
			a.printf("AUC %.4f over %d rows, %d of them true\n", t.AUC, t.N, t.Positives)
			return nil
		},
	}
	c.Flags().StringVar(&path, "csv", "", "`file` with a header")
	c.Flags().StringVar(&score, "score", "", "`column` of numbers")
	c.Flags().StringVar(&label, "label", "", "`column` of what was true, 0 or 1")
	c.Flags().Float64Var(&maxFPR, "max-fpr", maxFPR, "most false alarms, as a share")
	return c
}
