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

// quantiseRow writes v as int8 to row, so that v ≈ scale · row. failing is
// |v − scale · row|, which bounds the error of any product with a unit vector.
func quantiseRow(row []byte, v []float32) (scale float32, failing float64) {
	most := float32(0)
	for _, x := range v {
		most = max(most, float32(math.Abs(float64(x))))
	}
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
		d := float64(x) - float64(scale)*float64(q)
		sum += float64(d * d)
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
	most := float32(0)
	for _, x := range v {
		most = max(most, float32(math.Abs(float64(x))))
	}
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

// table holds, for every four dimensions of a rotated query, the sixteen sums
// of ± its elements, as bytes: sum ≈ (entries − bias)/step, that is
// a · entries + b.
type table struct {
	entries []byte
	sums    []float32
	a, b    float32
}

func newTable(padded int) *table {
	return &table{entries: make([]byte, padded*4), sums: make([]float32, padded*4)}
}

// set fills the table for q. Entries are at most 63, less in over 4160
// dimensions, so that a row's sum stays below 65536.
func (t *table) set(q []float32) {
	groups := len(q) / 4
	most, bias := float32(0), float32(0)
	for g := range groups {
		x := q[g*4 : g*4+4 : g*4+4]
		s := t.sums[g*16 : g*16+16 : g*16+16]
		s[0] = -((x[0] + x[1]) + (x[2] + x[3]))
		low, high := s[0], s[0]
		for k := range 4 {
			two := x[k] + x[k]
			for c := range 1 << k {
				s[1<<k+c] = s[c] + two
			}
			if two < 0 {
				low += two
			} else {
				high += two
			}
		}
		bias += low
		most = max(most, high-low)
		// What the least sum comes to differs in its last bits from the entry.
		for c := range s {
			s[c] = max(0, s[c]-low)
		}
	}
	limit := float32(min(63, 65535/groups))
	if most == 0 {
		clear(t.entries)
		t.a, t.b = 0, 0
		return
	}
	step := limit / most
	for i, s := range t.sums[:groups*16] {
		t.entries[i] = byte(min(limit, float32(s*step)+0.5))
	}
	t.a, t.b = most/limit, bias
}
