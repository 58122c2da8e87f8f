package bert

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxMerges = 1 << 20

// bpe is the byte-level tokenizer of GPT-2 that RoBERTa uses: a text is cut
// into words, the bytes of a word become printable characters, and the pair of
// pieces that was learnt first is joined again and again. It never changes.
//
// Source: A. Radford et al., GPT-2, encoder.py; tokenizers 0.23
// (pre_tokenizers/byte_level.rs, models/bpe).
type bpe struct {
	ids         map[string]int32 // pieces, in their printable form
	ranks       map[[2]int32]merged
	alphabet    [256]int32 // ids of single bytes
	special     []added    // found in the raw text before anything else
	prefixSpace bool
}

type merged struct{ rank, id int32 }

// added is a token that stands for itself in a text.
type added struct {
	text   string
	id     int
	lstrip bool // takes the white space before it along, as <mask> does
}

// printable is how byte-level tokenizers write a byte.
var printable = func() (out [256]string) {
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if !('!' <= r && r <= '~' || '¡' <= r && r <= '¬' || '®' <= r && r <= 'ÿ') {
			r, next = next, next+1
		}
		out[b] = string(r)
	}
	return out
}()

// newBPE makes a tokenizer of its pieces and merges, which are "a b".
func newBPE(ids map[string]int32, merges []string, special []added, prefixSpace bool) (*bpe, error) {
	if len(merges) > maxMerges {
		return nil, fmt.Errorf("the tokenizer has %d merges, more than %d", len(merges), maxMerges)
	}
	t := &bpe{ids: ids, ranks: make(map[[2]int32]merged, len(merges)), special: special, prefixSpace: prefixSpace}
	for b, s := range printable {
		id, ok := ids[s]
		if !ok {
			return nil, fmt.Errorf("the vocabulary has no piece for the byte %#02x (%q): it is no byte-level BPE", b, s)
		}
		t.alphabet[b] = id
	}
	for i, m := range merges {
		left, right, ok := strings.Cut(m, " ")
		l, okLeft := ids[left]
		r, okRight := ids[right]
		both, okBoth := ids[left+right]
		if !ok || !okLeft || !okRight || !okBoth {
			return nil, fmt.Errorf("merge %d, %.80q, joins pieces that the vocabulary does not have", i+1, m)
		}
		t.ranks[[2]int32{l, r}] = merged{int32(i), both} // the latest counts, as in the reference
	}
	for _, s := range special {
		if s.text == "" {
			return nil, errors.New("an added token is empty")
		}
	}
	return t, nil
}

// encode appends the ids of text, without the special tokens around it.
func (t *bpe) encode(ids []int, text string) []int {
	text = strings.ToValidUTF8(text, "\uFFFD")
	plain := 0
	for i := 0; i < len(text); {
		s, ok := t.specialAt(text[i:])
		if !ok {
			i++
			continue
		}
		before := text[plain:i]
		if s.lstrip {
			before = strings.TrimRightFunc(before, unicode.IsSpace)
		}
		ids = t.encodePlain(ids, before)
		ids = append(ids, s.id)
		i += len(s.text)
		plain = i
	}
	return t.encodePlain(ids, text[plain:])
}

// specialAt finds the longest added token at the beginning of text.
func (t *bpe) specialAt(text string) (best added, ok bool) {
	for _, s := range t.special {
		if len(s.text) > len(best.text) && text[0] == s.text[0] && strings.HasPrefix(text, s.text) {
			best, ok = s, true
		}
	}
	return best, ok
}

func (t *bpe) encodePlain(ids []int, text string) []int {
	if text == "" {
		return ids
	}
	if t.prefixSpace && text[0] != ' ' {
		text = " " + text
	}
	for len(text) > 0 {
		n := wordLength(text)
		ids = t.word(ids, text[:n])
		text = text[n:]
	}
	return ids
}

// wordLength is the bytes of the first match of GPT-2's expression
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// in a text that is not empty. Go's regexp has no looking ahead.
func wordLength(text string) int {
	for _, s := range [...]string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, s) {
			return len(s)
		}
	}
	at := 0
	if text[0] == ' ' {
		at = 1
	}
	if r, _ := utf8.DecodeRuneInString(text[at:]); at < len(text) && !isSpace(r) {
		class := classOf(r)
		return at + run(text[at:], func(r rune) bool { return !isSpace(r) && classOf(r) == class })
	}
	n := run(text, isSpace)
	if n == len(text) {
		return n
	}
	// A word follows, and takes the last white space itself where it is a blank.
	_, last := utf8.DecodeLastRuneInString(text[:n])
	if n > last {
		return n - last
	}
	return n
}

func run(text string, in func(rune) bool) int {
	for i, r := range text {
		if !in(r) {
			return i
		}
	}
	return len(text)
}

// isSpace is \s of the reference's regular expressions, Unicode's White_Space.
func isSpace(r rune) bool { return unicode.IsSpace(r) }

func classOf(r rune) int {
	switch {
	case unicode.IsLetter(r):
		return 1
	case unicode.IsNumber(r):
		return 2
	}
	return 3
}

// word joins the bytes of one word.
func (t *bpe) word(ids []int, w string) []int {
	if len(w) == 1 {
		return append(ids, int(t.alphabet[w[0]]))
	}
	var (
		buf    [32]symbol
		pieces = buf[:0]
		queue  mergeQueue
	)
	for i := range len(w) {
		pieces = append(pieces, symbol{id: t.alphabet[w[i]], prev: int32(i - 1), next: int32(i + 1)})
	}
	pieces[len(pieces)-1].next = -1
	consider := func(left int32) {
		if left < 0 || pieces[left].next < 0 {
			return
		}
		right := pieces[left].next
		if m, ok := t.ranks[[2]int32{pieces[left].id, pieces[right].id}]; ok {
			queue.push(candidate{rank: m.rank, left: left, right: right, leftID: pieces[left].id, rightID: pieces[right].id, id: m.id})
		}
	}
	for i := range len(pieces) - 1 {
		consider(int32(i))
	}
	for len(queue) > 0 {
		c := queue.pop()
		// What it would join may have been joined with others meanwhile.
		l := &pieces[c.left]
		if l.gone || l.next != c.right || l.id != c.leftID || pieces[c.right].id != c.rightID {
			continue
		}
		r := &pieces[c.right]
		l.id, l.next, r.gone = c.id, r.next, true
		if l.next >= 0 {
			pieces[l.next].prev = c.left
		}
		consider(l.prev)
		consider(c.left)
	}
	for i := int32(0); i >= 0; i = pieces[i].next {
		ids = append(ids, int(pieces[i].id))
	}
	return ids
}

// symbol is a piece of a word, in a list.
type symbol struct {
	id         int32
	prev, next int32
	gone       bool
}

type candidate struct {
	rank, left, right   int32
	leftID, rightID, id int32
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.left < d.left
}

// mergeQueue is a heap, the merge that was learnt first on top.
type mergeQueue []candidate

func (q *mergeQueue) push(c candidate) {
	*q = append(*q, c)
	h := *q
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *mergeQueue) pop() candidate {
	h := *q
	top := h[0]
	h[0] = h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; ; {
		least := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < len(h) && h[down].before(h[least]) {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return top
}
