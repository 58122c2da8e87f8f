// Package wordpiece is the tokenizer of BERT models: clean, lower-case, strip
// accents, cut at white space and punctuation, then take the longest piece of
// the vocabulary again and again. Its ids are those of the Hugging Face
// tokenizers library, special tokens written out in a text ("[SEP]") included.
//
// The categories of characters come from Go's tables and in the reference from
// those of Unicode 8: some marks and punctuation of scripts that were added
// later differ (all 1.1 million code points were compared, 127 ranges differ).
//
// Source: J. Devlin et al., BERT, tokenization.py; tokenizers 0.23
// (normalizers/bert.rs, pre_tokenizers/bert.rs, models/wordpiece).
package wordpiece

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rxedge/inference"
)

// Options of a vocabulary. The zero value is an uncased BERT.
type Options struct {
	// Cased leaves case and accents as they are.
	Cased bool
	// MaxWord is the number of characters above which a word is unknown; 0: 100.
	MaxWord int
	// Special are tokens that are found in the raw text before anything else.
	// nil: those of [PAD], [UNK], [CLS], [SEP] and [MASK] that the vocabulary has.
	Special []string
}

const maxVocabulary = 1 << 22

// Tokenizer turns text into ids. It never changes and is safe for concurrent use.
type Tokenizer struct {
	words     map[string]int32 // pieces that begin a word
	rest      map[string]int32 // pieces that go on, without their ##
	longest   int              // bytes of the longest piece
	special   []special        // longest first
	unknown   int
	cls, sep  int
	cased     bool
	maxWord   int
	vocabSize int
}

type special struct {
	text string
	id   int
}

// New makes a tokenizer of a vocabulary in the order of its ids, in which
// pieces that go on within a word begin with ##. It must hold [UNK], [CLS] and
// [SEP], and nothing twice.
func New(vocabulary []string, o Options) (*Tokenizer, error) {
	if len(vocabulary) > maxVocabulary {
		return nil, fmt.Errorf("the vocabulary has %d entries, more than %d", len(vocabulary), maxVocabulary)
	}
	t := &Tokenizer{
		words: make(map[string]int32, len(vocabulary)), rest: make(map[string]int32, len(vocabulary)/4),
		cased: o.Cased, maxWord: o.MaxWord, vocabSize: len(vocabulary),
	}
	if t.maxWord == 0 {
		t.maxWord = 100
	}
	for id, piece := range vocabulary {
		into, key := t.words, piece
		if after, ok := strings.CutPrefix(piece, "##"); ok && after != "" {
			into, key = t.rest, after
		}
		if was, twice := into[key]; twice {
			return nil, fmt.Errorf("the vocabulary holds %q twice, as %d and %d", piece, was, id)
		}
		into[key] = int32(id)
		t.longest = max(t.longest, len(key))
	}
	for _, need := range []struct {
		token string
		id    *int
	}{{"[UNK]", &t.unknown}, {"[CLS]", &t.cls}, {"[SEP]", &t.sep}} {
		id, ok := t.words[need.token]
		if !ok {
			return nil, fmt.Errorf("the vocabulary of %d entries has no %s: it is no BERT WordPiece vocabulary", len(vocabulary), need.token)
		}
		*need.id = int(id)
	}
	names, strict := o.Special, true
	if names == nil {
		names, strict = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, false
	}
	for _, name := range names {
		id, ok := t.words[name]
		switch {
		case ok && name != "":
			t.special = append(t.special, special{name, int(id)})
		case strict:
			return nil, fmt.Errorf("the special token %q is not in the vocabulary", name)
		}
	}
	sort.SliceStable(t.special, func(i, j int) bool { return len(t.special[i].text) > len(t.special[j].text) })
	return t, nil
}

// Size is the number of ids.
func (t *Tokenizer) Size() int { return t.vocabSize }

// Count is the number of tokens of text, without [CLS] and [SEP].
func (t *Tokenizer) Count(text string) int {
	n := 0
	t.encode(text, func(int) { n++ })
	return n
}

// Encode returns the ids of text, without [CLS] and [SEP]. Nothing is cut off.
// Bytes that are no UTF-8 are left out, as the replacement character is.
func (t *Tokenizer) Encode(text string) []int {
	ids := make([]int, 0, len(text)/4+1)
	t.encode(text, func(id int) { ids = append(ids, id) })
	return ids
}

