package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rxedge/index/generation"
	"rxedge/index/pace"
)

// mostStaged bytes of text are a live update; a larger batch is a new
// generation, which is searched quicker and costs little more to make.
const mostStaged = 32 << 20

const (
	// garbageShare of the passages on disk may be withdrawn ones before a new
	// generation is built without them; fewPassages are not worth it.
	garbageShare = 0.3
	fewPassages  = 512
	// lateShare: where live updates hold more than this share of the passages,
	// they belong into the sealed part.
	lateShare = 0.5
)

// light says whether the batch is better made a live update: it does not leave
// too much behind.
func (b *build) light() (bool, error) {
	i := b.old.Info()
	dead := i.Withdrawn
	for id, s := range b.status {
		if s != replaced && s != removed {
			continue
		}
		r, err := b.old.Range(id)
		if err != nil {
			return false, fmt.Errorf("read document %q: %w", id, err)
		}
		dead += r.Passages
	}
	total := i.Passages + i.Withdrawn
	return total < fewPassages || float64(dead) <= garbageShare*float64(total), nil
}

// update makes the batch a live update.
func (b *build) update(ctx context.Context, g *generation.Generation) (*generation.View, error) {
	if err := b.ix.room("an update", int64(4*b.size)+updateRoom); err != nil {
		return nil, err
	}
	puts := make([]generation.Put, 0, len(b.staged))
	work := pace.Begin()
	for _, d := range b.staged {
		work.Pause()
		puts = append(puts, generation.Put{Document: d.doc, Hash: d.hash, Cut: b.ix.cut(), Passages: b.split(d.doc)})
	}
	slices.SortFunc(puts, func(x, y generation.Put) int { return strings.Compare(x.Document.ID, y.Document.ID) })
	if b.embeds() {
		for i := range puts {
			if err := b.vectors(ctx, &puts[i]); err != nil {
				return nil, err
			}
			b.report(Progress{StageIndex, i + 1, len(puts)})
			work.Pause()
		}
	}
	var gone []string
	for id, s := range b.status {
		if s == removed {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	b.report(Progress{Stage: StageWrite, Total: 1})
	v, err := g.Update(ctx, b.old, puts, gone, b.ix.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("write the update: %w", err)
	}
	b.report(Progress{StageWrite, 1, 1})
	return v, nil
}

// tidy makes fewer segments of many small ones, and a new generation where the
// updates or what they left behind have become much. It runs beside everything
// else and takes its turn with batches.
func (ix *Index) tidy(v *generation.View) {
	i := v.Info()
	total := i.Passages + i.Withdrawn
	late := total - v.SealedPassages()
	if total >= fewPassages && (float64(i.Withdrawn) > garbageShare*float64(total) || float64(late) > lateShare*float64(total)) {
		if _, err := ix.compactAfter(v); err != nil && ix.stop.Err() == nil {
			ix.opt.Logger.Warn("the index could not be packed anew; it goes on as it is", "error", err)
		}
		return
	}
	ix.merge()
}

// merge the small segments that updates left, if there are many; after a start, too,
// for on disk they are as they came.
func (ix *Index) merge() {
	if err := ix.takeOwn(ix.stop); err != nil {
		return
	}
	defer func() { <-ix.writing }()
	s := ix.Acquire()
	if s == nil {
		return
	}
	defer s.Release()
	merged, err := s.held.gen.Merge(ix.stop, s.view)
	if err != nil {
		if ix.stop.Err() == nil {
			ix.opt.Logger.Warn("segments of the index could not be merged; they are searched as they are", "error", err)
		}
		return
	}
	if merged != nil {
		ix.publish(merged)
	}
}

// compactAfter packs the index anew unless it was packed since the view.
func (ix *Index) compactAfter(v *generation.View) (ApplyResult, error) {
	if ix.now().Name != v.Info().Name {
		return ApplyResult{}, nil
	}
	return ix.Compact(ix.stop, nil)
}

// Rollback takes the latest live update back, or else lets the generation before
// the current one serve again; with neither it fails with ErrNoEarlier.
func (ix *Index) Rollback(ctx context.Context) (GenerationInfo, error) {
	if err := ix.takeOwn(ctx); err != nil {
		return GenerationInfo{}, err
	}
	defer func() { <-ix.writing }()
	s := ix.Acquire()
	if s == nil {
		return GenerationInfo{}, ErrClosed
	}
	defer s.Release()
	from := s.Generation().Label()
	err := ix.undo(s.held)
	if errors.Is(err, generation.ErrNothingToUndo) {
		err = ix.back(s)
	}
	if err != nil {
		return GenerationInfo{}, err
	}
	i := ix.now()
	ix.opt.Logger.Warn("index rolled back", "from", from, "to", i.Label())
	return i, nil
}

// undo the latest update of what serves.
func (ix *Index) undo(h *held) error {
	v, err := h.gen.Undo()
	if err == nil {
		ix.publish(v)
	}
	return err
}

// back to the generation before.
func (ix *Index) back(s *Snapshot) error {
	now := s.Generation()
	infos, err := ix.store.Infos() // newest first
	if err != nil {
		return err
	}
	target := ""
	for _, i := range infos {
		if i.Candidate {
			continue
		}
		if i.Name == now.Parent || target == "" && i.Number < now.Number {
			target = i.Name
		}
	}
	if target == "" {
		return ErrNoEarlier
	}
	if h := ix.use(target); h != nil { // someone still reads it
		if err := ix.store.SetCurrent(target); err != nil {
			ix.release(h)
			return fmt.Errorf("switch to generation %s: %w", target, err)
		}
		ix.swap(h, h.latest)
	} else if err := ix.serve(target); err != nil {
		return err
	}
	if !s.held.gen.Same() {
		return nil
	}
	// It holds the same: one step more.
	t := ix.Acquire()
	defer t.Release()
	if err := ix.undo(t.held); !errors.Is(err, generation.ErrNothingToUndo) {
		return err
	}
	return nil
}
