package generation

import (
	"encoding/binary"
	"errors"
	"time"
)

// documentFacts is what a filter asks of every document of a unit, by its place
// in the table.
//
//	documents uint32
//	kinds uint32, sources uint32 | for each: length uvarint, text
//	for each document: effective date uint32, kind uint16, source uint32
type documentFacts struct {
	kinds, sources []string
	rows           []byte
}

// factsSize is the length of a row.
const factsSize = 10

func (f *documentFacts) effective(i int) uint32 {
	return binary.LittleEndian.Uint32(f.rows[factsSize*i:])
}
func (f *documentFacts) kind(i int) int {
	return int(binary.LittleEndian.Uint16(f.rows[factsSize*i+4:]))
}
func (f *documentFacts) source(i int) int {
	return int(binary.LittleEndian.Uint32(f.rows[factsSize*i+6:]))
}

func (f *documentFacts) documents() int { return len(f.rows) / factsSize }

// day is a date as 20060102; 0 where it is unknown or none.
func day(date string) uint32 {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil || t.Year() < 1 {
		return 0
	}
	return uint32(t.Year()*10000 + int(t.Month())*100 + t.Day())
}

type factsBuilder struct {
	documentFacts
	kindOf, sourceOf map[string]int
}

// add the next document in order of id.
func (b *factsBuilder) add(effective, kind, source string) {
	number := func(of *map[string]int, all *[]string, s string) int {
		if *of == nil {
			*of = map[string]int{}
		}
		n, ok := (*of)[s]
		if !ok {
			n = len(*all)
			(*of)[s], *all = n, append(*all, s)
		}
		return n
	}
	le := binary.LittleEndian
	b.rows = le.AppendUint32(b.rows, day(effective))
	b.rows = le.AppendUint16(b.rows, uint16(number(&b.kindOf, &b.kinds, kind)))
	b.rows = le.AppendUint32(b.rows, uint32(number(&b.sourceOf, &b.sources, source)))
}

func (b *factsBuilder) encode() []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(nil, uint32(b.documents()))
	for _, list := range [][]string{b.kinds, b.sources} {
		out = le.AppendUint32(out, uint32(len(list)))
	}
	for _, list := range [][]string{b.kinds, b.sources} {
		for _, s := range list {
			out = binary.AppendUvarint(out, uint64(len(s)))
			out = append(out, s...)
		}
	}
	return append(out, b.rows...)
}

var errFacts = errors.New("the facts of documents are cut short")

func readFacts(b []byte, documents int) (*documentFacts, error) {
	le := binary.LittleEndian
	if len(b) < 12 || int(le.Uint32(b)) != documents {
		return nil, errFacts
	}
	f := &documentFacts{}
	counts := [2]uint32{le.Uint32(b[4:]), le.Uint32(b[8:])}
	b = b[12:]
	for i, list := range []*[]string{&f.kinds, &f.sources} {
		if int64(counts[i]) > int64(len(b)) {
			return nil, errFacts
		}
		*list = make([]string, counts[i])
		for j := range *list {
			n, k := binary.Uvarint(b)
			if k <= 0 || n > uint64(len(b)-k) {
				return nil, errFacts
			}
			(*list)[j], b = string(b[k:k+int(n)]), b[k+int(n):]
		}
	}
	f.rows = b
	if len(b) != factsSize*documents {
		return nil, errFacts
	}
	for i := range documents {
		if f.kind(i) >= len(f.kinds) || f.source(i) >= len(f.sources) {
			return nil, errFacts
		}
	}
	return f, nil
}

// documentFacts of the unit. An index of before they were kept is read once,
// document by document.
func (u *unit) documentFacts() (*documentFacts, error) {
	if f := u.about.Load(); f != nil {
		return f, nil
	}
	k := key(kindFacts, "")
	body, err := u.get(k)
	if errors.Is(err, errNoRecord) {
		body, err = u.gatherFacts()
	}
	if err != nil {
		return nil, err
	}
	f, err := readFacts(body, len(u.table.ids))
	if err != nil {
		return nil, damaged(describe(u.key(k)), err.Error())
	}
	u.about.Store(f)
	return f, nil
}

func (u *unit) gatherFacts() ([]byte, error) {
	var b factsBuilder
	for _, id := range u.table.ids {
		var h Header
		if err := u.must(key(kindDocument, id), &h); err != nil {
			return nil, err
		}
		b.add(h.Effective, h.Kind, h.Source)
	}
	return b.encode(), nil
}
