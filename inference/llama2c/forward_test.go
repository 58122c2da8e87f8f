package llama2c_test

import (
	"encoding/binary"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// reference is a llama2.c model read and run with nothing of this package: a
// plain float32 forward pass over the checkpoint, after run.c.
type reference struct {
	dim, hidden, layers, heads, kvHeads, vocab, context int

	embedding, attNorm, wq, wk, wv, wo, ffnNorm, w1, w2, w3, norm, classifier []float32

	keys, values [][]float32 // by layer, positions one after the other
	pieces       []string
	scores       []float32
}

func loadReference(t *testing.T, checkpoint, tokenizer string) *reference {
	t.Helper()
	b, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	number := func(i int) int { return int(int32(binary.LittleEndian.Uint32(b[4*i:]))) }
	m := &reference{dim: number(0), hidden: number(1), layers: number(2), heads: number(3), kvHeads: number(4), vocab: number(5), context: number(6)}
	at := 28
	take := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[at+4*i:]))
		}
		at += 4 * n
		return out
	}
	shared := m.vocab > 0
	m.vocab = max(m.vocab, -m.vocab)
	headDim := m.dim / m.heads
	kv := m.kvHeads * headDim
	m.embedding = take(m.vocab * m.dim)
	m.attNorm = take(m.layers * m.dim)
	m.wq = take(m.layers * m.dim * m.dim)
	m.wk = take(m.layers * m.dim * kv)
	m.wv = take(m.layers * m.dim * kv)
	m.wo = take(m.layers * m.dim * m.dim)
	m.ffnNorm = take(m.layers * m.dim)
	m.w1 = take(m.layers * m.dim * m.hidden)
	m.w2 = take(m.layers * m.dim * m.hidden)
	m.w3 = take(m.layers * m.dim * m.hidden)
	m.norm = take(m.dim)
	take(m.context * headDim)
	m.classifier = m.embedding
	if !shared {
		m.classifier = take(m.vocab * m.dim)
	}

	if b, err = os.ReadFile(tokenizer); err != nil {
		t.Fatal(err)
	}
	for at = 4; at < len(b); {
		m.scores = append(m.scores, math.Float32frombits(binary.LittleEndian.Uint32(b[at:])))
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		m.pieces = append(m.pieces, string(b[at+8:at+8+n]))
		at += 8 + n
	}
	return m
}

// encode is run.c's: the characters of " " + text, then the best pair merged
// until none is left; the beginning token first.
func (m *reference) encode(text string) []int {
	ids := []int{1}
	if text == "" {
		return ids
	}
	find := func(s string) int {
		for i, p := range m.pieces {
			if p == s {
				return i
			}
		}
		return -1
	}
	for _, r := range " " + text {
		if id := find(string(r)); id >= 0 {
			ids = append(ids, id)
			continue
		}
		for _, c := range []byte(string(r)) {
			ids = append(ids, int(c)+3)
		}
	}
	for {
		best, bestID, score := -1, -1, float32(-1e10)
		for i := 1; i+1 < len(ids); i++ {
			if id := find(m.pieces[ids[i]] + m.pieces[ids[i+1]]); id >= 0 && m.scores[id] > score {
				best, bestID, score = i, id, m.scores[id]
			}
		}
		if best < 0 {
			return ids
		}
		ids[best] = bestID
		ids = append(ids[:best+1], ids[best+2:]...)
	}
}

func (m *reference) decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		if p := m.pieces[id]; id >= 3 && id < 259 {
			b.WriteByte(byte(id - 3))
		} else {
			b.WriteString(p)
		}
	}
	return b.String()
}

func rmsNorm(x, weight []float32) []float32 {
	var sum float32
	for _, v := range x {
		sum += v * v
	}
	scale := 1 / float32(math.Sqrt(float64(sum/float32(len(x))+1e-5)))
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = weight[i] * (scale * v)
	}
	return out
}

