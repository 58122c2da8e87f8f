package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/optimize"

	"rxedge/daemon/answer/guard"
)

// logistic fits a logistic regression with a ridge over some features by LBFGS.
func logistic(xs [][]float64, rows []row, ridge float64) (bias float64, weights []float64) {
	n := len(xs[0])
	total := 0.0
	for _, r := range rows {
		total += r.weight
	}
	value := func(w, grad []float64) float64 {
		loss := 0.0
		for i := range grad {
			grad[i] = 0
		}
		for k, r := range rows {
			z := w[n]
			for i, x := range xs[k] {
				z += w[i] * x
			}
			y := 0.0
			if r.wrong {
				y = 1
			}
			// log(1+e^z) − y z, without overflow
			loss += r.weight * (math.Max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) - y*z)
			d := r.weight * (guard.Logistic(z) - y)
			for i, x := range xs[k] {
				if grad != nil {
					grad[i] += d * x
				}
			}
			if grad != nil {
				grad[n] += d
			}
		}
		loss /= total
		for i := range n {
			loss += ridge / 2 * w[i] * w[i]
		}
		for i := range grad {
			grad[i] /= total
			if i < n {
				grad[i] += ridge * w[i]
			}
		}
		return loss
	}
	p := optimize.Problem{Func: func(w []float64) float64 { return value(w, nil) }, Grad: func(g, w []float64) { value(w, g) }}
	res, err := optimize.Minimize(p, make([]float64, n+1), &optimize.Settings{GradientThreshold: 1e-8, MajorIterations: 500}, &optimize.LBFGS{})
	if res == nil {
		panic(err) // the problem is convex and smooth: a fault of ours
	}
	return res.X[n], res.X[:n]
}

// standardise gives mean and scale of the rows' features.
func standardise(rows []row) (mean, scale guard.Vector) {
	total := 0.0
	for _, r := range rows {
		total += r.weight
		for i, v := range r.x {
			mean[i] += r.weight * v
		}
	}
	for i := range mean {
		mean[i] /= total
	}
	for _, r := range rows {
		for i, v := range r.x {
			scale[i] += r.weight * (v - mean[i]) * (v - mean[i])
		}
	}
	for i := range scale {
		if scale[i] = math.Sqrt(scale[i] / total); scale[i] < 1e-6 {
			scale[i] = 1 // a feature that never varies
		}
	}
	return mean, scale
}

// kinds of members: what each sees and how it is fitted.
var kinds = []struct {
	name     string
	features []int // of a logistic regression
	ridge    float64
	trees    int // of boosted trees
	depth    int
}{
	{name: "all features, linear", features: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, ridge: 0.01},
	{name: "how it was found, linear", features: []int{guard.Margin, guard.Agreement, guard.Rank, guard.Named, guard.Section, guard.Rival}, ridge: 0.01},
	{name: "words of question and answer, linear", features: []int{guard.Coverage, guard.Sentence, guard.Unknown, guard.Said, guard.Claims, guard.Answers, guard.Length, guard.Stated}, ridge: 0.01},
	{name: "boosted stumps", trees: 60, depth: 1},
	{name: "boosted trees of depth two", trees: 60, depth: 2},
}

func member(k int, m *guard.Model, rows []row, seed uint64) guard.Member {
	kind := kinds[k]
	if kind.features != nil {
		xs := make([][]float64, len(rows))
		for i := range rows {
			z := m.Standard(&rows[i].x)
			for _, f := range kind.features {
				xs[i] = append(xs[i], z[f])
			}
		}
		b, w := logistic(xs, rows, kind.ridge)
		out := guard.Member{Name: kind.name, Bias: b, Weights: make([]float64, guard.Size)}
		for i, f := range kind.features {
			out.Weights[f] = w[i]
		}
		return out
	}
	return boost(kind.name, m, rows, kind.trees, kind.depth, seed)
}

const (
	rate  = 0.1
	leaf  = 20.0 // weight of rows that a leaf has at least
	decay = 5.0  // ridge on leaves
)

// boost makes trees by Newton steps on the logistic loss, each from four rows of
// five.
func boost(name string, m *guard.Model, rows []row, trees, depth int, seed uint64) guard.Member {
	rng := rand.New(rand.NewPCG(seed, 3))
	xs := make([]guard.Vector, len(rows))
	ones, total := 0.0, 0.0
	for i, r := range rows {
		xs[i] = m.Standard(&r.x)
		total += r.weight
		if r.wrong {
			ones += r.weight
		}
	}
	out := guard.Member{Name: name, Bias: math.Log(math.Max(ones, 1) / math.Max(total-ones, 1))}
	z := make([]float64, len(rows))
	g, h := make([]float64, len(rows)), make([]float64, len(rows))
	for i := range z {
		z[i] = out.Bias
	}
	for range trees {
		var in []int
		for i, r := range rows {
			p := guard.Logistic(z[i])
			y := 0.0
			if r.wrong {
				y = 1
			}
			g[i], h[i] = r.weight*(y-p), r.weight*p*(1-p)
			if rng.IntN(5) > 0 {
				in = append(in, i)
			}
		}
		t := guard.Tree{Feature: [3]int{-1, -1, -1}}
		f, at, l, r := split(xs, rows, in, g, h)
		if f < 0 {
			break
		}
		t.Feature[0], t.Threshold[0] = f, at
		for side, part := range [][]int{l, r} {
			v := rate * step(part, g, h)
			t.Leaf[2*side], t.Leaf[2*side+1] = v, v
			if depth < 2 {
				continue
			}
			if f, at, l, r := split(xs, rows, part, g, h); f >= 0 {
				t.Feature[1+side], t.Threshold[1+side] = f, at
				t.Leaf[2*side], t.Leaf[2*side+1] = rate*step(l, g, h), rate*step(r, g, h)
			}
		}
		out.Trees = append(out.Trees, t)
		for i := range xs {
			z[i] += t.Value(&xs[i])
		}
	}
	return out
}

func step(in []int, g, h []float64) float64 {
	sg, sh := 0.0, decay
	for _, i := range in {
		sg += g[i]
		sh += h[i]
	}
	return sg / sh
}

// split gives the feature and threshold that gain most; −1 where none gains.
func split(xs []guard.Vector, rows []row, in []int, g, h []float64) (feature int, at float64, left, right []int) {
	feature = -1
	sg, sh, sw := 0.0, 0.0, 0.0
	for _, i := range in {
		sg += g[i]
		sh += h[i]
		sw += rows[i].weight
	}
	best := sg*sg/(sh+decay) + 1e-6
	order := slices.Clone(in)
	for f := range guard.Size {
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case xs[a][f] < xs[b][f]:
				return -1
			case xs[a][f] > xs[b][f]:
				return 1
			}
			return a - b
		})
		lg, lh, lw := 0.0, 0.0, 0.0
		for k, i := range order[:max(0, len(order)-1)] {
			lg += g[i]
			lh += h[i]
			lw += rows[i].weight
			a, b := xs[i][f], xs[order[k+1]][f]
			if a == b || lw < leaf || sw-lw < leaf {
				continue
			}
			if v := lg*lg/(lh+decay) + (sg-lg)*(sg-lg)/(sh-lh+decay); v > best {
				best, feature, at = v, f, (a+b)/2
			}
		}
	}
	if feature < 0 {
		return feature, 0, nil, nil
	}
	for _, i := range in {
		if xs[i][feature] > at {
			right = append(right, i)
		} else {
			left = append(left, i)
		}
	}
	return feature, at, left, right
}
