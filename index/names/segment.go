package names

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Segment is what some documents teach, as it is stored. It is read in place,
// out of one string. Safe for concurrent use.
type Segment struct {
	s        string
	off      [sections + 1]int // where the sections lie
	docs     int
	keys     int
	groups   int
	mask     uint64 // of the hash table
	meds     int    // learned here
	covers   int
	stated   int
	tables   int // medicines of the table; refs from there are learned
	words    int // longest key
	restored bool
}

// ErrDamaged: blobs are not what BuildSegment wrote.
var ErrDamaged = errors.New("the names of the documents are damaged")

// A segment: magic, then little-endian uint32: the length of it all, the table's
// version (two), numbers of documents, keys, groups, slots, medicines, covers,
// statements, medicines of the table, words of the longest key; the offset of
// each section and of the end; the sections. Lists of strings or of lists are n+1
// offsets and what they point into.
const (
	segmentMagic = "RXN1"
	headWords    = 12
)

const (
	secIDs        = iota // documents' ids
	secIDBytes           //
	secLabels            // a bit for each document that is a label
	secKeys              // names as keys, sorted
	secKeyBytes          //
	secWhat              // per key: the first of its meanings
	secMeanings          // medicine and level<<30, first of its statements; one more at the end
	secBy                // statements that teach a meaning
	secGroups            // per first word: its first key; one more at the end
	secGroupWords        // per group: words of its longest key, a byte
	secSlots             // hash of first word → group+1, 0 for none
	secSpell             // keys that a misspelling may stand for, by first letter and length
	secSpellAt           // per letter and length: the first of them; one more at the end
	secMeds              // identities of medicines learned here, sorted
	secMedBytes          //
	secCovered           // medicines with documents, rising
	secCoverAt           // per medicine two lists of documents: about it alone, about a combination
	secCover             // documents in the order of their ids
	secStated            // what documents state, sorted
	secStatedText        //
	secDocsOf            // per statement: its documents
	secDocs              //
	sections
)

const (
	medBits   = 30
	medMask   = 1<<medBits - 1
	maxMeds   = medMask
	lengths   = longest + 1
	spellings = 26 * lengths
)

// LoadSegment takes the blobs of BuildSegment in their order. Where they were
// made with another table of medicines, the names are learned again, which takes
// as long as BuildSegment; Segment.Relearned tells. Damage is ErrDamaged.
func LoadSegment(blobs [][]byte) (*Segment, error) {
	b, err := bases()
	if err != nil {
		return nil, err
	}
	s, version, err := open(join(blobs))
	if err != nil {
		return nil, err
	}
	if version == b.version && s.tables == len(b.medicines) {
		return s, nil
	}
	docs, err := s.records()
	if err != nil {
		return nil, err
	}
	s, _, err = open(b.build(docs))
	if s != nil {
		s.restored = true
	}
	return s, err
}

func join(blobs [][]byte) string {
	n := 0
	for _, b := range blobs {
		n += len(b)
	}
	var all strings.Builder
	all.Grow(n)
	for _, b := range blobs {
		all.Write(b)
	}
	return all.String()
}

// Relearned says that the segment was stored with another table of medicines,
// so that storing it again makes the next load quicker.
func (s *Segment) Relearned() bool { return s.restored }

// Documents is how many there are.
func (s *Segment) Documents() int { return s.docs }

// ID of a document.
func (s *Segment) ID(doc uint32) string { return s.list(secIDs, secIDBytes, int(doc)) }

// Label says whether a document is about a medicine, as a label is and a
// guideline is not.
func (s *Segment) Label(doc uint32) bool {
	return s.s[s.off[secLabels]+int(doc/8)]&(1<<(doc%8)) != 0
}

// number i of a section of numbers.
func (s *Segment) number(sec, i int) int { return number(s.s, s.off[sec]+4*i) }

func number(s string, at int) int {
	return int(uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24)
}

// list gives string i of a list.
func (s *Segment) list(offsets, bytes, i int) string {
	at := s.off[bytes]
	return s.s[at+s.number(offsets, i) : at+s.number(offsets, i+1)]
}

func (s *Segment) key(i int) string { return s.list(secKeys, secKeyBytes, i) }

// ident of a medicine learned here.
func (s *Segment) ident(i int) string { return s.list(secMeds, secMedBytes, i) }

// search finds the place of a string in a sorted list from lo to hi.
func (s *Segment) search(offsets, bytes, lo, hi int, want string) (int, bool) {
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch got := s.list(offsets, bytes, mid); {
		case got < want:
			lo = mid + 1
		case got > want:
			hi = mid
		default:
			return mid, true
		}
	}
	return lo, false
}

// medicine learned here under an identity.
func (s *Segment) medicine(ident string) (int, bool) {
	return s.search(secMeds, secMedBytes, 0, s.meds, ident)
}

// group of the keys that begin with a word; -1 for none.
func (s *Segment) group(word string, hash uint64) int {
	for i := hash & s.mask; ; i = (i + 1) & s.mask {
		g := s.number(secSlots, int(i)) - 1
		if g < 0 {
			return -1
		}
		k := s.key(s.number(secGroups, g))
		if len(k) >= len(word) && k[:len(word)] == word && (len(k) == len(word) || k[len(word)] == ' ') {
			return g
		}
	}
}

// groupWords is how many words the longest name has that begins with a word.
func (s *Segment) groupWords(word string, hash uint64) int {
	g := s.group(word, hash)
	if g < 0 {
		return 0
	}
	return int(s.s[s.off[secGroupWords]+g])
}

