// Command meaning sets search by words, by vectors, by both and by both with a
// reranker beside one another, over collections and over questions about labels, with
// paired tests: 'make bench-meaning'.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/index"
	"rxedge/index/evaluate"
	"rxedge/inference/support"
)

func main() {
	data := flag.String("data", "../shared/data", "folder of the texts")
	medquad := flag.String("medquad", "", "folder of the held-out tenth of MedQuAD, as 'go run ./inference/semantic/train -held-out' writes it; \"\": left out")
	split := flag.String("split", "dev", "queries of NFCorpus: dev or train; \"\": left out")
	labels := flag.Bool("labels", true, "questions about labels")
	blend := flag.String("blend", "0.8", "how much the search's score counts beside the reranker's, in the rows of both; comma between several")
	named := flag.Float64("named", -1, "how much vectors count where a medicine is named, beside the words' weight; under 0: as shipped")
	runs := flag.String("runs", "", "folder for each query's figures, for 'rxedge eval compare'")
	flag.Parse()
	log.SetFlags(0)
	var blends []float64
	for _, b := range strings.Split(*blend, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(b), 64)
		if err != nil || !(v >= 0 && v <= 1) {
			log.Fatalf("-blend: %q is no number from 0 to 1", b)
		}
		blends = append(blends, v)
	}
	if err := run(*data, *medquad, *split, *labels, blends, *named, *runs); err != nil {
		log.Fatal(err)
	}
}

func run(data, medquad, split string, labels bool, blends []float64, named float64, runs string) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "meaning")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if runs != "" {
		if err := os.MkdirAll(runs, 0o755); err != nil {
			return err
		}
	}
	cfg := config.Default()
	cfg.Data, cfg.Model.Embedder = dir, config.Builtin
	opt, closer, err := box.Embedding(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer closer.Close()
	if named >= 0 {
		opt.Fusion.NamedDense = named
	}
	type set struct{ name, corpus, queries, qrels string }
	var sets []set
	if split != "" {
		d := filepath.Join(data, "nfcorpus")
		sets = append(sets, set{"nfcorpus-" + split, d + "/corpus.jsonl", d + "/queries.jsonl", filepath.Join(d, "qrels", split+".tsv")})
	}
	if medquad != "" {
		sets = append(sets, set{"medquad-held-out", medquad + "/corpus.jsonl", medquad + "/queries.jsonl", medquad + "/qrels/test.tsv"})
	}
	for _, s := range sets {
		req := evaluate.RetrievalRequest{Corpus: s.corpus, Queries: s.queries, Qrels: s.qrels, Options: opt, Dir: dir}
		if err := collection(ctx, s.name, req, blends, runs); err != nil {
			return err
		}
	}
	if !labels {
		return nil
	}
	return asked(ctx, data, dir, opt, runs)
}

// collection prints what each step finds in a collection.
func collection(ctx context.Context, name string, req evaluate.RetrievalRequest, blends []float64, runs string) error {
	began := time.Now()
	shipped := req.Options
	whole := req
	whole.Mode = index.ModeBM25
	words := evaluate.Stepped{Name: "words, whole documents"}
	whole.Each = func(l evaluate.RunLine) { words.Lines = append(words.Lines, l) }
	var err error
	if words.Report, err = evaluate.Retrieval(ctx, whole); err != nil {
		return err
	}
	judge := support.Builtin()
	todo := []evaluate.Step{
		{Name: "words, passages", Mode: index.ModeBM25},
		{Name: "vectors", Mode: index.ModeDense},
		{Name: "both, by rank (RRF)", Mode: index.ModeHybrid},
		{Name: "both, weighted", Mode: index.ModeHybrid, Fusion: shipped.Fusion},
		{Name: "with feedback, as shipped", Mode: index.ModeHybrid, Fusion: shipped.Fusion, Feedback: shipped.Feedback},
		{Name: "+ rerank", Mode: index.ModeHybrid, Fusion: shipped.Fusion, Feedback: shipped.Feedback, Reranker: judge},
	}
	for _, b := range blends {
		todo = append(todo, evaluate.Step{Name: fmt.Sprintf("+ rerank, %.2g of it the search's", b), Mode: index.ModeHybrid, Fusion: shipped.Fusion, Feedback: shipped.Feedback, Reranker: judge, Blend: b})
	}
	rest, err := evaluate.Ablation(ctx, req, todo)
	if err != nil {
		return err
	}
	steps := append([]evaluate.Stepped{words}, rest...)
	fmt.Printf("%s: %d queries\n", name, words.Report.Queries)
	fmt.Printf("  %-36s %8s %9s %10s %8s   %s\n", "", "ndcg@10", "recall@10", "recall@100", "mrr", "ndcg@10, recall@100 beside the first row; beside the row as shipped")
	var base []evaluate.RunLine
	for _, s := range steps {
		if s.Name == "with feedback, as shipped" {
			base = s.Lines
		}
	}
	for i, s := range steps {
		r := s.Report
		fmt.Printf("  %-36s %8.4f %9.4f %10.4f %8.4f", s.Name, r.NDCG10, r.Recall10, r.Recall100, r.MRR)
		if i > 0 {
			fmt.Printf("   %s", against(words.Lines, s.Lines, "ndcg@10", "recall@100"))
		}
		if strings.HasPrefix(s.Name, "+") {
			fmt.Printf("; %s", against(base, s.Lines, "ndcg@10", "recall@100"))
		}
		fmt.Println()
		if err := keep(runs, name, s.Name, s.Lines); err != nil {
			return err
		}
	}
	fmt.Printf("  %.0f s\n\n", time.Since(began).Seconds())
	return nil
}

// against says how much better b is than a by each metric.
func against(a, b []evaluate.RunLine, metrics ...string) string {
	c, err := evaluate.Compare(a, b)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, m := range metrics {
		p := c.Metrics[m]
		switch {
		case p.P == nil:
			out = append(out, "the same")
		case p.Relative == nil:
			out = append(out, fmt.Sprintf("%+.4f (p %.2g)", p.Difference, *p.P))
		default:
			out = append(out, fmt.Sprintf("%+.1f %% (p %.2g)", 100**p.Relative, *p.P))
		}
	}
	return strings.Join(out, ", ")
}
