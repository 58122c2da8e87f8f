// Package semantic is rxedge's own embedder: it finds by meaning from the first
// minute, without a model that has to be fetched. A text's vector is the sum of
// static vectors of its word pieces, which were trained on medical texts
// (train/), and beside it, where an index was built, vectors of the words that
// were learned from the indexed texts themselves (Adapted).
//
// DESIGN.md says what was tried, MODEL_CARD.md what it is good for.
package semantic

import (
	"context"
	"math"
	"slices"

	"rxedge/inference"
	"rxedge/inference/wordpiece"
)

// Model holds one vector for each word piece. It never changes and is safe for
// concurrent use.
type Model struct {
	header header
	sha256 string
	pieces *wordpiece.Tokenizer
	scale  []float32 // by piece: what its row is multiplied with
	rows   []int8    // pieces × dimension
	// vocabulary and table are as the file has them.
	vocabulary []string
	table      string
	// sayings are known to an adapted model alone.
	sayings []Saying
}

var _ inference.Embedder = (*Model)(nil)

// unknownPiece is the first of the vocabulary. It has no meaning: its row is
// what a text without any known piece is given, so that such texts are near
// one another and far from all others.
const unknownPiece = 0

// noLimit of tokens: a longer text only takes longer.
const noLimit = math.MaxInt32

// Info says whose vectors these are.
func (m *Model) Info() inference.EmbedderInfo {
	return inference.EmbedderInfo{Name: m.header.Name, SHA256: m.sha256, Dimension: m.header.Dimension, MaxTokens: noLimit}
}

// Count is the number of word pieces of text, for cutting passages.
func (m *Model) Count(text string) int { return m.pieces.Count(text) }

// Embed implements inference.Embedder. The error is that of ctx alone.
func (m *Model) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, t := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = make([]float32, m.header.Dimension)
		m.embed(out[i], t)
	}
	return out, nil
}

// embed writes the unit vector of text: Σ (1 + ln n)·row over the distinct
// pieces, each there n times.
func (m *Model) embed(v []float32, text string) {
	ids := m.pieces.Encode(text)
	slices.Sort(ids)
	for i := 0; i < len(ids); {
		id, n := ids[i], 1
		for i++; i < len(ids) && ids[i] == id; i++ {
			n++
		}
		if id != unknownPiece {
			m.add(v, id, damped(n))
		}
	}
	if unit(v) {
		return
	}
	m.add(v, unknownPiece, 1)
	unit(v)
}

// add a piece's vector, w times, to v.
func (m *Model) add(v []float32, id int, w float32) {
	w *= m.scale[id]
	row := m.rows[id*m.header.Dimension:][:len(v)]
	for d, x := range row {
		v[d] += float32(w * float32(x))
	}
}

// damped is what n occurrences of a word in a text count: 1 + ln n.
func damped(n int) float32 {
	if n == 1 {
		return 1
	}
	return float32(1 + math.Log(float64(n)))
}
