package index

import "errors"

// Summary of a document by its id, or ErrNotFound.
func (s *Snapshot) Summary(id string) (DocumentSummary, error) {
	h, err := s.view.Header(id)
	if err != nil {
		return DocumentSummary{}, s.outcome("read a document", err)
	}
	d, err := s.summary(h)
	return d, s.outcome("read a document", err)
}

// Passages of a document, all of them in their order, as a search would give them but
// without scores; or ErrNotFound.
func (s *Snapshot) Passages(id string) ([]Hit, error) {
	r, err := s.view.Range(id)
	if err != nil {
		return nil, s.outcome("read a document", err)
	}
	out := make([]Hit, 0, r.Passages)
	for n := range uint32(r.Passages) {
		h, err := s.hit(found{passage: r.First + n})
		if err != nil {
			return nil, s.outcome("read a document", err)
		}
		if h.SetID != id {
			return nil, s.outcome("read a document", errors.New("a passage of another document lies among its own"))
		}
		out = append(out, h)
	}
	return out, nil
}
