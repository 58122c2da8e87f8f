package dense

import (
	"encoding/binary"
	"math"
)

// toNearest turns |x| < 2²² into the nearest integer, halves to even: adding
// 1.5·2²³ leaves it in the last bits of the float.
func toNearest(x float32) int32 {
	return int32(math.Float32bits(float32(x)+12582912)) - 0x4B400000
}

// greatest absolute value.
func greatest(v []float32) float32 {
	most := uint32(0) // without their signs, floats are ordered as their bits
	for _, x := range v {
		most = max(most, math.Float32bits(x)&^(1<<31))
	}
	return math.Float32frombits(most)
}

// quantiseRow writes v as int8 to row, so that v ≈ scale · row. failing is
// |v − scale · row|, which bounds the error of any product with a unit vector.
func quantiseRow(row []byte, v []float32) (scale float32, failing float64) {
	most := greatest(v)
	if most == 0 {
		clear(row)
		return 0, 0
	}
	scale = most / 127
	inverse := 127 / most
	sum := 0.0
	for i, x := range v {
		q := toNearest(float32(x * inverse))
		row[i] = byte(int8(q))
		d := float32(x - float32(scale*float32(q)))
		sum += float64(d) * float64(d)
	}
	return scale, math.Sqrt(sum)
}

// expandRow is quantiseRow backwards.
func expandRow(v []float32, row []byte, scale float32) {
	for i, x := range row[:len(v)] {
		v[i] = float32(scale * float32(int8(x)))
	}
}

// queryLimit is the greatest absolute value of a query in int16: 127 times its
// sum over all dimensions stays an int32.
func queryLimit(padded int) float32 {
	return float32(min(32767, math.MaxInt32/(127*padded)))
}

// quantiseQuery writes v as int16, v ≈ scale · out.
func quantiseQuery(out []int16, v []float32) (scale float32) {
	most := greatest(v)
	if most == 0 {
		clear(out)
		return 0
	}
	limit := queryLimit(len(v))
	inverse := limit / most
	for i, x := range v {
		out[i] = int16(toNearest(float32(x * inverse)))
	}
	return most / limit
}

// putCode writes the signs of r, the vector less its centroid, into lane of
// unit, and the factor that makes them an estimate: for a unit vector q,
//
//	⟨q, r⟩ ≈ |r|²/|r|₁ · Σ ±q
//
// unbiased over random rotations, with a standard deviation of at most
// spread · factor (RaBitQ, Gao and Long, SIGMOD 2024, theorem 3.2).
func putCode(unit []byte, lane int, r []float32) {
	var squares, sum float64
	for p := 0; p < len(r)/8; p++ {
		code := byte(0)
		for k, x := range r[p*8 : p*8+8] {
			if x > 0 {
				code |= 1 << k
			}
			squares += float64(x) * float64(x)
			sum += math.Abs(float64(x))
		}
		unit[p*lanes+lane] = code
	}
	factor := float32(0)
	if sum > 0 {
		factor = float32(squares / sum)
	}
	binary.LittleEndian.PutUint32(unit[len(unit)-4*(lanes-lane):], math.Float32bits(factor))
}

// spread times a row's factor bounds the standard deviation of its estimate
// for a query of length 1: √(1 − 2/π), as the rotated vector's elements are
// nearly normal.
const spread = 0.6028

// table holds, for every four dimensions of a rotated query, sixteen entries,
// one for each four bits of a code, of one byte each. A code's entries add up
// to sum, and a·sum + b is the product of the code, as ±1, with the query,
// whose elements are rounded to multiples of a/2: an error a twentieth of what
// the code itself loses.
type table struct {
	entries []byte
	a, b    float32
}

func newTable(padded int) *table { return &table{entries: make([]byte, padded*4)} }

// subsets has, for each of four bits, a one in every byte whose number, 0 to 7,
// has that bit; bit 3 tells the second eight bytes of a group from the first.
var subsets = [4]uint64{0x0100010001000100, 0x0101000001010000, 0x0101010100000000, 0}

const ones = 0x0101010101010101

// set fills the table for q. Entries are at most 63, so that four of them add up
// in a byte, and less in over 4160 dimensions, so that a row's sum stays below
// 65536.
func (t *table) set(q []float32) {
	groups := len(q) / 4
	most := float32(0)
	for g := range groups {
		x := q[g*4 : g*4+4 : g*4+4]
		if s := (magnitude(x[0]) + magnitude(x[1])) + (magnitude(x[2]) + magnitude(x[3])); s > most {
			most = s
		}
	}
	if most == 0 {
		clear(t.entries)
		t.a, t.b = 0, 0
		return
	}
	// Rounding adds up to half for each of the four.
	step := float32(min(63, 65535/groups)-2) / most
	total := uint64(0)
	for g := range groups {
		x := q[g*4 : g*4+4 : g*4+4]
		low, high := uint64(0), uint64(0)
		for k, v := range x {
			w := uint64(toNearest(float32(magnitude(v) * step)))
			total += w
			first, second := subsets[k], subsets[k]
			if k == 3 {
				second = ones
			}
			if v < 0 { // counts where the bit is not set
				first, second = first^ones, second^ones
			}
			low += w * first
			high += w * second
		}
		binary.LittleEndian.PutUint64(t.entries[g*16:], low)
		binary.LittleEndian.PutUint64(t.entries[g*16+8:], high)
	}
	t.a = 2 / step
	t.b = -float32(total) / step
}

func magnitude(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
