package bert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/wordpiece"
)

// Token types of tokenizer.ggml.token_type, llama.cpp's enum llama_token_type.
const (
	tokenNormal  int32 = 1
	tokenControl int32 = 3
	tokenUnused  int32 = 5
)

const (
	keySecondSegment = "rxedge.second_segment"
	keyMaskTakesLeft = "rxedge.mask_takes_space"
	keyLabels        = "bert.classifier.output_labels"
)

// Names of the special tokens, in the order of specialKeys.
var (
	bertSpecial    = [...]string{"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"}
	robertaSpecial = [...]string{"<s>", "</s>", "<pad>", "<unk>", "<mask>"}
	specialKeys    = [...]string{"bos", "seperator", "padding", "unknown", "mask"} // sic
)

// vocabulary is a tokenizer as GGUF keeps it.
type vocabulary struct {
	roberta bool
	tokens  []string
	types   []int32
	special [5]int // ids by specialKeys; −1: none
	// of BERT
	lowercase bool
	// of RoBERTa
	merges        []string
	prefixSpace   bool
	maskTakesLeft bool
}

// tokenizerJSON is the part of tokenizer.json that is read here. Of a WordPiece
// the rest is checked by the package wordpiece.
type tokenizerJSON struct {
	AddedTokens []struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
	} `json:"added_tokens"`
	Normalizer *struct {
		Type      string `json:"type"`
		Lowercase bool   `json:"lowercase"`
	} `json:"normalizer"`
	PreTokenizer *struct {
		Type        string `json:"type"`
		PrefixSpace *bool  `json:"add_prefix_space"`
		UseRegex    *bool  `json:"use_regex"`
	} `json:"pre_tokenizer"`
	PostProcessor *postProcessor `json:"post_processor"`
	Model         struct {
		Type         string           `json:"type"`
		Vocab        map[string]int32 `json:"vocab"`
		Merges       []merge          `json:"merges"`
		MaxWord      int              `json:"max_input_chars_per_word"`
		Prefix       string           `json:"continuing_subword_prefix"`
		Suffix       string           `json:"end_of_word_suffix"`
		ByteFallback bool             `json:"byte_fallback"`
		IgnoreMerges bool             `json:"ignore_merges"`
		Dropout      *float64         `json:"dropout"`
	} `json:"model"`
}

// postProcessor puts the special tokens around texts.
type postProcessor struct {
	Type string          `json:"type"`
	CLS  json.RawMessage `json:"cls"` // ["<s>", 0]
	SEP  json.RawMessage `json:"sep"`
	Pair []struct {
		Special *struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		} `json:"SpecialToken"`
		Sequence *struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		} `json:"Sequence"`
	} `json:"pair"`
}

// merge is two pieces that become one, written "a b" or ["a", "b"].
type merge string

func (m *merge) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var parts []string
		if err := json.Unmarshal(b, &parts); err != nil {
			return err
		}
		if len(parts) != 2 {
			return fmt.Errorf("a merge of %d pieces", len(parts))
		}
		*m = merge(parts[0] + " " + parts[1])
		return nil
	}
	return json.Unmarshal(b, (*string)(m))
}

