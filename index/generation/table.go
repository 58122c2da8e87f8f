package generation

import (
	"encoding/binary"
	"errors"
	"slices"
	"sort"
)

// table says where the passages of each document of a unit lie, and of which
// section each is, by LOINC code: what a search asks of many passages, without
// reading them.
//
//	documents uint32 | for each, in order of id: length uvarint, id, passages uvarint
//	codes uint32     | for each: length uvarint, code
//	for each passage: the number of its code, uint16
type table struct {
	ids    []string // ascending
	firsts []uint32 // first passage of each in the unit, and the end
	codes  []string
	loinc  []byte // uint16 by passage
}

type tableBuilder struct {
	ids      []string
	passages []int
	codes    []string
	numbers  map[string]uint16
	loinc    []byte
}

// document is the next in order of id.
func (b *tableBuilder) document(id string, ps []Passage) {
	b.ids = append(b.ids, id)
	b.passages = append(b.passages, len(ps))
	for i := range ps {
		c := ps[i].LOINC
		n, ok := b.numbers[c]
		if !ok {
			if b.numbers == nil {
				b.numbers = map[string]uint16{}
			}
			if len(b.codes) == 1<<16-1 {
				c = "" // no index of labels has as many; it is then of no known section
			}
			n = uint16(len(b.codes))
			b.codes, b.numbers[c] = append(b.codes, c), n
		}
		b.loinc = binary.LittleEndian.AppendUint16(b.loinc, n)
	}
}

func (b *tableBuilder) encode() []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(b.ids)))
	for i, id := range b.ids {
		out = binary.AppendUvarint(out, uint64(len(id)))
		out = append(out, id...)
		out = binary.AppendUvarint(out, uint64(b.passages[i]))
	}
	out = binary.LittleEndian.AppendUint32(out, uint32(len(b.codes)))
	for _, c := range b.codes {
		out = binary.AppendUvarint(out, uint64(len(c)))
		out = append(out, c...)
	}
	return append(out, b.loinc...)
}

var errTable = errors.New("the document table is cut short or out of order")

func readTable(b []byte, passages int) (*table, error) {
	number := func() (int, bool) {
		if len(b) < 4 {
			return 0, false
		}
		n := int(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return n, n <= len(b)
	}
	uvarint := func() (int, bool) {
		v, k := binary.Uvarint(b)
		if k <= 0 || v > 1<<31 {
			return 0, false
		}
		b = b[k:]
		return int(v), true
	}
	text := func() (string, bool) {
		n, ok := uvarint()
		if !ok || n > len(b) {
			return "", false
		}
		s := string(b[:n])
		b = b[n:]
		return s, true
	}
	n, ok := number()
	if !ok {
		return nil, errTable
	}
	t := &table{ids: make([]string, n), firsts: make([]uint32, n+1)}
	for i := range n {
		id, ok := text()
		count, ok2 := uvarint()
		if !ok || !ok2 || i > 0 && id <= t.ids[i-1] {
			return nil, errTable
		}
		t.ids[i], t.firsts[i+1] = id, t.firsts[i]+uint32(count)
	}
	if n, ok = number(); !ok {
		return nil, errTable
	}
	t.codes = make([]string, n)
	for i := range n {
		if t.codes[i], ok = text(); !ok {
			return nil, errTable
		}
	}
	if int(t.firsts[len(t.ids)]) != passages || len(b) != 2*passages {
		return nil, errTable
	}
	for i := 0; i < len(b); i += 2 {
		if int(binary.LittleEndian.Uint16(b[i:])) >= len(t.codes) {
			return nil, errTable
		}
	}
	t.loinc = b
	return t, nil
}

// find gives the passages of a document of the unit.
func (t *table) find(id string) (first, end uint32, ok bool) {
	i, ok := slices.BinarySearch(t.ids, id)
	if !ok {
		return 0, 0, false
	}
	return t.firsts[i], t.firsts[i+1], true
}

// owner of a passage of the unit.
func (t *table) owner(n uint32) string { return t.ids[t.document(n)] }

// document that a passage is of, by its place.
func (t *table) document(n uint32) int {
	return sort.Search(len(t.ids), func(i int) bool { return t.firsts[i+1] > n })
}

// section code of a passage of the unit.
func (t *table) section(n uint32) string {
	return t.codes[binary.LittleEndian.Uint16(t.loinc[2*n:])]
}
