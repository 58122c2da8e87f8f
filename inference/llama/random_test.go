package llama

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"rxedge/inference/gguf"
)

// llamaShape is a language model over the vocabulary of the tiny one.
type llamaShape struct {
	layers, dim, ff, heads, kvHeads, context int
	weights                                  gguf.Type // of the matrices
}

// randomLlama writes a model of random weights of the true sizes.
func randomLlama(t testing.TB, path string, s llamaShape) {
	t.Helper()
	source, err := gguf.Open(tinyLlama(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	m := source.Metadata
	set := func(key string, n int) { m.Set("llama."+key, uint32(n)) }
	set("context_length", s.context)
	set("embedding_length", s.dim)
	set("block_count", s.layers)
	set("feed_forward_length", s.ff)
	set("rope.dimension_count", s.dim/s.heads)
	set("attention.head_count", s.heads)
	set("attention.head_count_kv", s.kvHeads)
	words, _ := m.Texts("tokenizer.ggml.tokens")
	d, ff, kv := uint64(s.dim), uint64(s.ff), uint64(s.dim/s.heads*s.kvHeads)
	var tensors []gguf.Tensor
	add := func(name string, dims ...uint64) {
		kind := s.weights
		if len(dims) == 1 {
			kind = gguf.F32
		}
		tensors = append(tensors, gguf.Tensor{Name: name + ".weight", Shape: dims, Type: kind})
	}
	add("token_embd", d, uint64(len(words)))
	add("output_norm", d)
	add("output", d, uint64(len(words)))
	for i := range s.layers {
		p := fmt.Sprintf("blk.%d.", i)
		add(p+"attn_q", d, d)
		add(p+"attn_k", d, kv)
		add(p+"attn_v", d, kv)
		add(p+"attn_output", d, d)
		add(p+"ffn_gate", d, ff)
		add(p+"ffn_up", d, ff)
		add(p+"ffn_down", ff, d)
		add(p+"attn_norm", d)
		add(p+"ffn_norm", d)
	}
	m.Set("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}")
	writeRandom(t, path, &m, tensors)
}

// writeRandom fills tensors with noise of a size that keeps the model's states
// in range, and norms with ones.
func writeRandom(t testing.TB, path string, m *gguf.Metadata, tensors []gguf.Tensor) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	w, err := gguf.NewWriter(out, m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.NewChaCha8([32]byte{1})
	for _, ten := range tensors {
		size := 1 / math.Sqrt(float64(ten.Shape[0]))
		err := w.WriteTensorFunc(ten.Name, func(w io.Writer) error {
			switch {
			case ten.Type == gguf.Q4_0 || ten.Type == gguf.Q8_0:
				// A block is its scale and its noise: as random as if quantised.
				block := make([]byte, ten.Type.BlockBytes())
				scale := size / 4
				if ten.Type == gguf.Q8_0 {
					scale = size / 64
				}
				for range ten.Elements() / uint64(ten.Type.BlockSize()) {
					noise.Read(block)
					binary.LittleEndian.PutUint16(block, gguf.Float16(float32(scale)))
					if _, err := w.Write(block); err != nil {
						return err
					}
				}
				return nil
			case ten.Type == gguf.F32 || ten.Type == gguf.F16:
				var b []byte
				for range ten.Elements() {
					v := float32(0)
					if strings.HasSuffix(ten.Name, "norm.weight") && len(ten.Shape) == 1 {
						v = 1
					} else if !strings.HasSuffix(ten.Name, ".bias") {
						v = float32(size * (float64(noise.Uint64()>>11)/(1<<52) - 1))
					}
					if ten.Type == gguf.F16 {
						b = binary.LittleEndian.AppendUint16(b, gguf.Float16(v))
					} else {
						b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
					}
				}
				_, err := w.Write(b)
				return err
			}
			return fmt.Errorf("%s: no noise of type %s", ten.Name, ten.Type)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
}
