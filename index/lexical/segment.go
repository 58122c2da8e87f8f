package lexical

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sort"
	"sync"
)

// Segment is an immutable set of passages with their postings, searched in the
// blobs as they lie. Safe for concurrent use.
type Segment struct {
	summary summary
	lengths [][]byte // by blobLengths passages
	blobs   []termBlob
	bytes   int64
	short   sync.Map // prefix of a byte or two → []Completion
}

// OpenSegment takes the blobs in the order in which Builder.Finish or Merge
// wrote them. They are kept, not copied, and must not change; postings are read
// when a search comes to them, so opening takes microseconds. An error is
// ErrDamaged and names the blob.
func OpenSegment(blobs [][]byte) (*Segment, error) {
	if len(blobs) == 0 {
		return nil, fmt.Errorf("%w: there are no blobs", ErrDamaged)
	}
	fail := func(i int, err error) error { return fmt.Errorf("%w: lexical blob %d: %w", ErrDamaged, i, err) }
	end := len(blobs) - 1
	s := &Segment{}
	var err error
	if s.summary, err = readSummary(blobs[end]); err != nil {
		return nil, fail(end, err)
	}
	n := s.summary.Passages
	if s.summary.lengths != (n+blobLengths-1)/blobLengths || s.summary.lengths+s.summary.blobs != end {
		return nil, fail(end, fmt.Errorf("it says %d passages in %d blobs of lengths and %d of terms, and there are %d blobs",
			n, s.summary.lengths, s.summary.blobs, len(blobs)))
	}
	for i, raw := range blobs[:s.summary.lengths] {
		if err := checkMagic(raw, kindLengths); err != nil {
			return nil, fail(i, err)
		}
		if want := 4 + lengthSize*min(blobLengths, n-i*blobLengths); len(raw) != want {
			return nil, fail(i, fmt.Errorf("it has %d bytes instead of %d", len(raw), want))
		}
		s.lengths = append(s.lengths, raw[4:])
	}
	s.blobs = make([]termBlob, 0, s.summary.blobs)
	terms := 0
	for i, raw := range blobs[s.summary.lengths:end] {
		b, err := openTermBlob(raw)
		if err == nil && int(b.before) != terms {
			err = fmt.Errorf("it says that %d terms come before and there are %d", b.before, terms)
		}
		if err == nil && i > 0 && bytes.Compare(s.blobs[i-1].first, b.first) >= 0 {
			err = fmt.Errorf("its terms do not follow those of the blob before")
		}
		if err != nil {
			return nil, fail(s.summary.lengths+i, err)
		}
		s.blobs = append(s.blobs, b)
		terms += int(b.n)
	}
	if terms != s.summary.terms {
		return nil, fail(end, fmt.Errorf("it says %d terms and there are %d", s.summary.terms, terms))
	}
	for _, b := range blobs {
		s.bytes += int64(len(b))
	}
	return s, nil
}

// Passages in the segment, withdrawn ones included.
func (s *Segment) Passages() int { return s.summary.Passages }

// Terms in the dictionary.
func (s *Segment) Terms() int { return s.summary.terms }

// Postings of all terms.
func (s *Segment) Postings() uint64 { return s.summary.postings }

// Bytes of the blobs.
func (s *Segment) Bytes() int64 { return s.bytes }

// Lengths of a passage in terms by field; zeros where there is no such passage.
func (s *Segment) Lengths(passage uint32) (c Counts) {
	if int64(passage) >= int64(s.summary.Passages) {
		return c
	}
	b := s.lengths[passage/blobLengths][int(passage%blobLengths)*lengthSize:]
	for f := range c {
		c[f] = binary.LittleEndian.Uint32(b[4*f:])
	}
	return c
}

