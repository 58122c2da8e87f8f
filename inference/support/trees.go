package support

import "math"

// Forest is a sum of regression trees over features, passed through a logistic
// function and a calibration.
type Forest struct {
	Base  float64 // log-odds without any tree
	Nodes []Node  // of all trees
	Roots []int32 // where each begins
	// curve maps the logistic of the sum to a calibrated probability: points in
	// rising order of x, linear between them.
	Curve []Point
}

// Node of a tree: a split where feature ≥ 0, a leaf otherwise. Nodes of a split
// lie at left and left+1.
type Node struct {
	Feature int16
	Left    int32
	Value   float32 // threshold of a split, log-odds of a leaf
}

type Point struct{ X, Y float32 }

// Score gives the calibrated probability of a vector of features.
func (f *Forest) Score(x []float32) float64 { return f.Calibrated(logistic(f.sum(x))) }

// sum of the trees: log-odds before calibration.
func (f *Forest) sum(x []float32) float64 {
	s := f.Base
	for _, r := range f.Roots {
		n := f.Nodes[r]
		for n.Feature >= 0 {
			i := n.Left
			if x[n.Feature] > n.Value {
				i++
			}
			n = f.Nodes[i]
		}
		s += float64(n.Value)
	}
	return s
}

// Calibrated maps the logistic of the sum to a probability by the curve.
func (f *Forest) Calibrated(p float64) float64 {
	c := f.Curve
	if len(c) == 0 {
		return p
	}
	x := float32(p)
	if x <= c[0].X {
		return float64(c[0].Y)
	}
	for i := 1; i < len(c); i++ {
		if x <= c[i].X {
			a, b := c[i-1], c[i]
			return float64(a.Y) + float64(b.Y-a.Y)*float64(x-a.X)/float64(b.X-a.X)
		}
	}
	return float64(c[len(c)-1].Y)
}

func logistic(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
