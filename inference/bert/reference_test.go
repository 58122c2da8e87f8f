package bert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/safetensors"
)

// checkpoint is a model of random weights in the layout of transformers, and the
// computation that transformers does with it, written from its definition.
type checkpoint struct {
	prefix  string // bert., roberta. or none
	roberta bool
	hidden, ffn, layers, heads, vocabulary, positions, segments, labels,
	pad int
	eps     float64
	gelu    func(float64) float64 // nil: the exact one
	names   []string
	shapes  map[string][]uint64
	weights map[string][]float32
}

// fill makes the weights. Their spread gives hidden states and logits of the
// size that trained models have.
func (c *checkpoint) fill(seed uint64) *checkpoint {
	if raced && c.hidden > 200 {
		c.hidden, c.ffn, c.heads = c.hidden/4, c.ffn/4, c.heads/4
	}
	c.names, c.shapes, c.weights = nil, make(map[string][]uint64), make(map[string][]float32)
	r := rand.New(rand.NewPCG(seed, 7))
	add := func(name string, mean, std float64, shape ...int) {
		n := 1
		var dims []uint64
		for _, d := range shape {
			n *= d
			dims = append(dims, uint64(d))
		}
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(mean + std*r.NormFloat64())
		}
		c.names = append(c.names, name)
		c.shapes[name], c.weights[name] = dims, w
	}
	linear := func(name string, gain float64, out, in int) {
		add(name+".weight", 0, gain/math.Sqrt(float64(in)), out, in)
		add(name+".bias", 0, .02, out)
	}
	norm := func(name string) {
		add(name+".weight", 1, .05, c.hidden)
		add(name+".bias", 0, .02, c.hidden)
	}
	e := c.prefix + "embeddings."
	add(e+"word_embeddings.weight", 0, .5, c.vocabulary, c.hidden)
	add(e+"position_embeddings.weight", 0, .2, c.positions, c.hidden)
	add(e+"token_type_embeddings.weight", 0, .3, c.segments, c.hidden)
	norm(e + "LayerNorm")
	for i := range c.layers {
		p := fmt.Sprintf("%sencoder.layer.%d.", c.prefix, i)
		linear(p+"attention.self.query", 1.4, c.hidden, c.hidden)
		linear(p+"attention.self.key", 1.4, c.hidden, c.hidden)
		linear(p+"attention.self.value", 1.4, c.hidden, c.hidden)
		linear(p+"attention.output.dense", 1.4, c.hidden, c.hidden)
		norm(p + "attention.output.LayerNorm")
		linear(p+"intermediate.dense", 1, c.ffn, c.hidden)
		linear(p+"output.dense", .5, c.hidden, c.ffn)
		norm(p + "output.LayerNorm")
	}
	const head = 2.35 // for logits of ±2
	switch {
	case c.roberta && c.labels > 0:
		linear("classifier.dense", 1, c.hidden, c.hidden)
		linear("classifier.out_proj", head, c.labels, c.hidden)
	case !c.roberta:
		linear(c.prefix+"pooler.dense", 1, c.hidden, c.hidden)
		if c.labels > 0 {
			linear("classifier", head, c.labels, c.hidden)
		}
	}
	return c
}

