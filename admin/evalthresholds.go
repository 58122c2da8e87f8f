package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/quality"
	"rxedge/sync/durable"
)

func (a *app) evalThresholds() *cobra.Command {
	var path, score, label string
	var by groupFlags
	maxFPR := 0.05
	c := &cobra.Command{
		Use:   "thresholds --csv FILE --score COLUMN --label COLUMN",
		Short: "From which value a score should raise an alarm, by ROC over labelled history",
		Long: `Find thresholds of a score (a PSI by day, the guard's doubt by answer) from history in
which it is known what was true: a CSV with a header, a number and a 0 or 1 a row.
Decided is "yes" from the threshold on. youden has the largest TPR − FPR, f1 the
largest F1, max_fpr the largest TPR with at most --max-fpr of false alarms (null where
no threshold has so few). Of equals the highest. Nothing is changed by it.

With --group thresholds by group are found, of the guard's doubt by answer, with which of
each group's bad answers about as many are doubted (equal opportunity): nearest to the
share of all at --at, and no more than --max-difference apart; else exit code 4. A group
with fewer than 11 bad answers keeps --at. --out writes them, for 'rxedge central fleet
propose': nothing holds at a site before another person has approved it. The figures are of
the rows that the thresholds were found with, so on others they are a little worse.

JSON keys: n, positives, auc, youden, f1, max_fpr, curve (of each threshold, tpr, fpr,
ppv, f1, j); with --group guard, own, before, after, limit, groups, left.`,
		Example: `  rxedge eval thresholds --csv days.csv --score psi --label changed --max-fpr 0.02
  rxedge eval thresholds --csv answers.csv --score doubt --label bad --group cohort --out thresholds.json`,
		Args: args(cobra.NoArgs),
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
			if by.group != "" {
				return a.groupThresholds(f, path, score, label, by)
			}
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
	by.flags(c)
	return c
}

// groupFlags ask for thresholds by group.
type groupFlags struct {
	group, out string
	at, limit  float64
}

func (g *groupFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&g.group, "group", "", "`column` of groups, for thresholds by group")
	c.Flags().Float64Var(&g.at, "at", guard.Builtin().Threshold, "threshold of all, with --group (default: the guard's own)")
	c.Flags().Float64Var(&g.limit, "max-difference", fairness.MaxOpportunityDifference, "most that the groups' true positive rates may differ, with --group")
	c.Flags().StringVar(&g.out, "out", "", "`file` to write the groups' thresholds to")
}

func (a *app) groupThresholds(f io.Reader, path, score, label string, by groupFlags) error {
	groups, err := quality.ReadScored(f, score, label, by.group)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t, err := quality.EqualOpportunity(groups, by.at, by.limit, telemetry.LeastCell)
	if err != nil {
		return &refusedError{fmt.Sprintf("%s: %v", path, err)}
	}
	out := guard.Groups{Guard: guard.Hash(), Own: by.at, Before: t.Before, After: t.After, Limit: by.limit}
	value := func(p *float64) float64 {
		if p == nil {
			return 0
		}
		return *p
	}
	var rows []table.Row
	for _, g := range t.Groups {
		out.Groups = append(out.Groups, guard.Group{Cohort: g.Group, Threshold: g.Threshold, N: g.N, Bad: g.Positives,
			TPRBefore: g.TPRBefore, TPR: g.TPR, FPRBefore: value(g.FPRBefore), FPR: value(g.FPR)})
		rows = append(rows, table.Row{printableText(g.Group), g.N, g.Positives, fmt.Sprintf("%.4g", g.Threshold), f4(g.TPRBefore), f4(g.TPR), optional(g.FPRBefore), optional(g.FPR)})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if _, err := guard.ParseGroups(b); err != nil {
		return &refusedError{fmt.Sprintf("%s: %v", path, err)}
	}
	if by.out != "" {
		if err := durable.Write(filepath.Clean(by.out), append(b, '\n')); err != nil {
			return err
		}
	}
	if a.json {
		return a.print(struct {
			guard.Groups
			Left []string `json:"left"`
		}{out, append([]string{}, t.Left...)})
	}
	a.table(table.Row{"group", "rows", "bad", "threshold", "TPR before", "TPR", "FPR before", "FPR"}, rows)
	a.printf("True positive rates %.4f apart at %.4g for all, %.4f with these.\n", t.Before, by.at, t.After)
	for _, g := range t.Left {
		a.printf("%s has fewer than %d bad answers and keeps %.4g.\n", printableText(g), telemetry.LeastCell, by.at)
	}
	return nil
}
