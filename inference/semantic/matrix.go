package semantic

import "math"

// Products are rounded before they are added: a compiler may otherwise fuse the
// two on some processors and not on others, and the sums would differ.

// Dot product of vectors of one length, summed in four parts in fixed order.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += float32(x[0] * y[0])
		s1 += float32(x[1] * y[1])
		s2 += float32(x[2] * y[2])
		s3 += float32(x[3] * y[3])
	}
	for ; i < len(a); i++ {
		s0 += float32(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// Axpy adds w·x to v, both of one length.
func Axpy(v []float32, w float32, x []float32) {
	x = x[:len(v)]
	i := 0
	for ; i+4 <= len(v); i += 4 {
		a, b := v[i:i+4:i+4], x[i:i+4:i+4]
		a[0] += float32(w * b[0])
		a[1] += float32(w * b[1])
		a[2] += float32(w * b[2])
		a[3] += float32(w * b[3])
	}
	for ; i < len(v); i++ {
		v[i] += float32(w * x[i])
	}
}

// Norm is the Euclidean length.
func Norm(v []float32) float32 { return float32(math.Sqrt(float64(Dot(v, v)))) }

// unit makes v of length one; false where it is nothing.
func unit(v []float32) bool {
	n := Norm(v)
	if !(n > 1e-12) {
		return false
	}
	for i := range v {
		v[i] /= n
	}
	return true
}
