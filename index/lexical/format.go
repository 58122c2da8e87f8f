package lexical

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// ErrDamaged: blobs that can't be what Builder or Merge wrote.
var ErrDamaged = errors.New("damaged postings")

// A segment is a run of blobs: lengths, terms with their postings in
// alphabetical order, and a summary at the end. DESIGN.md draws them.
const (
	kindLengths = 'L'
	kindTerms   = 'T'
	kindSummary = 'S'

	formatVersion = 3
)

// blobTarget is the size in bytes at which a blob is closed. One key per term
// is slow to load from a key-value store, and one blob for all can't be checked
// or read in parts. A term with more postings has a larger blob of its own.
const blobTarget = 1 << 20

// blobTerms is the most terms of a blob: a slot has 16 bits for them.
const blobTerms = math.MaxUint16

// blobLengths is the number of passages whose lengths lie in one blob.
const blobLengths = 1 << 16

const lengthSize = 4 * int(fields)

func appendMagic(b []byte, kind byte) []byte { return append(b, 'r', 'x', kind, formatVersion) }

func checkMagic(b []byte, kind byte) error {
	switch {
	case len(b) < 4 || b[0] != 'r' || b[1] != 'x':
		return errors.New("it does not begin as a lexical blob does")
	case b[3] != formatVersion:
		return fmt.Errorf("it is of format %d and this rxedge reads %d", b[3], formatVersion)
	case b[2] != kind:
		return fmt.Errorf("it is of kind %q instead of %q", b[2], kind)
	}
	return nil
}

// summary is the last blob.
type summary struct {
	Stats
	params   Params  // that the impacts were reckoned with
	longest  float64 // pooled length of the longest passage with them
	lengths  int     // blobs
	blobs    int     // of terms
	terms    int
	postings uint64
}

const summarySize = 4 + 4*4 + 8*int(fields) + 8*5 + 8 + 8

func (s *summary) append(b []byte) []byte {
	le := binary.LittleEndian
	b = appendMagic(b, kindSummary)
	for _, n := range []int{s.Passages, s.lengths, s.blobs, s.terms} {
		b = le.AppendUint32(b, uint32(n))
	}
	for _, n := range s.Lengths {
		b = le.AppendUint64(b, n)
	}
	for _, f := range []float64{s.params.K1, s.params.B, s.params.Heading, s.params.Title, s.longest} {
		b = le.AppendUint64(b, math.Float64bits(f))
	}
	b = le.AppendUint64(b, s.postings)
	return le.AppendUint64(b, xxhash.Sum64(b))
}

func readSummary(b []byte) (s summary, err error) {
	if err := checkMagic(b, kindSummary); err != nil {
		return s, err
	}
	if len(b) != summarySize {
		return s, fmt.Errorf("it has %d bytes instead of %d", len(b), summarySize)
	}
	le, at := binary.LittleEndian, 4
	if le.Uint64(b[summarySize-8:]) != xxhash.Sum64(b[:summarySize-8]) {
		return s, errors.New("its checksum does not fit")
	}
	for _, n := range []*int{&s.Passages, &s.lengths, &s.blobs, &s.terms} {
		*n = int(le.Uint32(b[at:]))
		at += 4
	}
	for i := range s.Lengths {
		s.Lengths[i] = le.Uint64(b[at:])
		at += 8
	}
	for _, f := range []*float64{&s.params.K1, &s.params.B, &s.params.Heading, &s.params.Title, &s.longest} {
		*f = math.Float64frombits(le.Uint64(b[at:]))
		at += 8
	}
	s.postings = le.Uint64(b[at:])
	if !s.params.valid() || !(s.longest >= 0) || math.IsInf(s.longest, 1) {
		return s, errors.New("its parameters can't be right")
	}
	return s, nil
}

// termBlob is a run of terms, each with its entry of postings. A table of slots
// finds a term by its hash.
//
//	magic | n | slots | first term's number in the segment
//	slots × (16 bits of the hash, number in the blob + 1 or 0)
//	n × end of entry | entries
type termBlob struct {
	n, slots uint32
	before   uint32 // terms in the blobs before
	table    []byte
	ends     []byte
	entries  []byte
	prefix   uint64 // of the first term
	first    []byte
}

const termBlobHeader = 4 + 3*4

func hashTerm(term string) uint64 { return xxhash.Sum64String(term) }

// prefixOf orders terms by their first eight bytes.
func prefixOf[T string | []byte](term T) uint64 {
	var b [8]byte
	copy(b[:], term)
	return binary.BigEndian.Uint64(b[:])
}

func slotsFor(n int) uint32 {
	s := uint32(1)
	for int(s)*3 < n*4 {
		s <<= 1
	}
	return s
}

