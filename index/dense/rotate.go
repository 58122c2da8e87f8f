package dense

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// padding is what dimensions are rounded up to: the scan reads eight pairs of
// nibbles, the int8 product 64 numbers at a time.
const padding = 64

// rotation turns vectors at random, always the same way for one seed: rounds
// of random signs, a Hadamard transform over the greatest power of two, at the
// start and at the end by turns, and sums and differences of the two halves
// (Kac's walk). Sums, differences and one product each: the same bits on every
// machine. O(d log d) instead of the d² of a random matrix.
//
// Source: the rotator of the RaBitQ library (Gao and others), there FhtKac.
type rotation struct {
	dim, padded int
	power       int         // greatest power of two up to padded
	factors     [][]float32 // by round: sign and scale of each element
}

const rounds = 4

func newRotation(dim int, seed uint64) *rotation {
	r := &rotation{dim: dim, padded: (dim + padding - 1) / padding * padding}
	r.power = 1 << (bits.Len(uint(r.padded)) - 1)
	random := rand.New(rand.NewPCG(seed, uint64(dim)))
	for round := range rounds {
		f := make([]float32, r.padded)
		from, to := r.span(round)
		for i := range f {
			s := 1.0
			if i >= from && i < to {
				s = 1 / math.Sqrt(float64(r.power))
			}
			if r.power < r.padded {
				s *= math.Sqrt2 / 2
			}
			if random.Uint64()&1 == 1 {
				s = -s
			}
			f[i] = float32(s)
		}
		r.factors = append(r.factors, f)
	}
	return r
}

// span of the Hadamard transform in a round.
func (r *rotation) span(round int) (from, to int) {
	if round%2 == 0 {
		return 0, r.power
	}
	return r.padded - r.power, r.padded
}

// turn writes the rotated v, padded with zeros before, to dst, which has room
// for the padded dimension.
func (r *rotation) turn(dst, v []float32) {
	clear(dst[copy(dst, v):])
	for round, f := range r.factors {
		scale(dst, f)
		from, to := r.span(round)
		hadamard(dst[from:to])
		if r.power < r.padded {
			butterfly(dst[:r.padded/2], dst[r.padded/2:])
		}
	}
}
