package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rxedge/inference/gguf"
)

// Token types of tokenizer.ggml.token_type, llama.cpp's enum llama_token_type.
const (
	tokenNormal  int32 = 1
	tokenUnknown int32 = 2
	tokenControl int32 = 3
	tokenUser    int32 = 4
	tokenUnused  int32 = 5
	tokenByte    int32 = 6
)

// vocabulary is a tokenizer as GGUF keeps it.
type vocabulary struct {
	model  string // gpt2: byte-level BPE; llama: SentencePiece with byte pieces
	pre    string // how gpt2 cuts a text before merging
	tokens []string
	types  []int32
	scores []float32 // of llama
	merges []string  // of gpt2

	spacePrefix    bool
	addBOS, addEOS bool
	special        []specialToken
	template       string
	templates      map[string]string // others, by name
}

type specialToken struct {
	key string // before _token_id
	id  int
}

// tokenizerFile is tokenizer.json.
type tokenizerFile struct {
	AddedTokens []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer    *stage `json:"normalizer"`
	PreTokenizer  *stage `json:"pre_tokenizer"`
	PostProcessor *stage `json:"post_processor"`
	Model         struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       []merge         `json:"merges"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
		UnkToken     *string         `json:"unk_token"`
		Prefix       string          `json:"continuing_subword_prefix"`
		Suffix       string          `json:"end_of_word_suffix"`
	} `json:"model"`
}

// stage is one step of the tokenizer, or a sequence of them.
type stage struct {
	Type           string            `json:"type"`
	Normalizers    []stage           `json:"normalizers"`
	Pretokenizers  []stage           `json:"pretokenizers"`
	Processors     []stage           `json:"processors"`
	Pattern        map[string]string `json:"pattern"`
	Behavior       string            `json:"behavior"`
	Content        string            `json:"content"`
	Prepend        string            `json:"prepend"`
	AddPrefixSpace *bool             `json:"add_prefix_space"`
	PrependScheme  string            `json:"prepend_scheme"`
	UseRegex       *bool             `json:"use_regex"`
	Individual     bool              `json:"individual_digits"`
	Single         []struct {
		SpecialToken *struct {
			ID string `json:"id"`
		} `json:"SpecialToken"`
	} `json:"single"`
}

// flat is the steps one after the other.
func (s *stage) flat() []stage {
	if s == nil {
		return nil
	}
	if s.Type != "Sequence" {
		return []stage{*s}
	}
	var out []stage
	for _, list := range [][]stage{s.Normalizers, s.Pretokenizers, s.Processors} {
		for i := range list {
			out = append(out, list[i].flat()...)
		}
	}
	return out
}

// merge is two pieces that become one, written "a b" or ["a", "b"].
type merge [2]string

func (m *merge) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var parts []string
		if err := json.Unmarshal(b, &parts); err != nil {
			return err
		}
		if len(parts) != 2 {
			return fmt.Errorf("a merge of %d pieces", len(parts))
		}
		m[0], m[1] = parts[0], parts[1]
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	left, right, ok := strings.Cut(s, " ")
	if !ok || strings.Contains(right, " ") {
		return fmt.Errorf("the merge %.80q is not two pieces", s)
	}
	m[0], m[1] = left, right
	return nil
}

// readVocabulary reads the tokenizer of the folder for a model of n tokens.
func readVocabulary(dir string, n int, config *settings) (*vocabulary, error) {
	b, err := readLimited(filepath.Join(dir, "tokenizer.json"), tokenizerLimit)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("%s has no tokenizer.json (the tokenizers' fast form); fetch it too, or make it with transformers' AutoTokenizer.save_pretrained", dir)
	}
	v, f, err := parseVocabulary(b, n)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return v, v.readExtras(dir, f, config)
}

func parseVocabulary(b []byte, n int) (*vocabulary, *tokenizerFile, error) {
	f := &tokenizerFile{}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, nil, fmt.Errorf("can't be read: %w", err)
	}
	if f.Model.Type != "BPE" && (f.Model.Type != "" || len(f.Model.Merges) == 0) {
		return nil, nil, fmt.Errorf("model.type is %q, which is not supported (BPE is)", f.Model.Type)
	}
	for key, value := range map[string]string{"continuing_subword_prefix": f.Model.Prefix, "end_of_word_suffix": f.Model.Suffix} {
		if value != "" {
			return nil, nil, fmt.Errorf("model.%s is %q, which is not supported (none is)", key, value)
		}
	}
	var pieces map[string]int
	if err := json.Unmarshal(f.Model.Vocab, &pieces); err != nil {
		return nil, nil, fmt.Errorf("model.vocab can't be read: %w", err)
	}
	v := &vocabulary{tokens: make([]string, n), types: make([]int32, n)}
	put := func(id int, text string, kind int32) error {
		if id < 0 || id >= n {
			return fmt.Errorf("the token %.80q has the id %d, and the model has %d tokens (vocab_size)", text, id, n)
		}
		v.tokens[id], v.types[id] = text, kind
		return nil
	}
	for text, id := range pieces {
		if id >= 0 && id < n && v.types[id] != 0 {
			return nil, nil, fmt.Errorf("the id %d belongs to %.80q and to %.80q", id, v.tokens[id], text)
		}
		if err := put(id, text, tokenNormal); err != nil {
			return nil, nil, err
		}
	}
	if err := v.kind(f); err != nil {
		return nil, nil, err
	}
	if v.model == "llama" {
		if bytes := v.rank(f, pieces); bytes != 256 {
			return nil, nil, fmt.Errorf("model.vocab has %d of the 256 byte pieces <0x00> to <0xFF>", bytes)
		}
	} else {
		for _, m := range f.Model.Merges {
			// A space inside a piece would part it again when the merges are read.
			v.merges = append(v.merges, strings.ReplaceAll(m[0], " ", "Ġ")+" "+strings.ReplaceAll(m[1], " ", "Ġ"))
		}
	}
	for _, t := range f.AddedTokens {
		kind, text := tokenUser, t.Content
		switch {
		case f.Model.UnkToken != nil && text == *f.Model.UnkToken && v.model == "llama":
			kind = tokenUnknown
		case t.Special || looksSpecial(text):
			kind = tokenControl
		default:
			text = strings.ReplaceAll(text, "▁", " ")
		}
		if err := put(t.ID, text, kind); err != nil {
			return nil, nil, err
		}
	}
	for id := range v.tokens {
		if v.types[id] == 0 {
			v.tokens[id], v.types[id] = fmt.Sprintf("[PAD%d]", id), tokenUnused
		}
		if v.tokens[id] == "" {
			return nil, nil, fmt.Errorf("the token %d is empty", id)
		}
	}
	return v, f, nil
}

// looksSpecial: some models do not mark all of their control tokens.
func looksSpecial(s string) bool {
	return s == "<pad>" || s == "<mask>" || s == "<2mass>" || s == "[@BOS@]" ||
		strings.HasPrefix(s, "<|") && strings.HasSuffix(s, "|>") ||
		strings.HasPrefix(s, "<｜") && strings.HasSuffix(s, "｜>") ||
		strings.HasPrefix(s, "<unused") && strings.HasSuffix(s, ">")
}

// The expressions by which byte-level tokenizers cut a text, and llama.cpp's
// names for them (llama-vocab.cpp, the comments "original regex").
const (
	cutLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	cutQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	cutTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	cutGPT4o  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// kind finds out how the tokenizer treats a text before it merges.
func (v *vocabulary) kind(f *tokenizerFile) error {
	byteLevel, digits, cut := false, false, ""
	wholeCut := true // ByteLevel's own expression is in use
	replaced, metaspace := false, false
	for _, s := range f.Normalizer.flat() {
		switch s.Type {
		case "NFC": // llama.cpp reads the text as it comes; most text is NFC
		case "Prepend":
			if s.Prepend != "▁" {
				return fmt.Errorf("normalizer Prepend has %q, which is not supported (▁ is)", s.Prepend)
			}
			v.spacePrefix = true
		case "Replace":
			if s.Pattern["String"] != " " || s.Content != "▁" {
				return fmt.Errorf("normalizer Replace turns %v into %q, which is not supported (a space into ▁ is)", s.Pattern, s.Content)
			}
			replaced = true
		default:
			return fmt.Errorf("normalizer.type is %q, which is not supported (NFC, Prepend and Replace are)", s.Type)
		}
	}
	for _, s := range f.PreTokenizer.flat() {
		switch s.Type {
		case "ByteLevel":
			byteLevel = true
			wholeCut = s.UseRegex == nil || *s.UseRegex
			if s.AddPrefixSpace != nil && *s.AddPrefixSpace {
				return errors.New("pre_tokenizer ByteLevel has add_prefix_space true, which is not supported (false is)")
			}
		case "Split":
			if cut != "" || s.Pattern["Regex"] == "" && s.Pattern["String"] != " " {
				return fmt.Errorf("pre_tokenizer splits at %v, which is not supported", s.Pattern)
			}
			cut = s.Pattern["Regex"] // splitting at spaces: there are none, see Replace
		case "Digits":
			digits = s.Individual
			if !digits {
				return errors.New("pre_tokenizer Digits has individual_digits false, which is not supported (true is)")
			}
		case "Metaspace":
			metaspace = true
			switch {
			case s.PrependScheme == "never":
			case s.PrependScheme != "", s.AddPrefixSpace == nil || *s.AddPrefixSpace:
				v.spacePrefix = true
			}
		default:
			return fmt.Errorf("pre_tokenizer.type is %q, which is not supported", s.Type)
		}
	}
	switch {
	case byteLevel && (replaced || metaspace):
		return errors.New("pre_tokenizer: byte-level, and with ▁ for spaces, which is not supported")
	case !byteLevel && (replaced || metaspace):
		if !f.Model.ByteFallback {
			return errors.New("model.byte_fallback is false, which is not supported in a tokenizer of SentencePiece's kind (true is)")
		}
		if cut != "" {
			return fmt.Errorf("pre_tokenizer splits at %q, which is not supported in a tokenizer of SentencePiece's kind", cut)
		}
		v.model, v.pre = "llama", "default"
		return nil
	case !byteLevel:
		return errors.New("pre_tokenizer is neither ByteLevel nor Metaspace, which is not supported")
	}
	v.model = "gpt2"
	switch {
	case wholeCut && cut == "" && digits:
		v.pre = "smollm"
	case wholeCut && cut == "":
		v.pre = "gpt-2"
	case wholeCut || digits: // two expressions
	case cut == cutLlama3 && f.Model.IgnoreMerges:
		v.pre = "llama-bpe"
	case cut == cutLlama3:
		v.pre = "dbrx"
	case cut == cutQwen2:
		v.pre = "qwen2"
	case cut == cutTekken:
		v.pre = "tekken"
	case cut == cutGPT4o:
		v.pre = "gpt-4o"
	}
	if v.pre == "" {
		return fmt.Errorf("pre_tokenizer splits by %.300q, which llama.cpp has no name for", cut)
	}
	return nil
}

var bytePiece = regexp.MustCompile(`^<0x[0-9A-F]{2}>$`)

// rank gives SentencePiece's pieces their scores: that of the merge that makes
// them, the earliest best. In a tokenizer.json the merges are sorted by the
// scores that the pieces had, so the order comes out as it was.
//
// It returns how many pieces stand for single bytes.
func (v *vocabulary) rank(f *tokenizerFile, pieces map[string]int) (bytes int) {
	v.scores = make([]float32, len(v.tokens))
	for id, text := range v.tokens {
		// What no merge makes is taken last.
		v.scores[id] = -1e6 - float32(len(f.Model.Merges))
		if bytePiece.MatchString(text) {
			v.types[id], v.scores[id] = tokenByte, 0
			bytes++
		}
	}
	ranked := make(map[string]bool)
	for i, m := range f.Model.Merges {
		text := m[0] + m[1]
		if id, ok := pieces[text]; ok && !ranked[text] {
			ranked[text] = true
			v.scores[id] = -float32(i)
		}
	}
	return bytes
}

// id finds a token by its text.
func (v *vocabulary) id(text string) int { return slices.Index(v.tokens, text) }

// metadata adds the tokenizer's keys.
func (v *vocabulary) metadata(g *gguf.Metadata) {
	g.Set("tokenizer.ggml.model", v.model)
	g.Set("tokenizer.ggml.pre", v.pre)
	g.Set("tokenizer.ggml.tokens", v.tokens)
	if v.model == "llama" {
		g.Set("tokenizer.ggml.scores", v.scores)
	}
	g.Set("tokenizer.ggml.token_type", v.types)
	if v.model == "gpt2" {
		g.Set("tokenizer.ggml.merges", v.merges)
	}
	for _, s := range v.special {
		g.Set("tokenizer.ggml."+s.key+"_token_id", uint32(s.id))
	}
	g.Set("tokenizer.ggml.add_bos_token", v.addBOS)
	g.Set("tokenizer.ggml.add_eos_token", v.addEOS)
	if v.model == "llama" {
		g.Set("tokenizer.ggml.add_space_prefix", v.spacePrefix)
	}
	if v.template != "" {
		g.Set("tokenizer.chat_template", v.template)
	}
	var names []string
	for name := range v.templates {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		g.Set("tokenizer.chat_template."+name, v.templates[name])
	}
	if len(names) > 0 {
		g.Set("tokenizer.chat_templates", names)
	}
}
