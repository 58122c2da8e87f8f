package index

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/generation"
)

const (
	// mostWaiting passages wait for those before them.
	mostWaiting = 4096
	// mostMade vectors of a batch are remembered, for passages that say the same.
	mostMade = 1 << 14
)

// waiting is a passage on its way to its vector, or with it behind one that
// waits: vectors are written in order of their passages.
type waiting struct {
	passage uint32
	text    string
	vector  []float32 // nil: to be made
}

// embeds says whether the batch makes vectors.
func (b *build) embeds() bool { return b.by.Embedder != nil && !b.foreign }

// vector of the next passage, or its text.
func (b *build) vector(w waiting) error {
	if w.vector != nil && len(b.pending) == 0 {
		return b.w.AddVector(w.passage, w.vector)
	}
	if w.vector == nil {
		b.asking++
	}
	b.pending = append(b.pending, w)
	return nil
}

// embed makes the vectors that passages wait for, and hands all that wait on.
func (b *build) embed(ctx context.Context) error {
	texts := make([]string, 0, b.asking)
	for _, w := range b.pending {
		if w.vector == nil {
			texts = append(texts, w.text)
		}
	}
	vs, err := b.embedTexts(ctx, texts)
	if err != nil {
		return err
	}
	for _, w := range b.pending {
		if w.vector == nil {
			w.vector, vs = vs[0], vs[1:]
		}
		if err := b.w.AddVector(w.passage, w.vector); err != nil {
			return err
		}
	}
	b.pending, b.asking = b.pending[:0], 0
	return nil
}

// have gives the vector of a text where one was made before: for the document's
// version before, in this batch, by a re-embedding, or elsewhere. Nil where none was.
func (b *build) have(id, text string, known map[string][]float32) ([]float32, error) {
	if v := known[text]; v != nil {
		return v, nil
	}
	h := generation.HashText(text)
	if v := b.made[h]; v != nil {
		return v, nil
	}
	if b.log != nil {
		if v, err := b.log.Vector(h); v != nil || err != nil {
			return v, err
		}
	}
	return b.elsewhere(id, h), nil
}

// embedTexts makes a vector of unit length for each text, asking once for those
// that are the same.
func (b *build) embedTexts(ctx context.Context, texts []string) ([][]float32, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	at := make(map[string]int, len(texts))
	var ask []string
	for _, t := range texts {
		if _, ok := at[t]; !ok {
			at[t] = len(ask)
			ask = append(ask, t)
		}
	}
	vs, err := embed(ctx, b.fitted, ask)
	if err != nil {
		return nil, err
	}
	b.embedded += len(ask)
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = vs[at[t]]
	}
	for i, t := range ask {
		if len(b.made) == mostMade {
			break
		}
		if b.made == nil {
			b.made = map[generation.TextHash][]float32{}
		}
		b.made[generation.HashText(t)] = vs[i]
	}
	return out, nil
}

// embed asks the embedder, and checks what it says.
func embed(ctx context.Context, e Embedder, texts []string) ([][]float32, error) {
	vs, err := e.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed %d passages: %w", len(texts), err)
	}
	if len(vs) != len(texts) {
		return nil, fmt.Errorf("the embedder returned %d vectors for %d texts", len(vs), len(texts))
	}
	out := make([][]float32, len(vs))
	for i, v := range vs {
		out[i] = slices.Clone(v)
		if err := dense.Normalise(out[i]); err != nil {
			return nil, fmt.Errorf("embed a passage: %w", err)
		}
	}
	return out, nil
}

// vectors of a document's passages, for a live update.
func (b *build) vectors(ctx context.Context, p *generation.Put) error {
	known, err := b.before(p.Document)
	if err != nil {
		return err
	}
	p.Vectors = make([][]float32, len(p.Passages))
	var texts []string
	var at []int
	for i := range p.Passages {
		text := EmbeddedText(p.Passages[i].Heading, p.Passages[i].Text)
		if p.Vectors[i], err = b.have(p.Document.ID, text, known); err != nil {
			return err
		}
		if p.Vectors[i] == nil {
			texts, at = append(texts, text), append(at, i)
		}
		if len(texts) < embedBatch && i+1 < len(p.Passages) {
			continue
		}
		vs, err := b.embedTexts(ctx, texts)
		if err != nil {
			return err
		}
		for j, v := range vs {
			p.Vectors[at[j]] = v
		}
		texts, at = texts[:0], at[:0]
	}
	return nil
}

// before gives the vectors of the version that a document replaces, by what was
// embedded.
func (b *build) before(d *document.Document) (map[string][]float32, error) {
	if !b.old.HasVectors() || b.old.Info().Embedder != b.by.Info {
		return nil, nil
	}
	r, err := b.old.Range(d.ID)
	if errors.Is(err, generation.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := make(map[string][]float32, r.Passages)
	for n := r.First; n < r.First+uint32(r.Passages); n++ {
		v := b.old.Vector(n)
		if v == nil {
			continue
		}
		p, err := b.old.Passage(n)
		if err != nil {
			return nil, err
		}
		known[EmbeddedText(p.Heading, p.Text)] = slices.Clone(v)
	}
	return known, nil
}
