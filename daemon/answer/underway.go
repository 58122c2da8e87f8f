package answer

import "sync/atomic"

// underway counts the questions that are at a stage at this moment.
type underway struct {
	asked, retrieve, rerank, generate atomic.Int64
}

// at a stage until the function that it gives is called.
func at(n *atomic.Int64) func() {
	n.Add(1)
	return func() { n.Add(-1) }
}

// Underway is how many questions are being worked on now ("questions"), and how many of
// them at each stage that can take long.
func (s *Service) Underway() map[string]int64 {
	return map[string]int64{"questions": s.underway.asked.Load(), "retrieve": s.underway.retrieve.Load(), "rerank": s.underway.rerank.Load(), "generate": s.underway.generate.Load()}
}
