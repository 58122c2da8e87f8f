package names

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/cespare/xxhash/v2"
)

// Part is a segment among those that a lexicon is of. Dead, which may be nil,
// says which of its documents are no longer there; what it says must not change
// while the lexicon is in use.
type Part struct {
	*Segment
	Dead func(doc uint32) bool
}

func (p *Part) live(doc int) bool { return p.Dead == nil || !p.Dead(uint32(doc)) }

// Lexicon knows the medicines of the table and of documents. It reads them where
// they lie, so making one takes no time; it never changes. Safe for concurrent
// use.
type Lexicon struct {
	*base
	parts []Part
}

// New makes a lexicon of the table and the documents' names.
func New(docs []Labelled) (*Lexicon, error) {
	blobs, err := BuildSegment(docs, 0)
	if err != nil {
		return nil, err
	}
	s, err := LoadSegment(blobs)
	if err != nil {
		return nil, err
	}
	return Combine([]Part{{Segment: s}})
}

// Combine makes a lexicon of the documents that are left in some segments. It
// reads as New of all those documents does.
func Combine(parts []Part) (*Lexicon, error) {
	b, err := bases()
	if err != nil {
		return nil, err
	}
	return &Lexicon{base: b, parts: slices.Clone(parts)}, nil
}

// DocRef is a document by the place of its part among those of the lexicon, and
// its number there.
type DocRef struct {
	Part int
	Doc  uint32
}

// canonical is the ref of a medicine of a part: the same for every part.
func (l *Lexicon) canonical(part, med int) ref {
	s := l.parts[part].Segment
	if med < s.tables {
		return ref(med)
	}
	ident := s.ident(med - s.tables)
	for i := range part {
		if m, ok := l.parts[i].medicine(ident); ok {
			return learned(i, m)
		}
	}
	return learned(part, med-s.tables)
}

// ident of a learned medicine.
func (l *Lexicon) ident(r ref) string {
	return l.parts[int(r>>32)-1].ident(int(r & 0xffffffff))
}

// med gives a medicine.
func (l *Lexicon) med(r ref) medicine {
	if int(r) < len(l.medicines) {
		return l.medicines[r]
	}
	id := l.ident(r)
	m := medicine{name: id[1:]}
	if id[0] == identCombined {
		m.parts = strings.Split(m.name, "/")
	}
	return m
}

// A name that documents give to more medicines than this says nothing: it is the
// name of a maker or of a kind of product.
const (
	maxBrand = 8
	maxFirst = 3
)

// named gives the medicines that a key stands for. isName is true also where
// there are too many of them to say.
func (l *Lexicon) named(key string) (ids []ref, isName bool) {
	ids = l.names[key]
	var by [levelFirst + 1][]ref
	for i := range l.parts {
		p := &l.parts[i]
		k, ok := p.find(key)
		if !ok {
			continue
		}
		for m := p.number(secWhat, k); m < p.number(secWhat, k+1); m++ {
			med := p.number(secMeanings, 2*m)
			if !p.taught(m) {
				continue
			}
			level := med >> medBits
			if r := l.canonical(i, med&medMask); !slices.Contains(by[level], r) {
				by[level] = append(by[level], r)
			}
		}
	}
	own, brand, first := l.ordered(by[levelOwn]), l.ordered(by[levelBrand]), l.ordered(by[levelFirst])
	switch {
	case len(ids)+len(own) > 0:
		ids = append(slices.Clip(ids), own...)
		return ids, true
	case len(brand) > 0 && len(brand) <= maxBrand:
		return brand, true
	case len(brand) == 0 && len(first) > 0 && len(first) <= maxFirst:
		return first, true
	}
	return nil, len(brand)+len(first) > 0
}

// taught says whether a document that is left teaches meaning m.
func (p *Part) taught(m int) bool {
	if p.Dead == nil {
		return true
	}
	for j := p.number(secMeanings, 2*m+1); j < p.number(secMeanings, 2*m+3); j++ {
		by := p.number(secBy, j)
		for d := p.number(secDocsOf, by); d < p.number(secDocsOf, by+1); d++ {
			if p.live(p.number(secDocs, d)) {
				return true
			}
		}
	}
	return false
}

