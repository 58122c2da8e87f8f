package sequential

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Wilson gives the bounds of a share of k in n, each with the one-sided error
// alpha: Wilson (1927), equation 4 of Brown, Cai and DasGupta (2001). Of nothing
// it is 0 to 1.
func Wilson(k, n int, alpha float64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	z := distuv.UnitNormal.Quantile(1 - alpha)
	p, m := float64(k)/float64(n), float64(n)
	centre, half := p+z*z/(2*m), z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	low, high = (centre-half)/(1+z*z/m), (centre+half)/(1+z*z/m)
	return max(low, 0), min(high, 1)
}
