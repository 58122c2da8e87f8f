package lexical

import (
	"hash/maphash"
	"strings"
)

// tally counts the terms of passages, one after the other. It remembers words,
// so that few of them are analysed twice.
type tally struct {
	a     *Analyzer
	words map[*language]*wordTable
	ids   map[string]uint32 // of terms
	terms []string

	// the passage at hand
	length Counts
	counts []Counts // by term
	stamp  []uint32 // by term: the passage that counts is of
	now    uint32   // the passage, from 1
	seen   []uint32 // its terms
	l      *language
	known  *wordTable // words of l
	field  Field
}

func newTally(a *Analyzer) *tally {
	return &tally{a: a, words: make(map[*language]*wordTable), ids: make(map[string]uint32)}
}

// mostWords are remembered in a language.
const mostWords = 1 << 18

// count a passage. Its terms are then in seen, with counts and length.
func (t *tally) count(p *Passage) {
	if l := languageOf(p.Language); l != t.l || t.known.n > mostWords {
		t.l = l
		if t.known = t.words[l]; t.known == nil || t.known.n > mostWords {
			t.known = newWordTable()
			t.words[l] = t.known
		}
	}
	t.now++
	t.length = Counts{}
	t.seen = t.seen[:0]
	for t.field = range fields {
		if text := p.field(t.field); text != "" {
			t.a.run(text, t.l, t)
		}
	}
}

func (t *tally) word(raw string) token {
	slot := t.known.find(raw)
	if slot.word == nil {
		w := t.a.newWord(strings.Clone(raw), t.l)
		for _, s := range w.terms {
			w.ids = append(w.ids, t.id(s))
		}
		slot.word, slot.number = w, w.number != ""
		if len(w.ids) == 1 {
			slot.id, slot.single = w.ids[0], true
		}
		return t.known.add(raw, slot)
	}
	return slot.token()
}

func (t *tally) emit(w token) {
	if w.single {
		t.add(w.id)
		return
	}
	if len(w.ids) != len(w.terms) { // a word that is not as it was written
		for _, s := range w.terms {
			w.ids = append(w.ids, t.id(s))
		}
	}
	for _, id := range w.ids {
		t.add(id)
	}
}

func (t *tally) term(s string) { t.add(t.id(s)) }

func (t *tally) id(term string) uint32 {
	id, ok := t.ids[term]
	if !ok {
		id = uint32(len(t.terms))
		term = strings.Clone(term)
		t.ids[term] = id
		t.terms = append(t.terms, term)
		t.counts = append(t.counts, Counts{})
		t.stamp = append(t.stamp, 0)
	}
	return id
}

func (t *tally) add(id uint32) {
	if t.stamp[id] != t.now {
		t.stamp[id] = t.now
		t.counts[id] = Counts{}
		t.seen = append(t.seen, id)
	}
	t.counts[id][t.field]++
	t.length[t.field]++
}

// wordTable finds words by their spelling with one look into memory, mostly; a
// map takes several.
type wordTable struct {
	slots []wordSlot // a power of two, open addressing
	n     int
	seed  maphash.Seed
	long  map[string]*wordSlot // that do not fit a slot
}

// wordSlot is half a cache line: the slots of a language's common words stay in the
// processor's cache, and nearly all words fit.
type wordSlot struct {
	word           *word // nil: the slot is free
	id             uint32
	single, number bool
	size           uint8
	key            [17]byte
}

func (s *wordSlot) token() token { return token{s.word, s.id, s.single, s.number} }

func newWordTable() *wordTable {
	return &wordTable{slots: make([]wordSlot, 1<<8), seed: maphash.MakeSeed(), long: make(map[string]*wordSlot)}
}

// find the slot of a word, empty where it is not known: then it goes to add.
func (t *wordTable) find(raw string) *wordSlot {
	if len(raw) > len(wordSlot{}.key) {
		if s, ok := t.long[raw]; ok {
			return s
		}
		return new(wordSlot)
	}
	mask := uint64(len(t.slots) - 1)
	for i := maphash.String(t.seed, raw) & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.word == nil || string(s.key[:s.size]) == raw {
			return s
		}
	}
}

// add what find gave an empty slot for.
func (t *wordTable) add(raw string, s *wordSlot) token {
	w := s.token()
	t.n++
	if len(raw) > len(s.key) {
		t.long[strings.Clone(raw)] = s
		return w
	}
	s.size = uint8(copy(s.key[:], raw))
	if 2*t.n > len(t.slots) {
		old := t.slots
		t.slots = make([]wordSlot, 2*len(old))
		for i := range old {
			if o := &old[i]; o.word != nil {
				*t.find(string(o.key[:o.size])) = *o
			}
		}
	}
	return w
}

// Count calls fn with each distinct term of a passage and how often each field
// has it, as Builder.AddPassage counts. It returns the number of terms by field.
func (a *Analyzer) Count(p Passage, fn func(term string, tf Counts)) (length Counts) {
	t := newTally(a)
	t.count(&p)
	for _, id := range t.seen {
		fn(t.terms[id], t.counts[id])
	}
	return t.length
}
