package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/answer"
	answers "rxedge/daemon/answer/evaluate"
	"rxedge/daemon/box"
	"rxedge/index"
	"rxedge/index/evaluate"
	"rxedge/inference"
)

func (a *app) eval() *cobra.Command {
	c := &cobra.Command{Use: "eval", Short: "Measure retrieval and answers against judged questions",
		Example: `  rxedge eval retrieval --corpus corpus.jsonl --queries queries.jsonl --qrels qrels.tsv --mode bm25 --json`,
		Args:    cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(a.evalRetrieval(), a.evalTune(), a.evalAnswers(), a.evalCompare(), a.evalFusion(), a.evalText(), a.evalFairness(), a.evalDrift(),
		a.evalSuite(), a.evalHistory(), a.evalLedger(), a.evalLeakage(), a.evalKappa(), a.evalThresholds())
	return c
}

func (a *app) evalRetrieval() *cobra.Command {
	var req evaluate.RetrievalRequest
	var mode, run string
	c := &cobra.Command{
		Use:   "retrieval --corpus FILE --queries FILE --qrels FILE",
		Short: "nDCG, recall and MRR over a collection in BEIR's layout",
		Long: `Index a collection of its own (the box's index is not touched), run its queries and
print nDCG@10, recall and MRR as trec_eval defines them.
Layout: corpus.jsonl with _id, title, text; queries.jsonl with _id, text; qrels.tsv
with the columns query-id, corpus-id, score. --run writes each query's own figures,
for 'rxedge eval compare'.`,
		Example: `  rxedge eval retrieval --corpus corpus.jsonl --queries queries.jsonl --qrels qrels/dev.tsv --mode bm25 --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			rerank := false
			req.Mode = index.Mode(mode)
			switch req.Mode {
			case index.ModeBM25, index.ModeDense, index.ModeHybrid:
			case "rerank":
				rerank = true
			default:
				return usage("--mode: %q is none of bm25, dense, hybrid, rerank", mode)
			}
			for flag, path := range map[string]string{"--corpus": req.Corpus, "--queries": req.Queries, "--qrels": req.Qrels} {
				if path == "" {
					return usage("%s is missing; see '%s --help'", flag, c.CommandPath())
				}
				if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%s: %w: %w", flag, errNotFound, err)
				}
			}
			if req.Mode != index.ModeBM25 {
				closers, err := a.evalModels(c.Context(), &req, rerank)
				for _, cl := range closers {
					defer cl.Close()
				}
				if err != nil {
					return err
				}
			}
			w, err := newRunFile(run)
			if err != nil {
				return err
			}
			bar := a.progress()
			req.Progress = func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) }
			req.Each = w.write
			rep, err := evaluate.Retrieval(c.Context(), req)
			bar.finish()
			if err = errors.Join(err, w.close()); err != nil {
				return err
			}
			if a.json {
				return a.print(rep)
			}
			a.table(table.Row{"ndcg@10", "recall@5", "recall@10", "recall@100", "mrr", "queries", "p50 ms", "p95 ms"}, []table.Row{{
				f4(rep.NDCG10), f4(rep.Recall5), f4(rep.Recall10), f4(rep.Recall100), f4(rep.MRR), rep.Queries, f4(rep.P50), f4(rep.P95)}})
			return nil
		},
	}
	c.Flags().StringVar(&req.Corpus, "corpus", "", "corpus.jsonl")
	c.Flags().StringVar(&req.Queries, "queries", "", "queries.jsonl")
	c.Flags().StringVar(&req.Qrels, "qrels", "", "qrels.tsv")
	c.Flags().StringVar(&mode, "mode", string(index.ModeHybrid), "bm25, dense, hybrid or rerank")
	c.Flags().StringVar(&run, "run", "", "write each query's figures to this `file`")
	return c
}

// evalModels loads what the mode needs. Reranking is of what both sources find,
// or of BM25's where there is no embedder.
func (a *app) evalModels(ctx context.Context, req *evaluate.RetrievalRequest, rerank bool) (closers []io.Closer, err error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	needs := func(what string, err error) error {
		if !errors.Is(err, inference.ErrModelNotFound) {
			return err
		}
		return &refusedError{fmt.Sprintf("--mode %s needs %s: import one with 'rxedge model import' and name it in rxedge.toml (%v)", req.Mode, what, err)}
	}
	opt, closer, err := box.Embedding(ctx, cfg, log)
	if err == nil {
		req.Options, closers = opt, append(closers, closer)
	} else if !rerank || !errors.Is(err, inference.ErrModelNotFound) {
		return nil, needs("an embedder", err)
	}
	if !rerank {
		return closers, nil
	}
	r, closer, err := box.Reranking(ctx, cfg, log)
	if err != nil {
		return closers, needs("a reranker", err)
	}
	req.Reranker, closers = r, append(closers, closer)
	if req.Mode = index.ModeHybrid; req.Options.Embedder == nil {
		req.Mode = index.ModeBM25
	}
	return closers, nil
}

func f4(v float64) string { return fmt.Sprintf("%.4f", v) }

func (a *app) evalAnswers() *cobra.Command {
	var file, mode, outcomes, run string
	c := &cobra.Command{
		Use:   "answers --questions FILE",
		Short: "Right sections, valid citations, numbers and abstentions",
		Long: `Ask every question of the file and compare with what it says is right.
A line: {"id", "question", "relevant": [section ids], "evidence": [verbatim strings],
"numbers": [with units], "kind"}; relevant empty means that the documents do not answer it.
The questions are not counted among people's, and those who ask meanwhile come first.
A share of nothing is null. --outcomes writes each answer beside its question; --run
each question's own figures, for 'rxedge eval compare'.`,
		Example: `  rxedge eval answers --questions questions.jsonl --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("--questions is missing; see '%s --help'", c.CommandPath())
			}
			if mode != "" && mode != answer.ModeExtractive && mode != answer.ModeGenerated {
				return usage("--mode: %q is neither extractive nor generated", mode)
			}
			f, err := os.Open(file)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			if err != nil {
				return err
			}
			defer f.Close()
			qs, err := answers.Read(file, f)
			if err != nil {
				return err
			}
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			if err := touch(c, st, file, len(qs)); err != nil {
				return err
			}
			write := func(answers.Outcome) error { return nil }
			if outcomes != "" {
				// Questions are private: the file is the owner's alone.
				w, err := os.OpenFile(outcomes, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
				if err != nil {
					return err
				}
				defer w.Close()
				enc := json.NewEncoder(io.Writer(w))
				write = func(o answers.Outcome) error { return enc.Encode(o) }
			}
			each, err := newRunFile(run)
			if err != nil {
				return err
			}
			bar, done := a.progress(), 0
			var failed error
			rep, err := answers.Run(c.Context(), examined{st}, qs, mode, func(o answers.Outcome) {
				done++
				bar.set("questions", int64(done), int64(len(qs)))
				failed = errors.Join(failed, write(o))
				each.write(o.RunLine())
			})
			bar.finish()
			if err = errors.Join(err, failed, each.close()); err != nil {
				return err
			}
			if a.json {
				return a.print(rep)
			}
			a.showAnswers(rep)
			return nil
		},
	}
	c.Flags().StringVar(&file, "questions", "", "questions.jsonl")
	c.Flags().StringVar(&mode, "mode", "", "extractive or generated (default: as the box answers)")
	c.Flags().StringVar(&outcomes, "outcomes", "", "write each question with its answer to this `file`")
	c.Flags().StringVar(&run, "run", "", "write each question's figures to this `file`")
	return c
}

// examined is a box whose questions are not counted among people's.
type examined struct{ station }

// Ask implements answers.Box.
func (e examined) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	return e.Examine(ctx, q, ev)
}

func (a *app) showAnswers(rep answers.Report) {
	row := func(name string, f *answers.Figures) table.Row {
		return table.Row{name, f.Questions, f.Answered, f.Abstained, share(f.RightSectionAt1), share(f.RightSectionAt5), share(f.CitationValid),
			share(f.EvidenceRecall), share(f.NumberRecall), share(f.AbstainPrecision), share(f.AbstainRecall)}
	}
	rows := []table.Row{row("all", &rep.Figures)}
	for _, k := range sortedKeys(rep.ByKind) {
		rows = append(rows, row(k, rep.ByKind[k]))
	}
	a.table(table.Row{"kind", "n", "answered", "abstained", "section@1", "section@5", "citations", "evidence", "numbers", "abst. prec.", "abst. recall"}, rows)
	a.printf("p50 %.1f ms, p95 %.1f ms\n", rep.P50, rep.P95)
}

func share(r answers.Ratio) string {
	if r.All == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", r.Value())
}