// Input returns what a model reads: [CLS], the ids of text, [SEP]. More than
// limit of them is an *inference.ContextError and never a shortened list.
func (t *Tokenizer) Input(text string, limit int) ([]int, error) {
	ids := make([]int, 1, len(text)/4+3)
	ids[0] = t.cls
	t.encode(text, func(id int) { ids = append(ids, id) })
	ids = append(ids, t.sep)
	if len(ids) > limit {
		return nil, &inference.ContextError{Tokens: len(ids), Limit: limit}
	}
	return ids, nil
}

func (t *Tokenizer) encode(text string, emit func(int)) {
	plain := 0 // where the text that holds no special token began
	for i := 0; i < len(text); {
		s := t.specialAt(text[i:])
		if s.text == "" {
			i++
			continue
		}
		t.encodePlain(text[plain:i], emit)
		emit(s.id)
		i += len(s.text)
		plain = i
	}
	t.encodePlain(text[plain:], emit)
}

func (t *Tokenizer) specialAt(text string) special {
	for _, s := range t.special {
		if text[0] == s.text[0] && strings.HasPrefix(text, s.text) {
			return s
		}
	}
	return special{}
}

func (t *Tokenizer) encodePlain(text string, emit func(int)) {
	text = t.normalize(text)
	start := -1
	for i, r := range text {
		space := unicode.IsSpace(r)
		if !space && !isPunctuation(r) {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			t.word(text[start:i], emit)
			start = -1
		}
		if !space {
			t.word(text[i:i+utf8.RuneLen(r)], emit)
		}
	}
	if start >= 0 {
		t.word(text[start:], emit)
	}
}

// word cuts one word into pieces. A word with any part that no piece covers is
// unknown as a whole.
func (t *Tokenizer) word(w string, emit func(int)) {
	if len(w) > t.maxWord && utf8.RuneCountInString(w) > t.maxWord {
		emit(t.unknown)
		return
	}
	var buf [64]int32
	ids := buf[:0]
	for from, pieces := 0, t.words; from < len(w); pieces = t.rest {
		id, n := int32(-1), 0
		for end := min(len(w), from+t.longest); end > from; end-- {
			if end < len(w) && !utf8.RuneStart(w[end]) {
				continue
			}
			if found, ok := pieces[w[from:end]]; ok {
				id, n = found, end-from
				break
			}
		}
		if n == 0 {
			emit(t.unknown)
			return
		}
		ids = append(ids, id)
		from += n
	}
	for _, id := range ids {
		emit(int(id))
	}
}

// normalize is BertNormalizer.
func (t *Tokenizer) normalize(text string) string {
	var b strings.Builder
	b.Grow(len(text) + 16)
	ascii := true
	for _, r := range text {
		switch {
		case r == 0 || r == utf8.RuneError || isControl(r):
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case isCJK(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
			ascii = false
		case r < utf8.RuneSelf:
			if !t.cased && 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			b.WriteByte(byte(r))
		default:
			b.WriteRune(r)
			ascii = false
		}
	}
	if t.cased || ascii {
		return b.String()
	}
	text = norm.NFD.String(b.String())
	b.Reset()
	for _, r := range text {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// isControl is true for what clean-text removes: the categories Cc, Cf and Co, save for
// tab and line ends, which are white space here.
func isControl(r rune) bool {
	if r == '\t' || r == '\n' || r == '\r' {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}

// isPunctuation takes all ASCII that is neither letter, digit nor white space,
// such as $ and ^, for punctuation, as BERT does.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return '!' <= r && r <= '/' || ':' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
	}
	return unicode.IsPunct(r)
}

func isCJK(r rune) bool {
	if r < 0x3400 {
		return false
	}
	return r <= 0x4DBF || 0x4E00 <= r && r <= 0x9FFF || 0xF900 <= r && r <= 0xFAFF ||
		0x20000 <= r && r <= 0x2A6DF || 0x2A700 <= r && r <= 0x2B73F || 0x2B740 <= r && r <= 0x2B81F ||
		0x2B920 <= r && r <= 0x2CEAF || 0x2F800 <= r && r <= 0x2FA1F
}
