package llama2c

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"rxedge/inference/gguf"
)

// Options of a conversion.
type Options struct {
	Name string // general.name; "" leaves it out
	// Type of the matrices: F32 (the zero value), F16, BF16, Q8_0, Q4_0 or
	// Q4_1. Norms stay F32.
	Type gguf.Type
}

// chatTemplate only joins the messages: these are base models, which know no
// turns.
const chatTemplate = `{% for message in messages %}{{ message['content'] }}{% endfor %}`

// general.file_type, llama.cpp's enum llama_ftype.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q4_0: 2, gguf.Q4_1: 3, gguf.Q8_0: 7, gguf.BF16: 32}

// Token types of tokenizer.ggml.token_type, llama.cpp's enum llama_token_type.
const (
	tokenNormal  int32 = 1
	tokenUnknown int32 = 2
	tokenControl int32 = 3
	tokenByte    int32 = 6
)

// Convert writes the model as GGUF with the architecture llama. The same input
// gives the same bytes. It holds a row of weights in memory and no more.
//
// The weights stay as they are: llama2.c rotates neighbouring pairs of a head's
// elements, as ggml does for this architecture (Hugging Face's order is the one
// that needs a permutation).
func Convert(w io.Writer, c *Checkpoint, t *Tokenizer, o Options) error {
	if len(t.Pieces) != c.Config.Vocabulary || len(t.Scores) != len(t.Pieces) {
		return fmt.Errorf("the tokenizer has %d pieces and the model %d", len(t.Pieces), c.Config.Vocabulary)
	}
	tensors := make([]gguf.Tensor, len(c.tensors))
	for i, s := range c.tensors {
		tensors[i] = gguf.Tensor{Name: s.name, Shape: s.shape, Type: gguf.F32}
		if len(s.shape) > 1 {
			tensors[i].Type = o.Type
		}
	}
	m, err := metadata(c.Config, t, o)
	if err != nil {
		return err
	}
	out, err := gguf.NewWriter(w, m, tensors)
	if err != nil {
		return err
	}
	for i, s := range c.tensors {
		err := out.WriteTensorFunc(s.name, func(w io.Writer) error {
			return c.copyTensor(w, s, tensors[i])
		})
		if err != nil {
			return err
		}
	}
	return out.Close()
}

func (c *Checkpoint) copyTensor(w io.Writer, s tensor, as gguf.Tensor) error {
	row := int(s.shape[0])
	raw, floats := make([]byte, 4*row), make([]float32, row)
	var dst []byte
	for i := range int(as.Elements()) / row {
		if _, err := c.r.ReadAt(raw, s.offset+int64(i)*int64(len(raw))); err != nil {
			return err
		}
		for j := range floats {
			floats[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
			if f := float64(floats[j]); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("the weight at byte %d of the checkpoint is %v", s.offset+int64(i)*int64(len(raw))+int64(4*j), f)
			}
		}
		var err error
		if dst, err = gguf.Quantize(dst[:0], floats, as.Type); err != nil {
			return err
		}
		if _, err := w.Write(dst); err != nil {
			return err
		}
	}
	return nil
}

func metadata(c Config, t *Tokenizer, o Options) (*gguf.Metadata, error) {
	fileType, ok := fileTypes[o.Type]
	if !ok {
		return nil, fmt.Errorf("weights can't be written as %s", o.Type)
	}
	var m gguf.Metadata
	m.Set("general.architecture", "llama")
	m.Set("general.type", "model")
	if o.Name != "" {
		m.Set("general.name", o.Name)
	}
	m.Set("general.file_type", fileType)
	m.Set("general.quantization_version", uint32(2))
	m.Set("llama.vocab_size", uint32(c.Vocabulary))
	m.Set("llama.context_length", uint32(c.Context))
	m.Set("llama.embedding_length", uint32(c.Dim))
	m.Set("llama.block_count", uint32(c.Layers))
	m.Set("llama.feed_forward_length", uint32(c.HiddenDim))
	m.Set("llama.attention.head_count", uint32(c.Heads))
	m.Set("llama.attention.head_count_kv", uint32(c.KVHeads))
	m.Set("llama.attention.layer_norm_rms_epsilon", float32(1e-5))
	m.Set("llama.rope.dimension_count", uint32(c.HeadDim()))
	m.Set("llama.rope.freq_base", float32(10000))

	tokens := make([]string, len(t.Pieces))
	types := make([]int32, len(t.Pieces))
	for id, piece := range t.Pieces {
		switch {
		case id == unknownID:
			tokens[id], types[id] = "<unk>", tokenUnknown
		case id == beginID:
			tokens[id], types[id] = "<s>", tokenControl
		case id == endID:
			tokens[id], types[id] = "</s>", tokenControl
		case id < firstByteID+256:
			tokens[id], types[id] = piece, tokenByte
		default:
			tokens[id], types[id] = strings.ReplaceAll(piece, " ", "▁"), tokenNormal
		}
	}
	m.Set("tokenizer.ggml.model", "llama")
	m.Set("tokenizer.ggml.pre", "default")
	m.Set("tokenizer.ggml.tokens", tokens)
	m.Set("tokenizer.ggml.scores", t.Scores)
	m.Set("tokenizer.ggml.token_type", types)
	m.Set("tokenizer.ggml.bos_token_id", uint32(beginID))
	m.Set("tokenizer.ggml.eos_token_id", uint32(endID))
	// These models are trained on texts one after the other with the beginning
	// token between them, so its coming is the end of the text.
	m.Set("tokenizer.ggml.eot_token_id", uint32(beginID))
	m.Set("tokenizer.ggml.unknown_token_id", uint32(unknownID))
	m.Set("tokenizer.ggml.add_bos_token", true)
	m.Set("tokenizer.ggml.add_eos_token", false)
	m.Set("tokenizer.ggml.add_space_prefix", true)
	m.Set("tokenizer.chat_template", chatTemplate)
	return &m, nil
}

// ConvertFiles is Convert for the two files of a model.
func ConvertFiles(w io.Writer, checkpoint, tokenizer string, o Options) error {
	c, err := Open(checkpoint)
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := OpenTokenizer(tokenizer, c.Config.Vocabulary)
	if err != nil {
		return err
	}
	if err := Convert(w, c, t, o); err != nil {
		return fmt.Errorf("%s: %w", checkpoint, err)
	}
	return nil
}
