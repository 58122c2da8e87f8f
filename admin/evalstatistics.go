package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/quality"
)

// file opens what a flag names.
func file(flag, path string) (*os.File, error) {
	if path == "" {
		return nil, usage("%s is missing", flag)
	}
	if err := exists(flag, path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// optional prints a figure, or a dash where it is undefined.
func optional(v *float64) string {
	if v == nil {
		return "undefined"
	}
	return fmt.Sprintf("%.4f", *v)
}

func (a *app) evalText() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "text --file FILE",
		Short: "ROUGE-L, BLEU and exact matches of texts with their references",
		Long: `Compare texts with what they should say: lines of JSON with prediction and reference.

rougeL is the mean F of the longest common subsequence of words (as rouge-score, no
stemming), bleu that of all pairs together from 0 to 100 (as sacrebleu: 13a tokens,
exponential smoothing), exact the share that is the same but for space around it.
Both count words alone: a changed dose costs next to nothing in them. Numbers are
what 'rxedge eval answers' compares.

JSON keys: pairs, rougeL, bleu, exact.`,
		Example: `  rxedge eval text --file pairs.jsonl --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := file("--file", path)
			if err != nil {
				return err
			}
			defer f.Close()
			pairs, err := quality.ReadPairs(f)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			t, err := quality.Texts(pairs)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if a.json {
				return a.print(t)
			}
			fmt.Fprintf(a.out, "%d pairs   ROUGE-L %.4f   BLEU %.2f   exact %.4f\n", t.Pairs, t.RougeL, t.BLEU, t.Exact)
			return nil
		},
	}
	c.Flags().StringVar(&path, "file", "", "`file` of pairs, JSON lines")
	return c
}

func (a *app) evalFairness() *cobra.Command {
	var path, label, prediction, group string
	var samples int
	c := &cobra.Command{
		Use:   "fairness --csv FILE --label COLUMN --prediction COLUMN --group COLUMN",
		Short: "Whether decisions differ between groups",
		Long: `Compare decisions (0 or 1) with outcomes (0 or 1) by group, from any CSV with a header.

A difference is the largest rate of a group less the smallest. Limits: demographic
parity 0.1, equal opportunity 0.05, equalized odds 0.05, disparate impact at least
0.8, false positives 0.08 (warning) and 0.12 (critical). A group without positives
has no TPR: what rests on it is undefined (null), and has not passed. Intervals are
the 2.5th and 97.5th percentile of a bootstrap within groups, with a fixed seed.

JSON keys: groups (of each n, selection_rate, tpr, fpr, ppv),
demographic_parity_difference, equal_opportunity_difference,
equalized_odds_difference, disparate_impact_ratio, fpr_difference, intervals,
findings, undefined.`,
		Example: `  rxedge eval fairness --csv decisions.csv --label needed --prediction flagged --group age_band --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			for flag, v := range map[string]string{"--label": label, "--prediction": prediction, "--group": group} {
				if v == "" {
					return usage("%s is missing: the name of a column", flag)
				}
			}
			f, err := file("--csv", path)
			if err != nil {
				return err
			}
			defer f.Close()
			groups, err := fairness.Read(f, label, prediction, group)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			r, err := fairness.Of(groups)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if samples > 0 {
				if err := r.Bootstrap(groups, samples); err != nil {
					return err
				}
			}
			if a.json {
				return a.print(r)
			}
			var rows []table.Row
			for _, n := range slices.Sorted(maps.Keys(r.Groups)) {
				g := r.Groups[n]
				rows = append(rows, table.Row{n, g.N, optional(g.SelectionRate), optional(g.TPR), optional(g.FPR), optional(g.PPV)})
			}
			a.table(table.Row{"group", "n", "selected", "TPR", "FPR", "PPV"}, rows)
			rows = nil
			for _, f := range []struct {
				name string
				v    *float64
			}{{"demographic_parity_difference", r.DemographicParityDifference}, {"equal_opportunity_difference", r.EqualOpportunityDifference},
				{"equalized_odds_difference", r.EqualizedOddsDifference}, {"fpr_difference", r.FPRDifference}, {"disparate_impact_ratio", r.DisparateImpactRatio}} {
				interval, level := "", "within its limit"
				if i, ok := r.Intervals[f.name]; ok {
					interval = fmt.Sprintf("%.4f – %.4f", i.Low, i.High)
				}
				if f.v == nil {
					level = "undefined: not passed"
				}
				for _, x := range r.Findings {
					if x.Figure == f.name {
						level = fmt.Sprintf("%s: beyond %g, %s and %s", x.Level, x.Limit, x.Lowest, x.Most)
					}
				}
				rows = append(rows, table.Row{f.name, optional(f.v), interval, level})
			}
			fmt.Fprintln(a.out)
			a.table(table.Row{"figure", "value", "95 %", ""}, rows)
			return nil
		},
	}
	c.Flags().StringVar(&path, "csv", "", "`file` with a header")
	c.Flags().StringVar(&label, "label", "", "`column` of outcomes, 0 or 1")
	c.Flags().StringVar(&prediction, "prediction", "", "`column` of decisions, 0 or 1")
	c.Flags().StringVar(&group, "group", "", "`column` of groups")
	c.Flags().IntVar(&samples, "bootstrap", 1000, "samples for the intervals; 0: none")
	return c
}

