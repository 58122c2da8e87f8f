package index_test

import (
	"math"
	"testing"

	"rxedge/index"
)

// The parts of a score come to the score, whatever it is made of.
func TestPartsSumToTheScore(t *testing.T) {
	t.Parallel()
	e := &words{name: "words-1"}
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info()})
	apply(t, ix, put(metformin, warfarin, lisinopril))
	apply(t, ix, put(label("glipizide", "1", "Glipizide: the dose of glipizide is 5 mg; renal impairment is no reason against the dose.")))
	named, meant, fused := 0, 0, 0
	for _, q := range []index.Query{
		{Text: "metformin dose eGFR"}, {Text: "warfarin INR INR antibiotic"}, {Text: "2,000 mg", Plain: true}, {Text: "zestril in pregnancy"},
		{Text: "renal dose", Mode: index.ModeBM25}, {Text: "dose", Mode: index.ModeDense}, {Text: "glipizide and warfarin dose", Filter: index.Filter{Drugs: []string{"glipizide"}}},
	} {
		q.Explain = true
		res, err := ix.Search(t.Context(), q)
		if err != nil || len(res.Hits) == 0 {
			t.Fatalf("%q: %d hits, %v", q.Text, len(res.Hits), err)
		}
		for _, h := range res.Hits {
			words := 0.0
			for _, p := range h.Parts.Terms {
				words += p.Score
				if math.Abs(p.Score-p.Weight*p.IDF*p.TF) > 1e-12 || p.Text+p.Heading+p.Title == 0 {
					t.Errorf("%q: %+v", q.Text, p)
				}
				if p.Weight < 1 {
					meant++
				}
			}
			if words != h.Parts.Words || words+h.Section+h.Name != h.BM25 {
				t.Errorf("%q, %s: %v + %v + %v is not %v", q.Text, h.SetID, words, h.Section, h.Name, h.BM25)
			}
			score := map[index.Mode]float64{index.ModeBM25: h.BM25, index.ModeDense: h.Dense}[res.Mode]
			for _, p := range h.Parts.Fusion {
				score += p.Score
				fused++
			}
			if score != h.Score {
				t.Errorf("%q, %s: the parts come to %v, the score is %v", q.Text, h.SetID, score, h.Score)
			}
			if h.Name > 0 {
				named++
			}
		}
	}
	if named == 0 || meant == 0 || fused == 0 {
		t.Errorf("%d hits by name, %d terms of less weight, %d parts of fusion: the test tests too little", named, meant, fused)
	}
	res, err := ix.Search(t.Context(), index.Query{Text: "dose"})
	if err != nil || res.Hits[0].Parts != nil {
		t.Errorf("parts that nobody asked for: %v", err)
	}
}
