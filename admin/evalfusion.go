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

	"rxedge/index"
	"rxedge/index/evaluate"
)

func (a *app) evalFusion() *cobra.Command {
	var req evaluate.FusionRequest
	var fixed, run string
	var rerank bool
	c := &cobra.Command{
		Use:   "fusion --corpus FILE --queries FILE --qrels FILE",
		Short: "Weights for fusing words and vectors, and what they are worth",
		Long: `Index a collection of its own with the loaded embedder, look for the weights of a
convex combination of its sources' scores, and set them beside reciprocal rank fusion.
Files are those of 'eval retrieval'.

The weights are found on the queries of all folds but one and measured on that one, so
the figures are of queries that the search did not see. It is a seeded search (TPE) for
the greatest mean of nDCG@10 and recall@100, less a penalty on leaning on one source.
--weights measures given weights instead, in the order of the sources: bm25, dense and,
with --rerank, rerank. --run PREFIX writes PREFIX-bm25.jsonl, -dense, -rrf, -weighted
(and -rerank) for 'eval compare'.

JSON keys: sources, weights (over all queries), folds (found without each), figures (of
each source, rrf and weighted: ndcg@10, recall@10, recall@100, mrr), ndcg@10 and
recall@100 (weighted against rrf, as 'eval compare'), kept, complement (of each two
sources: correlation of their scores, and the relevant documents that both, one alone
and neither have among the first hundred), queries, relevant.`,
		Example: `  rxedge eval fusion --corpus corpus.jsonl --queries queries.jsonl --qrels qrels.tsv --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			for flag, path := range map[string]string{"--corpus": req.Corpus, "--queries": req.Queries, "--qrels": req.Qrels} {
				if path == "" {
					return usage("%s is missing; see '%s --help'", flag, c.CommandPath())
				}
				if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%s: %w: %w", flag, errNotFound, err)
				}
			}
			if fixed != "" {
				for _, f := range strings.Split(fixed, ",") {
					w, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
					if err != nil || !(w >= 0 && w <= 1e9) {
						return usage("--weights: %q is no weight of 0 or more", f)
					}
					req.Fixed = append(req.Fixed, w)
				}
			}
			models := evaluate.RetrievalRequest{Mode: index.ModeHybrid}
			closers, err := a.evalModels(c.Context(), &models, rerank)
			for _, cl := range closers {
				defer cl.Close()
			}
			if err != nil {
				return err
			}
			req.Options, req.Reranker = models.Options, models.Reranker
			runs := map[string]*runFile{}
			defer func() {
				for _, r := range runs {
					_ = r.close()
				}
			}()
			var failed error
			if run != "" {
				req.Each = func(name string, l evaluate.RunLine) {
					if runs[name] == nil {
						f, err := newRunFile(run + "-" + name + ".jsonl")
						failed = errors.Join(failed, err)
						if runs[name] = f; err != nil {
							runs[name] = &runFile{}
						}
					}
					runs[name].write(l)
				}
			}
			bar := a.progress()
			req.Progress = func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) }
			rep, err := evaluate.TuneFusion(c.Context(), req)
			bar.finish()
			for name, r := range runs {
				failed = errors.Join(failed, r.close())
				delete(runs, name)
			}
			if err = errors.Join(err, failed); err != nil {
				return err
			}
			if a.json {
				return a.print(rep)
			}
			a.showFusion(rep)
			return nil
		},
	}
	c.Flags().StringVar(&req.Corpus, "corpus", "", "corpus.jsonl")
	c.Flags().StringVar(&req.Queries, "queries", "", "queries.jsonl")
	c.Flags().StringVar(&req.Qrels, "qrels", "", "qrels.tsv")
	c.Flags().IntVar(&req.Folds, "folds", 5, "folds of the queries")
	c.Flags().IntVar(&req.Trials, "trials", 60, "points that each search tries")
	c.Flags().IntVar(&req.Depth, "depth", 200, "candidates taken from each source")
	c.Flags().Uint64Var(&req.Seed, "seed", 1, "seed of the search")
	c.Flags().StringVar(&fixed, "weights", "", "measure these `weights`, comma between them")
	c.Flags().BoolVar(&rerank, "rerank", false, "a reranker's scores are a third source")
	c.Flags().StringVar(&run, "run", "", "write each query's figures to files that begin with this `prefix`")
	return c
}

func (a *app) showFusion(r evaluate.FusionReport) {
	var rows []table.Row
	names := append(append([]string{}, r.Sources...), "rrf", "weighted")
	for _, n := range names {
		f := r.Figures[n]
		rows = append(rows, table.Row{n, f4(f.NDCG10), f4(f.Recall10), f4(f.Recall100), f4(f.MRR)})
	}
	a.table(table.Row{"source", "ndcg@10", "recall@10", "recall@100", "mrr"}, rows)
	weights := func(w []float64) string {
		s := make([]string, len(w))
		for i, v := range w {
			s[i] = fmt.Sprintf("%s %.2f", r.Sources[i], v)
		}
		return strings.Join(s, ", ")
	}
	a.printf("Weights over all %d queries: %s\n", r.Queries, weights(r.Weights))
	for i, w := range r.Folds {
		a.printf("  without fold %d: %s\n", i+1, weights(w))
	}
	rows = nil
	for _, p := range r.Pairs {
		correlation := "–"
		if p.Correlation != nil {
			correlation = fmt.Sprintf("%.2f", *p.Correlation)
		}
		rows = append(rows, table.Row{p.A, p.B, correlation, p.Both, p.OnlyA, p.OnlyB, p.Neither, f4(p.Union)})
	}
	a.table(table.Row{"a", "b", "correlation", "both", "only a", "only b", "neither", "recall of both"}, rows)
	for _, m := range []struct {
		name string
		p    evaluate.Paired
	}{{"ndcg@10", r.NDCG10}, {"recall@100", r.Recall}} {
		test := m.p.Undefined
		if m.p.T != nil {
			test = fmt.Sprintf("t %.2f, p %.2g", *m.p.T, *m.p.P)
		}
		a.printf("weighted against rrf, %s: %+.4f (%s)\n", m.name, m.p.Difference, test)
	}
	if r.Kept {
		a.printf("The weights are better than reciprocal rank fusion on queries that the search did not see.\n")
	} else {
		a.printf("The weights are no better than reciprocal rank fusion on queries that the search did not see.\n")
	}
}
