package dense

import (
	"encoding/binary"
	"math"
)

// The loops that the time goes to. Each is written once in Go, here, and again
// in assembly for AVX2 and NEON. All give the same results bit for bit: sums of
// codes and of int8 products are integers; products of two float32 are exact
// in float64, so that a fused multiply-add rounds as a separate one does; the
// few steps in float32 multiply and add separately and in the same order. A
// conversion around a product keeps Go from fusing it on arm64.

// lanes is the number of rows whose codes lie in one unit.
const lanes = 32

// unitBytes is the size of a unit: the codes of 32 rows, then 32 factors.
func unitBytes(padded int) int { return padded/8*lanes + 4*lanes }

// scanGo estimates the score of the 32 rows of each of n units:
//
//	est = factor · (a·sum + b)
//
// where sum adds, over all groups of four dimensions, the entry of table that
// the row's four code bits point at (16 bytes a group). A set bit in mask says
// that the row's estimate is above bar. est of a unit is written only where its
// mask is not zero. Sums stay below 65536 (see newTable).
func scanGo(table, units []byte, padded, n int, a, b, bar float32, est []float32, mask []uint32) {
	size := unitBytes(padded)
	for u := range n {
		unit := units[u*size : (u+1)*size]
		var sum [lanes]uint16
		for p := 0; p < padded/8; p++ {
			low, high := table[p*32:p*32+16], table[p*32+16:p*32+32]
			for i, c := range unit[p*lanes : (p+1)*lanes] {
				sum[i] += uint16(low[c&15]) + uint16(high[c>>4])
			}
		}
		factors := unit[size-4*lanes:]
		out := est[u*lanes : (u+1)*lanes]
		m := uint32(0)
		for i := range sum {
			f := math.Float32frombits(binary.LittleEndian.Uint32(factors[4*i:]))
			out[i] = f * (float32(a*float32(sum[i])) + b)
			if out[i] > bar {
				m |= 1 << i
			}
		}
		mask[u] = m
	}
}

// dotInt8Go gives the product of q with each of n rows of len(q) int8, which
// lie one after another. len(q) is a multiple of 64; see queryLimit for why
// no sum overflows.
func dotInt8Go(q []int16, rows []byte, n int, out []int32) {
	for r := range n {
		row := rows[r*len(q) : (r+1)*len(q)]
		s := int32(0)
		for i, x := range q {
			s += int32(x) * int32(int8(row[i]))
		}
		out[r] = s
	}
}

// dotFloatGo adds in sixteen lanes; the number of elements is a multiple of 16.
func dotFloatGo(a, b []float32) float64 {
	var s [16]float64
	for i := 0; i+16 <= len(a) && i+16 <= len(b); i += 16 {
		x, y := a[i:i+16:i+16], b[i:i+16:i+16]
		for j := range s {
			s[j] += float64(x[j]) * float64(y[j])
		}
	}
	var m [4]float64
	for j := range m {
		m[j] = (s[j] + s[4+j]) + (s[8+j] + s[12+j])
	}
	return (m[0] + m[1]) + (m[2] + m[3])
}

// dot is the scalar product of two vectors of one length, in float64, always
// added in the same order.
func dot64(a, b []float32) float64 {
	n := len(a) &^ 15
	s := 0.0
	if n > 0 {
		s = dotFloat(a[:n], b[:n])
	}
	for i := n; i < len(a); i++ {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

// scaleGo multiplies x by c, element by element.
func scaleGo(x, c []float32) {
	for i := range x {
		x[i] = float32(x[i] * c[i])
	}
}

// hadamardGo applies the Hadamard matrix of len(x), a power of two of at least
// 8, in place and without its factor 1/√len(x).
func hadamardGo(x []float32) {
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			butterflyGo(x[i:i+h], x[i+h:i+2*h])
		}
	}
}

// butterflyGo replaces x and y by their sum and their difference.
func butterflyGo(x, y []float32) {
	y = y[:len(x)]
	for i, a := range x {
		b := y[i]
		x[i], y[i] = a+b, a-b
	}
}
