package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/index/evaluate"
)

// runFile takes the figures of one query after the other; of no name, none.
type runFile struct {
	f   *os.File
	w   *bufio.Writer
	err error
}

func newRunFile(path string) (*runFile, error) {
	if path == "" {
		return &runFile{}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	return &runFile{f: f, w: bufio.NewWriter(f)}, nil
}

func (r *runFile) write(l evaluate.RunLine) {
	if r.f != nil && r.err == nil {
		r.err = json.NewEncoder(r.w).Encode(l)
	}
}

func (r *runFile) close() error {
	if r.f == nil {
		return nil
	}
	if err := errors.Join(r.err, r.w.Flush(), r.f.Close()); err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	return nil
}

func (a *app) evalCompare() *cobra.Command {
	var files [2]string
	c := &cobra.Command{
		Use:   "compare --a FILE --b FILE",
		Short: "Whether run B differs from run A, query by query",
		Long: `Compare two runs over the same queries: a paired t-test and a bootstrap interval
for each metric, and for each kind of question where the runs name kinds.

A run is what 'eval retrieval --run FILE' and 'eval answers --run FILE' write, or any
file of such lines: {"id": "q1", "kind": "dosing", "metrics": {"ndcg@10": 0.5}}.
kind may be left out. A metric that is undefined for a query is null or left out, and
the query then does not count for it. Queries of one run alone are left out, and counted.

t = mean(d) / (sd(d)/√n) over the differences d = b − a, n−1 degrees of freedom, p
two-sided; undefined (null) where all differences are 0 or the same. The interval is
the 95 % percentile interval of the mean difference over 10,000 bootstrap samples of
the queries; the same runs give the same interval. p is of each metric alone: of
twenty that are looked at one is below 0.05 by chance.

JSON keys: queries, only_a, only_b, metrics (of each pairs, a, b, difference, relative,
better, worse, t, p, low, high, undefined), by_kind.`,
		Example: `  rxedge eval retrieval --corpus c.jsonl --queries q.jsonl --qrels q.tsv --mode bm25 --run bm25.jsonl
  rxedge eval compare --a bm25.jsonl --b hybrid.jsonl --json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var runs [2][]evaluate.RunLine
			for i, flag := range []string{"--a", "--b"} {
				if files[i] == "" {
					return usage("%s is missing; see '%s --help'", flag, c.CommandPath())
				}
				if err := exists(flag, files[i]); err != nil {
					return err
				}
				f, err := os.Open(files[i])
				if err != nil {
					return err
				}
				runs[i], err = evaluate.ReadRun(filepath.Base(files[i]), f)
				_ = f.Close()
				if err != nil {
					return err
				}
			}
			res, err := evaluate.Compare(runs[0], runs[1])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(res)
			}
			a.showRuns(res)
			return nil
		},
	}
	c.Flags().StringVar(&files[0], "a", "", "run `file` that is compared with")
	c.Flags().StringVar(&files[1], "b", "", "run `file` that is judged")
	return c
}

func (a *app) showRuns(r evaluate.Comparison) {
	var rows []table.Row
	add := func(kind string, ms map[string]evaluate.Paired) {
		for _, m := range sortedKeys(ms) {
			p := ms[m]
			relative, interval, test := "–", "–", p.Undefined
			if p.Relative != nil {
				relative = fmt.Sprintf("%+.1f %%", 100**p.Relative)
			}
			if p.Low != nil {
				interval = fmt.Sprintf("%+.4f … %+.4f", *p.Low, *p.High)
			}
			if p.T != nil {
				test = fmt.Sprintf("t %.2f, p %.2g", *p.T, *p.P)
			}
			rows = append(rows, table.Row{kind, m, p.Pairs, f4(p.A), f4(p.B), fmt.Sprintf("%+.4f", p.Difference), relative, interval,
				fmt.Sprintf("%d / %d", p.Better, p.Worse), test})
		}
	}
	add("all", r.Metrics)
	for _, k := range sortedKeys(r.ByKind) {
		add(k, r.ByKind[k])
	}
	a.table(table.Row{"kind", "metric", "n", "a", "b", "b − a", "relative", "95 % interval", "better / worse", "paired t-test"}, rows)
	if r.OnlyA+r.OnlyB > 0 {
		a.printf("%d queries are in both runs; %d of run A alone and %d of run B alone are left out.\n", r.Queries, r.OnlyA, r.OnlyB)
	}
}
