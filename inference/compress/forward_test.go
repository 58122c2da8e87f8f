package compress

import (
	"io"
	"math"
	"testing"

	"rxedge/inference/gguf"
)

// transformer is a Llama model of a GGUF file, run in plain float64 with
// nothing of llama.cpp: RMS norm, rotary positions on neighbouring pairs,
// grouped queries, SwiGLU, the embedding as the head where there is none.
type transformer struct {
	layers, dim, heads, kvHeads, vocab int
	epsilon, base                      float64
	tensors                            map[string][]float32
}

func loadTransformer(t testing.TB, path string) *transformer {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := func(key string) int {
		v, ok := f.Metadata.Uint("llama." + key)
		if !ok {
			t.Fatalf("no llama.%s", key)
		}
		return int(v)
	}
	m := &transformer{layers: n("block_count"), dim: n("embedding_length"), heads: n("attention.head_count"), kvHeads: n("attention.head_count_kv"), tensors: map[string][]float32{}}
	m.epsilon, _ = f.Metadata.Float("llama.attention.layer_norm_rms_epsilon")
	m.base, _ = f.Metadata.Float("llama.rope.freq_base")
	for _, ten := range f.Tensors {
		b, err := io.ReadAll(f.Data(ten))
		if err != nil {
			t.Fatal(err)
		}
		if m.tensors[ten.Name], err = gguf.Dequantize(nil, b, ten.Type); err != nil {
			t.Fatal(err)
		}
		if ten.Name == "token_embd.weight" {
			m.vocab = int(ten.Shape[1])
		}
	}
	if m.tensors["output.weight"] == nil {
		m.tensors["output.weight"] = m.tensors["token_embd.weight"]
	}
	return m
}

func (m *transformer) norm(x []float64, name string) []float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	scale := 1 / math.Sqrt(sum/float64(len(x))+m.epsilon)
	out := make([]float64, len(x))
	for i, w := range m.tensors[name] {
		out[i] = x[i] * scale * float64(w)
	}
	return out
}

func (m *transformer) times(name string, x []float64) []float64 {
	w := m.tensors[name]
	out := make([]float64, len(w)/len(x))
	for i := range out {
		for j, v := range x {
			out[i] += float64(w[i*len(x)+j]) * v
		}
	}
	return out
}

func (m *transformer) rotate(x []float64, position int) {
	size := m.dim / m.heads
	for at := 0; at < len(x); at += 2 {
		angle := float64(position) * math.Pow(m.base, -float64(at%size)/float64(size))
		s, c := math.Sincos(angle)
		x[at], x[at+1] = x[at]*c-x[at+1]*s, x[at]*s+x[at+1]*c
	}
}

func name(layer int, what string) string {
	return "blk." + string(rune('0'+layer)) + "." + what + ".weight"
}

// logProbs gives, for each position, the natural logarithms of the
// probabilities of the next token.
func (m *transformer) logProbs(tokens []int) [][]float64 {
	size := m.dim / m.heads
	keys, values := make([][][]float64, m.layers), make([][][]float64, m.layers)
	var out [][]float64
	for at, token := range tokens {
		x := make([]float64, m.dim)
		for i := range x {
			x[i] = float64(m.tensors["token_embd.weight"][token*m.dim+i])
		}
		for l := range m.layers {
			h := m.norm(x, name(l, "attn_norm"))
			q, k, v := m.times(name(l, "attn_q"), h), m.times(name(l, "attn_k"), h), m.times(name(l, "attn_v"), h)
			m.rotate(q, at)
			m.rotate(k, at)
			keys[l], values[l] = append(keys[l], k), append(values[l], v)
			mixed := make([]float64, m.dim)
			for head := range m.heads {
				kv := head * m.kvHeads / m.heads * size
				scores := make([]float64, at+1)
				for p := range scores {
					for i := range size {
						scores[p] += q[head*size+i] * keys[l][p][kv+i] / math.Sqrt(float64(size))
					}
				}
				for p, s := range logSoftmax(scores) {
					for i := range size {
						mixed[head*size+i] += math.Exp(s) * values[l][p][kv+i]
					}
				}
			}
			for i, v := range m.times(name(l, "attn_output"), mixed) {
				x[i] += v
			}
			h = m.norm(x, name(l, "ffn_norm"))
			gate, up := m.times(name(l, "ffn_gate"), h), m.times(name(l, "ffn_up"), h)
			for i, g := range gate {
				gate[i] = g / (1 + math.Exp(-g)) * up[i]
			}
			for i, v := range m.times(name(l, "ffn_down"), gate) {
				x[i] += v
			}
		}
		out = append(out, logSoftmax(m.times("output.weight", m.norm(x, "output_norm.weight"))))
	}
	return out
}

func logSoftmax(x []float64) []float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - top - math.Log(sum)
	}
	return out
}

// reference is what Predictions should be.
func reference(a, b *transformer, tokens []int, context, bos int) Predictions {
	p := Predictions{Context: context}
	var nllA, nllB, kl, same float64
	for at := 0; at+context <= len(tokens); at += context {
		chunk := append([]int{bos}, tokens[at+1:at+context]...)
		la, lb := a.logProbs(chunk), b.logProbs(chunk)
		for i := context / 2; i < context-1; i++ {
			nllA -= la[i][chunk[i+1]]
			nllB -= lb[i][chunk[i+1]]
			topA, topB := 0, 0
			for w := range la[i] {
				kl += math.Exp(la[i][w]) * (la[i][w] - lb[i][w])
				if la[i][w] > la[i][topA] {
					topA = w
				}
				if lb[i][w] > lb[i][topB] {
					topB = w
				}
			}
			if topA == topB {
				same++
			}
			p.Scored++
		}
		p.Chunks++
	}
	n := float64(p.Scored)
	p.PerplexityA, p.PerplexityB = math.Exp(nllA/n), math.Exp(nllB/n)
	p.KL.Mean, p.Top1Agreement = kl/n, same/n
	return p
}
