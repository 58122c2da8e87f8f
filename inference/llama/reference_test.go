package llama

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"testing"

	"rxedge/inference/gguf"
)

// encoder is a BERT encoder in float64, straight from a file of float32
// weights: an independent reading of what the engine should compute (Devlin et
// al. 2019, post-norm; GELU in its tanh form, as ggml has it).
type encoder struct {
	t     *testing.T
	shape bertShape
	w     map[string][]float64
}

func openEncoder(t *testing.T, path string, shape bertShape) *encoder {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := &encoder{t: t, shape: shape, w: map[string][]float64{}}
	for _, ten := range f.Tensors {
		raw, err := io.ReadAll(f.Data(ten))
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float64, len(raw)/4)
		for i := range v {
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
		e.w[ten.Name] = v
	}
	return e
}

// linear multiplies by a matrix of rows as long as x and adds the bias.
func (e *encoder) linear(name string, x []float64) []float64 {
	w, b := e.w[name+".weight"], e.w[name+".bias"]
	out := make([]float64, len(b))
	for o := range out {
		sum := b[o]
		for i, v := range x {
			sum += w[o*len(x)+i] * v
		}
		out[o] = sum
	}
	return out
}

// norm is layer normalisation of a+b.
func (e *encoder) norm(name string, a, b []float64) []float64 {
	w, bias := e.w[name+".weight"], e.w[name+".bias"]
	out := make([]float64, len(a))
	var mean, variance float64
	for i := range a {
		out[i] = a[i] + b[i]
		mean += out[i] / float64(len(a))
	}
	for _, v := range out {
		variance += (v - mean) * (v - mean) / float64(len(a))
	}
	for i, v := range out {
		out[i] = (v-mean)/math.Sqrt(variance+1e-12)*w[i] + bias[i]
	}
	return out
}

// embed is the mean of the last layer over all tokens, of unit length.
func (e *encoder) embed(tokens []int) []float64 {
	d, heads := e.shape.dim, e.shape.heads
	size := d / heads
	row := func(name string, i int) []float64 { return e.w[name][i*d : (i+1)*d] }
	x := make([][]float64, len(tokens))
	for p, id := range tokens {
		sum := make([]float64, d)
		for i := range sum {
			sum[i] = row("token_types.weight", 0)[i] + row("position_embd.weight", p)[i]
		}
		x[p] = e.norm("token_embd_norm", row("token_embd.weight", id), sum)
	}
	for l := range e.shape.layers {
		blk := fmt.Sprintf("blk.%d.", l)
		q, k, v := make([][]float64, len(x)), make([][]float64, len(x)), make([][]float64, len(x))
		for p := range x {
			q[p], k[p], v[p] = e.linear(blk+"attn_q", x[p]), e.linear(blk+"attn_k", x[p]), e.linear(blk+"attn_v", x[p])
		}
		next := make([][]float64, len(x))
		for p := range x {
			mixed := make([]float64, d)
			for h := range heads {
				at := h * size
				weights := make([]float64, len(x))
				var total float64
				for o := range x {
					var dot float64
					for i := range size {
						dot += q[p][at+i] * k[o][at+i]
					}
					weights[o] = math.Exp(dot / math.Sqrt(float64(size)))
					total += weights[o]
				}
				for o, w := range weights {
					for i := range size {
						mixed[at+i] += w / total * v[o][at+i]
					}
				}
			}
			y := e.norm(blk+"attn_output_norm", e.linear(blk+"attn_output", mixed), x[p])
			up := e.linear(blk+"ffn_up", y)
			for i, u := range up {
				up[i] = 0.5 * u * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(u+0.044715*u*u*u)))
			}
			next[p] = e.norm(blk+"layer_output_norm", e.linear(blk+"ffn_down", up), y)
		}
		x = next
	}
	mean := make([]float64, d)
	var norm float64
	for i := range mean {
		for p := range x {
			mean[i] += x[p][i] / float64(len(x))
		}
		norm += mean[i] * mean[i]
	}
	for i := range mean {
		mean[i] /= math.Sqrt(norm)
	}
	return mean
}

// The engine's vectors are those of an independent forward pass.
func TestEmbedAgainstReference(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	path := randomBERT(t, smallBERT, false)
	s := ready(t, Options{Model: path, Kind: Embed, Context: 128})
	reference := openEncoder(t, path, smallBERT)
	const cls, sep = 101, 102
	for _, text := range []string{"warfarin", "Take 500 mg of metformin twice daily with meals.", "Überdosis: ≥ 4 g"} {
		tokens, err := s.Tokenize(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Embed(t.Context(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		want := reference.embed(append(append([]int{cls}, tokens...), sep))
		var dot, worst float64
		for i := range want {
			dot += want[i] * float64(got[0][i])
			worst = max(worst, math.Abs(want[i]-float64(got[0][i])))
		}
		// ggml looks GELU up in a table of half precision.
		if dot < 0.99999 || worst > 2e-3 {
			t.Errorf("%q: cosine %.7f, largest difference %.5f", text, dot, worst)
		}
		t.Logf("%d tokens: cosine %.7f, largest difference %.6f", len(tokens)+2, dot, worst)
	}
}
