package index

import (
	"context"
	"fmt"

	"rxedge/index/generation"
	"rxedge/index/lexical"
)

// cutVersion names the way chunk.Split cuts; change it when that changes, and
// passages are cut again.
const cutVersion = "sentences-1"

// embedBatch is the number of passages handed to the embedder at once.
const embedBatch = 32

func (ix *Index) cut() string {
	if ix.opt.WholeSections {
		return "sections"
	}
	return fmt.Sprintf("%s/%d/%s", cutVersion, ix.opt.MaxTokens, ix.opt.CounterName)
}

// foreign says whether the vectors are of another embedder than the loaded one.
func (ix *Index) foreign(g *generation.View) bool {
	_, ok := ix.maker(g.Info())
	return ix.opt.Embedder != nil && !ok
}

func (ix *Index) needsRebuild(g *generation.View) string {
	i := g.Info()
	e := ix.opt.Embedder != nil
	switch {
	case i.Passages == 0:
		return ""
	case i.Analyzer != lexical.Version:
		return fmt.Sprintf("the index was made by analyser %s and this rxedge has %s: build it again", i.Analyzer, lexical.Version)
	case ix.foreign(g):
		return fmt.Sprintf("the vectors are of embedder %s and %s is loaded, so search is by words alone: 'rxedge index reembed' makes them anew while questions are answered",
			i.Embedder, ix.opt.EmbedderInfo)
	case e && i.Vectors < i.Passages:
		return fmt.Sprintf("%d of %d passages have no vector: 'rxedge index reembed' makes them", i.Passages-i.Vectors, i.Passages)
	case (e || i.Vectors == 0) && i.Cut != ix.cut(): // without an embedder, what passages were cut for is not known here
		return "passages were cut with other settings: build the index again"
	}
	return ""
}

// Apply takes in a batch of changes: a small one as a live update of the current
// generation, a large one by building a new generation. Either way it becomes
// visible at once and whole, and is on disk when Apply returns. Documents whose
// content is the same are carried over and not embedded again; where nothing
// changes nothing is written. Where the vectors are of another embedder than the
// one that is loaded they stay, and what comes in has none, until Reembed, or
// Apply without any changes, makes them all anew. Cancelling ctx, or an error, leaves the index as
// it was. Batches queue for one another; progress, which may be nil, is called
// from one goroutine.
func (ix *Index) Apply(ctx context.Context, ch Changes, progress func(Progress)) (ApplyResult, error) {
	return ix.apply(ctx, ch, progress, false, nil)
}

// Compact builds a new generation of what there is, without what updates have
// replaced or removed. It happens by itself when that is much.
func (ix *Index) Compact(ctx context.Context, progress func(Progress)) (ApplyResult, error) {
	return ix.apply(ctx, Changes{}, progress, true, nil)
}

// Renew builds a new generation of those documents of the one that serves that read as
// they were written, and of nothing else: it is for a generation of which Verify has
// found that it is damaged. That is marked, so that no start opens it again. The result
// names the documents that were lost. The error is ErrUnusable where that are all.
func (ix *Index) Renew(ctx context.Context, progress func(Progress)) (ApplyResult, error) {
	bad := ix.now().Name
	r, err := ix.build(ctx, Changes{}, progress, &build{renew: true}, true)
	if err == nil && r.Generation.Name != bad {
		if merr := ix.store.Mark(bad, "it was damaged, and was made anew"); merr != nil {
			ix.opt.Logger.Warn("a damaged generation of the index could not be marked", "generation", bad, "error", merr)
		}
	}
	return r, err
}

func (ix *Index) apply(ctx context.Context, ch Changes, progress func(Progress), compact bool, log *generation.VectorLog) (ApplyResult, error) {
	return ix.build(ctx, ch, progress, &build{log: log}, compact)
}

// build as b says, which may have its log and renew set.
func (ix *Index) build(ctx context.Context, ch Changes, progress func(Progress), b *build, compact bool) (ApplyResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ix.stop, cancel)()
	if err := ix.takeOwn(ctx); err != nil {
		return ApplyResult{}, err
	}
	defer func() { <-ix.writing }()
	old := ix.Acquire()
	if old == nil {
		return ApplyResult{}, ErrClosed
	}
	defer old.Release()
	b.ix, b.old, b.status, b.report = ix, old.view, make(map[string]status), func(Progress) {}
	b.from(Source{})
	// What comes in is not kept waiting until everything is embedded anew.
	b.foreign = !b.renew && ix.foreign(old.view) && (compact || ch.Put != nil || len(ch.Delete) > 0) && old.view.Info().Analyzer == lexical.Version
	if progress != nil {
		b.report = throttle(progress)
	}
	b.live = !compact && ix.opt.LiveDocuments > 0 && old.view.Info().Passages > 0 && (b.foreign || ix.needsRebuild(old.view) == "")
	b.fitted = old.held.embedder
	defer b.abandon()
	updated, err := b.run(ctx, ch, compact, old.held.gen)
	if err != nil {
		if ix.stop.Err() != nil {
			return ApplyResult{}, ErrClosed
		}
		return ApplyResult{}, err
	}
	res := b.result()
	res.Generation = old.Generation()
	switch {
	case updated != nil:
		ix.publish(updated)
		go ix.tidy(updated)
	case b.sealed.Name != "":
		if err := ix.serve(b.sealed.Name); err != nil {
			return ApplyResult{}, err
		}
		if removed, err := ix.store.Prune(b.sealed.Name, ix.opt.KeepGenerations, ix.busy); err != nil {
			ix.opt.Logger.Warn("old generations of the index could not be removed", "error", err)
		} else if len(removed) > 0 {
			ix.opt.Logger.Info("old generations of the index removed", "generations", removed)
		}
	default:
		return res, nil
	}
	res.Changed = true
	res.Generation = ix.now()
	i := res.Generation
	ix.opt.Logger.Info("index generation serves", "generation", i.Label(), "documents", i.Documents, "passages", i.Passages, "vectors", i.Vectors)
	return res, nil
}

// now is what serves.
func (ix *Index) now() GenerationInfo {
	s := ix.Acquire()
	if s == nil {
		return GenerationInfo{}
	}
	defer s.Release()
	return s.Generation()
}

// take waits for the right to write.
func (ix *Index) take(ctx context.Context) error {
	if ix.stop.Err() != nil {
		return ErrClosed
	}
	select {
	case ix.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		if ix.stop.Err() != nil {
			return ErrClosed
		}
		return ctx.Err()
	}
}

// serve lets a sealed generation be the current one, on disk first.
func (ix *Index) serve(name string) error {
	h, err := ix.openNamed(name)
	if err != nil {
		return err
	}
	if err := ix.store.SetCurrent(name); err != nil {
		ix.release(h)
		return fmt.Errorf("switch to generation %s: %w", name, err)
	}
	ix.swap(h, h.latest)
	ix.mu.Lock()
	ix.retreated = ""
	ix.mu.Unlock()
	return nil
}
