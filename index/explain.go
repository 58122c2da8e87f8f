package index

import (
	"rxedge/index/lexical"
	"rxedge/index/names"
)

// Parts are what the scores of a hit are made of. BM25 is the sum of Words and
// Hit.Section and Hit.Name, Words that of the scores of Terms, and the score of
// a hybrid search that of Fusion, added in this order.
type Parts struct {
	Words  float64      `json:"words"`
	Terms  []TermPart   `json:"terms,omitempty"`
	Fusion []FusionPart `json:"fusion,omitempty"`
}

// TermPart is what a term adds: Score = Weight · IDF · TF.
type TermPart struct {
	Term   string  `json:"term"`   // as the analyser has it
	Weight float64 `json:"weight"` // 1 for a word that was typed, less for what it stands for
	IDF    float64 `json:"idf"`
	// TF is f(k1+1)/(f+k1(1−b+b·length/mean)); f counts what stands in the
	// heading and the title twice.
	TF      float64 `json:"tf"`
	Text    int     `json:"text"` // times that it stands there
	Heading int     `json:"heading"`
	Title   int     `json:"title"`
	Score   float64 `json:"score"`
}

// FusionPart is what a source adds to a hybrid score, by its rank or, where the
// sources are weighed, by its score (package fusion). "name" is for being about a
// medicine that the question names, which comes before all else.
type FusionPart struct {
	Source string  `json:"source"` // bm25, dense or name
	Rank   int     `json:"rank,omitempty"`
	Score  float64 `json:"score"`
}

// explain adds the parts to the hits.
func (s *Snapshot) explain(q Query, mode Mode, reading names.Reading, found []found, hits []Hit) error {
	a := s.view.Analyzer()
	var plain, own []lexical.Weighted
	for _, t := range a.Terms(q.Text) {
		plain = append(plain, lexical.Weighted{Term: t, Weight: 1})
	}
	if !q.Plain {
		plain, own = weigh(a, q.Text, reading, 1), weigh(a, q.Text, reading, nameWeight(reading))
	}
	for i := range hits {
		h, p := &hits[i], &Parts{}
		h.Parts = p
		if mode == ModeHybrid {
			for l, f := range []FusionPart{{Source: "bm25", Rank: h.BM25Rank}, {Source: "dense", Rank: h.DenseRank}} {
				if f.Rank > 0 {
					f.Score = found[i].shares[l]
					p.Fusion = append(p.Fusion, f)
				}
			}
			if lift := found[i].lift; lift > 0 {
				p.Fusion = append(p.Fusion, FusionPart{Source: "name", Score: lift})
			}
		}
		if h.BM25Rank == 0 {
			continue
		}
		terms := plain
		if h.Name > 0 { // about a medicine that is named
			terms = own
		}
		shares, err := s.view.Lexical().Explain(terms, found[i].passage)
		if err != nil {
			return err
		}
		for _, t := range shares {
			p.Words += t.Score
			p.Terms = append(p.Terms, TermPart{Term: t.Term, Weight: t.Weight, IDF: t.IDF, TF: t.TF,
				Text: int(t.Counts[lexical.Text]), Heading: int(t.Counts[lexical.Heading]), Title: int(t.Counts[lexical.Title]), Score: t.Score})
		}
	}
	return nil
}
