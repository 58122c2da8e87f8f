package index

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"rxedge/index/document"
	"rxedge/index/generation"
)

// held is an open generation with the number of those that use it: each
// snapshot, and the index while it is current. Guarded by the index's mu.
type held struct {
	gen    *generation.Generation
	latest *generation.View
	refs   int // it is closed when it comes to 0
	// embedder made the generation's vectors and makes those of questions: the
	// loaded one, where it adapts fitted to the generation; nil: there is none.
	embedder Embedder
}

// state is what serves: a generation as it is after one of its updates.
type state struct {
	held *held
	view *generation.View
}

func serving(h *held, v *generation.View) *state {
	return &state{held: h, view: v}
}

// hold makes a generation that was just opened known; the caller uses it.
func (ix *Index) hold(g *generation.Generation, v *generation.View) *held {
	h := &held{gen: g, latest: v, refs: 1, embedder: ix.fitted(g)}
	ix.mu.Lock()
	ix.open[g.Info().Name] = h
	ix.mu.Unlock()
	return h
}

// use a generation that is still open under that name; nil where none is.
func (ix *Index) use(name string) *held {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	h := ix.open[name]
	if h != nil {
		h.refs++
	}
	return h
}

func (ix *Index) release(h *held) {
	ix.mu.Lock()
	h.refs--
	last := h.refs == 0
	if last {
		delete(ix.open, h.gen.Info().Name)
	}
	ix.mu.Unlock()
	if !last {
		return
	}
	if err := h.gen.Close(); err != nil {
		ix.opt.Logger.Warn("closing a generation of the index failed", "generation", h.gen.Info().Name, "error", err)
	}
}

// Snapshot is one generation after one update, held open. Safe for concurrent
// use until Release.
type Snapshot struct {
	ix *Index
	*state
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
	ix.current.held.refs++
	return &Snapshot{ix: ix, state: ix.current}
}

// swap lets a generation serve that the caller uses; what served before is
// closed once nobody uses it.
func (ix *Index) swap(h *held, v *generation.View) {
	ix.mu.Lock()
	old := ix.current
	h.latest = v
	ix.current = serving(h, v)
	ix.mu.Unlock()
	ix.release(old.held)
}

// publish lets another view of the current generation serve.
func (ix *Index) publish(v *generation.View) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.current.held.latest = v
	ix.current = serving(ix.current.held, v)
}

// Release lets go; only the first call counts.
func (s *Snapshot) Release() {
	if !s.released.Swap(true) {
		s.ix.release(s.held)
	}
}

// Generation that this is.
func (s *Snapshot) Generation() GenerationInfo {
	i := s.view.Info()
	s.ix.mu.Lock()
	i.Current = s.ix.current == s.state
	s.ix.mu.Unlock()
	return i
}

// Document by its id, whole, or ErrNotFound.
func (s *Snapshot) Document(id string) (*document.Document, error) {
	d, err := s.view.Document(id)
	return d, s.outcome("read a document", err)
}

// Documents lists all, by id.
func (s *Snapshot) Documents() ([]DocumentSummary, error) {
	out := make([]DocumentSummary, 0, s.view.Info().Documents)
	err := s.view.Documents(context.Background(), func(h generation.Header) error {
		d, err := s.summary(h)
		out = append(out, d)
		return err
	})
	return out, s.outcome("list the documents", err)
}

func (s *Snapshot) summary(h generation.Header) (DocumentSummary, error) {
	r, err := s.view.Range(h.ID)
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
	h, sec, i, err := s.view.Section(id)
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
	return fmt.Errorf("%s in %s: %w; run 'rxedge index verify'", doing, s.view.Info().Label(), err)
}

// Embeds says whether the embedder of the generation's vectors is at hand.
func (s *Snapshot) Embeds() bool {
	_, ok := s.ix.maker(s.view.Info())
	return ok
}

// Terms analyses text as the generation's passages were analysed; names of
// medicines in its documents are known and not stemmed.
func (s *Snapshot) Terms(text string) []string { return s.view.Analyzer().Terms(text) }

// DocumentFrequency is the number of passages with the term, as Terms gives it.
func (s *Snapshot) DocumentFrequency(term string) int {
	return s.view.Lexical().DocumentFrequency(term)
}

// IDF of a term, ln(1 + (N − df + ½)/(df + ½)) over passages.
func (s *Snapshot) IDF(term string) float64 { return s.view.Lexical().IDF(term) }
