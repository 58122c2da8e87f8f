package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"rxedge/index/document"
	"rxedge/index/generation"
)

// held is an open generation with the number of those that use it: each
// snapshot, and the index while it is current.
type held struct {
	gen  *generation.Generation
	refs int64 // atomic; it is closed when it comes to 0
	read func() (*reader, error)
}

func hold(g *generation.Generation) *held {
	return &held{gen: g, refs: 1, read: sync.OnceValues(func() (*reader, error) { return newReader(g) })}
}

func (h *held) release() error {
	if atomic.AddInt64(&h.refs, -1) > 0 {
		return nil
	}
	return h.gen.Close()
}

// Snapshot is one generation, held open. Safe for concurrent use until Release.
type Snapshot struct {
	ix       *Index
	held     *held
	released atomic.Bool
}

// Acquire returns the generation that serves now; it stays as it is until
// Release, whatever happens meanwhile. Nil after Close.
func (ix *Index) Acquire() *Snapshot {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.current == nil {
		return nil
	}
	atomic.AddInt64(&ix.current.refs, 1)
	return &Snapshot{ix: ix, held: ix.current}
}

// swap lets g serve; what served before is closed once nobody uses it.
func (ix *Index) swap(g *generation.Generation) {
	ix.mu.Lock()
	old := ix.current
	ix.current = hold(g)
	ix.mu.Unlock()
	if err := old.release(); err != nil {
		ix.opt.Logger.Warn("closing a generation of the index failed", "generation", old.gen.Info().Name, "error", err)
	}
}

// Release lets go; only the first call counts.
func (s *Snapshot) Release() {
	if s.released.Swap(true) {
		return
	}
	if err := s.held.release(); err != nil {
		s.ix.opt.Logger.Warn("closing a generation of the index failed", "generation", s.held.gen.Info().Name, "error", err)
	}
}

// Generation that this is.
func (s *Snapshot) Generation() GenerationInfo {
	i := s.held.gen.Info()
	s.ix.mu.Lock()
	i.Current = s.ix.current == s.held
	s.ix.mu.Unlock()
	return i
}

// Document by its id, whole, or ErrNotFound.
func (s *Snapshot) Document(id string) (*document.Document, error) {
	d, err := s.held.gen.Document(id)
	return d, s.outcome("read a document", err)
}

// Documents lists all, by id.
func (s *Snapshot) Documents() ([]DocumentSummary, error) {
	out := make([]DocumentSummary, 0, s.held.gen.Info().Documents)
	err := s.held.gen.Documents(context.Background(), func(h generation.Header) error {
		d, err := s.summary(h)
		out = append(out, d)
		return err
	})
	return out, s.outcome("list the documents", err)
}

func (s *Snapshot) summary(h generation.Header) (DocumentSummary, error) {
	r, err := s.held.gen.Range(h.ID)
	return DocumentSummary{
		ID: h.ID, Version: h.Version, Title: h.Title, Effective: h.Effective, Kind: h.Kind, Source: h.Source,
		Names: h.Names, Notice: h.Notice, Sections: h.Count, Passages: r.Passages,
	}, err
}

// SectionRef is a section and the document it is in, without its other sections.
type SectionRef struct {
	Document DocumentSummary  `json:"document"`
	Section  document.Section `json:"section"`
	Index    int              `json:"index"` // in Document.Sections
}

// Section by its id or one of its aliases, or ErrNotFound.
func (s *Snapshot) Section(id string) (SectionRef, error) {
	h, sec, i, err := s.held.gen.Section(id)
	if err != nil {
		return SectionRef{}, s.outcome("read a section", err)
	}
	d, err := s.summary(h)
	return SectionRef{d, sec, i}, s.outcome("read a section", err)
}

// outcome words an error of the store.
func (s *Snapshot) outcome(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, generation.ErrNotFound):
		return ErrNotFound
	}
	return fmt.Errorf("%s in %s: %w; run 'rxedge index verify'", doing, s.held.gen.Info().Name, err)
}

// Terms analyses text as the generation's passages were analysed; names of
// medicines in its documents are known and not stemmed.
func (s *Snapshot) Terms(text string) []string { return s.held.gen.Analyzer.Terms(text) }

// DocumentFrequency is the number of passages with the term, as Terms gives it.
func (s *Snapshot) DocumentFrequency(term string) int {
	return s.held.gen.Lexical.DocumentFrequency(term)
}

// IDF of a term, ln(1 + (N − df + ½)/(df + ½)) over passages.
func (s *Snapshot) IDF(term string) float64 { return s.held.gen.Lexical.IDF(term) }
