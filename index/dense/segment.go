package dense

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
)

// Segment is an immutable set of unit vectors, rows 0 to Len()-1, in three
// coarsenesses: codes of one bit a dimension, int8, and, outside of it, the
// vectors themselves in float32. Safe for concurrent use.
type Segment struct {
	dim, n int
	seed   uint64
	parameters
	layout   layout
	rotation *rotation

	directory    []list
	spreads      []float32 // of the lists, once more
	centroids    [][]byte  // int8 rows, layout.lists to a block
	coarseBlocks [][]byte
	unitBlocks   [][]byte
	idBlocks     [][]byte
	rowBlocks    []rowBlock
	blocks       [][]byte

	scratch sync.Pool
}

// list is the rows around one centroid.
type list struct {
	first  int     // its first unit
	rows   int     //
	spread float32 // root of the mean square of |row − centroid|
	scale  float32 // of the centroid's int8
}

type rowBlock struct{ scales, rows []byte }

func newSegment(dim, n int, seed uint64) *Segment {
	r := newRotation(dim, seed)
	s := &Segment{dim: dim, n: n, seed: seed, rotation: r, layout: newLayout(r.padded)}
	s.scratch.New = func() any { return newScratch(s.rotation.padded) }
	return s
}

// Len is the number of rows.
func (s *Segment) Len() int { return s.n }

// Dimension of the vectors.
func (s *Segment) Dimension() int { return s.dim }

// Bytes of the blocks.
func (s *Segment) Bytes() int64 {
	sum := int64(0)
	for _, b := range s.blocks {
		sum += int64(len(b))
	}
	return sum
}

// Lists is how many inverted lists there are: 0 where rows are compared one by
// one, 1 where all codes are scanned.
func (s *Segment) Lists() int { return s.lists }

// Recall is the recall at 10 found at build time on held-out queries; 1 where
// there are no lists to choose among.
func (s *Segment) Recall() float64 { return s.recall }

// centroid l as int8.
func (s *Segment) centroid(l int) []byte {
	return s.centroids[l/s.layout.lists][l%s.layout.lists*s.layout.padded:][:s.layout.padded]
}

// row whose code stands at position p.
func (s *Segment) row(p int) uint32 {
	if !s.hasIDs {
		return uint32(p)
	}
	return binary.LittleEndian.Uint32(s.idBlocks[p>>s.layout.idShift][p&(s.layout.ids-1)*4:])
}

// int8Rows are n rows from row r on; they must lie in one block.
func (s *Segment) int8Rows(r, n int) []byte {
	return s.rowBlocks[r>>s.layout.rowShift].rows[r&(s.layout.rows-1)*s.layout.padded:][:n*s.layout.padded]
}

func (s *Segment) rowScale(r int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(s.rowBlocks[r>>s.layout.rowShift].scales[r&(s.layout.rows-1)*4:]))
}

// fetchRow asks for what scoreRow will read.
func (s *Segment) fetchRow(r int) {
	b := &s.rowBlocks[r>>s.layout.rowShift]
	prefetch(b.scales[r&(s.layout.rows-1)*4:][:4])
	prefetch(s.int8Rows(r, 1))
}

// Bitmap is a set of rows: row r is bit r%64 of word r/64. Words that are not
// there are zero.
type Bitmap []uint64

// Has says whether row r is in the set.
func (b Bitmap) Has(r int) bool { return r>>6 < len(b) && b[r>>6]>>(r&63)&1 == 1 }

func (b Bitmap) word(i int) uint64 {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// SetRange puts the rows from first to before end into the set, which has to be
// long enough for them.
func (b Bitmap) SetRange(first, end int) {
	if first >= end {
		return
	}
	from, to := first>>6, (end-1)>>6
	low, high := ^uint64(0)<<(first&63), ^uint64(0)>>(63-(end-1)&63)
	if from == to {
		b[from] |= low & high
		return
	}
	b[from] |= low
	for w := from + 1; w < to; w++ {
		b[w] = ^uint64(0)
	}
	b[to] |= high
}

// count of the rows below n, of words from to before to, that are in b and not
// in without.
func (b Bitmap) count(without Bitmap, from, to, n int) int {
	c := 0
	for i := from; i < min(to, len(b), (n+63)/64); i++ {
		w := b[i] &^ without.word(i)
		if i == n/64 {
			w &= 1<<(n%64) - 1
		}
		c += bits.OnesCount64(w)
	}
	return c
}

// Range of rows, half-open.
type Range struct{ First, End uint32 }
