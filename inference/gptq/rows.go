package gptq

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"rxedge/inference/gguf"
)

// maxStrip bounds the packed weights held at a time, in bytes. The largest
// matrix of a 7B model packs into 34 MB at 4 bits, 68 MB at 8.
const maxStrip = 96 << 20

// tile is how many rows are unpacked together: neighbouring words of a packed
// row then come from one cache line.
const tile = 32

// strip is the part of packed that is in memory: words [from, to) of each row.
type strip struct {
	from, to int
	words    []uint32
}

// Stats say how near what was written is to what was read.
type Stats struct {
	// MaxError is the largest difference of a weight as written from the
	// weight as read, MaxWeight the largest magnitude of the latter.
	MaxError, MaxWeight float64
}

func (s *Stats) see(want, got float64) {
	s.MaxWeight = max(s.MaxWeight, math.Abs(want))
	s.MaxError = max(s.MaxError, math.Abs(want-got))
}

// Write writes the rows of the matrix, one for each output, in ggml's blocks of
// the plan's type. Row i is the output rows(i); nil: i. It stops with the
// writer's error.
func (m *Matrix) Write(w io.Writer, p Plan, rows func(i int) int) (Stats, error) {
	if rows == nil {
		rows = func(i int) int { return i }
	}
	e := emitter{m: m, plan: p, whole: m.whole(), q: make([][]uint8, tile)}
	defer m.release()
	for t := range e.q {
		e.q[t] = make([]uint8, m.In)
	}
	sources := make([]int, 0, tile)
	var out []byte
	for first := 0; first < m.Out; first += tile {
		sources = sources[:0]
		for i := first; i < min(first+tile, m.Out); i++ {
			o := rows(i)
			if o < 0 || o >= m.Out {
				return e.stats, fmt.Errorf("gptq: row %d is output %d, and there are %d", i, o, m.Out)
			}
			sources = append(sources, o)
		}
		if err := m.unpack(e.q, sources); err != nil {
			return e.stats, fmt.Errorf("%s.qweight: %w", m.name, err)
		}
		out = out[:0]
		for t, o := range sources {
			var err error
			if out, err = e.row(out, e.q[t], o); err != nil {
				return e.stats, fmt.Errorf("%s: output %d: %w", m.name, o, err)
			}
		}
		if _, err := w.Write(out); err != nil {
			return e.stats, err
		}
	}
	return e.stats, nil
}

// Dequantize returns the weights of one output.
func (m *Matrix) Dequantize(o int) ([]float32, error) {
	q := [][]uint8{make([]uint8, m.In)}
	if err := m.unpack(q, []int{o}); err != nil {
		return nil, err
	}
	out := make([]float32, m.In)
	for i := range out {
		out[i] = m.weight(q[0], i, o)
	}
	return out, nil
}

// weight at place i of the output o, whose q are by input.
func (m *Matrix) weight(q []uint8, i, o int) float32 {
	in := m.at(i)
	at := m.group[in]*m.Out + o
	return m.scales[at] * float32(int(q[in])-int(m.zeros[at]))
}

// column is the word of a packed row that holds the output.
func (m *Matrix) column(o int) int {
	if m.method == AWQ {
		return o / 8
	}
	return o
}

// load brings the columns that the outputs need into memory.
func (m *Matrix) load(outputs []int) error {
	low, high := m.columns, 0
	for _, o := range outputs {
		low, high = min(low, m.column(o)), max(high, m.column(o)+1)
	}
	if m.strip.words != nil && low >= m.strip.from && high <= m.strip.to {
		return nil
	}
	height := int(m.packed.Size()) / 4 / m.columns
	// Forward from low as far as the bound allows.
	to := max(high, min(m.columns, low+maxStrip/4/height))
	if m.packed.Size() <= maxStrip {
		low, to = 0, m.columns
	}
	width := to - low
	m.release() // an error leaves nothing half read
	words := borrow(height * width)
	buf := make([]byte, min(1<<20, 4*width*height)/(4*width)*4*width+4*width)
	rowsAtOnce := 1
	if width == m.columns {
		rowsAtOnce = len(buf) / (4 * width)
	}
	for r := 0; r < height; r += rowsAtOnce {
		n := min(rowsAtOnce, height-r) * width
		if _, err := m.packed.ReadAt(buf[:4*n], 4*(int64(r)*int64(m.columns)+int64(low))); err != nil && err != io.EOF {
			return err
		}
		dst := words[r*width:]
		for i := range n {
			dst[i] = binary.LittleEndian.Uint32(buf[4*i:])
		}
	}
	m.strip = strip{from: low, to: to, words: words}
	return nil
}

