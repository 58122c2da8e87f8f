package index

import (
	"context"
	"errors"
	"fmt"

	"rxedge/index/generation"
)

// maker of a generation's vectors, or of those that it is to have; false: they are
// another's, which is not at hand, and the maker is the one that is loaded.
func (ix *Index) maker(i GenerationInfo) (Source, bool) {
	own := Source{ix.opt.Embedder, ix.opt.EmbedderInfo}
	if own.Embedder == nil || i.Vectors == 0 || i.Embedder == own.Info {
		return own, own.Embedder != nil
	}
	if ix.opt.Others != nil {
		if e, ok := ix.opt.Others(i.Embedder); ok {
			return Source{e, i.Embedder}, true
		}
	}
	return own, false
}

// from sets whose vectors a build makes; turns: another's than those that are there.
func (b *build) from(chosen Source) {
	i := b.old.Info()
	if b.by, _ = b.ix.maker(i); chosen.Embedder != nil {
		b.turns = i.Vectors > 0 && i.Embedder != chosen.Info
		b.by = chosen
	}
}

// fitted is the embedder of a generation's vectors; nil where it is not loaded
// or what it learned can't be read, which a note says.
func (ix *Index) fitted(g *generation.Generation) Embedder {
	i := g.Info()
	by, ok := ix.maker(i)
	if !ok {
		return nil
	}
	a, ok := by.Embedder.(Adapter)
	if !ok {
		return by.Embedder
	}
	state, err := g.Adaptation()
	if err == nil && state == nil {
		return nil // no vectors yet
	}
	var e Embedder
	if err == nil {
		e, err = a.Restore(state)
	}
	if err != nil {
		ix.mu.Lock()
		ix.note(fmt.Sprintf("what the embedder learned from %s can't be read (%v), so search is by BM25 alone: build the index again", i.Name, err))
		ix.mu.Unlock()
		return nil
	}
	return e
}

// adapts says whether vectors are made when all passages are there.
func (b *build) adapts() bool {
	_, ok := b.by.Embedder.(Adapter)
	return ok && b.embeds()
}

// errStop ends a walk that is no longer wanted.
var errStop = errors.New("stop")

// adapt fits the embedder to the passages of the new generation and embeds them.
func (b *build) adapt(ctx context.Context) error {
	if b.w.NextPassage() == 0 {
		return nil
	}
	var failed error
	texts := func(yield func(string) bool) {
		failed = b.w.Passages(ctx, func(_ uint32, p generation.Passage) error {
			if !yield(EmbeddedText(p.Heading, p.Text)) {
				return errStop
			}
			return nil
		})
	}
	e, state, err := b.by.Embedder.(Adapter).Adapt(ctx, texts)
	if failed != nil && !errors.Is(failed, errStop) {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("fit the embedder to the passages: %w", err)
	}
	if err := b.w.SetAdaptation(state); err != nil {
		return err
	}
	b.fitted = e
	total := int(b.w.NextPassage())
	return b.w.Passages(ctx, func(n uint32, p generation.Passage) error {
		b.report(Progress{StageEmbed, int(n) + 1, total})
		if err := b.vector(waiting{passage: n, text: EmbeddedText(p.Heading, p.Text)}); err != nil || b.asking < embedBatch {
			return err
		}
		return b.embed(ctx)
	})
}

// keepAdaptation carries over what another embedder than the loaded one learned,
// with its vectors.
func (b *build) keepAdaptation(old *generation.Generation) error {
	if b.renew || b.embeds() || !b.old.HasVectors() {
		return nil
	}
	state, err := old.Adaptation()
	if err != nil {
		return err
	}
	return b.w.SetAdaptation(state)
}