// blobOf the term, if any has it; -1 where it sorts before all.
func (s *Segment) blobOf(term string) int {
	p := prefixOf(term)
	lo, hi := 0, len(s.blobs) // the first blob after the term is among lo…hi
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if b := &s.blobs[m]; b.prefix > p || b.prefix == p && string(b.first) > term {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo - 1
}

// place of a term in the dictionary.
type place struct {
	blob   int
	number uint32 // among all terms of the segment
}

// find gives the entry of a term, without postings where there is none.
func (s *Segment) find(term string, hash uint64) (e entry, at place, err error) {
	at.blob = s.blobOf(term)
	if at.blob < 0 {
		return e, at, nil
	}
	b := &s.blobs[at.blob]
	i, postings, ok := b.find(term, hash)
	if !ok {
		return e, at, nil
	}
	at.number = b.before + i
	if e, ok = openEntry(postings); !ok {
		return entry{}, at, s.damaged(at.blob, term)
	}
	return e, at, nil
}

// damaged names the blob of a term whose postings can't be read.
func (s *Segment) damaged(blob int, term string) error {
	return fmt.Errorf("%w: lexical blob %d: the postings of %q can't be read", ErrDamaged, s.summary.lengths+blob, term)
}

// DocumentFrequency is the number of passages that have the term in any field,
// withdrawn ones included.
func (s *Segment) DocumentFrequency(term string) int {
	e, _, _ := s.find(term, hashTerm(term))
	return int(e.df)
}

// Counts of a term in a passage; zeros where it does not have it.
func (s *Segment) Counts(term string, passage uint32) Counts {
	e, _, _ := s.find(term, hashTerm(term))
	return e.counts(passage)
}

// counts of a passage; zeros where it is not there.
func (e *entry) counts(passage uint32) Counts {
	b := sort.Search(e.blocks, func(i int) bool { return e.lastOf(i) >= passage })
	var k block
	if b < e.blocks && e.open(b, &k) {
		if i := k.find(passage); i >= 0 {
			return k.tf(i)
		}
	}
	return Counts{}
}

// entry is the postings of a term.
type entry struct {
	df      uint32
	blocks  int
	lasts   []byte
	descs   []byte
	payload []byte
}

func openEntry(raw []byte) (e entry, ok bool) {
	if len(raw) < 4 {
		return e, false
	}
	e.df = binary.LittleEndian.Uint32(raw)
	e.blocks = int((uint64(e.df) + blockSize - 1) / blockSize)
	heads := e.blocks * (4 + descriptorSize)
	if e.df == 0 || heads > len(raw)-4 {
		return entry{}, false
	}
	e.lasts = raw[4 : 4+4*e.blocks]
	e.descs = raw[4+4*e.blocks : 4+heads]
	e.payload = raw[4+heads:]
	return e, true
}

// The last and first passage of a block, and its largest impact.
func (e *entry) lastOf(b int) uint32   { return binary.LittleEndian.Uint32(e.lasts[4*b:]) }
func (e *entry) firstOf(b int) uint32  { return binary.LittleEndian.Uint32(e.descs[descriptorSize*b:]) }
func (e *entry) impactOf(b int) uint32 { return uint32(e.descs[descriptorSize*b+8]) }

// block is one block of postings, as it lies.
type block struct {
	first   uint32
	span    uint32 // last passage − first
	n       int
	kind    uint16
	layout  uint16
	impacts []byte // n
	docs    []byte
	counts  []byte // of all fields, one after the other
	// Of a bitmap: ones bits lie before word. Passages are mostly looked for in
	// order, so what was counted is not counted again.
	word, ones int
}

// open block b of the entry; false where its parts do not fit.
func (e *entry) open(b int, k *block) bool {
	d := e.descs[descriptorSize*b : descriptorSize*b+descriptorSize]
	le := binary.LittleEndian
	k.first = le.Uint32(d)
	last := e.lastOf(b)
	if last < k.first {
		return false
	}
	k.span = last - k.first
	k.n = blockSize
	if b == e.blocks-1 {
		k.n = int(e.df) - b*blockSize
	}
	start := int64(le.Uint32(d[4:]))
	k.layout = le.Uint16(d[10:])
	k.kind = k.layout & 3
	var size int
	switch k.kind {
	case layoutBitmap:
		size = 8 * (int(k.span>>6) + 1)
	case layoutShort:
		size = 2 * k.n
	case layoutLong:
		size = 4 * k.n
	default:
		return false
	}
	counts := 0
	for f := range fields {
		w := k.layout >> (2 + 3*f) & 7
		if w == 7 {
			return false
		}
		counts += countsSize(k.n, w)
	}
	docs := k.n + size
	if start+int64(docs+counts) > int64(len(e.payload)) {
		return false
	}
	p := e.payload[start : start+int64(docs+counts)]
	k.impacts, k.docs, k.counts = p[:k.n:k.n], p[k.n:docs:docs], p[docs:]
	k.word, k.ones = 0, 0
	return true
}

// find gives the place of a passage in the block, -1 where it is not there.
func (k *block) find(doc uint32) int {
	if doc < k.first || doc-k.first > k.span {
		return -1
	}
	x := doc - k.first
	switch k.kind {
	case layoutBitmap:
		w, bit := int(x>>6), uint64(1)<<(x&63)
		v := binary.LittleEndian.Uint64(k.docs[8*w:])
		if v&bit == 0 {
			return -1
		}
		if i := k.onesBefore(w) + bits.OnesCount64(v&(bit-1)); i < k.n {
			return i
		}
	case layoutShort:
		if k.n == blockSize {
			return findShort((*[2 * blockSize]byte)(k.docs), x)
		}
		at := 0
		for step := blockSize / 2; step > 0; step >>= 1 {
			if i := at + step; i < k.n && uint32(binary.LittleEndian.Uint16(k.docs[2*i:])) <= x {
				at = i
			}
		}
		if uint32(binary.LittleEndian.Uint16(k.docs[2*at:])) == x {
			return at
		}
	default:
		at := 0
		for step := blockSize / 2; step > 0; step >>= 1 {
			if i := at + step; i < k.n && binary.LittleEndian.Uint32(k.docs[4*i:]) <= x {
				at = i
			}
		}
		if binary.LittleEndian.Uint32(k.docs[4*at:]) == x {
			return at
		}
	}
	return -1
}

// onesBefore counts the bits of a bitmap before a word.
func (k *block) onesBefore(w int) int {
	if w < k.word {
		k.word, k.ones = 0, 0
	}
	for n := k.word; n < w; n++ {
		k.ones += bits.OnesCount64(binary.LittleEndian.Uint64(k.docs[8*n:]))
	}
	k.word = w
	return k.ones
}

// tf of posting i.
func (k *block) tf(i int) (c Counts) {
	rest := k.counts
	for f := range c {
		if w := k.layout >> (2 + 3*f) & 7; w != 0 {
			c[f] = countAt(rest, w, i)
			rest = rest[countsSize(k.n, w):]
		}
	}
	return c
}

// each calls fn with the passages of the block in order, until it says no.
// False where the block holds another number of passages than it should.
func (k *block) each(fn func(i int, doc uint32) bool) bool {
	switch k.kind {
	case layoutBitmap:
		i := 0
		for w := 0; w < len(k.docs); w += 8 {
			for v := binary.LittleEndian.Uint64(k.docs[w:]); v != 0; v &= v - 1 {
				if i == k.n {
					return false
				}
				if !fn(i, k.first+uint32(8*w+trailing(v))) {
					return true
				}
				i++
			}
		}
		return i == k.n
	case layoutShort:
		for i := range k.n {
			if !fn(i, k.first+uint32(binary.LittleEndian.Uint16(k.docs[2*i:]))) {
				return true
			}
		}
	default:
		for i := range k.n {
			if !fn(i, k.first+binary.LittleEndian.Uint32(k.docs[4*i:])) {
				return true
			}
		}
	}
	return true
}

// appendTo appends the passages of the block with what they add at most. False
// where the block holds another number of passages than it should.
func (k *block) appendTo(to []candidate, step uint32) ([]candidate, bool) {
	switch k.kind {
	case layoutBitmap:
		i := 0
		for w := 0; w < len(k.docs); w += 8 {
			for v := binary.LittleEndian.Uint64(k.docs[w:]); v != 0; v &= v - 1 {
				if i == k.n {
					return to, false
				}
				to = append(to, candidate{k.first + uint32(8*w+trailing(v)), uint32(k.impacts[i]) * step})
				i++
			}
		}
		return to, i == k.n
	case layoutShort:
		for i, m := range k.impacts {
			to = append(to, candidate{k.first + uint32(binary.LittleEndian.Uint16(k.docs[2*i:])), uint32(m) * step})
		}
	default:
		for i, m := range k.impacts {
			to = append(to, candidate{k.first + binary.LittleEndian.Uint32(k.docs[4*i:]), uint32(m) * step})
		}
	}
	return to, true
}