// spare keeps the memory of a strip for the next: a model has hundreds.
var spare sync.Pool

func borrow(n int) []uint32 {
	if p, ok := spare.Get().(*[]uint32); ok && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]uint32, n)
}

// release gives the strip's memory back.
func (m *Matrix) release() {
	if words := m.strip.words; words != nil {
		spare.Put(&words)
	}
	m.strip = strip{}
}

// unpack fills q[t] with the q of the output outputs[t], by input.
func (m *Matrix) unpack(q [][]uint8, outputs []int) error {
	if err := m.load(outputs); err != nil {
		return err
	}
	width, words := m.strip.to-m.strip.from, m.strip.words
	if m.method == AWQ {
		for i := range m.In {
			row := words[i*width : (i+1)*width]
			for t, o := range outputs {
				q[t][i] = uint8(row[o/8-m.strip.from]>>(4*awqPlace[o%8])) & 15
			}
		}
		return nil
	}
	height := m.In * m.Bits / 32
	mask := uint8(1<<m.Bits - 1)
	if m.Bits == 3 {
		for r := 0; r < height; r += 3 {
			for t, o := range outputs {
				at := r*width + m.column(o) - m.strip.from
				stream := [3]uint32{words[at], words[at+width], words[at+2*width]}
				dst := q[t][r/3*32:]
				for k := range 32 {
					dst[k] = bitsAt(stream[:], 3*k, mask)
				}
			}
		}
		return nil
	}
	per := 32 / m.Bits
	for r := range height {
		row := words[r*width : (r+1)*width]
		for t, o := range outputs {
			word := row[o-m.strip.from]
			dst := q[t][r*per : (r+1)*per]
			for k := range dst {
				dst[k] = uint8(word) & mask
				word >>= m.Bits
			}
		}
	}
	return nil
}

// emitter turns rows of q into blocks.
type emitter struct {
	m      *Matrix
	plan   Plan
	whole  bool // every block's inputs belong to one group
	q      [][]uint8
	floats []float32
	back   []float32
	stats  Stats
}

// row appends the blocks of the output o, whose q are by input.
func (e *emitter) row(dst []byte, q []uint8, o int) ([]byte, error) {
	m := e.m
	if e.plan.Type == gguf.F16 || !e.whole {
		return e.dequantised(dst, q, o)
	}
	var n [block]int
	for first := 0; first < m.In; first += block {
		at := m.group[m.at(first)]*m.Out + o
		scale, zero := m.scales[at], int(m.zeros[at])
		low, high := 255, -255
		for j := range n {
			n[j] = int(q[m.at(first+j)]) - zero
			low, high = min(low, n[j]), max(high, n[j])
		}
		half := gguf.Float16(scale)
		d := gguf.Float16ToFloat32(half)
		switch e.plan.Type {
		case gguf.Q4_0:
			dst = binary.LittleEndian.AppendUint16(dst, half)
			for j := range block / 2 {
				dst = append(dst, byte(n[j]+8)|byte(n[j+block/2]+8)<<4)
			}
			e.account(scale, d, 0, low, high)
		case gguf.Q4_1:
			offset := gguf.Float16(-scale * float32(zero))
			dst = binary.LittleEndian.AppendUint16(dst, half)
			dst = binary.LittleEndian.AppendUint16(dst, offset)
			for j := range block / 2 {
				dst = append(dst, byte(n[j]+zero)|byte(n[j+block/2]+zero)<<4)
			}
			// d·(n+zero) + m stands for scale·n.
			shift := float64(gguf.Float16ToFloat32(offset)) + float64(d)*float64(zero)
			e.account(scale, d, shift, low, high)
		case gguf.Q8_0:
			if low < math.MinInt8 || high > math.MaxInt8 || math.IsInf(float64(d), 0) || d == 0 && scale != 0 {
				var err error
				if dst, err = e.block(dst, q, first, o); err != nil {
					return nil, err
				}
				continue
			}
			dst = binary.LittleEndian.AppendUint16(dst, half)
			for _, v := range n {
				dst = append(dst, byte(int8(v)))
			}
			e.account(scale, d, 0, low, high)
		default:
			return nil, fmt.Errorf("gptq: %s is no type for packed weights", e.plan.Type)
		}
	}
	return dst, nil
}