func openTermBlob(raw []byte) (b termBlob, err error) {
	if err := checkMagic(raw, kindTerms); err != nil {
		return b, err
	}
	if len(raw) < termBlobHeader {
		return b, errors.New("it is shorter than its header")
	}
	le := binary.LittleEndian
	b.n, b.slots, b.before = le.Uint32(raw[4:]), le.Uint32(raw[8:]), le.Uint32(raw[12:])
	if b.n == 0 || b.n > blobTerms || b.slots != slotsFor(int(b.n)) {
		return b, fmt.Errorf("it says %d terms in %d slots", b.n, b.slots)
	}
	table, ends := 4*int(b.slots), 4*int(b.n)
	rest := raw[termBlobHeader:]
	if len(rest) < table+ends || uint64(len(rest)-table-ends) != uint64(le.Uint32(rest[table+ends-4:])) {
		return b, errors.New("its parts do not add up to its size")
	}
	b.table, b.ends, b.entries = rest[:table], rest[table:table+ends], rest[table+ends:]
	if b.first, _ = b.entry(0); len(b.first) == 0 {
		return b, errors.New("its first term can't be read")
	}
	b.prefix = prefixOf(b.first)
	return b, nil
}

// entry i, of n: its term and its postings; nils where its bounds are damaged.
func (b *termBlob) entry(i uint32) (term, postings []byte) {
	start, end := uint32(0), binary.LittleEndian.Uint32(b.ends[4*i:])
	if i > 0 {
		start = binary.LittleEndian.Uint32(b.ends[4*i-4:])
	}
	if start >= end || uint64(end) > uint64(len(b.entries)) {
		return nil, nil
	}
	e := b.entries[start:end:end]
	n := 1 + int(e[0])
	if n > len(e) {
		return nil, nil
	}
	return e[1:n:n], e[n:]
}

// find the number of a term in the blob, and its postings.
func (b *termBlob) find(term string, hash uint64) (i uint32, postings []byte, ok bool) {
	mask := b.slots - 1
	at := uint32(hash) & mask
	for range b.slots {
		v := binary.LittleEndian.Uint32(b.table[4*at:])
		if v == 0 {
			return 0, nil, false
		}
		if v>>16 == uint32(hash>>48) {
			if i := v&0xffff - 1; i < b.n {
				if t, p := b.entry(i); string(t) == term {
					return i, p, true
				}
			}
		}
		at = (at + 1) & mask
	}
	return 0, nil, false
}

// An entry holds a term and its postings in blocks of 128:
//
//	length of the term | term | df | blocks × last passage | blocks × descriptor | payloads
//	descriptor: first passage | where the payload begins | largest impact | 0 | layout
//	payload: n impacts | passages | counts by field
//
// The passages of a block are a bitmap from the first one, or 16-bit or 32-bit
// distances from it, whichever is shortest: all three are searched as they lie.
// Counts take 0, 1, 2, 4, 8, 16 or 32 bits each, as the largest needs.
const (
	blockSize      = 128
	descriptorSize = 12

	layoutBitmap = 0
	layoutShort  = 1
	layoutLong   = 2
)

// layout packs how a block's payload is written: two bits for the passages,
// three for the width of each field's counts.
func layout(passages uint16, widths [fields]uint16) uint16 {
	for f, w := range widths {
		passages |= w << (2 + 3*f)
	}
	return passages
}

// widthCode is that of the bits a count needs: 0 → 0, 1 → 1, 2 → 2, 4 → 3 …
func widthCode(most uint32) uint16 {
	switch {
	case most == 0:
		return 0
	case most < 1<<1:
		return 1
	case most < 1<<2:
		return 2
	case most < 1<<4:
		return 3
	case most < 1<<8:
		return 4
	case most < 1<<16:
		return 5
	}
	return 6
}

// bits of a width code.
func bitsOf(code uint16) int { return 1 << code >> 1 }

// countsSize is how many bytes n counts of a width take.
func countsSize(n int, code uint16) int { return (n*bitsOf(code) + 7) / 8 }

// countAt reads count i of a field.
func countAt(data []byte, code uint16, i int) uint32 {
	switch code {
	case 0:
		return 0
	case 1:
		return uint32(data[i>>3]>>(i&7)) & 1
	case 2:
		return uint32(data[i>>2]>>(i&3*2)) & 3
	case 3:
		return uint32(data[i>>1]>>(i&1*4)) & 15
	case 4:
		return uint32(data[i])
	case 5:
		return uint32(binary.LittleEndian.Uint16(data[2*i:]))
	}
	return binary.LittleEndian.Uint32(data[4*i:])
}

func appendCounts(b []byte, counts []Counts, f Field, code uint16) []byte {
	if code == 0 {
		return b
	}
	at := len(b)
	b = append(b, make([]byte, (len(counts)*bitsOf(code)+7)/8)...)
	for i, c := range counts {
		v := c[f]
		switch code {
		case 1:
			b[at+i>>3] |= byte(v) << (i & 7)
		case 2:
			b[at+i>>2] |= byte(v) << (i & 3 * 2)
		case 3:
			b[at+i>>1] |= byte(v) << (i & 1 * 4)
		case 4:
			b[at+i] = byte(v)
		case 5:
			binary.LittleEndian.PutUint16(b[at+2*i:], uint16(v))
		default:
			binary.LittleEndian.PutUint32(b[at+4*i:], v)
		}
	}
	return b
}
