package names

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// defaultBlob is a size that Badger keeps as one value cheaply.
const defaultBlob = 1 << 20

// BuildSegment learns the names of documents, which are known by their places in
// docs from then on, and gives what they teach as blobs of at most size bytes
// (0: 1 MB). The same documents give the same bytes.
func BuildSegment(docs []Labelled, size int) ([][]byte, error) {
	b, err := bases()
	if err != nil {
		return nil, err
	}
	rs := make([]record, len(docs))
	for i := range docs {
		rs[i] = record{docs[i].ID, docs[i].Label, state(&docs[i]).encode()}
	}
	return cut(b.build(rs), size), nil
}

func cut(text string, size int) [][]byte {
	if size <= 0 {
		size = defaultBlob
	}
	return slices.Collect(slices.Chunk([]byte(text), size))
}

// record is what is kept of a document: enough to learn from it again.
type record struct {
	id     string
	label  bool
	stated string // encoded; "" for nothing
}

// encode a statement; "" where there is none.
func (s stated) encode() string {
	if len(s.brands)+len(s.generics) == 0 {
		return ""
	}
	var b []byte
	for _, list := range [][]string{s.brands, s.generics} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, n := range list {
			b = binary.AppendUvarint(b, uint64(len(n)))
			b = append(b, n...)
		}
	}
	return string(b)
}

func decodeStated(text string) (s stated, err error) {
	b := []byte(text)
	length := func() int {
		n, m := binary.Uvarint(b)
		if m <= 0 || n > uint64(len(b)-m) {
			err = fmt.Errorf("%w: what a document states can't be read", ErrDamaged)
			return 0
		}
		b = b[m:]
		return int(n)
	}
	for _, list := range []*[]string{&s.brands, &s.generics} {
		for range length() {
			n := length()
			*list = append(*list, string(b[:n]))
			b = b[n:]
		}
	}
	return s, err
}

// records of a segment.
func (s *Segment) records() ([]record, error) {
	out := make([]record, s.docs)
	for i := range out {
		out[i] = record{id: s.ID(uint32(i)), label: s.Label(uint32(i))}
	}
	for i := range s.stated {
		text := s.list(secStated, secStatedText, i)
		if _, err := decodeStated(text); err != nil {
			return nil, err
		}
		for j := s.number(secDocsOf, i); j < s.number(secDocsOf, i+1); j++ {
			out[s.number(secDocs, j)].stated = text
		}
	}
	return out, nil
}

// builder gathers what statements teach, with medicines that the table does not
// have by their identities until all are known.
type builder struct {
	b      *base
	docs   []record
	stated []string            // sorted
	of     map[string][]uint32 // statement → documents
	idents []string            // sorted
	names  map[string]map[meaningOf][]uint32
	cover  map[int][2][]uint32
}

// meaningOf is what a name stands for: a medicine by its number, and how.
type meaningOf struct{ med, level int }

func (b *base) build(docs []record) string {
	w := builder{b: b, docs: docs, of: map[string][]uint32{}, names: map[string]map[meaningOf][]uint32{}, cover: map[int][2][]uint32{}}
	for i, d := range docs {
		if d.stated != "" {
			w.of[d.stated] = append(w.of[d.stated], uint32(i))
		}
	}
	w.stated = slices.Sorted(maps.Keys(w.of))
	w.learn()
	return w.write()
}

func (w *builder) learn() {
	lessons := make([]lesson, len(w.stated))
	seen := map[string]bool{}
	for i, text := range w.stated {
		s, _ := decodeStated(text) // it was encoded here, or checked by records
		lessons[i] = w.b.learn(s)
		for _, t := range lessons[i].alone {
			seen[t.ident] = true
		}
		for _, t := range lessons[i].within {
			seen[t.ident] = true
		}
		for _, n := range lessons[i].names {
			seen[n.of.ident] = true
		}
	}
	delete(seen, "")
	w.idents = slices.Sorted(maps.Keys(seen))
	number := make(map[string]int, len(w.idents))
	for i, id := range w.idents {
		number[id] = len(w.b.medicines) + i
	}
	med := func(t taught) int {
		if t.ident == "" {
			return int(t.table)
		}
		return number[t.ident]
	}
	for i, l := range lessons {
		docs := w.of[w.stated[i]]
		for _, t := range l.alone {
			c := w.cover[med(t)]
			c[0] = append(c[0], docs...)
			w.cover[med(t)] = c
		}
		for _, t := range l.within {
			c := w.cover[med(t)]
			c[1] = append(c[1], docs...)
			w.cover[med(t)] = c
		}
		for _, n := range l.names {
			if w.names[n.key] == nil {
				w.names[n.key] = map[meaningOf][]uint32{}
			}
			m := meaningOf{med(n.of), n.level}
			if by := w.names[n.key][m]; len(by) == 0 || by[len(by)-1] != uint32(i) {
				w.names[n.key][m] = append(by, uint32(i))
			}
		}
	}
}

// sectionsOf writes numbers and strings into sections.
type sectionsOf [sections][]byte

func (s *sectionsOf) number(sec, n int) {
	s[sec] = binary.LittleEndian.AppendUint32(s[sec], uint32(n))
}

// list writes strings with their offsets.
func (s *sectionsOf) list(offsets, bytes int, list []string) {
	s.number(offsets, 0)
	for _, v := range list {
		s[bytes] = append(s[bytes], v...)
		s.number(offsets, len(s[bytes]))
	}
}