// find a key.
func (s *Segment) find(key string) (int, bool) {
	word, _, _ := strings.Cut(key, " ")
	g := s.group(word, xxhash.Sum64String(word))
	if g < 0 {
		return 0, false
	}
	return s.search(secKeys, secKeyBytes, s.number(secGroups, g), s.number(secGroups, g+1), key)
}

// cover gives the documents about a medicine, in the order of their ids: as
// places in secCover.
func (s *Segment) cover(med int, within bool) (from, to int) {
	lo, hi := 0, s.covers
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s.number(secCovered, mid) < med {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == s.covers || s.number(secCovered, lo) != med {
		return 0, 0
	}
	lo *= 2
	if within {
		lo++
	}
	return s.number(secCoverAt, lo), s.number(secCoverAt, lo+1)
}

// open reads the head of a segment and checks every number in it once, so that
// nothing has to be checked when it is used.
func open(text string) (*Segment, uint64, error) {
	bad := func(what string, args ...any) (*Segment, uint64, error) {
		return nil, 0, fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(what, args...))
	}
	headLen := len(segmentMagic) + 4*(headWords+sections+1)
	if len(text) < headLen || text[:len(segmentMagic)] != segmentMagic {
		return bad("they do not begin as names do")
	}
	at := len(segmentMagic)
	next := func() int { n := number(text, at); at += 4; return n }
	if n := next(); n != len(text) {
		return bad("%d bytes, and %d were written", len(text), n)
	}
	version := uint64(next()) | uint64(next())<<32
	s := &Segment{s: text}
	s.docs, s.keys, s.groups = next(), next(), next()
	slots := next()
	s.meds, s.covers, s.stated, s.tables, s.words = next(), next(), next(), next(), next()
	last := headLen
	for i := range s.off {
		s.off[i] = next()
		if s.off[i] < last || s.off[i] > len(text) || i == 0 && s.off[i] != headLen {
			return bad("section %d does not lie where it should", i)
		}
		last = s.off[i]
	}
	if last != len(text) {
		return bad("something lies behind them")
	}
	size := func(sec int) int { return s.off[sec+1] - s.off[sec] }
	if slots == 0 || bits.OnesCount(uint(slots)) != 1 || slots <= s.groups || s.tables > maxMeds || s.meds > maxMeds-s.tables {
		return bad("their counts do not fit")
	}
	s.mask = uint64(slots - 1)
	for _, c := range []struct{ sec, bytes int }{
		{secIDs, 4 * (s.docs + 1)}, {secLabels, (s.docs + 7) / 8}, {secKeys, 4 * (s.keys + 1)}, {secWhat, 4 * (s.keys + 1)},
		{secGroups, 4 * (s.groups + 1)}, {secGroupWords, s.groups}, {secSlots, 4 * slots}, {secSpellAt, 4 * (spellings + 1)}, {secMeds, 4 * (s.meds + 1)},
		{secCovered, 4 * s.covers}, {secCoverAt, 4 * (2*s.covers + 1)}, {secStated, 4 * (s.stated + 1)}, {secDocsOf, 4 * (s.stated + 1)},
	} {
		if size(c.sec) != c.bytes {
			return bad("section %d has %d bytes, not %d", c.sec, size(c.sec), c.bytes)
		}
	}
	count := func(sec int) int { return size(sec) / 4 }
	meanings := size(secMeanings)/8 - 1
	if meanings < 0 || size(secMeanings) != 8*(meanings+1) {
		return bad("section %d has %d bytes", secMeanings, size(secMeanings))
	}
	// Offsets rise from 0 to the end of what they point into.
	for _, c := range []struct{ sec, n, step, to int }{
		{secIDs, s.docs, 1, size(secIDBytes)}, {secKeys, s.keys, 1, size(secKeyBytes)}, {secWhat, s.keys, 1, meanings},
		{secGroups, s.groups, 1, s.keys}, {secSpellAt, spellings, 1, count(secSpell)}, {secMeds, s.meds, 1, size(secMedBytes)},
		{secCoverAt, 2 * s.covers, 1, count(secCover)}, {secStated, s.stated, 1, size(secStatedText)}, {secDocsOf, s.stated, 1, count(secDocs)},
		{secMeanings, meanings, 2, count(secBy)},
	} {
		last := 0
		for i := range c.n + 1 {
			n := s.number(c.sec, i*c.step+c.step-1)
			if n < last || i == 0 && n != 0 {
				return bad("section %d is not in order", c.sec)
			}
			last = n
		}
		if last != c.to {
			return bad("section %d does not end where it should", c.sec)
		}
	}
	for _, c := range []struct{ sec, step, below int }{
		{secMeanings, 2, medMask + 1}, {secBy, 1, s.stated}, {secSpell, 1, s.keys}, {secCovered, 1, s.tables + s.meds},
		{secCover, 1, s.docs}, {secDocs, 1, s.docs}, {secSlots, 1, s.groups + 1},
	} {
		for i := 0; i < count(c.sec); i += c.step {
			n := s.number(c.sec, i)
			if c.sec == secMeanings {
				if i/2 == meanings {
					break
				}
				if n>>medBits > levelFirst || n&medMask >= s.tables+s.meds {
					return bad("a name stands for what there is not")
				}
			} else if n >= c.below {
				return bad("section %d points at what there is not", c.sec)
			}
		}
	}
	for g := range s.groups {
		if s.number(secGroups, g) == s.number(secGroups, g+1) {
			return bad("a first word has no names")
		}
	}
	full := 0
	for i := range slots {
		if s.number(secSlots, i) > 0 {
			full++
		}
	}
	if full != s.groups {
		return bad("their table of words does not fit")
	}
	for i := range s.meds {
		if len(s.ident(i)) < 2 || !strings.Contains("123", s.ident(i)[:1]) {
			return bad("a medicine has no name")
		}
	}
	return s, version, nil
}