// readVocabulary reads the tokenizer of a folder for a model of n tokens.
func readVocabulary(dir string, c *config) (*vocabulary, error) {
	b, err := readLimited(filepath.Join(dir, "tokenizer.json"), tokenizerLimit)
	if err != nil {
		return nil, err
	}
	var v *vocabulary
	switch {
	case b != nil && c.roberta:
		v, err = parseBPE(b, c.vocabulary)
	case b != nil:
		v, err = parseWordPiece(b, c.vocabulary)
	case c.roberta:
		return nil, fmt.Errorf("%s has no tokenizer.json; fetch it too, or make it with transformers' AutoTokenizer.save_pretrained", dir)
	default:
		return readVocabTxt(dir, c.vocabulary)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return v, nil
}

// put places pieces by their ids. Rows of the model that no piece has are
// allowed: some models are padded to a round number.
func (v *vocabulary) put(pieces map[string]int32, n int) error {
	v.tokens, v.types = make([]string, n), make([]int32, n)
	for text, id := range pieces {
		if id < 0 || int(id) >= n {
			return fmt.Errorf("model.vocab: %.80q has the id %d, and the model has %d tokens (vocab_size)", text, id, n)
		}
		if v.types[id] != 0 {
			return fmt.Errorf("model.vocab: the id %d belongs to %.80q and to %.80q", id, v.tokens[id], text)
		}
		if text == "" {
			return fmt.Errorf("model.vocab: the token %d is empty", id)
		}
		v.tokens[id], v.types[id] = text, tokenNormal
	}
	return nil
}

// finish marks the special tokens, fills gaps and makes sure of what the engine
// ends itself for otherwise: no token comes twice.
func (v *vocabulary) finish(names [5]string) error {
	for i, name := range names {
		v.special[i] = slices.Index(v.tokens, name)
		if v.special[i] >= 0 {
			v.types[v.special[i]] = tokenControl
		} else if i < 2 {
			return fmt.Errorf("the vocabulary has no %s", name)
		}
	}
	for id := range v.tokens {
		if v.types[id] == 0 {
			v.tokens[id], v.types[id] = fmt.Sprintf("[no token %d]", id), tokenUnused
		} else if !v.roberta {
			v.tokens[id] = phantom(v.tokens[id])
		}
	}
	seen := make(map[string]int, len(v.tokens))
	for id, text := range v.tokens {
		if was, twice := seen[text]; twice {
			return fmt.Errorf("the tokens %d and %d, %.80q, are the same to llama.cpp", was, id, text)
		}
		seen[text] = id
	}
	return nil
}

// phantom is how llama.cpp keeps a WordPiece: a mark before pieces that begin a
// word, nothing before those that go on, and [names] as they are.
func phantom(piece string) string {
	if rest, ok := strings.CutPrefix(piece, "##"); ok && rest != "" {
		return rest
	}
	if len(piece) > 2 && piece[0] == '[' && piece[len(piece)-1] == ']' {
		return piece
	}
	return "▁" + piece
}

// parseWordPiece reads the tokenizer.json of a BERT.
func parseWordPiece(b []byte, n int) (*vocabulary, error) {
	if _, err := wordpiece.ReadJSON(bytes.NewReader(b)); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tokenizer.json: "))
	}
	var f tokenizerJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("it can't be read: %w", err)
	}
	// What a GGUF has no word for must be as wordpiece.FromGGUF takes it.
	if f.Model.MaxWord != 0 && f.Model.MaxWord != 100 {
		return nil, fmt.Errorf("model.max_input_chars_per_word is %d, which is not supported (100 is)", f.Model.MaxWord)
	}
	for _, a := range f.AddedTokens {
		if !slices.Contains(bertSpecial[:], a.Content) {
			return nil, fmt.Errorf("the added token %.80q is not supported (%s are)", a.Content, strings.Join(bertSpecial[:], ", "))
		}
	}
	if err := f.PostProcessor.check("BertProcessing", "[CLS]0 A0 [SEP]0 B1 [SEP]1"); err != nil {
		return nil, err
	}
	v := &vocabulary{lowercase: f.Normalizer != nil && f.Normalizer.Lowercase}
	if err := v.put(f.Model.Vocab, n); err != nil {
		return nil, err
	}
	return v, v.finish(bertSpecial)
}

// readVocabTxt reads vocab.txt, a piece a line, and what goes with it.
func readVocabTxt(dir string, n int) (*vocabulary, error) {
	b, err := readLimited(filepath.Join(dir, "vocab.txt"), tokenizerLimit)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("%s has neither tokenizer.json nor vocab.txt; fetch one of them too", dir)
	}
	settings, err := readLimited(filepath.Join(dir, "tokenizer_config.json"), configLimit)
	if err != nil {
		return nil, err
	}
	v, err := parseVocabTxt(b, settings, n)
	if err != nil {
		return nil, fmt.Errorf("vocab.txt: %w", err)
	}
	return v, nil
}

