package index

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rxedge/index/generation"
	"rxedge/index/lexical"
)

// A candidate is a sealed generation that is built beside the one that serves,
// and serves from memory before the disk knows of it:
//
//	Prepare ──► Serve ──► Confirm
//	               └────► Return ──► Discard
//
// Until Confirm CURRENT names the generation before, which nothing touches: the
// index is held.

// HeldError: a candidate serves, and the index takes no changes of its own.
type HeldError struct{ Generation string }

func (e *HeldError) Error() string {
	return fmt.Sprintf("the index takes no changes while generation %s is being tried", e.Generation)
}

// ErrMoved: the index is not what it was when the candidate was built.
var ErrMoved = errors.New("the index has changed since")

// staging of an index, guarded by its mu.
type staging struct {
	base *state          // what serves but for a candidate, and a start opens; nil: no candidate serves
	kept map[string]bool // generations that are not pruned
}

// Prepare builds a candidate of what serves with a batch of changes, and serves it
// to nobody. It is built where the embedder changes, too. The result's Generation is the candidate and Base what it was built
// from, by label; where nothing changes there is no candidate and Changed is
// false. It is kept from pruning until Discard.
func (ix *Index) Prepare(ctx context.Context, ch Changes, progress func(Progress)) (res ApplyResult, base string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ix.stop, cancel)()
	if err := ix.takeOwn(ctx); err != nil {
		return ApplyResult{}, "", err
	}
	defer func() { <-ix.writing }()
	old := ix.Acquire()
	if old == nil {
		return ApplyResult{}, "", ErrClosed
	}
	defer old.Release()
	b := &build{ix: ix, old: old.view, status: make(map[string]status), report: func(Progress) {}, candidate: true}
	b.from(ch.Embedder)
	b.foreign = ch.Embedder.Embedder == nil && ix.foreign(old.view) && old.view.Info().Analyzer == lexical.Version
	if progress != nil {
		b.report = throttle(progress)
	}
	b.fitted = old.held.embedder
	defer b.abandon()
	if _, err := b.run(ctx, ch, false, old.held.gen); err != nil {
		if ix.stop.Err() != nil {
			err = ErrClosed
		}
		return ApplyResult{}, "", err
	}
	res, base = b.result(), old.Generation().Label()
	if b.sealed.Name == "" {
		res.Generation = old.Generation()
		return res, base, nil
	}
	res.Changed, res.Generation = true, b.sealed
	ix.keep(b.sealed.Name, true)
	ix.opt.Logger.Info("a candidate of the index is built", "generation", b.sealed.Name, "from", base, "documents", b.sealed.Documents, "passages", b.sealed.Passages, "embedded", res.Embedded, "vectors_given", res.Given)
	return res, base, nil
}

func (ix *Index) keep(name string, on bool) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.staging.kept == nil {
		ix.staging.kept = map[string]bool{}
	}
	if on {
		ix.staging.kept[name] = true
	} else {
		delete(ix.staging.kept, name)
	}
}

// Keep says which generations are not to be removed however old they are, beside
// candidates; those of an earlier call are no longer kept.
func (ix *Index) Keep(names ...string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	kept := map[string]bool{}
	for name := range ix.staging.kept {
		if ix.store.IsCandidate(name) {
			kept[name] = true
		}
	}
	for _, name := range names {
		kept[name] = true
	}
	ix.staging.kept = kept
}

// busy says whether a generation is not to be removed.
func (ix *Index) busy(name string) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.open[name] != nil || ix.staging.kept[name]
}

// takeOwn waits for the right to make a change of the index's own. The error is a
// *HeldError while a candidate serves.
func (ix *Index) takeOwn(ctx context.Context) error {
	if err := ix.take(ctx); err != nil {
		return err
	}
	if err := ix.heldBy(); err != nil {
		<-ix.writing
		return err
	}
	return nil
}

func (ix *Index) heldBy() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.staging.base != nil && ix.current != nil {
		return &HeldError{ix.current.view.Info().Name}
	}
	return nil
}