func multiply(w, x []float32, rows int) []float32 {
	out := make([]float32, rows)
	for i := range out {
		var sum float32
		for j, v := range x {
			sum += w[i*len(x)+j] * v
		}
		out[i] = sum
	}
	return out
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

func (m *reference) rotate(x []float32, pos int) {
	headDim := m.dim / m.heads
	for i := 0; i < len(x); i += 2 {
		angle := float64(pos) * math.Pow(10000, -float64(i%headDim)/float64(headDim))
		c, s := float32(math.Cos(angle)), float32(math.Sin(angle))
		x[i], x[i+1] = x[i]*c-x[i+1]*s, x[i]*s+x[i+1]*c
	}
}

// next takes the token at position pos and returns the logits of the next.
func (m *reference) next(token, pos int) []float32 {
	if pos == 0 {
		m.keys, m.values = make([][]float32, m.layers), make([][]float32, m.layers)
	}
	dim, headDim := m.dim, m.dim/m.heads
	kv := m.kvHeads * headDim
	part := func(w []float32, layer, n int) []float32 { return w[layer*n : (layer+1)*n] }
	x := append([]float32(nil), m.embedding[token*dim:(token+1)*dim]...)
	for l := range m.layers {
		h := rmsNorm(x, part(m.attNorm, l, dim))
		q := multiply(part(m.wq, l, dim*dim), h, dim)
		k := multiply(part(m.wk, l, dim*kv), h, kv)
		m.rotate(q, pos)
		m.rotate(k, pos)
		m.keys[l] = append(m.keys[l], k...)
		m.values[l] = append(m.values[l], multiply(part(m.wv, l, dim*kv), h, kv)...)
		mixed := make([]float32, dim)
		for head := range m.heads {
			from := head / (m.heads / m.kvHeads) * headDim
			scores := make([]float32, pos+1)
			top := float32(math.Inf(-1))
			for t := range scores {
				for i := range headDim {
					scores[t] += q[head*headDim+i] * m.keys[l][t*kv+from+i]
				}
				scores[t] /= float32(math.Sqrt(float64(headDim)))
				top = max(top, scores[t])
			}
			var sum float32
			for t := range scores {
				scores[t] = exp(scores[t] - top)
				sum += scores[t]
			}
			for t := range scores {
				for i := range headDim {
					mixed[head*headDim+i] += scores[t] / sum * m.values[l][t*kv+from+i]
				}
			}
		}
		for i, v := range multiply(part(m.wo, l, dim*dim), mixed, dim) {
			x[i] += v
		}
		h = rmsNorm(x, part(m.ffnNorm, l, dim))
		gate := multiply(part(m.w1, l, dim*m.hidden), h, m.hidden)
		up := multiply(part(m.w3, l, dim*m.hidden), h, m.hidden)
		for i, g := range gate {
			gate[i] = g / (1 + exp(-g)) * up[i]
		}
		for i, v := range multiply(part(m.w2, l, dim*m.hidden), gate, dim) {
			x[i] += v
		}
	}
	return multiply(m.classifier, rmsNorm(x, m.norm), m.vocab)
}

// greedy returns the n tokens that follow the prompt, fewer where the model
// ends the text.
func (m *reference) greedy(prompt []int, n int) []int {
	var out []int
	var logits []float32
	for pos, token := range prompt {
		logits = m.next(token, pos)
	}
	for len(out) < n {
		best := 0
		for i, v := range logits {
			if v > logits[best] {
				best = i
			}
		}
		if best == 1 || best == 2 {
			break
		}
		out = append(out, best)
		logits = m.next(best, len(prompt)+len(out)-1)
	}
	return out
}

// asGood is how far below the likeliest token's logit another may lie to count as
// equal; these logits spread over some 20.
const asGood = 0.01

// follows says how far, at the most, a token that was written lies below the
// likeliest one after the same beginning, in logits, and which it is.
func (m *reference) follows(prompt, written []int) (short float32, at int) {
	var logits []float32
	for pos, token := range prompt {
		logits = m.next(token, pos)
	}
	for i, token := range written {
		if s := slices.Max(logits) - logits[token]; s > short {
			short, at = s, i
		}
		logits = m.next(token, len(prompt)+i)
	}
	return short, at
}
