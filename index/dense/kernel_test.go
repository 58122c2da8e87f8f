package dense

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The assembly and plain Go give the same bits.
func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	if Kernel() == "go" {
		t.Skip("no assembly on this machine")
	}
	r := rand.New(rand.NewPCG(3, 4))
	floats := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	same := func(a, b []float32) bool {
		return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
	}
	for _, padded := range []int{64, 128, 192, 320, 384, 512, 768, 1024, 4160, MaxDimension} {
		for range 3 {
			n := 1 + r.IntN(5)
			tab := newTable(padded)
			tab.set(floats(padded))
			units := make([]byte, n*unitBytes(padded))
			for u := range n {
				for lane := range lanes {
					putCode(units[u*unitBytes(padded):(u+1)*unitBytes(padded)], lane, floats(padded))
				}
			}
			bar := float32(r.NormFloat64())
			est, est2 := make([]float32, n*lanes), make([]float32, n*lanes)
			mask, mask2 := make([]uint32, n), make([]uint32, n)
			scan(tab.entries, units, padded, n, tab.a, tab.b, bar, est, mask)
			scanGo(tab.entries, units, padded, n, tab.a, tab.b, bar, est2, mask2)
			if !slices.Equal(mask, mask2) {
				t.Errorf("scan of %d dimensions: masks %x, want %x", padded, mask, mask2)
			}
			for u := range n {
				if mask[u] != 0 && !same(est[u*lanes:(u+1)*lanes], est2[u*lanes:(u+1)*lanes]) {
					t.Errorf("scan of %d dimensions: estimates %v, want %v", padded, est, est2)
				}
			}

			q := make([]int16, padded)
			quantiseQuery(q, floats(padded))
			rows := make([]byte, n*padded)
			for i := range rows {
				rows[i] = byte(r.Uint32())
			}
			if r.IntN(2) == 0 { // the extremes
				limit := int16(queryLimit(padded))
				for i := range rows {
					rows[i], q[i%padded] = 0x81, -limit
				}
			}
			out, out2 := make([]int32, n), make([]int32, n)
			dotInt8(q, rows, n, out)
			dotInt8Go(q, rows, n, out2)
			if !slices.Equal(out, out2) {
				t.Errorf("int8 products of %d dimensions: %v, want %v", padded, out, out2)
			}

			a, b := floats(padded), floats(padded)
			if x, y := dotFloat(a, b), dotFloatGo(a, b); x != y {
				t.Errorf("float product of %d dimensions: %v, want %v", padded, x, y)
			}
			c := slices.Clone(a)
			scale(c, b)
			scaleGo(a, b)
			if !same(a, c) {
				t.Errorf("scale of %d dimensions differs", padded)
			}
			d := slices.Clone(b)
			butterfly(c[:padded/2], d[padded/2:])
			butterflyGo(a[:padded/2], b[padded/2:])
			if !same(a, c) || !same(b, d) {
				t.Errorf("butterfly of %d dimensions differs", padded)
			}
		}
	}
	for n := 8; n <= 16384; n *= 2 {
		a := floats(n)
		b := slices.Clone(a)
		hadamard(a)
		hadamardGo(b)
		if !same(a, b) {
			t.Errorf("Hadamard transform of %d differs", n)
		}
	}
}

// No sum of entries passes 16 bits, whatever the codes.
func TestTableStaysInRange(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for _, padded := range []int{64, 384, 4096, 4224, MaxDimension} {
		q := make([]float32, padded)
		for i := range q {
			q[i] = float32(r.NormFloat64())
		}
		if padded <= 4096 {
			q[3] = 8 // one group with a far greater range
		}
		tab := newTable(padded)
		tab.set(q)
		sum := 0
		for g := range padded / 4 {
			sum += int(slices.Max(tab.entries[g*16 : g*16+16]))
		}
		if sum > 65535 || slices.Max(tab.entries) > 63 {
			t.Errorf("%d dimensions: sum up to %d, entries up to %d", padded, sum, slices.Max(tab.entries))
		}
		// What the table says of a code is the sum of ± the query's elements.
		for range 20 {
			want, got := 0.0, 0.0
			for g := range padded / 4 {
				c := r.IntN(16)
				got += float64(tab.entries[g*16+c])
				for k := range 4 {
					want += float64(q[g*4+k]) * float64(2*(c>>k&1)-1)
				}
			}
			got = float64(tab.a)*got + float64(tab.b)
			if bound := float64(tab.a) * math.Sqrt(float64(padded)); math.Abs(got-want) > bound {
				t.Errorf("%d dimensions: %v, want %v within %v", padded, got, want, bound)
			}
		}
	}
}

// A rotation keeps lengths and angles, and spreads what lies in one dimension.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, dim := range []int{1, 3, 64, 100, 128, 300, 384, 512, 768, 1000, 1024} {
		r := newRotation(dim, 9)
		vs := random(20, dim)
		out := make([][]float32, len(vs))
		for i, v := range vs {
			out[i] = make([]float32, r.padded)
			r.turn(out[i], v)
		}
		for i := range vs {
			if a, b := dot64(vs[i], vs[(i+1)%20]), dot64(out[i], out[(i+1)%20]); math.Abs(a-b) > 2e-6 {
				t.Errorf("dimension %d: a product of %v is %v afterwards", dim, a, b)
			}
		}
		if dim < 64 {
			continue
		}
		one, x := make([]float32, dim), make([]float32, r.padded)
		one[dim/3] = 1
		r.turn(x, one)
		most := 0.0
		for _, v := range x {
			most = max(most, math.Abs(float64(v)))
		}
		if most > 7/math.Sqrt(float64(r.padded)) {
			t.Errorf("dimension %d: a unit vector still has an element of %v", dim, most)
		}
	}
}

// Estimates have no bias and the spread that certainty counts on.
func TestEstimate(t *testing.T) {
	t.Parallel()
	const dim, n = 384, 2048
	rot := newRotation(dim, 1)
	vs := random(n, dim)
	q := make([]float32, dim)
	rot.turn(q, vs[0])
	tab := newTable(dim)
	tab.set(q)
	x := make([]float32, dim)
	unit := make([]byte, unitBytes(dim))
	est, mask := make([]float32, lanes), make([]uint32, 1)
	var sum, squares, factor float64
	for i, v := range vs[1:] {
		rot.turn(x, v)
		putCode(unit, i%lanes, x)
		scan(tab.entries, unit, dim, 1, tab.a, tab.b, float32(math.Inf(-1)), est, mask)
		d := float64(est[i%lanes]) - dot64(vs[0], v)
		sum += d
		squares += d * d
		factor = 1 / (math.Sqrt(2/math.Pi) * math.Sqrt(dim))
	}
	deviation := math.Sqrt(squares / (n - 1))
	if math.Abs(sum/(n-1)) > 4*deviation/math.Sqrt(n) {
		t.Errorf("bias %v at a deviation of %v", sum/(n-1), deviation)
	}
	if want := spread * factor; math.Abs(deviation/want-1) > .1 {
		t.Errorf("deviation %v, want %v", deviation, want)
	}
}