// write puts config.json and model.safetensors into dir; more goes into the
// config.
func (c *checkpoint) write(t testing.TB, dir string, more map[string]any) {
	t.Helper()
	arch, kind := "Bert", "bert"
	if c.roberta {
		arch, kind = "Roberta", "roberta"
	}
	if c.labels > 0 {
		arch += "ForSequenceClassification"
	} else {
		arch += "Model"
	}
	config := map[string]any{
		"architectures": []string{arch}, "model_type": kind, "hidden_act": "gelu",
		"hidden_size": c.hidden, "intermediate_size": c.ffn, "num_hidden_layers": c.layers, "num_attention_heads": c.heads,
		"vocab_size": c.vocabulary, "max_position_embeddings": c.positions, "type_vocab_size": c.segments,
		"pad_token_id": c.pad, "layer_norm_eps": c.eps, "position_embedding_type": "absolute",
	}
	for key, value := range more {
		config[key] = value
	}
	writeJSON(t, filepath.Join(dir, "config.json"), config)

	var tensors []safetensors.Tensor
	for _, name := range c.names {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: c.shapes[name]})
	}
	// As older versions of transformers write it.
	ids := safetensors.Tensor{Name: c.prefix + "embeddings.position_ids", DType: safetensors.I64, Shape: []uint64{1, uint64(c.positions)}}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := safetensors.NewWriter(f, nil, append(tensors, ids))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.names {
		var b bytes.Buffer
		binary.Write(&b, binary.LittleEndian, c.weights[name])
		if err := w.WriteTensor(name, &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteTensor(ids.Name, bytes.NewReader(make([]byte, 8*c.positions))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// linear is x·Wᵀ + b for each row of x.
//
//go:norace
func (c *checkpoint) linear(x [][]float64, name string) [][]float64 {
	w, b := c.weights[name+".weight"], c.weights[name+".bias"]
	out := make([][]float64, len(x))
	in := len(x[0])
	for t := range x {
		out[t] = make([]float64, len(b))
		for o := range b {
			row, xs := w[o*in:(o+1)*in], x[t]
			var s0, s1, s2, s3 float64
			i := 0
			for ; i+4 <= in; i += 4 {
				s0 += float64(row[i]) * xs[i]
				s1 += float64(row[i+1]) * xs[i+1]
				s2 += float64(row[i+2]) * xs[i+2]
				s3 += float64(row[i+3]) * xs[i+3]
			}
			for ; i < in; i++ {
				s0 += float64(row[i]) * xs[i]
			}
			out[t][o] = s0 + s1 + s2 + s3 + float64(b[o])
		}
	}
	return out
}

func (c *checkpoint) norm(x [][]float64, name string) {
	g, b := c.weights[name+".weight"], c.weights[name+".bias"]
	for _, row := range x {
		var mean, variance float64
		for _, v := range row {
			mean += v / float64(len(row))
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(len(row))
		}
		for i := range row {
			row[i] = (row[i]-mean)/math.Sqrt(variance+c.eps)*float64(g[i]) + float64(b[i])
		}
	}
}

func plus(x, y [][]float64) {
	for t := range x {
		for i := range x[t] {
			x[t][i] += y[t][i]
		}
	}
}

// exactGELU is what transformers calls "gelu".
func exactGELU(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }

// tableGELU is what ggml makes of it: the tanh form, taken from a table in half
// precision (ggml-cpu/vec.h).
func tableGELU(x float64) float64 {
	switch half := func(x float64) float64 { return float64(gguf.Float16ToFloat32(gguf.Float16(float32(x)))) }; {
	case x <= -10:
		return 0
	case x >= 10:
		return x
	default:
		x = half(x)
		return half(x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*x*(1+.044715*x*x))))
	}
}

// states are the hidden states of the first tokens after the last layer.
func (c *checkpoint) states(ids, segments []int, tokens int) [][]float64 {
	gelu := c.gelu
	if gelu == nil {
		gelu = exactGELU
	}
	e := c.prefix + "embeddings."
	first := 0
	if c.roberta {
		first = c.pad + 1 // create_position_ids_from_input_ids
	}
	x := make([][]float64, len(ids))
	for t, id := range ids {
		x[t] = make([]float64, c.hidden)
		for i := range x[t] {
			x[t][i] = float64(c.weights[e+"word_embeddings.weight"][id*c.hidden+i]) +
				float64(c.weights[e+"position_embeddings.weight"][(first+t)*c.hidden+i]) +
				float64(c.weights[e+"token_type_embeddings.weight"][segments[t]*c.hidden+i])
		}
	}
	c.norm(x, e+"LayerNorm")
	for l := range c.layers {
		p := fmt.Sprintf("%sencoder.layer.%d.", c.prefix, l)
		k, v := c.linear(x, p+"attention.self.key"), c.linear(x, p+"attention.self.value")
		if l == c.layers-1 {
			x = x[:tokens]
		}
		q := c.linear(x, p+"attention.self.query")
		a := c.linear(attend(q, k, v, c.heads), p+"attention.output.dense")
		plus(a, x)
		c.norm(a, p+"attention.output.LayerNorm")
		f := c.linear(a, p+"intermediate.dense")
		for t := range f {
			for i, u := range f[t] {
				f[t][i] = gelu(u)
			}
		}
		f = c.linear(f, p+"output.dense")
		plus(f, a)
		c.norm(f, p+"output.LayerNorm")
		x = f
	}
	return x
}

//go:norace
func attend(q, k, v [][]float64, heads int) [][]float64 {
	width := len(q[0]) / heads
	out := make([][]float64, len(q))
	for t := range q {
		out[t] = make([]float64, len(q[t]))
		for h := range heads {
			at := h * width
			p := make([]float64, len(k))
			top := math.Inf(-1)
			for u := range k {
				for i := at; i < at+width; i++ {
					p[u] += q[t][i] * k[u][i]
				}
				p[u] /= math.Sqrt(float64(width))
				top = max(top, p[u])
			}
			var sum float64
			for u := range p {
				p[u] = math.Exp(p[u] - top)
				sum += p[u]
			}
			for u := range p {
				for i := at; i < at+width; i++ {
					out[t][i] += p[u] / sum * v[u][i]
				}
			}
		}
	}
	return out
}

// embedding is the mean of the states, of unit length.
func (c *checkpoint) embedding(ids []int, pooling Pooling) []float64 {
	tokens := len(ids)
	if pooling == CLS {
		tokens = 1
	}
	x := c.states(ids, make([]int, len(ids)), tokens)
	out := make([]float64, c.hidden)
	for _, row := range x {
		for i, v := range row {
			out[i] += v
		}
	}
	var size float64
	for _, v := range out {
		size += v * v
	}
	for i := range out {
		out[i] /= math.Sqrt(size)
	}
	return out
}

// logits of the classification head.
func (c *checkpoint) logits(ids, segments []int) []float64 {
	x := c.states(ids, segments, 1)
	dense, out := c.prefix+"pooler.dense", "classifier"
	if c.roberta {
		dense, out = "classifier.dense", "classifier.out_proj"
	}
	h := c.linear(x, dense)
	for i, v := range h[0] {
		h[0][i] = math.Tanh(v)
	}
	return c.linear(h, out)[0]
}

// randomTexts are words of a vocabulary.
func randomTexts(seed uint64, words []string, n, shortest, longest int) []string {
	r := rand.New(rand.NewPCG(seed, 9))
	out := make([]string, n)
	for i := range out {
		var text []string
		for range shortest + r.IntN(longest-shortest+1) {
			text = append(text, words[r.IntN(len(words))])
		}
		out[i] = strings.Join(text, " ")
	}
	return out
}
