// Package dense finds passages by the cosine of their vectors: an exact scan
// of unit vectors in float32. It touches no disk.
package dense

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// blockTarget is the size in bytes at which a block of vectors is closed.
const blockTarget = 1 << 20

// Scored is a passage with the cosine of its vector and the query's.
type Scored struct {
	Passage uint32
	Score   float64
}

// Normalise scales v to unit length in place. The error says why it can't be.
func Normalise(v []float32) error {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return errors.New("the vector has an element that is no number")
	}
	if sum == 0 {
		return errors.New("the vector is zero")
	}
	if math.Abs(sum-1) > 1e-6 {
		f := 1 / math.Sqrt(sum)
		for i := range v {
			v[i] = float32(float64(v[i]) * f)
		}
	}
	return nil
}

// Bytes of numbers as they lie: little-endian on every machine that is served.
func Bytes(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// BlockWriter packs vectors into blocks: the number of rows and the dimension
// as uint32, the passages as uint32, the rows as float32, all little-endian.
type BlockWriter struct {
	dim   int
	ids   []uint32
	rows  []byte
	write func(block []byte) error
}

// NewBlockWriter for vectors of dimension dim; write takes each block, which is its
// own and has room for a checksum behind it.
func NewBlockWriter(dim int, write func(block []byte) error) *BlockWriter {
	return &BlockWriter{dim: dim, write: write}
}

// Add a vector of unit length; it is copied.
func (w *BlockWriter) Add(passage uint32, v []float32) error {
	if len(v) != w.dim {
		return fmt.Errorf("dense: a vector of %d dimensions among those of %d", len(v), w.dim)
	}
	w.ids = append(w.ids, passage)
	w.rows = append(w.rows, Bytes(v)...)
	if len(w.rows) >= blockTarget {
		return w.Flush()
	}
	return nil
}

// Flush writes what is left.
func (w *BlockWriter) Flush() error {
	if len(w.ids) == 0 {
		return nil
	}
	b := make([]byte, 0, 8+4*len(w.ids)+len(w.rows)+8)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(w.ids)))
	b = binary.LittleEndian.AppendUint32(b, uint32(w.dim))
	for _, id := range w.ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	b = append(b, w.rows...)
	w.ids, w.rows = w.ids[:0], w.rows[:0]
	return w.write(b)
}

// Flat holds all vectors in memory. Safe for concurrent use once loaded.
type Flat struct {
	dim  int
	ids  []uint32
	rows []float32
	at   map[uint32]int // row of a passage
}

// NewFlat of vectors of dimension dim, with room for n.
func NewFlat(dim, n int) *Flat {
	return &Flat{dim: dim, ids: make([]uint32, 0, n), rows: make([]float32, 0, n*dim), at: make(map[uint32]int, n)}
}

// Load appends a block as BlockWriter writes it.
func (f *Flat) Load(block []byte) error {
	if len(block) < 8 {
		return errors.New("the block is shorter than its header")
	}
	n, dim := uint64(binary.LittleEndian.Uint32(block)), uint64(binary.LittleEndian.Uint32(block[4:]))
	if dim != uint64(f.dim) {
		return fmt.Errorf("the block holds vectors of %d dimensions and the index is of %d", dim, f.dim)
	}
	if uint64(len(block)) != 8+4*n+4*n*dim {
		return fmt.Errorf("the block says %d vectors and has %d bytes", n, len(block))
	}
	ids, rows := block[8:8+4*n], block[8+4*n:]
	for i := range int(n) {
		id := binary.LittleEndian.Uint32(ids[4*i:])
		if _, ok := f.at[id]; ok {
			return fmt.Errorf("passage %d has two vectors", id)
		}
		f.at[id] = len(f.ids)
		f.ids = append(f.ids, id)
	}
	for ; len(rows) >= 4; rows = rows[4:] {
		f.rows = append(f.rows, math.Float32frombits(binary.LittleEndian.Uint32(rows)))
	}
	return nil
}

// Len is the number of vectors.
func (f *Flat) Len() int { return len(f.ids) }

// Dimension of the vectors.
func (f *Flat) Dimension() int { return f.dim }

// Bytes held in memory.
func (f *Flat) Bytes() int64 { return int64(len(f.rows))*4 + int64(len(f.ids))*16 }

// Passages that have a vector, in the order of the rows. Not to be changed.
func (f *Flat) Passages() []uint32 { return f.ids }

// Vector of a passage; nil where it has none. Not to be changed.
func (f *Flat) Vector(passage uint32) []float32 {
	i, ok := f.at[passage]
	if !ok {
		return nil
	}
	return f.rows[i*f.dim : (i+1)*f.dim]
}

// Search gives the k passages of highest cosine with the unit vector q, best
// first, of equal ones the earlier passage first.
func (f *Flat) Search(q []float32, k int) ([]Scored, error) {
	if len(q) != f.dim {
		return nil, fmt.Errorf("dense: the query has %d dimensions and the index %d", len(q), f.dim)
	}
	if k <= 0 {
		return nil, nil
	}
	best := make([]Scored, 0, min(2*k, len(f.ids)))
	least := math.Inf(-1)
	for i, id := range f.ids {
		s := float64(dot(q, f.rows[i*f.dim:(i+1)*f.dim]))
		if s < least {
			continue
		}
		best = append(best, Scored{id, s})
		if len(best) >= 2*k { // cut back to k now and then: cheaper than a heap
			slices.SortFunc(best, order)
			best = best[:k]
			least = best[k-1].Score
		}
	}
	slices.SortFunc(best, order)
	return best[:min(k, len(best))], nil
}

func order(a, b Scored) int {
	if a.Score != b.Score {
		if a.Score > b.Score {
			return -1
		}
		return 1
	}
	return int(int64(a.Passage) - int64(b.Passage))
}

// dot adds in eight lanes, always in the same order, so that equal vectors
// give equal scores.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		s4 += x[4] * y[4]
		s5 += x[5] * y[5]
		s6 += x[6] * y[6]
		s7 += x[7] * y[7]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
}
