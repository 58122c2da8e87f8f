package names

import (
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// ref is a medicine: of the table by its place there, or one that documents
// taught, by part and place in that part (Lexicon.canonical).
type ref int64

func learned(part, place int) ref { return ref(part+1)<<32 | ref(place) }

// base is the table made ready for reading: the same for all documents, made
// once.
type base struct {
	*table
	names    map[string][]ref   // key → medicines
	byClass  map[string][]int32 // key → classes
	members  map[string][]ref   // class id → medicines
	shorts   map[string][]meaning
	byCue    map[string][]cue
	spelling speller
	// starts says of a first word how many words the longest key has.
	starts map[string]starts
	// version of the table and of what is learned by it; segments are learned
	// again by another.
	version uint64
}

// starts is how many words the longest key has that begins with a word: of names
// and classes, of shorthand, of cues.
type starts struct{ names, shorts, cues uint8 }

func (b *base) start(key string, of func(*starts) *uint8) {
	first, _, _ := strings.Cut(key, " ")
	s := b.starts[first]
	n := of(&s)
	*n = max(*n, uint8(wordsIn(key)))
	b.starts[first] = s
}

// learning changes with what learn makes of a document.
const learning = "1"

var bases = sync.OnceValues(func() (*base, error) {
	t, err := facts()
	if err != nil {
		return nil, err
	}
	b := &base{table: t, names: map[string][]ref{}, byClass: map[string][]int32{}, members: map[string][]ref{}, shorts: map[string][]meaning{}, byCue: map[string][]cue{}, starts: map[string]starts{}}
	for i, m := range t.medicines {
		b.name(m.name, ref(i))
		for _, n := range m.brands {
			b.name(n, ref(i))
		}
		for _, n := range m.others {
			b.name(n, ref(i))
		}
		for _, c := range m.classes {
			b.members[c] = append(b.members[c], ref(i))
		}
	}
	for i, c := range t.classes {
		for _, n := range c.names {
			k := keyOf(n)
			b.byClass[k] = append(b.byClass[k], int32(i))
			b.start(k, func(s *starts) *uint8 { return &s.names })
		}
	}
	for _, m := range t.meanings {
		k := keyOf(m.short)
		b.shorts[k] = append(b.shorts[k], m)
		b.start(k, func(s *starts) *uint8 { return &s.shorts })
	}
	for _, c := range t.cues {
		k := keyOf(c.phrase)
		b.byCue[k] = append(b.byCue[k], c)
		b.start(k, func(s *starts) *uint8 { return &s.cues })
	}
	for k := range b.names {
		if !t.ordinary[k] {
			b.spelling.add(k)
		}
	}
	for i := range b.spelling.by {
		slices.Sort(b.spelling.by[i])
	}
	h := xxhash.New()
	for _, part := range [][]byte{[]byte(learning), medicinesTSV, classesTSV, shorthandTSV, ordinaryTXT} {
		_, _ = h.Write(part)
		_, _ = h.Write([]byte{0})
	}
	b.version = h.Sum64()
	return b, nil
})

func (b *base) name(n string, id ref) {
	k := keyOf(n)
	if k == "" {
		return
	}
	if !slices.Contains(b.names[k], id) {
		b.names[k] = append(b.names[k], id)
	}
	b.start(k, func(s *starts) *uint8 { return &s.names })
}

func wordsIn(key string) int { return strings.Count(key, " ") + 1 }

// medicine finds a name that a document states: whole, or without its salt and
// form.
func (b *base) medicine(name string) []ref {
	k := keyOf(name)
	if ids := b.names[k]; ids != nil {
		return ids
	}
	return b.names[bare(k)]
}

// combination finds the medicine of the table with just these ingredients.
func (b *base) combination(ids []ref) (ref, bool) {
	for i, m := range b.medicines {
		if len(m.parts) != len(ids) {
			continue
		}
		all := true
		for _, p := range m.parts {
			known := b.names[keyOf(p)]
			all = all && slices.ContainsFunc(known, func(id ref) bool { return slices.Contains(ids, id) })
		}
		if all {
			return ref(i), true
		}
	}
	return 0, false
}

// productWords begin the names of products that they don't name.
var productWords = set(`children childrens infant infants adult adults extra maximum regular strength night nighttime daytime day severe
 multi symptom relief pain cold cough allergy sinus fever flu headache acid reducer stomach stool softener laxative sleep aid
 sterile water sugar free vitamin vitamins mineral human antibacterial hand sanitizer first health equate good sense care select
 leader rugby major topcare family basic natural pure daily advanced original antifungal athletes foot wart corn hemorrhoidal
 medicated sunscreen lip balm mouthwash fluoride toothpaste baby gentle dual action fast formula nasal saline eye ear drops
 mucus congestion chest throat sore expectorant decongestant suppressant tablet capsule`)

// plain words are no names of medicines, whatever a label is called.
func (b *base) plain(w string) bool {
	return b.ordinary[w] || productWords[w] || salts[w] || forms[w] || b.byClass[w] != nil || b.shorts[w] != nil
}
