package support

import (
	"context"
	"math"
	"strings"
)

// Features of a question beside a passage, by place.
const (
	qRecall     = iota // share of the question's weight that text and heading have
	qText              // that the text has
	qHead              // that the heading has
	qHeadOf            // share of the heading's weight that the question has
	qBM25              // BM25 of text and heading, of the most there could be
	qSum               // the same, not divided
	qSentence          // most of the weight that one sentence has
	qTwo               // that two neighbouring sentences have
	qPairs             // as fPairs
	qRun               // as fRun
	qOrder             // as fOrder
	qMaxMissing        // as fMaxMissing
	qMissing           // words missing
	qSoft              // as fSoft
	qWords             // words of the question
	qWeight            // their weight
	qLength            // words of the passage, logarithm
	qFirst             // where the best sentence stands: 0 first, 1 last
	qNumbers           // share of the question's numbers that the passage states
	qDrugs             // medicines of the question that are missing
	qOften             // occurrences of the question's heaviest word, logarithm
	questionFeatures
)

// Parameters of BM25 in qBM25: those of the index (k1, b), and the length of an
// ordinary passage in content words.
const (
	bm25K1, bm25B = 1.2, 0.65
	ordinary      = 90
)

// QuestionVector gives the features of a question beside a passage.
func (m *Model) QuestionVector(question, passage string) []float32 {
	return m.questionFeatures(m.analyse(question), m.passage(passage))
}

func (m *Model) questionFeatures(q *text, p *passage) []float32 {
	x := make([]float32, questionFeatures)
	body := p.whole
	if len(q.words) == 0 {
		return x
	}
	length := float64(len(body.words))
	norm := 1 - bm25B + bm25B*length/ordinary
	inText, inHead, both, soft, sum, most := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	seen := map[string]bool{}
	heaviest := 0.0
	for _, v := range q.words {
		if seen[v.stem] {
			continue
		}
		seen[v.stem] = true
		tf, head := body.has[v.stem], 0
		if p.heading != nil {
			head = p.heading.has[v.stem]
		}
		if v.weight > heaviest {
			heaviest = v.weight
			x[qOften] = float32(math.Log1p(float64(tf + head)))
		}
		most += v.weight * (bm25K1 + 1)
		if tf > 0 {
			inText += v.weight
		}
		if head > 0 {
			inHead += v.weight
		}
		if tf+head > 0 {
			both += v.weight
			f := float64(tf) + 2*float64(head)
			sum += v.weight * f * (bm25K1 + 1) / (f + bm25K1*norm)
			continue
		}
		soft += v.weight * alike(v.stem, body)
		x[qMissing]++
		x[qMaxMissing] = max(x[qMaxMissing], float32(v.weight/m.Words.Other))
		if v.drug {
			x[qDrugs]++
		}
	}
	x[qRecall], x[qText], x[qHead] = share(both, q.weight), share(inText, q.weight), share(inHead, q.weight)
	x[qSoft] = share(both+soft, q.weight)
	x[qBM25], x[qSum] = share(sum, most), float32(sum/m.Words.Other)
	if p.heading != nil {
		common := 0.0
		for _, s := range p.heading.stems {
			if q.has[s] > 0 {
				common += m.Words.weight(s)
			}
		}
		x[qHeadOf] = share(common, p.heading.weight)
	}
	best, before := 0.0, map[string]bool{}
	for i, s := range p.sentences {
		one, two := 0.0, 0.0
		here := map[string]bool{}
		for _, w := range q.stems {
			weight := m.Words.weight(w)
			if s.has[w] > 0 {
				here[w] = true
				one += weight
				two += weight
			} else if before[w] {
				two += weight
			}
		}
		if one > best {
			best = one
			x[qFirst] = share(float64(i), float64(len(p.sentences)-1))
		}
		x[qTwo] = max(x[qTwo], share(two, q.weight))
		before = here
	}
	x[qSentence] = share(best, q.weight)
	x[qPairs] = pairs(q, body)
	run, order := runs(q, body)
	x[qRun], x[qOrder] = share(float64(run), float64(len(q.words))), share(float64(order), float64(len(q.words)))
	x[qWords], x[qWeight] = float32(len(q.words)), float32(q.weight/m.Words.Other)
	x[qLength] = float32(math.Log1p(length))
	x[qNumbers] = 1
	if n := len(q.numbers); n > 0 {
		x[qNumbers] = share(float64(n-missing(q, body)), float64(n))
	}
	return x
}

// Rerank implements inference.Reranker. A first line of a passage without an end
// of sentence is taken as its heading. It reads texts of any length.
func (c *Checker) Rerank(ctx context.Context, query string, passages []string) ([]float32, error) {
	out := make([]float32, len(passages))
	q := c.m.analyse(query)
	for i, p := range passages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = float32(c.m.Answers.Score(c.m.questionFeatures(q, c.m.passage(strings.TrimSpace(p)))))
	}
	return out, nil
}
