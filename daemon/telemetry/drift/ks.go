package drift

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// exactKS is the size of the larger sample up to which p is exact.
const exactKS = 10_000

// KS is the two-sample Kolmogorov–Smirnov test, two-sided: the largest distance
// of the two empirical distribution functions, and the probability of one at
// least as large where both samples are of one continuous distribution. Exact up
// to 10,000 values on the larger side (as scipy's), by the limit distribution
// above. With ties p is too large rather than too small.
func KS(a, b []float64) (d, p float64, err error) {
	if len(a) == 0 || len(b) == 0 {
		return 0, 0, errors.New("one side has no values")
	}
	for _, s := range [][]float64{a, b} {
		if slices.ContainsFunc(s, math.IsNaN) {
			return 0, 0, errors.New("a value is not a number")
		}
	}
	x, y := slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	m, n := len(x), len(y)
	g := gcd(m, n)
	mg, ng := m/g, n/g
	// In units of 1/lcm(m, n), where all is whole: no rounding decides a tie.
	h := 0
	for i, j := 0, 0; i < m && j < n; {
		v := min(x[i], y[j])
		for i < m && x[i] == v {
			i++
		}
		for j < n && y[j] == v {
			j++
		}
		h = max(h, abs(i*ng-j*mg))
	}
	d = float64(h) / (float64(mg) * float64(n))
	switch {
	case h == 0:
		return 0, 1, nil
	case max(m, n) <= exactKS:
		return d, outside(m, n, h), nil
	}
	return d, kolmogorov(d * math.Sqrt(float64(m)*float64(n)/float64(m+n))), nil
}

// KSCounts is KS of two histograms of the same bins, in the order of their values: of
// values of which only the bin is known. p is by the limit distribution, and too large
// rather than too small.
func KSCounts(a, b []int64) (d, p float64, err error) {
	if len(a) != len(b) {
		return 0, 0, ErrBins
	}
	var m, n int64
	for i := range a {
		if a[i] < 0 || b[i] < 0 {
			return 0, 0, errors.New("a count is negative")
		}
		m, n = m+a[i], n+b[i]
	}
	if m == 0 || n == 0 {
		return 0, 0, errors.New("one side has no values")
	}
	var x, y int64
	for i := range a {
		x, y = x+a[i], y+b[i]
		d = max(d, math.Abs(float64(x)/float64(m)-float64(y)/float64(n)))
	}
	return d, kolmogorov(d * math.Sqrt(float64(m)*float64(n)/float64(m+n))), nil
}

// Holm adjusts p-values of tests that are made together (Holm 1979): one that is at
// most α then is so though chance may make any of them so at most with probability α.
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(ps[i], ps[j]) })
	out, most := make([]float64, len(ps)), 0.0
	for rank, i := range order {
		most = max(most, min(1, float64(len(ps)-rank)*ps[i]))
		out[i] = most
	}
	return out
}

// outside is the probability that a random path from (0, 0) to (m, n), one step a
// value, comes at least h/lcm from the diagonal: the share of orders of the m+n
// values that make the statistic that large (Hodges 1957). The walk goes forward
// over the probability of having been outside, which neither underflows nor
// loses small p to a difference from 1.
func outside(m, n, h int) float64 {
	if m < n {
		m, n = n, m
	}
	g := gcd(m, n)
	mg, ng := m/g, n/g
	p := make([]float64, n+1) // of the column: p[j] at (i, j); 1 above the band, which only rises
	for j := range p {
		if j*mg >= h {
			p[j] = 1
		}
	}
	for i := 1; i <= m; i++ {
		// Inside are those j with |i·ng − j·mg| < h.
		low := max(floorDiv(i*ng-h, mg)+1, 0)
		high := min(ceilDiv(i*ng+h, mg)-1, n)
		if low > high {
			return 1
		}
		below := 1.0
		if low == 0 {
			below = 0 // there is nothing below, and j is 0
		}
		for j := low; j <= high; j++ {
			below = (p[j]*float64(i) + below*float64(j)) / float64(i+j)
			p[j] = below
		}
	}
	return min(max(p[n], 0), 1)
}

// kolmogorov is the survival function 2Σ(−1)^{k−1}e^{−2k²λ²}.
func kolmogorov(lambda float64) float64 {
	if lambda <= 0 {
		return 1
	}
	if lambda < 0.5 {
		// The other series converges there: 1 − √(2π)/λ Σ e^{−(2k−1)²π²/(8λ²)}.
		s := 0.0
		for k := 1.0; k < 20; k++ {
			s += math.Exp(-(2*k - 1) * (2*k - 1) * math.Pi * math.Pi / (8 * lambda * lambda))
		}
		return min(max(1-math.Sqrt(2*math.Pi)/lambda*s, 0), 1)
	}
	s, sign := 0.0, 1.0
	for k := 1.0; k < 100; k++ {
		t := math.Exp(-2 * k * k * lambda * lambda)
		s += sign * t
		sign = -sign
		if t < 1e-18 {
			break
		}
	}
	return min(max(2*s, 0), 1)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func abs(a int) int { return max(a, -a) }

func floorDiv(a, b int) int {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int) int { return -floorDiv(-a, b) }
