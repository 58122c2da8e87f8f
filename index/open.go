package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"rxedge/index/chunk"
	"rxedge/index/generation"
)

// Index is a folder of generations of which one serves. All methods are safe
// for concurrent use.
type Index struct {
	opt   Options
	store *generation.Store
	// stop ends a running Apply when the index is closed.
	stop        context.Context
	cancel      context.CancelFunc
	reembedding sync.Mutex
	writing     chan struct{} // holds one token; Apply, Rollback and Close take it

	mu      sync.Mutex       // guards what follows
	current *state           // nil once closed
	open    map[string]*held // generations by name
	notes   []string
	// retreated is why an earlier generation serves than the latest.
	retreated string
	staging   staging

	opening sync.Mutex // of a generation by its name
}

// cutting sets what passages are cut by, where that is left open.
func (o Options) cutting() Options {
	if o.Counter == nil {
		o.Counter, o.CounterName = chunk.ConservativeCounter{}, ""
	}
	if o.MaxTokens <= 0 {
		o.MaxTokens = DefaultMaxTokens
	}
	return o
}

// Open opens the index in dir, or makes an empty one there. Where CURRENT or
// the generation it names is damaged, the newest good one serves and Notes
// says so. The error is ErrLocked where another process has it open.
func Open(dir string, opt Options) (*Index, error) {
	if opt.Embedder != nil && (opt.EmbedderInfo.Name == "" || opt.EmbedderInfo.Dimension <= 0) {
		return nil, errors.New("index: an embedder needs a name and a dimension in EmbedderInfo")
	}
	opt = opt.cutting()
	if opt.LiveDocuments == 0 {
		opt.LiveDocuments = 64
	}
	if opt.KeepGenerations <= 0 {
		opt.KeepGenerations = 2
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.DiskFree == nil {
		opt.DiskFree = diskFree
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	store, err := generation.OpenStore(dir, opt.Now)
	if errors.Is(err, generation.ErrLocked) {
		return nil, fmt.Errorf("%w: %s; stop rxedged, or ask it through its socket", ErrLocked, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the index in %s: %w", dir, err)
	}
	ix := &Index{opt: opt, store: store, writing: make(chan struct{}, 1), open: map[string]*held{}}
	ix.stop, ix.cancel = context.WithCancel(context.Background())
	store.Room = ix.goesOn
	g, v, err := ix.openCurrent()
	if err != nil {
		ix.cancel()
		store.Close()
		return nil, fmt.Errorf("open the index in %s: %w", dir, err)
	}
	ix.current = serving(ix.hold(g, v), v)
	for _, n := range ix.notes {
		opt.Logger.Warn("index opened with a note", "note", n)
	}
	if v.Info().Update > 0 {
		go ix.merge()
	}
	return ix, nil
}

// openCurrent opens the generation that CURRENT names, or else the newest that
// opens, or else makes an empty one where there is none at all.
func (ix *Index) openCurrent() (*generation.Generation, *generation.View, error) {
	named, err := ix.store.Current()
	var damage *generation.DamageError
	if errors.As(err, &damage) {
		ix.note(damage.Error())
	} else if err != nil {
		return nil, nil, err
	}
	names, err := ix.store.Names()
	if err != nil {
		return nil, nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n != named && ix.store.IsCandidate(n) })
	if named == "" && len(names) == 0 {
		return ix.makeEmpty()
	}
	missing := named == "" && damage == nil
	candidates := names
	if named != "" {
		candidates = append([]string{named}, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == named })...)
	}
	var failed []error
	for _, name := range candidates {
		g, v, err := generation.Open(ix.store.Dir(name))
		if err != nil {
			// Only what can't be read makes way for what is older.
			if !errors.As(err, &damage) && !errors.Is(err, generation.ErrFormat) {
				return nil, nil, err
			}
			failed = append(failed, err)
			continue
		}
		if missing && len(names) == 1 && g.Info().Documents == 0 {
			// The very first start ended between the two: nothing was ever added.
			if err := ix.store.SetCurrent(name); err != nil {
				_ = g.Close()
				return nil, nil, err
			}
			named, missing = name, false
		}
		if missing {
			ix.note("CURRENT is missing")
		}
		for _, err := range failed {
			ix.note(err.Error())
		}
		for _, n := range g.Notes() {
			ix.note(n)
		}
		if name != named {
			if err := ix.store.SetCurrent(name); err != nil {
				_ = g.Close()
				return nil, nil, err
			}
			ix.note(fmt.Sprintf("generation %s of %s serves instead; ingest what was added since again", name, g.Info().Created.Format(time.DateTime)))
		}
		if len(failed) > 0 && name != named && named != "" {
			if err := ix.store.Mark(named, failed[0].Error()); err != nil {
				ix.opt.Logger.Warn("a damaged generation of the index could not be marked", "generation", named, "error", err)
			}
		}
		ix.marked(v.Info())
		return g, v, nil
	}
	return nil, nil, fmt.Errorf("%w; move the folder aside and ingest again: %w", ErrUnusable, errors.Join(failed...))
}

