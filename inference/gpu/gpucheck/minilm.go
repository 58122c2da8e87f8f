package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"rxedge/inference/gguf"
)

// minilm writes an encoder of random numbers in the shape of all-MiniLM-L6-v2,
// its matrices F16, with a vocabulary of made-up words w0, w1…; its speed is
// that of the real one.
func minilm(dir string) (string, error) {
	const layers, d, ff, heads, positions, words = 6, 384, 1536, 12, 512, 30522
	path := filepath.Join(dir, "random-minilm-l6.gguf")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	vocabulary := make([]string, words)
	kinds := make([]int32, words)
	for i := range vocabulary {
		vocabulary[i], kinds[i] = fmt.Sprintf("▁w%d", i), 1 // normal; "▁" begins a word
	}
	// BERT's special tokens stand where llama.cpp expects them.
	for i, w := range map[int]string{0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"} {
		vocabulary[i], kinds[i] = w, 3 // control
	}
	var m gguf.Metadata
	m.Set("general.architecture", "bert")
	m.Set("general.name", "random encoder of MiniLM-L6's shape")
	m.Set("bert.block_count", uint32(layers))
	m.Set("bert.context_length", uint32(positions))
	m.Set("bert.embedding_length", uint32(d))
	m.Set("bert.feed_forward_length", uint32(ff))
	m.Set("bert.attention.head_count", uint32(heads))
	m.Set("bert.attention.layer_norm_epsilon", float32(1e-12))
	m.Set("bert.attention.causal", false)
	m.Set("bert.pooling_type", uint32(1)) // mean
	m.Set("tokenizer.ggml.model", "bert")
	m.Set("tokenizer.ggml.pre", "default")
	m.Set("tokenizer.ggml.tokens", vocabulary)
	m.Set("tokenizer.ggml.token_type", kinds)
	m.Set("tokenizer.ggml.token_type_count", uint32(2))
	for key, id := range map[string]uint32{"padding": 0, "unknown": 100, "cls": 101, "bos": 101, "seperator": 102, "mask": 103} {
		m.Set("tokenizer.ggml."+key+"_token_id", id)
	}
	var tensors []gguf.Tensor
	add := func(name string, shape ...uint64) {
		t := gguf.F32
		// The small tables stay F32, as in every conversion: ggml adds them.
		if len(shape) > 1 && name != "position_embd.weight" && name != "token_types.weight" {
			t = gguf.F16
		}
		tensors = append(tensors, gguf.Tensor{Name: name, Shape: shape, Type: t})
	}
	norm := func(name string) { add(name+".weight", d); add(name+".bias", d) }
	add("token_embd.weight", d, words)
	add("position_embd.weight", d, positions)
	add("token_types.weight", d, 2)
	norm("token_embd_norm")
	for i := range layers {
		p := fmt.Sprintf("blk.%d.", i)
		for _, n := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			add(p+n+".weight", d, d)
			add(p+n+".bias", d)
		}
		norm(p + "attn_output_norm")
		add(p+"ffn_up.weight", d, ff)
		add(p+"ffn_up.bias", ff)
		add(p+"ffn_down.weight", ff, d)
		add(p+"ffn_down.bias", d)
		norm(p + "layer_output_norm")
	}
	f, err := os.CreateTemp(dir, "minilm-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	w, err := gguf.NewWriter(f, &m, tensors)
	if err != nil {
		return "", err
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, t := range tensors {
		if err := w.WriteTensor(t.Name, numbers(r, t)); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return path, os.Rename(f.Name(), path)
}

// numbers of a tensor: small, of both signs; the weights of norms near one.
func numbers(r *rand.Rand, t gguf.Tensor) io.Reader {
	var b bytes.Buffer
	isNorm := len(t.Shape) == 1 && bytes.HasSuffix([]byte(t.Name), []byte("norm.weight"))
	for range t.Elements() {
		switch {
		case t.Type == gguf.F16:
			// Sign and fraction at random, exponent of 1/32 to 1/16.
			binary.Write(&b, binary.LittleEndian, uint16(r.Uint32()&0x83ff|0x2800))
		case isNorm:
			binary.Write(&b, binary.LittleEndian, float32(1+0.05*r.NormFloat64()))
		default:
			binary.Write(&b, binary.LittleEndian, float32(0.02*r.NormFloat64()))
		}
	}
	return &b
}
