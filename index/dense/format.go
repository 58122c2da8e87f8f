package dense

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// A segment is a row of blocks of about 1 MB. Every block starts with the same
// header, little-endian:
//
//	 0  "rxdn"
//	 4  format, kind        uint16 each
//	 8  number, of how many uint32 each
//	16  dimension, rows     uint32 each, of the segment
//	24  first, items        uint32 each: what the block holds
//	32  bytes that follow   uint64
//	40  seed of the rotation
//	48  xxHash64 of what follows
//	56  xxHash64 of the header up to here
//
// What follows depends on the kind; DESIGN.md has it byte by byte.
const (
	headerBytes = 64
	magic       = "rxdn"
	format      = 1
	blockBytes  = 1 << 20
)

const (
	kindMeta   = 1 + iota // parameters
	kindLists             // centroids and where their lists lie
	kindCoarse            // codes of 32 centroids each, where there are several
	kindUnits             // codes of 32 rows each, in order of the lists
	kindIDs               // the row of each code
	kindRows              // int8 rows, in order of the rows
)

var kindNames = [...]string{kindMeta: "parameters", kindLists: "lists", kindCoarse: "centroids' codes", kindUnits: "codes", kindIDs: "row numbers", kindRows: "int8 rows"}

const (
	// MaxDimension of the vectors.
	MaxDimension = 16384
	// MaxRows of a segment.
	MaxRows = 1 << 30

	metaBytes = 64
	listBytes = 16 // first unit, rows, spread, scale; then the centroid as int8
	noRow     = math.MaxUint32
)

// perBlock is how many items of a size go into a block: a power of two, so
// that an item is found by shift and mask.
func perBlock(size int) int { return 1 << (bits.Len(uint(max(1, blockBytes/size))) - 1) }

// layout says how many items of each kind go into a block.
type layout struct {
	padded                             int
	lists, units, ids, rows            int
	unitShift, idShift, rowShift       int
	listSize, unitSize, idSize, rowLen int // bytes of an item
}

func newLayout(padded int) layout {
	l := layout{padded: padded, listSize: listBytes + padded, unitSize: unitBytes(padded), idSize: 4, rowLen: 4 + padded}
	l.lists, l.units, l.ids, l.rows = perBlock(l.listSize), perBlock(l.unitSize), perBlock(2*l.idSize), perBlock(l.rowLen)
	l.unitShift, l.idShift, l.rowShift = bits.TrailingZeros(uint(l.units)), bits.TrailingZeros(uint(l.ids)), bits.TrailingZeros(uint(l.rows))
	return l
}

// plan is the kinds of block in their order, with items a block and in all.
func (l layout) plan(n, lists, units int, hasIDs bool) []struct{ kind, items, each, size int } {
	p := []struct{ kind, items, each, size int }{
		{kindMeta, 1, 1, metaBytes},
		{kindLists, lists, l.lists, l.listSize},
		{kindCoarse, 0, l.units, l.unitSize},
		{kindUnits, units, l.units, l.unitSize},
		{kindIDs, 0, l.ids, l.idSize},
		{kindRows, n, l.rows, l.rowLen},
	}
	if hasIDs {
		p[4].items = units * lanes
	}
	if lists > 1 {
		p[2].items = (lists + lanes - 1) / lanes
	}
	return p
}

// header of a block, read.
type header struct {
	kind, number, of, dim, n, first, items int
	seed                                   uint64
}

func seal(block []byte, h header) {
	le := binary.LittleEndian
	copy(block, magic)
	le.PutUint16(block[4:], format)
	le.PutUint16(block[6:], uint16(h.kind))
	for i, v := range []int{h.number, h.of, h.dim, h.n, h.first, h.items} {
		le.PutUint32(block[8+4*i:], uint32(v))
	}
	le.PutUint64(block[32:], uint64(len(block)-headerBytes))
	le.PutUint64(block[40:], h.seed)
	le.PutUint64(block[48:], xxhash.Sum64(block[headerBytes:]))
	le.PutUint64(block[56:], xxhash.Sum64(block[:56]))
}

func readHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	var h header
	switch {
	case len(b) < headerBytes:
		return h, fmt.Errorf("%d bytes are no block", len(b))
	case string(b[:4]) != magic:
		return h, errors.New("it does not start as a block of vectors")
	case xxhash.Sum64(b[:56]) != le.Uint64(b[56:]):
		return h, errors.New("its header is not what was written")
	case le.Uint16(b[4:]) != format:
		return h, fmt.Errorf("its format is %d and this program reads %d", le.Uint16(b[4:]), format)
	case le.Uint64(b[32:]) != uint64(len(b)-headerBytes):
		return h, fmt.Errorf("it should have %d bytes and has %d", le.Uint64(b[32:])+headerBytes, len(b))
	}
	h.kind = int(le.Uint16(b[6:]))
	for i, p := range []*int{&h.number, &h.of, &h.dim, &h.n, &h.first, &h.items} {
		*p = int(le.Uint32(b[8+4*i:]))
	}
	h.seed = le.Uint64(b[40:])
	return h, nil
}

func checkPayload(b []byte) error {
	if xxhash.Sum64(b[headerBytes:]) != binary.LittleEndian.Uint64(b[48:]) {
		return errors.New("its contents are not what was written")
	}
	return nil
}

// parameters are what the first block holds.
type parameters struct {
	lists, units, heldOut int
	hasIDs                bool
	failing               float64 // greatest |x − int8 row|
	margin                float64 // see calibrate.go
	target, recall        float64 // asked for, and found on held-out queries
}

func (p parameters) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, uint32(p.lists))
	le.PutUint32(b[4:], uint32(p.units))
	le.PutUint32(b[8:], uint32(p.heldOut))
	if p.hasIDs {
		b[12] = 1
	}
	for i, x := range []float64{p.failing, p.margin, p.target, p.recall} {
		le.PutUint64(b[16+8*i:], math.Float64bits(x))
	}
}

func readParameters(b []byte) (parameters, error) {
	le := binary.LittleEndian
	p := parameters{lists: int(le.Uint32(b)), units: int(le.Uint32(b[4:])), heldOut: int(le.Uint32(b[8:])), hasIDs: b[12] == 1}
	for i, x := range []*float64{&p.failing, &p.margin, &p.target, &p.recall} {
		*x = math.Float64frombits(le.Uint64(b[16+8*i:]))
		if math.IsNaN(*x) || math.IsInf(*x, 0) {
			return p, errors.New("a parameter is no number")
		}
	}
	return p, nil
}

// damaged says which block is at fault.
func damaged(number, kind int, err error) error {
	name := "unknown"
	if kind > 0 && kind < len(kindNames) {
		name = kindNames[kind]
	}
	return fmt.Errorf("dense: block %d (%s) is damaged: %w", number, name, err)
}

// Load reads a segment from the blocks that Encode wrote, in their order. It
// keeps the slices and copies only centroids' places; the bulk (codes, row
// numbers, int8 rows) is neither copied nor read, so Verify, not Load, finds a
// flipped bit in it, and the time goes with the number of blocks. The error
// names the block.
func Load(blocks [][]byte) (*Segment, error) {
	if len(blocks) == 0 {
		return nil, errors.New("dense: a segment without blocks")
	}
	h, err := readHeader(blocks[0])
	if err == nil {
		err = checkPayload(blocks[0])
	}
	switch {
	case err != nil:
	case h.kind != kindMeta || len(blocks[0]) != headerBytes+metaBytes:
		err = errors.New("the first block should hold the parameters")
	case h.of != len(blocks):
		err = fmt.Errorf("the segment has %d blocks and %d are here", h.of, len(blocks))
	case h.dim < 1 || h.dim > MaxDimension || h.n > MaxRows:
		err = fmt.Errorf("%d rows of %d dimensions", h.n, h.dim)
	}
	if err != nil {
		return nil, damaged(0, kindMeta, err)
	}
	s := newSegment(h.dim, h.n, h.seed)
	if s.parameters, err = readParameters(blocks[0][headerBytes:]); err != nil {
		return nil, damaged(0, kindMeta, err)
	}
	number := 0
	for _, p := range s.layout.plan(s.n, s.lists, s.units, s.hasIDs) {
		for first := 0; first < p.items; first += p.each {
			items := min(p.each, p.items-first)
			if number >= len(blocks) {
				return nil, damaged(0, kindMeta, fmt.Errorf("it speaks of more than the %d blocks", len(blocks)))
			}
			got, err := readHeader(blocks[number])
			want := header{p.kind, number, len(blocks), s.dim, s.n, first, items, s.seed}
			switch {
			case err != nil:
			case got != want:
				err = errors.New("its header does not fit the segment")
			case len(blocks[number]) != headerBytes+items*p.size:
				err = fmt.Errorf("%d bytes for %d items", len(blocks[number]), items)
			case p.kind == kindLists:
				err = checkPayload(blocks[number])
			}
			if err != nil {
				return nil, damaged(number, p.kind, err)
			}
			s.keep(p.kind, blocks[number], items)
			number++
		}
	}
	if number != len(blocks) {
		return nil, damaged(number, 0, errors.New("it is one too many"))
	}
	s.blocks = blocks
	if err := s.checkLists(); err != nil {
		return nil, err
	}
	return s, nil
}