func (ix *Index) makeEmpty() (*generation.Generation, *generation.View, error) {
	w, err := ix.store.Begin("", generation.EmbedderInfo{})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = w.Abandon() }()
	if err := w.PlaceDocuments(ix.stop); err != nil {
		return nil, nil, err
	}
	info, err := w.Seal(ix.stop)
	if err != nil {
		return nil, nil, err
	}
	g, v, err := generation.Open(ix.store.Dir(info.Name))
	if err != nil {
		return nil, nil, err
	}
	if err := ix.store.SetCurrent(info.Name); err != nil {
		_ = g.Close()
		return nil, nil, err
	}
	return g, v, nil
}

func (ix *Index) note(s string) { ix.notes = append(ix.notes, s) }

// Notes are sentences for a technician about what Open met and mended, and why
// dense search is off or the index should be built again.
func (ix *Index) Notes() []string {
	ix.mu.Lock()
	notes := slices.Clone(ix.notes)
	if ix.retreated != "" && !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "serves instead") }) {
		notes = append(notes, ix.retreated)
	}
	ix.mu.Unlock()
	if s := ix.NeedsRebuild(); s != "" {
		notes = append(notes, s)
	}
	return notes
}

// NeedsVectors says whether passages have no vector of the embedder that is loaded:
// Reembed makes them.
func (ix *Index) NeedsVectors() bool {
	s := ix.Acquire()
	if s == nil {
		return false
	}
	defer s.Release()
	i := s.view.Info()
	return ix.opt.Embedder != nil && i.Passages > 0 && (ix.foreign(s.view) || i.Vectors < i.Passages)
}

// NeedsRebuild says, in words for a person, why the current generation should
// be built again with the present options (another embedder, passages without
// vectors, another analyser, passages cut otherwise); "" where it need not.
// Apply with no Changes does it.
func (ix *Index) NeedsRebuild() string {
	s := ix.Acquire()
	if s == nil {
		return ""
	}
	defer s.Release()
	return ix.needsRebuild(s.view)
}

// Generations lists what is on disk, newest first. One that can't be read has
// its Fault.
func (ix *Index) Generations() ([]GenerationInfo, error) {
	s := ix.Acquire()
	if s == nil {
		return nil, ErrClosed
	}
	defer s.Release()
	infos, err := ix.store.Infos()
	for i := range infos {
		if infos[i].Current = infos[i].Name == s.Generation().Name; infos[i].Current {
			candidate := infos[i].Candidate
			infos[i] = s.Generation()
			infos[i].Candidate = candidate
		}
	}
	return infos, err
}

// Verify reads the current generation again, whole, and checks it against its
// checksums and itself. Faults are in the report; the error is for what kept
// it from looking.
func (ix *Index) Verify(ctx context.Context, progress func(Progress)) (Report, error) {
	s := ix.Acquire()
	if s == nil {
		return Report{}, ErrClosed
	}
	defer s.Release()
	return s.Verify(ctx, progress)
}

// Stats of the generation that serves.
func (ix *Index) Stats() Stats {
	s := ix.Acquire()
	if s == nil {
		return Stats{}
	}
	defer s.Release()
	st := Stats{Generation: s.Generation(), Dense: s.usable(), Notes: ix.Notes()}
	st.Segments, st.Terms, st.LexicalBytes, st.VectorBytes = s.view.Sizes()
	if infos, err := ix.store.Infos(); err == nil {
		st.Generations = len(infos)
		for _, i := range infos {
			st.DiskBytes += i.Bytes
		}
	}
	return st
}

// Close stops a running Apply, waits for it, and closes the generation once
// its last snapshot is released.
func (ix *Index) Close() error {
	ix.cancel()
	ix.writing <- struct{}{}
	defer func() { <-ix.writing }()
	ix.mu.Lock()
	now := ix.current
	ix.current = nil
	ix.mu.Unlock()
	if now == nil {
		return nil
	}
	ix.release(now.held)
	ix.endStaging()
	return ix.store.Close()
}

// usable says whether dense search can be had: there are vectors, and the
// embedder that made them is loaded.
func (s *state) usable() bool { return s.held.embedder != nil && s.view.HasVectors() }
