//go:build amd64 || arm64

package dense

import "unsafe"

func scan(table, units []byte, padded, n int, a, b, bar float32, est []float32, mask []uint32) {
	if !hasVector {
		scanGo(table, units, padded, n, a, b, bar, est, mask)
		return
	}
	if n == 0 {
		return
	}
	_, _, _, _ = table[padded*4-1], units[n*unitBytes(padded)-1], est[n*lanes-1], mask[n-1]
	scanVector(&table[0], &units[0], padded/8, n, a, b, bar, &est[0], &mask[0])
}

func dotInt8(q []int16, rows []byte, n int, out []int32) {
	if !hasVector {
		dotInt8Go(q, rows, n, out)
		return
	}
	if n == 0 {
		return
	}
	_, _ = rows[n*len(q)-1], out[n-1]
	dotInt8Vector(&q[0], &rows[0], len(q), n, &out[0])
}

func dotFloat(a, b []float32) float64 {
	if !hasVector {
		return dotFloatGo(a, b)
	}
	_ = b[len(a)-1]
	return dotFloatVector(&a[0], &b[0], len(a))
}

func scale(x, c []float32) {
	if !hasVector || len(x)%8 != 0 {
		scaleGo(x, c)
		return
	}
	_ = c[len(x)-1]
	scaleVector(&x[0], &c[0], len(x))
}

func hadamard(x []float32) {
	if !hasVector || len(x) < 16 {
		hadamardGo(x)
		return
	}
	hadamardVector(&x[0], len(x))
}

func butterfly(x, y []float32) {
	if !hasVector || len(x)%8 != 0 {
		butterflyGo(x, y)
		return
	}
	_ = y[len(x)-1]
	butterflyVector(&x[0], &y[0], len(x))
}

// prefetch asks for the cache lines of b, without waiting for them.
func prefetch(b []byte) {
	if len(b) > 0 {
		fetch(&b[0], len(b))
	}
}

func prefetchFloats(x []float32) {
	if len(x) > 0 {
		fetch((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
	}
}

// In assembly, for each kind of processor; what they do stands at the function
// in Go that ends in Go instead of Vector. Counts are not 0.

//go:noescape
func scanVector(table, units *byte, pairs, n int, a, b, bar float32, est *float32, mask *uint32)

//go:noescape
func dotInt8Vector(q *int16, rows *byte, dim, n int, out *int32)

//go:noescape
func dotFloatVector(a, b *float32, n int) float64

//go:noescape
func scaleVector(x, c *float32, n int)

//go:noescape
func hadamardVector(x *float32, n int)

//go:noescape
func butterflyVector(x, y *float32, n int)

//go:noescape
func fetch(p *byte, n int)