// ordered puts medicines in an order that does not depend on parts.
func (l *Lexicon) ordered(rs []ref) []ref {
	slices.SortFunc(rs, func(a, b ref) int {
		ta, tb := int(a) < len(l.medicines), int(b) < len(l.medicines)
		switch {
		case ta && tb:
			return cmp.Compare(a, b)
		case ta:
			return -1
		case tb:
			return 1
		}
		return strings.Compare(l.ident(a), l.ident(b))
	})
	return rs
}

// longest name or class in words that begins with a word; 0 where none does.
func (l *Lexicon) longest(word string) int {
	n := int(l.starts[word].names)
	h := xxhash.Sum64String(word)
	for i := range l.parts {
		n = max(n, l.parts[i].groupWords(word, h))
	}
	return n
}

// documents that are about a medicine: those about it alone, or, where there
// are none, combinations with it. In the order of their ids.
func (l *Lexicon) documents(r ref) []DocRef {
	if d := l.covered(r, false); len(d) > 0 {
		return d
	}
	return l.covered(r, true)
}

// covered gives one of the two kinds of documents of a medicine.
func (l *Lexicon) covered(r ref, within bool) []DocRef {
	var out []DocRef
	sources := 0
	for i := range l.parts {
		p := &l.parts[i]
		n := len(out)
		from, to := p.cover(l.local(i, r), within)
		out = slices.Grow(out, to-from)
		for j := from; j < to; j++ {
			if d := p.number(secCover, j); p.live(d) {
				out = append(out, DocRef{i, uint32(d)})
			}
		}
		if len(out) > n {
			sources++
		}
	}
	if sources > 1 {
		l.byID(out)
	}
	return out
}

// alone says whether a document is about a medicine alone.
func (l *Lexicon) alone(r ref) bool {
	for i := range l.parts {
		p := &l.parts[i]
		from, to := p.cover(l.local(i, r), false)
		for ; from < to; from++ {
			if p.live(p.number(secCover, from)) {
				return true
			}
		}
	}
	return false
}

// local is the number of a medicine in a part, -1 where it does not know it.
func (l *Lexicon) local(part int, r ref) int {
	if int(r) < len(l.medicines) {
		return int(r)
	}
	p := &l.parts[part]
	if int(r>>32)-1 == part {
		return p.tables + int(r&0xffffffff)
	}
	if m, ok := p.medicine(l.ident(r)); ok {
		return p.tables + m
	}
	return -1
}

func (l *Lexicon) byID(ds []DocRef) {
	slices.SortFunc(ds, func(a, b DocRef) int {
		return cmp.Or(strings.Compare(l.id(a), l.id(b)), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Doc, b.Doc))
	})
}

func (l *Lexicon) id(d DocRef) string { return l.parts[d.Part].ID(d.Doc) }

// Names of all medicines, as keys: lower case, words separated by a space. For
// an analyser that must not stem them.
func (l *Lexicon) Names() []string {
	seen := make(map[string]bool, len(l.names))
	for k := range l.names {
		seen[k] = true
	}
	for i := range l.parts {
		p := &l.parts[i]
		for k := range p.keys {
			if p.known(k) {
				seen[p.key(k)] = true
			}
		}
	}
	out := make([]string, 0, len(seen))
	for k := range seen {
		if strings.IndexFunc(k, unicode.IsLetter) >= 0 {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// near gives the names at the least distance from w, if that is allowed.
func (l *Lexicon) near(w string) ([]string, int) {
	limit := edits(len(w))
	if limit == 0 || !letters(w) {
		return nil, 0
	}
	best, limit := l.spelling.near(w, limit)
	for i := range l.parts {
		best, limit = l.parts[i].near(w, limit, best)
	}
	slices.Sort(best)
	return slices.Compact(best), limit
}