func parseVocabTxt(b, settings []byte, n int) (*vocabulary, error) {
	lower := true
	var s struct {
		Lower   *bool `json:"do_lower_case"`
		Accents *bool `json:"strip_accents"`
		CJK     *bool `json:"tokenize_chinese_chars"`
	}
	if settings != nil {
		if err := json.Unmarshal(settings, &s); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json can't be read: %w", err)
		}
	}
	if s.Lower != nil {
		lower = *s.Lower
	}
	if s.Accents != nil && *s.Accents != lower || s.CJK != nil && !*s.CJK {
		return nil, errors.New("tokenizer_config.json: strip_accents and tokenize_chinese_chars must be BERT's own")
	}
	if _, err := wordpiece.ReadVocabulary(bytes.NewReader(b), wordpiece.Options{Cased: !lower}); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) > n {
		return nil, fmt.Errorf("it has %d lines, and the model has %d tokens (vocab_size)", len(lines), n)
	}
	pieces := make(map[string]int32, len(lines))
	for id, line := range lines {
		pieces[strings.TrimSuffix(line, "\r")] = int32(id)
	}
	v := &vocabulary{lowercase: lower}
	if err := v.put(pieces, n); err != nil {
		return nil, err
	}
	return v, v.finish(bertSpecial)
}

// parseBPE reads the tokenizer.json of a RoBERTa.
func parseBPE(b []byte, n int) (*vocabulary, error) {
	var f tokenizerJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("it can't be read: %w", err)
	}
	pre := f.PreTokenizer
	switch {
	case f.Model.Type != "BPE" && (f.Model.Type != "" || len(f.Model.Merges) == 0):
		return nil, fmt.Errorf("model.type is %.80q, and that of a RoBERTa is BPE", f.Model.Type)
	case f.Normalizer != nil:
		return nil, fmt.Errorf("normalizer.type is %.80q, which is not supported (none is)", f.Normalizer.Type)
	case pre == nil || pre.Type != "ByteLevel" || pre.UseRegex != nil && !*pre.UseRegex:
		return nil, errors.New("pre_tokenizer is not ByteLevel with its own expression, which alone is supported")
	case f.Model.Prefix != "" || f.Model.Suffix != "" || f.Model.ByteFallback || f.Model.IgnoreMerges:
		return nil, errors.New("model: continuing_subword_prefix, end_of_word_suffix, byte_fallback and ignore_merges must be empty or false")
	case f.Model.Dropout != nil && *f.Model.Dropout > 0:
		return nil, fmt.Errorf("model.dropout is %v, with which a text has no one reading", *f.Model.Dropout)
	}
	if err := f.PostProcessor.check("RobertaProcessing", "<s> A </s> </s> B </s>"); err != nil {
		return nil, err
	}
	v := &vocabulary{roberta: true, prefixSpace: pre.PrefixSpace == nil || *pre.PrefixSpace}
	if err := v.put(f.Model.Vocab, n); err != nil {
		return nil, err
	}
	for _, a := range f.AddedTokens {
		mask := a.Content == robertaSpecial[4]
		switch {
		case !slices.Contains(robertaSpecial[:], a.Content):
			return nil, fmt.Errorf("the added token %.80q is not supported (%s are)", a.Content, strings.Join(robertaSpecial[:], ", "))
		case a.SingleWord || a.RStrip || a.LStrip && !mask:
			return nil, fmt.Errorf("the added token %.80q: single_word, lstrip and rstrip are not supported", a.Content)
		case a.ID < 0 || a.ID >= n || v.types[a.ID] != 0 && v.tokens[a.ID] != a.Content:
			return nil, fmt.Errorf("the added token %.80q has the id %d, which is another's or not below %d", a.Content, a.ID, n)
		}
		v.tokens[a.ID], v.types[a.ID] = a.Content, tokenNormal
		v.maskTakesLeft = v.maskTakesLeft || mask && a.LStrip
	}
	for _, m := range f.Model.Merges {
		v.merges = append(v.merges, string(m))
	}
	if err := v.finish(robertaSpecial); err != nil {
		return nil, err
	}
	_, err := v.bpe()
	return v, err
}

