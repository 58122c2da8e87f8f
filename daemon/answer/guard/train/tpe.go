package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// minimise a function of n numbers between 0 and 1 by a tree-structured Parzen
// estimator (Bergstra and others, "Algorithms for Hyper-Parameter Optimization",
// 2011): the quarter of the trials that did best and the rest are each a density, a
// sum of normal curves by coordinate, and of some draws from the first the one is
// tried that is most likely under it beside the second. The same seed gives the
// same trials.
func minimise(f func([]float64) float64, n, trials int, seed uint64) []float64 {
	type trial struct {
		x []float64
		v float64
	}
	rng := rand.New(rand.NewPCG(seed, 13))
	var done []trial
	for t := range trials {
		x := make([]float64, n)
		if t < startTrials {
			for i := range x {
				x[i] = rng.Float64()
			}
		} else {
			slices.SortStableFunc(done, func(a, b trial) int {
				switch {
				case a.v < b.v:
					return -1
				case a.v > b.v:
					return 1
				}
				return 0
			})
			good := max(3, len(done)/4)
			for i := range x {
				var low, high []float64
				for k, d := range done {
					if k < good {
						low = append(low, d.x[i])
					} else {
						high = append(high, d.x[i])
					}
				}
				best := math.Inf(-1)
				for range candidates {
					c := draw(low, rng)
					if s := math.Log(density(low, c)) - math.Log(density(high, c)); s > best {
						best, x[i] = s, c
					}
				}
			}
		}
		done = append(done, trial{x, f(x)})
	}
	return slices.MinFunc(done, func(a, b trial) int {
		if a.v < b.v {
			return -1
		}
		return 1
	}).x
}

const (
	startTrials = 20
	candidates  = 24
)

// width of the normal curves around so many points.
func width(n int) float64 { return max(0.03, 0.5*math.Pow(float64(n), -0.5)) }

// draw from the density: a point and some way from it, or, one time in as many as
// there are points and one, from anywhere.
func draw(points []float64, rng *rand.Rand) float64 {
	k := rng.IntN(len(points) + 1)
	if k == len(points) {
		return rng.Float64()
	}
	for {
		if c := points[k] + width(len(points))*rng.NormFloat64(); c >= 0 && c <= 1 {
			return c
		}
	}
}

// density of points at c, a uniform one among them.
func density(points []float64, c float64) float64 {
	w := width(len(points))
	sum := 1.0
	for _, p := range points {
		d := (c - p) / w
		sum += math.Exp(-d*d/2) / (w * math.Sqrt(2*math.Pi))
	}
	return sum / float64(len(points)+1)
}
