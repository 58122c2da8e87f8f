package index_test

import (
	"testing"

	"rxedge/index"
)

// With feedback, vectors find what shares no word with the question but does with
// the passages that words find first.
func TestFeedback(t *testing.T) {
	t.Parallel()
	cosine := func(feedback float64, mode index.Mode) float64 {
		e := &words{name: "words"}
		ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info(), Feedback: feedback})
		apply(t, ix, put(label("a", "1", "Thinner means anticoagulant bleeding haemorrhage."), label("b", "1", "Anticoagulant bleeding haemorrhage."),
			label("c", "1", "Cough elixir syrup.")))
		r, err := ix.Search(t.Context(), index.Query{Text: "thinner", Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range r.Hits {
			if h.SetID == "b" {
				return h.Dense
			}
		}
		return -1
	}
	without, with := cosine(0, index.ModeHybrid), cosine(1, index.ModeHybrid)
	if with < without+0.3 {
		t.Errorf("cosine %.3f with feedback, %.3f without", with, without)
	}
	// A search by vectors alone has nothing to lean on.
	if alone := cosine(1, index.ModeDense); alone != without {
		t.Errorf("by vectors alone %.3f, not %.3f", alone, without)
	}
}