// bpe makes the tokenizer.
func (v *vocabulary) bpe() (*bpe, error) {
	ids := make(map[string]int32, len(v.tokens))
	for id, text := range v.tokens {
		if v.types[id] == tokenNormal || v.types[id] == tokenControl {
			ids[text] = int32(id)
		}
	}
	var special []added
	for i, name := range robertaSpecial {
		if v.special[i] >= 0 {
			special = append(special, added{text: name, id: v.special[i], lstrip: i == 4 && v.maskTakesLeft})
		}
	}
	return newBPE(ids, v.merges, special, v.prefixSpace)
}

// check: the processor must put special tokens around two texts as want says,
// each followed by its segment where there are two; own is the type that does
// so by itself.
func (p *postProcessor) check(own, want string) error {
	if p == nil {
		return nil
	}
	words, segments := strings.Fields(want), strings.HasSuffix(want, "1")
	switch p.Type {
	case own:
		for _, end := range []struct {
			name string
			raw  json.RawMessage
			want string
		}{{"cls", p.CLS, words[0]}, {"sep", p.SEP, words[2]}} {
			var pair []any
			name := strings.TrimSuffix(end.want, "0")
			if json.Unmarshal(end.raw, &pair) != nil || len(pair) != 2 || pair[0] != name {
				return fmt.Errorf("post_processor.%s is %.80s, and %s is expected", end.name, end.raw, name)
			}
		}
		return nil
	case "TemplateProcessing":
		var got []string
		add := func(name string, segment int) {
			if segments {
				name += strconv.Itoa(segment)
			}
			got = append(got, name)
		}
		for _, step := range p.Pair {
			if step.Special != nil {
				add(step.Special.ID, step.Special.TypeID)
			}
			if step.Sequence != nil {
				add(step.Sequence.ID, step.Sequence.TypeID)
			}
		}
		if strings.Join(got, " ") != want {
			return fmt.Errorf("post_processor puts two texts together as %.200q, which is not supported (%q is)", strings.Join(got, " "), want)
		}
		return nil
	}
	return fmt.Errorf("post_processor.type is %.80q, which is not supported (%s and TemplateProcessing are)", p.Type, own)
}

// metadata adds the tokenizer's keys; doubled adds a second segment's tokens.
func (v *vocabulary) metadata(m *gguf.Metadata, segments int, doubled bool) {
	tokens, types := v.tokens, v.types
	if doubled {
		tokens, types = slices.Clone(tokens), slices.Clone(types)
		for id := range v.tokens {
			// No text is read as one of these: brackets part words.
			tokens, types = append(tokens, fmt.Sprintf("[B:%d]", id)), append(types, tokenUnused)
		}
	}
	if v.roberta {
		m.Set("tokenizer.ggml.model", "gpt2")
		m.Set("tokenizer.ggml.pre", "roberta-bpe")
	} else {
		m.Set("tokenizer.ggml.model", "bert")
	}
	m.Set("tokenizer.ggml.tokens", tokens)
	m.Set("tokenizer.ggml.token_type", types)
	m.Set("tokenizer.ggml.token_type_count", uint32(segments))
	for i, key := range specialKeys {
		if v.special[i] >= 0 {
			m.Set("tokenizer.ggml."+key+"_token_id", uint32(v.special[i]))
		}
	}
	if v.roberta {
		m.Set("tokenizer.ggml.eos_token_id", uint32(v.special[1]))
		m.Set("tokenizer.ggml.add_bos_token", true)
		m.Set("tokenizer.ggml.add_eos_token", true)
		m.Set("tokenizer.ggml.add_space_prefix", v.prefixSpace)
		m.Set("tokenizer.ggml.merges", v.merges)
		m.Set(keyMaskTakesLeft, v.maskTakesLeft)
	} else {
		m.Set("tokenizer.ggml.normalizer.lowercase", v.lowercase)
	}
	if doubled {
		m.Set(keySecondSegment, uint32(len(v.tokens)))
	}
}
