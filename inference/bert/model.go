package bert

import (
	"errors"
	"fmt"
	"slices"

	"rxedge/inference"
	"rxedge/inference/gguf"
	"rxedge/inference/wordpiece"
)

// Model is what a GGUF that Convert wrote says of itself, with its tokenizer.
// It never changes and is safe for concurrent use.
type Model struct {
	Kind      Kind
	Pooling   Pooling  // of an encoder
	Labels    []string // of a classifier, by logit
	MaxTokens int      // longest input, special tokens included

	words   *wordpiece.Tokenizer // of BERT
	pieces  *bpe                 // of RoBERTa
	cls     int
	sep     int
	segment int // added to ids of the second text
}

// Open reads the head of a GGUF file.
func Open(path string) (*Model, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := FromGGUF(&f.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// KindOf says what a GGUF of the BERT family does, "" where it is of another
// family, or classifies in a way that is of no use here. It reads the labels
// alone, so that it is quick.
func KindOf(m *gguf.Metadata) Kind {
	if arch, _ := m.Text("general.architecture"); arch != "bert" {
		return ""
	}
	pooling, _ := m.Uint("bert.pooling_type")
	if pooling != uint64(poolingNumbers[rank]) {
		return Encoder
	}
	switch labels, _ := m.Texts(keyLabels); len(labels) {
	case 0, 1: // without labels the engine takes one
		return Reranker
	case 3:
		if _, err := entailOrder(labels); err == nil {
			return Entailer
		}
	}
	return ""
}

// FromGGUF reads the metadata of a model.
func FromGGUF(m *gguf.Metadata) (*Model, error) {
	out := &Model{Kind: KindOf(m)}
	if out.Kind == "" {
		arch, _ := m.Text("general.architecture")
		labels, _ := m.Texts(keyLabels)
		return nil, fmt.Errorf("an architecture %.80q with the labels %.200q is neither an encoder nor a cross-encoder nor an entailment model of the BERT family", arch, labels)
	}
	length, _ := m.Uint("bert.context_length")
	if length < 4 || length > 1<<20 {
		return nil, fmt.Errorf("bert.context_length is %d", length)
	}
	out.MaxTokens = int(length)
	if out.Kind == Encoder {
		number, _ := m.Uint("bert.pooling_type")
		for _, p := range []Pooling{Mean, CLS} {
			if uint64(poolingNumbers[p]) == number {
				out.Pooling = p
			}
		}
	} else {
		labels, _ := m.Texts(keyLabels)
		out.Labels = slices.Clone(labels)
		if len(labels) == 0 {
			out.Labels = []string{"LABEL_0"}
		}
	}
	tokens, _ := m.Texts("tokenizer.ggml.tokens")
	var types []int32
	if v, ok := m.Get("tokenizer.ggml.token_type"); ok {
		types, _ = v.([]int32)
	}
	if len(types) != len(tokens) {
		return nil, fmt.Errorf("tokenizer.ggml.token_type has %d entries, and there are %d tokens", len(types), len(tokens))
	}
	if n, ok := m.Uint(keySecondSegment); ok {
		if n == 0 || 2*n != uint64(len(tokens)) {
			return nil, fmt.Errorf("%s is %d, and there are %d tokens", keySecondSegment, n, len(tokens))
		}
		out.segment = int(n)
		tokens, types = tokens[:n], types[:n]
	} else if kinds, _ := m.Uint("tokenizer.ggml.token_type_count"); kinds > 1 && out.Kind != Encoder {
		return nil, errors.New("the model tells two texts apart by segments, which llama.cpp ignores; convert it again from its safetensors with rxedge, which mends that")
	}
	switch kind, _ := m.Text("tokenizer.ggml.model"); kind {
	case "bert":
		return out, out.readWordPiece(m, tokens, types)
	case "gpt2":
		return out, out.readBPE(m, tokens, types)
	default:
		return nil, fmt.Errorf("tokenizer.ggml.model is %.80q; bert and gpt2 are read", kind)
	}
}

func (m *Model) readWordPiece(meta *gguf.Metadata, tokens []string, types []int32) error {
	var own gguf.Metadata // of the first segment alone
	own.Set("tokenizer.ggml.model", "bert")
	own.Set("tokenizer.ggml.tokens", tokens)
	own.Set("tokenizer.ggml.token_type", types)
	if lower, ok := meta.Bool("tokenizer.ggml.normalizer.lowercase"); ok {
		own.Set("tokenizer.ggml.normalizer.lowercase", lower)
	}
	var err error
	if m.words, err = wordpiece.FromGGUF(&own); err != nil {
		return err
	}
	ends, err := m.words.Input("", 2)
	if err == nil {
		m.cls, m.sep = ends[0], ends[1]
	}
	return err
}

func (m *Model) readBPE(meta *gguf.Metadata, tokens []string, types []int32) error {
	v := &vocabulary{roberta: true, tokens: tokens, types: types}
	if pre, _ := meta.Text("tokenizer.ggml.pre"); pre != "roberta-bpe" {
		return fmt.Errorf("tokenizer.ggml.pre is %.80q and not roberta-bpe", pre)
	}
	v.merges, _ = meta.Texts("tokenizer.ggml.merges")
	v.prefixSpace, _ = meta.Bool("tokenizer.ggml.add_space_prefix")
	v.maskTakesLeft, _ = meta.Bool(keyMaskTakesLeft)
	for i, name := range robertaSpecial {
		if v.special[i] = slices.Index(tokens, name); v.special[i] < 0 && i < 2 {
			return fmt.Errorf("the vocabulary has no %s", name)
		}
	}
	m.cls, m.sep = v.special[0], v.special[1]
	var err error
	m.pieces, err = v.bpe()
	return err
}

// Encode returns the ids of text, without special tokens around it. Nothing is
// cut off.
func (m *Model) Encode(text string) []int {
	if m.pieces != nil {
		return m.pieces.encode(nil, text)
	}
	return m.words.Encode(text)
}

// Count is the number of tokens of text, without special tokens around it.
func (m *Model) Count(text string) int {
	if m.pieces != nil {
		return len(m.Encode(text))
	}
	return m.words.Count(text)
}

// Input returns what an encoder reads of a text. More than limit tokens are an
// *inference.ContextError.
func (m *Model) Input(text string, limit int) ([]int, error) {
	return m.within(m.single(m.Encode(text)), limit)
}

func (m *Model) single(text []int) []int {
	ids := append(make([]int, 0, len(text)+2), m.cls)
	ids = append(ids, text...)
	return append(ids, m.sep)
}

// Pair returns what a classifier reads of two texts: [CLS] a [SEP] b [SEP] or
// <s> a </s></s> b </s>. More than limit tokens are an *inference.ContextError.
func (m *Model) Pair(a, b string, limit int) ([]int, error) {
	return m.pair(m.Encode(a), b, limit)
}

// pair is Pair where the first text's ids are known.
func (m *Model) pair(a []int, b string, limit int) ([]int, error) {
	second := m.Encode(b)
	ids := append(make([]int, 0, len(a)+len(second)+4), m.cls)
	ids = append(ids, a...)
	ids = append(ids, m.sep)
	if m.pieces != nil {
		ids = append(ids, m.sep)
	}
	for _, id := range second {
		ids = append(ids, id+m.segment)
	}
	return m.within(append(ids, m.sep+m.segment), limit)
}

func (m *Model) within(ids []int, limit int) ([]int, error) {
	if limit = min(limit, m.MaxTokens); len(ids) > limit {
		return nil, &inference.ContextError{Tokens: len(ids), Limit: limit}
	}
	return ids, nil
}
