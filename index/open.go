package index

import (
	"context"
	"errors"

	"rxedge/index/document"
)

var errNotYet = errors.New("index: not written yet")

// Index is a folder of generations of which one serves. All methods are safe
// for concurrent use.
type Index struct{}

// Open opens the index in dir, or makes an empty one there. Where CURRENT or
// the generation it names is damaged, the newest good one serves and Notes
// says so; the damaged folder is kept aside. The error is ErrLocked where
// another process has it open.
func Open(dir string, opt Options) (*Index, error) { return nil, errNotYet }

// Apply builds a new generation out of the current one and a batch of changes,
// and lets it serve. Documents whose content is the same are carried over and
// not embedded again; where nothing changes no generation is made. Cancelling
// ctx, or an error, leaves the index as it was. Batches queue for one another;
// progress, which may be nil, is called from one goroutine.
func (ix *Index) Apply(ctx context.Context, ch Changes, progress func(Progress)) (ApplyResult, error) {
	return ApplyResult{}, errNotYet
}

// NeedsRebuild says, in words for a person, why the current generation should
// be built again with the present options (another embedder, passages without
// vectors, another analyser); "" where it need not. Apply with no Changes does it.
func (ix *Index) NeedsRebuild() string { return "" }

// Acquire returns the generation that serves now; it stays as it is until
// Release, whatever happens meanwhile. Nil after Close.
func (ix *Index) Acquire() *Snapshot { return nil }

// Search is Acquire, Snapshot.Search, Release.
func (ix *Index) Search(ctx context.Context, q Query) (Result, error) { return Result{}, errNotYet }

// Rollback lets the generation before the current one serve again.
func (ix *Index) Rollback(ctx context.Context) (GenerationInfo, error) {
	return GenerationInfo{}, errNotYet
}

// Generations lists what is on disk, newest first.
func (ix *Index) Generations() ([]GenerationInfo, error) { return nil, errNotYet }

// Verify reads the current generation again, whole, and checks it against its
// checksums and itself. Faults are in the report; the error is for what kept
// it from looking.
func (ix *Index) Verify(ctx context.Context, progress func(Progress)) (Report, error) {
	return Report{}, errNotYet
}

// Stats of the generation that serves.
func (ix *Index) Stats() Stats { return Stats{} }

// Notes are sentences for a technician about what Open met and mended, and why
// dense search is off.
func (ix *Index) Notes() []string { return nil }

// Close waits for a running Apply to stop, and closes each generation once its
// last snapshot is released.
func (ix *Index) Close() error { return nil }

// Snapshot is one generation, held open. Safe for concurrent use until Release.
type Snapshot struct{}

// Release lets go; only the first call counts.
func (s *Snapshot) Release() {}

// Generation that this is.
func (s *Snapshot) Generation() GenerationInfo { return GenerationInfo{} }

// Search finds passages. ModeDense without usable vectors is ErrNoVectors;
// ModeHybrid then searches by BM25 alone, and also when the embedder fails,
// which Result.Mode shows.
func (s *Snapshot) Search(ctx context.Context, q Query) (Result, error) { return Result{}, errNotYet }

// Document by its id, whole, or ErrNotFound.
func (s *Snapshot) Document(id string) (*document.Document, error) { return nil, ErrNotFound }

// Documents lists all, by id.
func (s *Snapshot) Documents() ([]DocumentSummary, error) { return nil, nil }

// SectionRef is a section and the document it is in, without its other sections.
type SectionRef struct {
	Document DocumentSummary  `json:"document"`
	Section  document.Section `json:"section"`
	Index    int              `json:"index"` // in Document.Sections
}

// Section by its id or one of its aliases, or ErrNotFound.
func (s *Snapshot) Section(id string) (SectionRef, error) { return SectionRef{}, ErrNotFound }

// Terms analyses text as the generation's passages were analysed; names of
// medicines in its documents are known and not stemmed.
func (s *Snapshot) Terms(text string) []string { return nil }

// DocumentFrequency is the number of passages with the term, as Terms gives it.
func (s *Snapshot) DocumentFrequency(term string) int { return 0 }

// IDF of a term, ln(1 + (N − df + ½)/(df + ½)) over passages.
func (s *Snapshot) IDF(term string) float64 { return 0 }