func (a *app) evalDrift() *cobra.Command {
	var baseline, current, column string
	bins, least := drift.Bins, drift.LeastCount
	c := &cobra.Command{
		Use:   "drift --baseline FILE --current FILE --column COLUMN",
		Short: "Whether a column is distributed as it was",
		Long: `Compare a column of two CSVs with headers, as numbers where all values are, as
categories else.

psi: Σ(p−q)·ln(p/q) over ten bins that hold equally many values of the baseline; ½ is
added to every count where a bin is empty ("smoothed"). ks, ks_p: Kolmogorov–Smirnov,
exact up to 10,000 values; null for categories. chi2_p: of the current counts against
the baseline's shares over the same bins; a category that the baseline lacks makes it
0. verdict, by the PSI: stable, investigate (from 0.2), act (from 0.3), or
insufficient where a side has fewer than 30 values.

JSON keys: psi, ks, ks_p, chi2, chi2_p, verdict, smoothed, baseline, current, bins.`,
		Example: `  rxedge eval drift --baseline june.csv --current july.csv --column question_length --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if column == "" {
				return usage("--column is missing: the name of a column")
			}
			if bins < 2 {
				return usage("--bins: %d bins tell nothing apart; give 2 or more", bins)
			}
			var cols [2]drift.Column
			for i, path := range []string{baseline, current} {
				f, err := file([]string{"--baseline", "--current"}[i], path)
				if err != nil {
					return err
				}
				cols[i], err = drift.ReadColumn(f, column)
				_ = f.Close()
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			cmp, err := drift.Columns(cols[0], cols[1], bins, least)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(cmp)
			}
			fmt.Fprintf(a.out, "%s: PSI %.4f   KS %s (p %s)   chi-square p %s\n", cmp.Verdict, cmp.PSI, optional(cmp.KS), optional(cmp.KSP), optional(cmp.Chi2P))
			var rows []table.Row
			for _, b := range cmp.Bins {
				name := b.Category
				switch {
				case b.From != nil && b.To != nil:
					name = fmt.Sprintf("%.4g – %.4g", *b.From, *b.To)
				case b.To != nil:
					name = fmt.Sprintf("below %.4g", *b.To)
				case b.From != nil:
					name = fmt.Sprintf("from %.4g", *b.From)
				}
				rows = append(rows, table.Row{name, b.Baseline, b.Current, fmt.Sprintf("%.4f", b.PSI)})
			}
			a.table(table.Row{"bin", "baseline", "current", "PSI"}, rows)
			return nil
		},
	}
	c.Flags().StringVar(&baseline, "baseline", "", "CSV `file` of what was")
	c.Flags().StringVar(&current, "current", "", "CSV `file` of what is")
	c.Flags().StringVar(&column, "column", "", "`column` to compare")
	c.Flags().IntVar(&bins, "bins", bins, "bins of numbers")
	c.Flags().IntVar(&least, "least", least, "values on a side below which there is no verdict")
	return c
}
