package answer

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/chunk"
	"rxedge/inference"
)

// orders scores by place.
type orders func(place int) float32

func (orders) Model() string { return "orders" }

func (o orders) Rerank(_ context.Context, _ string, passages []string) ([]float32, error) {
	out := make([]float32, len(passages))
	for i := range passages {
		out[i] = o(i)
	}
	return out, nil
}

// What is found stands in the reranker's order, all of it and nothing twice.
func TestRerank(t *testing.T) {
	t.Parallel()
	const question = "Which medicines interact with alcohol?"
	s := &Service{Index: sample(t), Entailer: builtinJudge}
	plain, err := s.Ask(t.Context(), Question{Text: question, K: 20}, Events{})
	if err != nil || len(plain.Retrieved) < 10 {
		t.Fatalf("%v, %d", err, len(plain.Retrieved))
	}
	s.Reranker = func(context.Context) (inference.Reranker, error) {
		return orders(func(place int) float32 { return 1 / (1 + float32(math.Exp(-float64(place)/10))) }), nil
	}
	turned, err := s.Ask(t.Context(), Question{Text: question, K: MaxPassages}, Events{})
	if err != nil || turned.Timings.Rerank <= 0 || len(turned.Fallbacks) > 0 {
		t.Fatalf("%v %+v %+v", err, turned.Timings, turned.Fallbacks)
	}
	first, last := plain.Retrieved[0], turned.Retrieved[len(turned.Retrieved)-1]
	if first.SectionID != last.SectionID || first.Start != last.Start {
		t.Errorf("first of the search: %s; last of the reranker that turns the order round: %s", first.SectionID, last.SectionID)
	}
	seen := map[string]bool{}
	for _, r := range turned.Retrieved {
		key := r.SectionID + string(rune(r.Start))
		if seen[key] {
			t.Errorf("%s twice", r.SectionID)
		}
		seen[key] = true
	}
}

// A long passage is judged in pieces that a cross-encoder can read; nothing of
// it is left out.
func TestPieces(t *testing.T) {
	t.Parallel()
	sentence := strings.Repeat("Word ", 60) + "end."
	text := strings.TrimSpace(strings.Repeat(sentence+" ", 9))
	h := index.Hit{DocumentTitle: "Title", SectionTitle: "Section", Text: text}
	for at := 0; at < len(text); at += len(sentence) + 1 {
		h.Passage.Sentences = append(h.Passage.Sentences, chunk.Span{Start: at, End: at + len(sentence)})
	}
	h.Passage.End = len(text)
	pieces := piecesOf(&h)
	got := 0
	for _, p := range pieces {
		if len(p) > longestPiece+100 || !strings.HasPrefix(p, "Title. Section. Word") || !strings.HasSuffix(p, "end.") {
			t.Errorf("%d bytes: %.40q", len(p), p)
		}
		got += strings.Count(p, "end.")
	}
	if got != 9 || len(pieces) != 3 {
		t.Errorf("%d sentences in %d pieces", got, len(pieces))
	}
	h.Text = "Short."
	if p := piecesOf(&h); !slices.Equal(p, []string{"Title. Section. Short."}) {
		t.Errorf("%q", p)
	}
}