// AcquireGeneration returns a generation on disk by its name, whether or not it
// serves, as it is after its latest update.
func (ix *Index) AcquireGeneration(name string) (*Snapshot, error) {
	h, err := ix.openNamed(name)
	if err != nil {
		return nil, err
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return &Snapshot{ix: ix, state: serving(h, h.latest)}, nil
}

// openNamed opens a generation, or takes the one that is open under that name; the
// caller uses it.
func (ix *Index) openNamed(name string) (*held, error) {
	if h := ix.use(name); h != nil {
		return h, nil
	}
	if names, err := ix.store.Names(); err != nil {
		return nil, err
	} else if !slices.Contains(names, name) {
		return nil, fmt.Errorf("generation %s: %w", name, ErrNotFound)
	}
	ix.opening.Lock()
	defer ix.opening.Unlock()
	if h := ix.use(name); h != nil { // somebody was first
		return h, nil
	}
	if ix.stop.Err() != nil {
		return nil, ErrClosed
	}
	g, v, err := generation.Open(ix.store.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("open generation %s: %w", name, err)
	}
	return ix.hold(g, v), nil
}

// Swap calls swap, which changes what Acquire gives, together with a change of the
// caller's own that readers are to see with it. A nil one calls swap alone.
type Swap func(swap func())

func (s Swap) do(swap func()) {
	if s == nil {
		swap()
		return
	}
	s(swap)
}

// Serve lets a candidate answer from the next Acquire on, in memory alone. base is
// the label that Prepare gave; the error is ErrMoved where something else serves.
// The index is held until Return or Confirm.
func (ix *Index) Serve(ctx context.Context, name, base string, with Swap) error {
	if err := ix.takeOwn(ctx); err != nil {
		return err
	}
	defer func() { <-ix.writing }()
	now := ix.now()
	if now.Name == "" {
		return ErrClosed
	}
	if now.Label() != base {
		return fmt.Errorf("%w: it is %s and was %s", ErrMoved, now.Label(), base)
	}
	h, err := ix.openNamed(name)
	if err != nil {
		return err
	}
	with.do(func() {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		ix.staging.base = ix.current // and its use with it
		ix.current = serving(h, h.latest)
	})
	return nil
}

// Return lets what served before a candidate serve again; without a candidate
// nothing is swapped.
func (ix *Index) Return(with Swap) {
	var was *state
	with.do(func() {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		if ix.staging.base != nil && ix.current != nil {
			was = ix.current
			ix.current, ix.staging.base = ix.staging.base, nil
		}
	})
	if was != nil {
		ix.release(was.held)
	}
}

// Confirm makes a generation what a start opens, on disk when it returns, and lets
// it serve where it does not yet: the candidate that does, or one to go back to.
// Done again it changes nothing.
func (ix *Index) Confirm(ctx context.Context, name string, with Swap) error {
	if err := ix.take(ctx); err != nil {
		return err
	}
	defer func() { <-ix.writing }()
	now := ix.now()
	if now.Name == "" {
		return ErrClosed
	}
	if now.Name != name {
		if err := ix.heldBy(); err != nil {
			return err
		}
	}
	h, err := ix.openNamed(name)
	if err != nil {
		return err
	}
	named, err := ix.store.Current()
	if err == nil && named == name && now.Name == name && ix.heldBy() == nil {
		// It is what it is; but the caller's own change is made.
		ix.release(h)
		with.do(func() {})
		return ix.store.Promote(name)
	}
	if err != nil || named != name {
		if err := ix.store.SetCurrent(name); err != nil {
			ix.release(h)
			return fmt.Errorf("switch to generation %s: %w", name, err)
		}
	}
	var base, was *state
	with.do(func() {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		base, was = ix.staging.base, ix.current
		ix.staging.base, ix.retreated = nil, ""
		if was.held == h {
			h.refs-- // it serves already
		} else {
			ix.current = serving(h, h.latest)
		}
	})
	if base != nil {
		ix.release(base.held)
	}
	if was.held != h {
		ix.release(was.held)
	}
	if err := ix.store.Promote(name); err != nil { // CURRENT says it as well
		ix.opt.Logger.Warn("a generation of the index is still marked as a candidate", "generation", name, "error", err)
	}
	if removed, err := ix.store.Prune(name, ix.opt.KeepGenerations, ix.busy); err != nil {
		ix.opt.Logger.Warn("old generations of the index could not be removed", "error", err)
	} else if len(removed) > 0 {
		ix.opt.Logger.Info("old generations of the index removed", "generations", removed)
	}
	return nil
}

// Discard removes a candidate that is not wanted; one that somebody still reads is
// removed with the next build.
func (ix *Index) Discard(ctx context.Context, name string) error {
	if err := ix.take(ctx); err != nil {
		return err
	}
	defer func() { <-ix.writing }()
	if !ix.store.IsCandidate(name) {
		return nil
	}
	ix.keep(name, false)
	if ix.busy(name) {
		return nil
	}
	return ix.store.Remove(name)
}

// Clone is the same generation, to be released by itself.
func (s *Snapshot) Clone() *Snapshot {
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	s.held.refs++
	return &Snapshot{ix: s.ix, state: s.state}
}

// Verify as Index.Verify does, of this generation.
func (s *Snapshot) Verify(ctx context.Context, progress func(Progress)) (Report, error) {
	report := func(int, int) {}
	if progress != nil {
		p := throttle(progress)
		report = func(done, total int) { p(Progress{StageVerify, done, total}) }
	}
	return s.view.Verify(ctx, report)
}

// Candidates on disk, by name, newest first.
func (ix *Index) Candidates() ([]string, error) {
	names, err := ix.store.Names()
	return slices.DeleteFunc(names, func(n string) bool { return !ix.store.IsCandidate(n) }), err
}

// Named is the generation that a start opens.
func (ix *Index) Named() GenerationInfo {
	ix.mu.Lock()
	s := ix.staging.base
	if s == nil {
		s = ix.current
	}
	ix.mu.Unlock()
	if s == nil {
		return GenerationInfo{}
	}
	return s.view.Info()
}

// endStaging when the index is closed, with the right to write.
func (ix *Index) endStaging() {
	ix.mu.Lock()
	base := ix.staging.base
	ix.staging.base = nil
	ix.mu.Unlock()
	if base != nil {
		ix.release(base.held)
	}
}
