package generation

import (
	"context"
	"errors"
)

// What an embedder learned from a generation's passages is kept in blobs of at
// most adaptationBlob bytes.
const adaptationBlob = 1 << 20

// SetAdaptation keeps what the embedder learned from the passages, so that
// questions are embedded as they were. Empty is nothing.
func (w *Writer) SetAdaptation(state []byte) error {
	for len(state) > 0 {
		n := min(len(state), adaptationBlob)
		if err := w.put(numberKey(kindAdaptation, w.manifest.AdaptationBlobs), state[:n]); err != nil {
			return err
		}
		w.manifest.AdaptationBlobs++
		state = state[n:]
	}
	return nil
}

// Passages calls fn with each passage added so far, in order.
func (w *Writer) Passages(ctx context.Context, fn func(n uint32, p Passage) error) error {
	if err := errors.Join(w.passages.flush(), w.flush()); err != nil {
		return err
	}
	n := uint32(0)
	return w.each(ctx, kindPassages, func(k, block []byte) error {
		var of passages
		if err := of.add(block); err != nil {
			return damaged(describe(w.key(k)), err.Error())
		}
		for i := range of.n {
			p, err := of.read(i, int(n))
			if err != nil {
				return err
			}
			if err := fn(n, p); err != nil {
				return err
			}
			n++
		}
		return nil
	})
}

// Adaptation is what SetAdaptation kept; nil where nothing was.
func (g *Generation) Adaptation() ([]byte, error) {
	var state []byte
	for i := range g.manifest.AdaptationBlobs {
		b, err := g.base.blob(numberKey(kindAdaptation, i), true)
		if err != nil {
			return nil, err
		}
		state = append(state, b...)
	}
	return state, nil
}
