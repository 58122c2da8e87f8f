//go:build !amd64 && !arm64

package dense

// Kernel names the instructions that the scan uses on this machine.
func Kernel() string { return "go" }

func scan(table, units []byte, padded, n int, a, b, bar float32, est []float32, mask []uint32) {
	scanGo(table, units, padded, n, a, b, bar, est, mask)
}

func dotInt8(q []int16, rows []byte, n int, out []int32) { dotInt8Go(q, rows, n, out) }
func dotFloat(a, b []float32) float64                    { return dotFloatGo(a, b) }
func scale(x, c []float32)                               { scaleGo(x, c) }
func hadamard(x []float32)                               { hadamardGo(x) }
func butterfly(x, y []float32)                           { butterflyGo(x, y) }
func prefetch([]byte)                                    {}
func prefetchFloats([]float32)                           {}
