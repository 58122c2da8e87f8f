package answer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rxedge/index"
)

const (
	// rerankWait is how long a reranker may take before the search's own order
	// is as good as it gets.
	rerankWait = 5 * time.Second
	// longestPiece, in bytes, is what a cross-encoder of 512 tokens reads together
	// with a question: longer passages are judged in pieces, by the best of them.
	longestPiece = 1200
)

const notReranked = "the passages could not be ordered by the reranker; they stand in the order of the search"

// rerank orders hits by how well each answers the question, where a reranker is
// configured. why is set where one is and did not serve; hits are then as they
// were. Scores stay those of the search.
func (s *Service) rerank(ctx context.Context, question string, hits []index.Hit) (_ []index.Hit, why string, err error) {
	if s.Reranker == nil || len(hits) < 2 {
		return hits, "", nil
	}
	lesser := func(cause error) ([]index.Hit, string, error) {
		if ctx.Err() != nil { // the asker went away
			return nil, "", ctx.Err()
		}
		if s.Log != nil {
			s.Log.Warn("reranking failed", "error", cause)
		}
		return hits, notReranked, nil
	}
	defer at(&s.underway.rerank)()
	judge, err := s.Reranker(ctx)
	if err != nil {
		return lesser(err)
	}
	if judge == nil {
		return hits, "", nil
	}
	var pieces []string
	var of []int
	for i := range hits {
		for _, p := range piecesOf(&hits[i]) {
			pieces, of = append(pieces, p), append(of, i)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, rerankWait)
	defer cancel()
	scores, err := judge.Rerank(waiting, question, pieces)
	if err == nil && len(scores) != len(pieces) {
		err = fmt.Errorf("%d scores for %d passages", len(scores), len(pieces))
	}
	if err == nil && slices.ContainsFunc(scores, func(f float32) bool { return f != f }) {
		err = errors.New("a score is not a number")
	}
	if err != nil {
		return lesser(err)
	}
	best := make([]float32, len(hits))
	for i, score := range scores {
		best[of[i]] = max(best[of[i]], score)
	}
	order := make([]int, len(hits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(best[b], best[a]) })
	out := make([]index.Hit, len(hits))
	for i, at := range order {
		out[i] = hits[at]
	}
	return out, "", nil
}

// piecesOf cuts a passage between sentences; each piece has the heading.
func piecesOf(h *index.Hit) []string {
	heading := h.DocumentTitle + ". " + h.SectionTitle + ". "
	if len(h.Text) <= longestPiece || len(h.Passage.Sentences) == 0 {
		return []string{heading + h.Text}
	}
	var out []string
	from := h.Passage.Sentences[0].Start
	for i, s := range h.Passage.Sentences {
		last := i+1 == len(h.Passage.Sentences)
		if last || h.Passage.Sentences[i+1].End-from > longestPiece {
			out = append(out, heading+cite(h, from, s.End).Quote)
			if !last {
				from = h.Passage.Sentences[i+1].Start
			}
		}
	}
	return out
}