// keep puts a block to its kind.
func (s *Segment) keep(kind int, block []byte, items int) {
	b := block[headerBytes:len(block):len(block)]
	switch kind {
	case kindLists:
		for i := range items {
			e := b[i*listBytes:]
			s.directory = append(s.directory, list{
				first:  int(binary.LittleEndian.Uint32(e)),
				rows:   int(binary.LittleEndian.Uint32(e[4:])),
				spread: math.Float32frombits(binary.LittleEndian.Uint32(e[8:])),
				scale:  math.Float32frombits(binary.LittleEndian.Uint32(e[12:])),
			})
		}
		s.centroids = append(s.centroids, b[items*listBytes:])
	case kindCoarse:
		s.coarseBlocks = append(s.coarseBlocks, b)
	case kindUnits:
		s.unitBlocks = append(s.unitBlocks, b)
	case kindIDs:
		s.idBlocks = append(s.idBlocks, b)
	case kindRows:
		s.rowBlocks = append(s.rowBlocks, rowBlock{scales: b[: 4*items : 4*items], rows: b[4*items:]})
	}
}

// checkLists makes sure that every list lies within the units: Search relies
// on it.
func (s *Segment) checkLists() error {
	fail := func(l int, err error) error {
		return damaged(1+l/s.layout.lists, kindLists, err)
	}
	if s.lists == 0 {
		if s.units != 0 || s.hasIDs {
			return damaged(0, kindMeta, errors.New("codes without lists"))
		}
		return nil
	}
	units, rows := 0, 0
	for i, l := range s.directory {
		s.spreads = append(s.spreads, l.spread)
		if l.first != units || l.rows > s.n-rows {
			return fail(i, fmt.Errorf("list %d has no place", i))
		}
		units += (l.rows + lanes - 1) / lanes
		rows += l.rows
	}
	if units != s.units || rows != s.n {
		return fail(s.lists-1, fmt.Errorf("the lists hold %d of %d rows", rows, s.n))
	}
	if !s.hasIDs && s.lists != 1 {
		return damaged(0, kindMeta, errors.New("several lists without row numbers"))
	}
	return nil
}

// checkRows makes sure that every row stands in exactly one list.
func (s *Segment) checkRows() error {
	if !s.hasIDs {
		return nil
	}
	seen := make(Bitmap, (s.n+63)/64)
	for i, l := range s.directory {
		from := l.first * lanes
		for p := from; p < (from+l.rows+lanes-1)/lanes*lanes; p++ {
			row := s.row(p)
			ok := row == noRow
			if p < from+l.rows {
				ok = int(row) < s.n && !seen.Has(int(row))
			}
			if !ok {
				number := 1 + len(s.centroids) + len(s.coarseBlocks) + len(s.unitBlocks) + p>>s.layout.idShift
				return damaged(number, kindIDs, fmt.Errorf("list %d has a row that is not one of its own", i))
			}
			if row != noRow {
				seen[row/64] |= 1 << (row % 64)
			}
		}
	}
	return nil
}

// Verify reads every byte and names the first block that is not what was
// written.
func (s *Segment) Verify() error {
	for i, b := range s.blocks {
		h, err := readHeader(b)
		if err == nil {
			err = checkPayload(b)
		}
		if err != nil {
			return damaged(i, h.kind, err)
		}
	}
	return s.checkRows()
}

// Encode hands the segment's blocks, of about 1 MB each, to write, in the order
// that Load wants them in. Equal vectors and options give equal blocks on every
// machine.
func (s *Segment) Encode(write func(block []byte) error) error {
	for _, b := range s.blocks {
		if err := write(b); err != nil {
			return err
		}
	}
	return nil
}
