package index

import "rxedge/index/dense"

// feedbackPassages are taken for what the question means.
const feedbackPassages = 3

// lean takes the unit vector of a question towards the passages that words found
// first: q + w·m, m being the mean of their vectors, of unit length. Rocchio's
// feedback, without a person to say which are relevant (Li and others, "Pseudo
// Relevance Feedback with Deep Language Models and Dense Retrievers", TOIS 2023).
func (s *Snapshot) lean(q []float32, words []wordHit) error {
	mean := make([]float32, len(q))
	n := 0
	for _, w := range words {
		if n == feedbackPassages {
			break
		}
		v := s.view.Vector(w.passage)
		if v == nil || w.score <= 0 {
			continue
		}
		n++
		for i, x := range v {
			mean[i] += x
		}
	}
	if n == 0 || dense.Normalise(mean) != nil {
		return nil
	}
	for i, x := range mean {
		q[i] += float32(s.ix.opt.Feedback) * x
	}
	return dense.Normalise(q)
}