func (w *builder) write() string {
	var s sectionsOf
	ids := make([]string, len(w.docs))
	s[secLabels] = make([]byte, (len(ids)+7)/8)
	for i, d := range w.docs {
		ids[i] = d.id
		if d.label {
			s[secLabels][i/8] |= 1 << (i % 8)
		}
	}
	s.list(secIDs, secIDBytes, ids)
	keys := slices.Sorted(maps.Keys(w.names))
	groups, slots, words := w.writeKeys(&s, keys)
	w.writeSpelling(&s, keys)
	s.list(secMeds, secMedBytes, w.idents)
	w.writeCover(&s)
	s.list(secStated, secStatedText, w.stated)
	s.number(secDocsOf, 0)
	for _, text := range w.stated {
		for _, d := range w.of[text] {
			s.number(secDocs, int(d))
		}
		s.number(secDocsOf, len(s[secDocs])/4)
	}

	head := len(segmentMagic) + 4*(headWords+sections+1)
	total := head
	for _, sec := range s {
		total += len(sec)
	}
	out := make([]byte, 0, total)
	out = append(out, segmentMagic...)
	le := binary.LittleEndian
	for _, n := range []int{total, int(uint32(w.b.version)), int(w.b.version >> 32), len(w.docs), len(keys), groups, slots,
		len(w.idents), len(w.cover), len(w.stated), len(w.b.medicines), words} {
		out = le.AppendUint32(out, uint32(n))
	}
	at := head
	for _, sec := range s {
		out = le.AppendUint32(out, uint32(at))
		at += len(sec)
	}
	out = le.AppendUint32(out, uint32(at))
	for _, sec := range s {
		out = append(out, sec...)
	}
	return string(out)
}

// writeKeys writes names, what they stand for, and the table of first words.
func (w *builder) writeKeys(s *sectionsOf, keys []string) (groups, slots, words int) {
	s.list(secKeys, secKeyBytes, keys)
	meanings := 0
	s.number(secWhat, 0)
	var firsts []string
	for i, k := range keys {
		first, _, _ := strings.Cut(k, " ")
		if len(firsts) == 0 || firsts[len(firsts)-1] != first {
			firsts = append(firsts, first)
			s.number(secGroups, i)
			s[secGroupWords] = append(s[secGroupWords], 0)
		}
		n := wordsIn(k)
		words = max(words, n)
		longest := &s[secGroupWords][len(firsts)-1]
		*longest = byte(min(255, max(n, int(*longest))))
		of := w.names[k]
		for _, m := range slices.SortedFunc(maps.Keys(of), func(a, b meaningOf) int {
			return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.med, b.med))
		}) {
			s.number(secMeanings, m.med|m.level<<medBits)
			s.number(secMeanings, len(s[secBy])/4)
			for _, by := range of[m] {
				s.number(secBy, int(by))
			}
			meanings++
		}
		s.number(secWhat, meanings)
	}
	s.number(secMeanings, 0)
	s.number(secMeanings, len(s[secBy])/4)
	s.number(secGroups, len(keys))
	slots = 2
	for slots < 2*(len(firsts)+1) {
		slots *= 2
	}
	table := make([]int, slots)
	for g, f := range firsts {
		i := int(xxhash.Sum64String(f) & uint64(slots-1))
		for table[i] > 0 {
			i = (i + 1) & (slots - 1)
		}
		table[i] = g + 1
	}
	for _, g := range table {
		s.number(secSlots, g)
	}
	return len(firsts), slots, words
}

// spelt says whether a misspelling may stand for a name.
func spelt(k string) bool { return len(k) >= minSpelling && len(k) <= longest && letters(k) }

func (w *builder) writeSpelling(s *sectionsOf, keys []string) {
	var cells [spellings][]int
	for i, k := range keys {
		if spelt(k) && !w.b.ordinary[k] {
			c := int(k[0]-'a')*lengths + len(k)
			cells[c] = append(cells[c], i)
		}
	}
	s.number(secSpellAt, 0)
	for _, c := range cells {
		for _, i := range c {
			s.number(secSpell, i)
		}
		s.number(secSpellAt, len(s[secSpell])/4)
	}
}

func (w *builder) writeCover(s *sectionsOf) {
	s.number(secCoverAt, 0)
	for _, m := range slices.Sorted(maps.Keys(w.cover)) {
		s.number(secCovered, m)
		for _, docs := range w.cover[m] {
			slices.SortFunc(docs, func(a, b uint32) int {
				return cmp.Or(cmp.Compare(w.docs[a].id, w.docs[b].id), cmp.Compare(a, b))
			})
			for _, d := range slices.Compact(docs) {
				s.number(secCover, int(d))
			}
			s.number(secCoverAt, len(s[secCover])/4)
		}
	}
}

// Numbered is a segment for Merge: New gives the number that a document has in
// the merged segment; ok is false where it is no longer there.
type Numbered struct {
	*Segment
	New func(doc uint32) (_ uint32, ok bool)
}

// ErrNumbers: documents of a merge have not the numbers 0 to n-1, each once.
var ErrNumbers = errors.New("the documents of merged names are not numbered one after another")

// Merge writes segments as one, as blobs of at most size bytes (0: 1 MB): the
// same bytes as BuildSegment of the documents that are left, in the order of
// their new numbers.
func Merge(parts []Numbered, size int) ([][]byte, error) {
	b, err := bases()
	if err != nil {
		return nil, err
	}
	type numbered struct {
		n uint32
		record
	}
	var all []numbered
	for _, p := range parts {
		rs, err := p.records()
		if err != nil {
			return nil, err
		}
		for i, r := range rs {
			if n, ok := p.New(uint32(i)); ok {
				all = append(all, numbered{n, r})
			}
		}
	}
	docs := make([]record, len(all))
	filled := make([]bool, len(all))
	for _, d := range all {
		if int64(d.n) >= int64(len(all)) || filled[d.n] {
			return nil, ErrNumbers
		}
		docs[d.n], filled[d.n] = d.record, true
	}
	return cut(b.build(docs), size), nil
}
