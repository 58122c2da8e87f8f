package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/index/evaluate"
)

// tunedRows of the table are printed without --json.
const tunedRows = 10

func (a *app) evalTune() *cobra.Command {
	var req evaluate.TuneRequest
	var grid [4]string
	c := &cobra.Command{
		Use:   "tune --corpus FILE --queries FILE --qrels FILE",
		Short: "What other parameters of BM25 would be worth on a collection",
		Long: `Measure nDCG@10 of BM25 alone at every point of a grid of parameters, over a collection
in the layout of 'rxedge eval retrieval'. Nothing is changed: the box goes on with the
parameters that it was built with. "Cross-validated" is the honest figure: each fold of
the queries measured with what was best on the others. Where it is not above the figure
of the default parameters, tuning found noise.`,
		Example: `  rxedge eval tune --corpus corpus.jsonl --queries queries.jsonl --qrels qrels/train.tsv --json
  rxedge eval tune --corpus corpus.jsonl --queries queries.jsonl --qrels qrels/train.tsv --k1 1.2,1.5 --b 0.6,0.75`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, f := range []struct{ flag, path string }{{"--corpus", req.Corpus}, {"--queries", req.Queries}, {"--qrels", req.Qrels}} {
				if f.path == "" {
					return usage("%s is missing; see '%s --help'", f.flag, c.CommandPath())
				}
				if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%s: %w: %w", f.flag, errNotFound, err)
				}
			}
			if req.Folds < 2 {
				return usage("--folds: %d is less than 2", req.Folds)
			}
			axes := []struct {
				flag  string
				most  float64
				given string
				to    *[]float64
			}{
				{"--k1", 1e6, grid[0], &req.Grid.K1}, {"--b", 1, grid[1], &req.Grid.B},
				{"--heading", 1e6, grid[2], &req.Grid.Heading}, {"--title", 1e6, grid[3], &req.Grid.Title},
			}
			for _, x := range axes {
				if x.given == "" {
					continue
				}
				for _, f := range strings.Split(x.given, ",") {
					v, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
					if err != nil || !(v >= 0 && v <= x.most) {
						return usage("%s: %q is not a number from 0 to %g", x.flag, f, x.most)
					}
					*x.to = append(*x.to, v)
				}
			}
			bar := a.progress()
			req.Progress = func(done, of int) { bar.set("points of the grid", int64(done), int64(of)) }
			rep, err := evaluate.Tune(c.Context(), req)
			bar.finish()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(rep)
			}
			row := func(what string, t evaluate.Tuned) table.Row {
				return table.Row{what, t.K1, t.B, t.Heading, t.Title, f4(t.NDCG10)}
			}
			rows := []table.Row{row("default", rep.Default)}
			for i, t := range rep.Table[:min(tunedRows, len(rep.Table))] {
				rows = append(rows, row(strconv.Itoa(i+1), t))
			}
			a.table(table.Row{"", "k1", "b", "heading", "title", "ndcg@10"}, rows)
			a.printf("%d queries, %d points of the grid; cross-validated %s, %+.4f beside the default\n", rep.Queries, len(rep.Table),
				f4(rep.CrossValidated), rep.CrossValidated-rep.Default.NDCG10)
			return nil
		},
	}
	c.Flags().StringVar(&req.Corpus, "corpus", "", "corpus.jsonl")
	c.Flags().StringVar(&req.Queries, "queries", "", "queries.jsonl")
	c.Flags().StringVar(&req.Qrels, "qrels", "", "qrels.tsv")
	c.Flags().IntVar(&req.Folds, "folds", 5, "parts of the queries for cross-validation")
	c.Flags().StringVar(&grid[0], "k1", "", "values of k1, separated by commas (default: a grid of all four)")
	c.Flags().StringVar(&grid[1], "b", "", "values of b")
	c.Flags().StringVar(&grid[2], "heading", "", "values of the heading's weight")
	c.Flags().StringVar(&grid[3], "title", "", "values of the title's weight")
	return c
}
