package evaluate

import (
	"context"
	"fmt"
	"os"

	"rxedge/index"
)

// Step is one way to search a collection, beside others over the same index.
type Step struct {
	Name     string
	Mode     index.Mode
	Fusion   index.Fusion // of ModeHybrid; none: reciprocal rank fusion
	Feedback float64
	Reranker Reranker // nil: none
	Blend    float64  // as in RetrievalRequest
}

// Stepped is what a step came to.
type Stepped struct {
	Name   string
	Report RetrievalReport
	Lines  []RunLine
}

// Ablation indexes the collection of req once, with its embedder, and measures each
// step over it. Mode, Reranker, Blend, Run and Each of req, and what its Options say of
// fusion and feedback, are not used.
func Ablation(ctx context.Context, req RetrievalRequest, steps []Step) ([]Stepped, error) {
	queries, qrels, err := readJudged(req)
	if err != nil {
		return nil, err
	}
	if req.Options.Embedder == nil {
		return nil, fmt.Errorf("an ablation needs an embedder and none is loaded")
	}
	dir, err := os.MkdirTemp(req.Dir, "rxedge-eval-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var out []Stepped
	for i, s := range steps {
		one := req
		one.Mode, one.Reranker, one.Blend = s.Mode, s.Reranker, s.Blend
		one.Options.Fusion, one.Options.Feedback = s.Fusion, s.Feedback
		got := Stepped{Name: s.Name}
		one.Run, one.Each = nil, func(l RunLine) { got.Lines = append(got.Lines, l) }
		if err := func() error {
			ix, err := index.Open(dir, one.Options)
			if err != nil {
				return err
			}
			defer ix.Close()
			if i == 0 {
				if _, err := ix.Apply(ctx, index.Changes{Put: ReadCorpus(req.Corpus)}, req.Progress); err != nil {
					return err
				}
			}
			got.Report, err = measured(ctx, one, ix, queries, qrels)
			return err
		}(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		out = append(out, got)
	}
	return out, nil
}
