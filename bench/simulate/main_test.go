package main

import (
	"math"
	"testing"
)

// A line that points lie on is found, and one outlier bends it little.
func TestLine(t *testing.T) {
	t.Parallel()
	a, b := line([]float64{100, 300, 1000, 3000}, []float64{60, 80, 150, 350})
	if math.Abs(a-50) > 1e-9 || math.Abs(b-0.1) > 1e-12 {
		t.Error(a, b)
	}
	if a, b := line([]float64{100, 300, 1000, 3000}, []float64{60, 82, 150, 350}); math.Abs(a-50) > 2 || math.Abs(b-0.1) > 0.005 {
		t.Error(a, b)
	}
}
