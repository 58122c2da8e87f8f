package generation

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"
)

// vectors of a unit in float32, in the blocks that dense.BlockWriter wrote, as
// they lie: the number of rows and the dimension, the passages, the rows.
type vectors struct {
	dim    int
	blocks []vectorBlock
	rows   int
}

type vectorBlock struct {
	first    int // row
	n        int
	passages []byte // uint32
	data     []byte // float32
}

func (v *vectors) add(block []byte) error {
	if len(block) < 8 {
		return fmt.Errorf("it has %d bytes", len(block))
	}
	n, dim := int(binary.LittleEndian.Uint32(block)), int(binary.LittleEndian.Uint32(block[4:]))
	if dim != v.dim || n == 0 || n > len(block) || len(block) != 8+4*n+4*n*dim {
		return fmt.Errorf("it says %d vectors of dimension %d (the embedder's is %d) and has %d bytes", n, dim, v.dim, len(block))
	}
	v.blocks = append(v.blocks, vectorBlock{v.rows, n, block[8 : 8+4*n], block[8+4*n:]})
	v.rows += n
	return nil
}

func (v *vectors) block(row int) *vectorBlock {
	// All blocks but the last have as many rows as the first.
	if i := row / v.blocks[0].n; i < len(v.blocks) {
		if b := &v.blocks[i]; b.first <= row && row < b.first+b.n {
			return b
		}
	}
	i, ok := slices.BinarySearchFunc(v.blocks, row, func(b vectorBlock, r int) int { return b.first - r })
	if !ok {
		i--
	}
	return &v.blocks[i]
}

// at is a row, where it lies. Not to be changed.
func (v *vectors) at(row int) []float32 {
	b := v.block(row)
	return floats(b.data[4*v.dim*(row-b.first):], v.dim)
}

// floats reads little-endian numbers in place, as both machines that are served
// can, aligned or not.
func floats(b []byte, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b[:4*n]))), n)
}

// passage of a row.
func (v *vectors) passage(row int) uint32 {
	b := v.block(row)
	return binary.LittleEndian.Uint32(b.passages[4*(row-b.first):])
}

// row of a passage; rows are in order of their passages.
func (v *vectors) row(passage uint32) (int, bool) {
	lo, hi := 0, v.rows
	for lo < hi {
		if mid := (lo + hi) / 2; v.passage(mid) < passage {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < v.rows && v.passage(lo) == passage
}