// account notes a block whose weights scale·n were stored as d·n + shift.
func (e *emitter) account(scale, d float32, shift float64, low, high int) {
	for _, n := range [2]int{low, high} { // the error is greatest at an end
		e.stats.see(float64(scale)*float64(n), float64(d)*float64(n)+shift)
	}
}

// dequantised appends a whole row by way of floats.
func (e *emitter) dequantised(dst []byte, q []uint8, o int) ([]byte, error) {
	return e.floatsAs(dst, q, 0, e.m.In, o)
}

// block appends one block by way of floats.
func (e *emitter) block(dst []byte, q []uint8, first, o int) ([]byte, error) {
	return e.floatsAs(dst, q, first, block, o)
}

func (e *emitter) floatsAs(dst []byte, q []uint8, first, n, o int) ([]byte, error) {
	e.floats = e.floats[:0]
	for i := range n {
		e.floats = append(e.floats, e.m.weight(q, first+i, o))
	}
	from := len(dst)
	var err error
	if e.plan.Type == gguf.Q8_0 {
		for i := 0; i < n; i += block {
			dst = e.nearest(dst, (*[block]float32)(e.floats[i:]), first+i, o)
		}
	} else if dst, err = gguf.Quantize(dst, e.floats, e.plan.Type); err != nil {
		return nil, err
	}
	if e.back, err = gguf.Dequantize(e.back[:0], dst[from:], e.plan.Type); err != nil {
		return nil, err
	}
	for i, want := range e.floats {
		if math.IsInf(float64(e.back[i]), 0) {
			return nil, fmt.Errorf("the weight %v is too large for %s", want, e.plan.Type)
		}
		e.stats.see(float64(want), float64(e.back[i]))
	}
	return dst, nil
}

// nearest appends the block of Q8_0 with the least squared error among those
// whose scale is ggml's own, up to a quarter more, or a part of one of the
// groups' scales, which makes that group's weights exact.
func (e *emitter) nearest(dst []byte, x *[block]float32, first, o int) []byte {
	var top float32
	for _, v := range x {
		top = max(top, v, -v)
	}
	least := top / 127
	best, bestError := gguf.Float16(least), math.Inf(1)
	last := uint16(0)
	try := func(d float32) {
		h := gguf.Float16(d)
		if d = gguf.Float16ToFloat32(h); h == last || d == 0 || d*127.5 < top {
			return
		}
		last = h
		inverse, sum := 1/d, 0.0
		for _, v := range x {
			off := v - d*rounded(v*inverse)
			sum += float64(off * off)
		}
		if sum < bestError {
			best, bestError = h, sum
		}
	}
	for k := range 16 {
		try(least * (1 + float32(k)/64))
	}
	if least > 0 {
		group := -1
		for i := range block {
			if g := e.m.group[e.m.at(first+i)]; g != group {
				group = g
				scale := float32(math.Abs(float64(e.m.scales[g*e.m.Out+o])))
				if part := float32(math.Floor(float64(scale / least))); part >= 1 {
					try(scale / part)
				}
			}
		}
	}
	d := gguf.Float16ToFloat32(best)
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	dst = binary.LittleEndian.AppendUint16(dst, best)
	for _, v := range x {
		dst = append(dst, byte(int8(max(-127, min(127, rounded(v*inverse))))))
	}
	return dst
}

// rounded to the nearest whole number, below 2^22.
func rounded(f float32) float32 {
	const shift = 3 << 22
	return f + shift - shift
}
