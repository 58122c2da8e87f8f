// Package llama2c reads the checkpoints of llama2.c (the version-0 export:
// seven numbers and the weights as float32) with their tokenizer files, and
// turns them into GGUF.
//
// Source: run.c and export.py of github.com/karpathy/llama2.c.
package llama2c

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Config is the head of a checkpoint.
type Config struct {
	Dim        int // length of the hidden state
	HiddenDim  int // of the feed-forward layer
	Layers     int
	Heads      int
	KVHeads    int
	Vocabulary int
	Context    int // longest sequence, in tokens
	// SharedClassifier: the embedding table is also the output matrix. In the
	// file a negative vocabulary says that it is not.
	SharedClassifier bool
}

// HeadDim is the length of one attention head.
func (c Config) HeadDim() int { return c.Dim / c.Heads }

// Limits far above any llama2.c model (Llama 2 7B: 4096, 11008, 32, 32, 32000).
const (
	maxDim        = 1 << 16
	maxHidden     = 1 << 18
	maxLayers     = 1 << 10
	maxHeads      = 1 << 10
	maxVocabulary = 1 << 20
	maxContext    = 1 << 20

	headBytes = 7 * 4
	// magicLater begins files of export versions 1 and 2 ("ak42").
	magicLater = 0x616b3432
)

// Checkpoint is an open checkpoint. Its weights stay on disk.
type Checkpoint struct {
	Config  Config
	tensors []tensor
	r       io.ReaderAt
	closer  io.Closer
}

// tensor is one matrix, or one layer's part of it, in the file.
type tensor struct {
	name   string   // as GGUF calls it
	shape  []uint64 // ggml's order: row length first
	offset int64    // in the file, bytes
}

// Open reads the head of the file and checks its size. Close it.
func Open(path string) (*Checkpoint, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	var c *Checkpoint
	if err == nil {
		c, err = Read(f, st.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.closer = f
	return c, nil
}

// Close closes the file that Open opened; after Read it does nothing.
func (c *Checkpoint) Close() error {
	if c.closer == nil {
		return nil
	}
	return c.closer.Close()
}

// Read reads the head of a checkpoint of the given size in bytes, which must be
// exactly what the head calls for.
func Read(r io.ReaderAt, size int64) (*Checkpoint, error) {
	var head [headBytes]byte
	if size < headBytes {
		return nil, fmt.Errorf("not a llama2.c checkpoint: %d bytes, less than its head of %d", size, headBytes)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("llama2.c checkpoint: %w", err)
	}
	if binary.LittleEndian.Uint32(head[:]) == magicLater {
		return nil, errors.New("a llama2.c checkpoint of version 1 or 2; export the model again with --version 0")
	}
	var n [7]int
	for i := range n {
		n[i] = int(int32(binary.LittleEndian.Uint32(head[4*i:])))
	}
	c := Config{Dim: n[0], HiddenDim: n[1], Layers: n[2], Heads: n[3], KVHeads: n[4], Vocabulary: n[5], Context: n[6], SharedClassifier: n[5] > 0}
	if !c.SharedClassifier {
		c.Vocabulary = -c.Vocabulary
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("not a llama2.c checkpoint: %w", err)
	}
	tensors, want := layout(c)
	if size != want {
		return nil, fmt.Errorf("the llama2.c checkpoint has %d bytes and its head calls for %d; it is cut off or another kind of file", size, want)
	}
	return &Checkpoint{Config: c, tensors: tensors, r: r}, nil
}

func (c Config) check() error {
	for _, f := range []struct {
		name       string
		byteOffset int
		n, most    int
	}{
		{"dim", 0, c.Dim, maxDim}, {"hidden_dim", 4, c.HiddenDim, maxHidden}, {"n_layers", 8, c.Layers, maxLayers},
		{"n_heads", 12, c.Heads, maxHeads}, {"n_kv_heads", 16, c.KVHeads, maxHeads},
		{"vocab_size", 20, c.Vocabulary, maxVocabulary}, {"seq_len", 24, c.Context, maxContext},
	} {
		if f.n < 1 || f.n > f.most {
			return fmt.Errorf("at byte %d, %s is %d, not between 1 and %d", f.byteOffset, f.name, f.n, f.most)
		}
	}
	switch {
	case c.Dim%c.Heads != 0 || c.HeadDim()%2 != 0:
		return fmt.Errorf("dim %d does not split into %d heads of even length", c.Dim, c.Heads)
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("n_heads %d is no multiple of n_kv_heads %d", c.Heads, c.KVHeads)
	}
	return nil
}

// layout lists the tensors in GGUF's order and gives the file's size in bytes.
func layout(c Config) ([]tensor, int64) {
	dim, hidden, layers := uint64(c.Dim), uint64(c.HiddenDim), uint64(c.Layers)
	kv := uint64(c.KVHeads * c.HeadDim())
	offset := int64(headBytes)
	place := func(shape ...uint64) int64 {
		at := offset
		n := uint64(4)
		for _, d := range shape {
			n *= d
		}
		offset += int64(n) // at most 2^46 a matrix, by the limits above
		return at
	}
	embedding := place(dim, uint64(c.Vocabulary))
	perLayer := []struct {
		name  string
		shape []uint64
	}{
		{"attn_norm", []uint64{dim}},
		{"attn_q", []uint64{dim, dim}},
		{"attn_k", []uint64{dim, kv}},
		{"attn_v", []uint64{dim, kv}},
		{"attn_output", []uint64{dim, dim}},
		{"ffn_norm", []uint64{dim}},
		{"ffn_gate", []uint64{dim, hidden}}, // w1
		{"ffn_down", []uint64{hidden, dim}}, // w2
		{"ffn_up", []uint64{dim, hidden}},   // w3
	}
	starts := make([]int64, len(perLayer))
	for i, p := range perLayer {
		starts[i] = place(append([]uint64{layers}, p.shape...)...)
	}
	norm := place(dim)
	place(uint64(c.Context), uint64(c.HeadDim())) // tables of the rotary embedding; the engine has its own
	out := []tensor{{"token_embd.weight", []uint64{dim, uint64(c.Vocabulary)}, embedding}}
	for l := range c.Layers {
		for i, p := range perLayer {
			size := int64(4)
			for _, d := range p.shape {
				size *= int64(d)
			}
			out = append(out, tensor{fmt.Sprintf("blk.%d.%s.weight", l, p.name), p.shape, starts[i] + int64(l)*size})
		}
	}
	out = append(out, tensor{"output_norm.weight", []uint64{dim}, norm})
	if !c.SharedClassifier {
		out = append(out, tensor{"output.weight", []uint64{dim, uint64(c.Vocabulary)}, place(dim, uint64(c.Vocabulary))})
	}
	return out, offset
}
