package index

import (
	"context"
	"errors"
	"fmt"

	"rxedge/index/generation"
)

// StageEmbed is before those of Apply in Reembed: vectors are made, document
// after document; with an Adapter it is after StageIndex, passage after passage.
const StageEmbed = "embed"

var (
	// ErrNoEmbedder: there is nothing to make vectors with.
	ErrNoEmbedder = errors.New("no embedder is loaded: set model.embedder, or 'rxedge model pull' the profile's")
	// ErrReembedding: one re-embedding is at work already.
	ErrReembedding = errors.New("the index is being embedded anew already")
)

// Reembed makes the vectors that are missing or of another embedder, with the
// loaded one, and a new generation that has them. Questions are answered and
// batches come in while vectors are made; passages whose text is not new are
// taken over. What was made is kept on disk until it is in a generation, so
// where it was cancelled or killed Reembed goes on from there.
func (ix *Index) Reembed(ctx context.Context, progress func(Progress)) (ApplyResult, error) {
	if ix.opt.Embedder == nil {
		return ApplyResult{}, ErrNoEmbedder
	}
	if err := ix.heldBy(); err != nil {
		return ApplyResult{}, err
	}
	if !ix.reembedding.TryLock() {
		return ApplyResult{}, ErrReembedding
	}
	defer ix.reembedding.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ix.stop, cancel)()
	report := func(Progress) {}
	if progress != nil {
		report = throttle(progress)
	}
	by, _ := ix.maker(ix.now())
	if _, ok := by.Embedder.(Adapter); ok { // it is quick, and has to have all passages first
		return ix.apply(ctx, Changes{}, progress, false, nil)
	}
	log, made, err := ix.makeVectors(ctx, report)
	if err != nil {
		if ix.stop.Err() != nil {
			err = ErrClosed
		}
		return ApplyResult{}, err
	}
	res, err := ix.apply(ctx, Changes{}, progress, false, log)
	res.Embedded += made
	if err != nil {
		return res, errors.Join(err, log.Close())
	}
	return res, log.Remove()
}

// makeVectors makes those of what is there now, but for those that are there
// or in the log.
func (ix *Index) makeVectors(ctx context.Context, report func(Progress)) (_ *generation.VectorLog, made int, err error) {
	s := ix.Acquire()
	if s == nil {
		return nil, 0, ErrClosed
	}
	defer s.Release()
	b := &build{ix: ix, old: s.view}
	b.from(Source{})
	if err := ix.room("re-embedding", b.buildNeeds()+int64(s.view.Info().Passages)*vectorBytes(b.by.Info.Dimension)/2); err != nil {
		return nil, 0, err
	}
	log, err := ix.store.OpenVectorLog(b.by.Info)
	if err != nil {
		return nil, 0, fmt.Errorf("keep the vectors that are made: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, log.Close())
		}
	}()
	same := s.view.Info().Embedder == b.by.Info
	var texts []string
	waits := map[generation.TextHash]bool{}
	flush := func() error {
		if len(texts) == 0 {
			return nil
		}
		vs, err := embed(ctx, b.by.Embedder, texts)
		if err != nil {
			return err
		}
		for i, v := range vs {
			if err := log.Add(generation.HashText(texts[i]), v); err != nil {
				return err
			}
		}
		made += len(texts)
		texts = texts[:0]
		clear(waits)
		return nil
	}
	done, total := 0, s.view.Info().Documents
	report(Progress{StageEmbed, 0, total})
	err = s.view.Documents(ctx, func(h generation.Header) error {
		ps, first, was, err := b.kept(h, ix.cut())
		if err == nil && was == "" {
			d, derr := s.view.Document(h.ID)
			if derr != nil {
				return derr
			}
			ps = b.split(d)
		}
		if err != nil {
			return err
		}
		for i := range ps {
			if was != "" && same && s.view.Vector(first+uint32(i)) != nil {
				continue
			}
			text := EmbeddedText(ps[i].Heading, ps[i].Text)
			k := generation.HashText(text)
			if waits[k] || log.Has(k) {
				continue
			}
			waits[k] = true
			if texts = append(texts, text); len(texts) == embedBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		done++
		report(Progress{StageEmbed, done, total})
		return nil
	})
	if err == nil {
		err = flush()
	}
	return log, made, err
}
