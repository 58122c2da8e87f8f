package wordpiece

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"rxedge/inference/gguf"
)

const (
	maxFileBytes  = 64 << 20 // tokenizer.json of the largest BERT vocabularies: 10 MiB
	maxPieceBytes = 4 << 10
)

var errNoVocabulary = errors.New("it holds no vocabulary")

// Open reads a vocabulary from a file: a tokenizer.json, a vocab.txt or a GGUF,
// told apart by their content. The error names the file.
func Open(path string) (*Tokenizer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var t *Tokenizer
	head, _ := r.Peek(4)
	switch {
	case string(head) == "GGUF":
		g, err := gguf.Open(path)
		if err != nil {
			return nil, err
		}
		defer g.Close()
		t, err = FromGGUF(&g.Metadata)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	case len(head) > 0 && head[0] == '{':
		t, err = ReadJSON(r)
	default:
		t, err = ReadVocabulary(r, Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// ReadVocabulary reads a vocab.txt: one piece a line, its id the number of the
// line, from 0.
func ReadVocabulary(r io.Reader, o Options) (*Tokenizer, error) {
	s := bufio.NewScanner(io.LimitReader(r, maxFileBytes))
	s.Buffer(make([]byte, 0, 4096), maxPieceBytes)
	var vocabulary []string
	for s.Scan() {
		vocabulary = append(vocabulary, s.Text())
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("vocabulary, line %d: %w", len(vocabulary)+1, err)
	}
	if len(vocabulary) == 0 {
		return nil, errNoVocabulary
	}
	return New(vocabulary, o)
}

// tokenizerJSON is the part of Hugging Face's tokenizer.json that a BERT needs.
type tokenizerJSON struct {
	AddedTokens []struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
	} `json:"added_tokens"`
	Normalizer struct {
		Type         string `json:"type"`
		CleanText    *bool  `json:"clean_text"`
		CJK          *bool  `json:"handle_chinese_chars"`
		StripAccents *bool  `json:"strip_accents"`
		Lowercase    bool   `json:"lowercase"`
	} `json:"normalizer"`
	PreTokenizer struct {
		Type string `json:"type"`
	} `json:"pre_tokenizer"`
	Model struct {
		Type    string         `json:"type"`
		Unknown string         `json:"unk_token"`
		Prefix  string         `json:"continuing_subword_prefix"`
		MaxWord int            `json:"max_input_chars_per_word"`
		Vocab   map[string]int `json:"vocab"`
	} `json:"model"`
}

// ReadJSON reads a tokenizer.json of a BERT. What this package would not do
// exactly as the file says is an error.
func ReadJSON(r io.Reader) (*Tokenizer, error) {
	var f tokenizerJSON
	if err := json.NewDecoder(io.LimitReader(r, maxFileBytes)).Decode(&f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	no := func(b *bool) bool { return b != nil && !*b }
	n := f.Normalizer
	switch {
	case f.Model.Type != "" && f.Model.Type != "WordPiece":
		return nil, fmt.Errorf("tokenizer.json: the model is %q and only WordPiece is read", f.Model.Type)
	case len(f.Model.Vocab) == 0:
		return nil, fmt.Errorf("tokenizer.json: model.vocab: %w", errNoVocabulary)
	case n.Type != "BertNormalizer" || f.PreTokenizer.Type != "BertPreTokenizer":
		return nil, fmt.Errorf("tokenizer.json: normalizer %q with pre_tokenizer %q; only BertNormalizer with BertPreTokenizer is read", n.Type, f.PreTokenizer.Type)
	case no(n.CleanText) || no(n.CJK) || n.StripAccents != nil && *n.StripAccents != n.Lowercase:
		return nil, fmt.Errorf("tokenizer.json: normalizer: clean_text, handle_chinese_chars and strip_accents must be BERT's own")
	case f.Model.Unknown != "[UNK]" || f.Model.Prefix != "##":
		return nil, fmt.Errorf("tokenizer.json: model: unk_token %q and continuing_subword_prefix %q; only [UNK] and ## are read", f.Model.Unknown, f.Model.Prefix)
	case f.Model.MaxWord < 0:
		return nil, fmt.Errorf("tokenizer.json: model: max_input_chars_per_word is %d", f.Model.MaxWord)
	}
	vocabulary := make([]string, len(f.Model.Vocab))
	taken := make([]bool, len(vocabulary))
	for piece, id := range f.Model.Vocab {
		if id < 0 || id >= len(vocabulary) || taken[id] {
			return nil, fmt.Errorf("tokenizer.json: model.vocab: %q has the id %d, which is taken or not below %d", piece, id, len(vocabulary))
		}
		vocabulary[id], taken[id] = piece, true
	}
	o := Options{Cased: !n.Lowercase, MaxWord: f.Model.MaxWord, Special: []string{}}
	for _, a := range f.AddedTokens {
		if a.SingleWord || a.LStrip || a.RStrip || a.Normalized {
			return nil, fmt.Errorf("tokenizer.json: added token %q: single_word, lstrip, rstrip and normalized are not supported", a.Content)
		}
		if id, ok := f.Model.Vocab[a.Content]; !ok || id != a.ID {
			return nil, fmt.Errorf("tokenizer.json: added token %q: its id %d is not that of the vocabulary", a.Content, a.ID)
		}
		o.Special = append(o.Special, a.Content)
	}
	return New(vocabulary, o)
}

// controlToken is LLAMA_TOKEN_TYPE_CONTROL.
const controlToken = 3

// FromGGUF takes the vocabulary out of a BERT model's metadata. llama.cpp keeps
// it with a mark before pieces that begin a word ("▁take") and nothing before
// those that go on; this turns it back.
func FromGGUF(m *gguf.Metadata) (*Tokenizer, error) {
	if model, _ := m.Text("tokenizer.ggml.model"); model != "bert" {
		return nil, fmt.Errorf("tokenizer.ggml.model is %q and not bert", model)
	}
	tokens, _ := m.Texts("tokenizer.ggml.tokens")
	if len(tokens) == 0 {
		return nil, fmt.Errorf("tokenizer.ggml.tokens: %w", errNoVocabulary)
	}
	v, _ := m.Get("tokenizer.ggml.token_type")
	types, _ := v.([]int32)
	vocabulary := make([]string, len(tokens))
	for i, token := range tokens {
		word, begins := strings.CutPrefix(token, "▁")
		switch {
		case begins:
			vocabulary[i] = word
		case i < len(types) && types[i] == controlToken, isBracketed(token):
			vocabulary[i] = token
		default:
			vocabulary[i] = "##" + token
		}
	}
	o := Options{}
	if lower, ok := m.Bool("tokenizer.ggml.normalizer.lowercase"); ok {
		o.Cased = !lower
	}
	return New(vocabulary, o)
}

func isBracketed(s string) bool {
	return len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']'
}
