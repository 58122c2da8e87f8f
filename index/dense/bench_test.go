package dense

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// BenchmarkScan runs the scan alone, over codes that no row of which reaches
// the bar, in 384 dimensions.
func BenchmarkScan(b *testing.B) {
	const padded = 384
	r := rand.New(rand.NewPCG(1, 1))
	tab := newTable(padded)
	q := make([]float32, padded)
	for i := range q {
		q[i] = float32(r.NormFloat64())
	}
	tab.set(q)
	est, mask := make([]float32, chunkUnits*lanes), make([]uint32, chunkUnits)
	for _, rows := range []int{10_000, 100_000, 500_000, 2_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			units := make([]byte, rows/lanes*unitBytes(padded))
			for i := range units {
				units[i] = byte(i * 37)
			}
			size := unitBytes(padded)
			b.SetBytes(int64(len(units)))
			for b.Loop() {
				for u := 0; u < rows/lanes; u += chunkUnits {
					scan(tab.entries, units[u*size:], padded, min(chunkUnits, rows/lanes-u), tab.a, tab.b, float32(math.Inf(1)), est, mask)
				}
			}
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	const dim = 384
	vs := clustered(4096, dim, 20, 1)
	r := newRotation(dim, 1)
	x := make([]float32, dim)
	b.Run("rotate", func(b *testing.B) {
		for b.Loop() {
			r.turn(x, vs[0])
		}
	})
	tab := newTable(dim)
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			tab.set(x)
		}
	})
	q := make([]int16, dim)
	b.Run("quantise", func(b *testing.B) {
		for b.Loop() {
			quantiseQuery(q, x)
		}
	})
	rows, out := make([]byte, 1024*dim), make([]int32, 1024)
	b.Run("1024 int8 rows", func(b *testing.B) {
		for b.Loop() {
			dotInt8(q, rows, 1024, out)
		}
	})
	b.Run("int8 row", func(b *testing.B) {
		for b.Loop() {
			dotInt8(q, rows, 1, out)
		}
	})
	b.Run("float row", func(b *testing.B) {
		for b.Loop() {
			dot64(vs[0], vs[1])
		}
	})
	b.Run("code", func(b *testing.B) {
		unit := make([]byte, unitBytes(dim))
		for b.Loop() {
			putCode(unit, 3, x)
		}
	})
	b.Run("quantise row", func(b *testing.B) {
		for b.Loop() {
			quantiseRow(rows[:dim], x)
		}
	})
}
