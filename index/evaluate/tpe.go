package evaluate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// searchTPE looks for the x in [0, 1]^dims at which objective is greatest, by a
// tree of Parzen estimators (Bergstra, Bardenet, Bengio and Kégl, NIPS 2011): of
// the points tried the best quarter and the rest each give a density for every
// dimension, and the next point is the one of some drawn from the first that is
// likeliest to be of it. The same seed gives the same points.
func searchTPE(dims, trials int, seed uint64, objective func(x []float64) float64) (best []float64, value float64) {
	const (
		begin      = 10 // points at random
		candidates = 24
		good       = 0.25
	)
	type tried struct {
		x []float64
		v float64
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var all []tried
	for t := range trials {
		x := make([]float64, dims)
		if t < begin {
			for d := range x {
				x[d] = rng.Float64()
			}
		} else {
			slices.SortStableFunc(all, func(a, b tried) int { return cmp.Compare(b.v, a.v) })
			n := max(2, int(good*float64(len(all))))
			for d := range x {
				column := func(ts []tried) parzen {
					var p parzen
					for _, t := range ts {
						p.at = append(p.at, t.x[d])
					}
					p.width = max(0.03, 1/math.Sqrt(float64(len(ts))+1)/4)
					return p
				}
				better, rest := column(all[:n]), column(all[n:])
				most := math.Inf(-1)
				for range candidates {
					c := better.draw(rng)
					if r := math.Log(better.density(c)) - math.Log(rest.density(c)); r > most {
						most, x[d] = r, c
					}
				}
			}
		}
		all = append(all, tried{x, objective(x)})
	}
	top := slices.MaxFunc(all, func(a, b tried) int { return cmp.Compare(a.v, b.v) })
	return top.x, top.v
}

// parzen is a density on [0, 1]: a uniform one and a normal one around each point.
type parzen struct {
	at    []float64
	width float64
}

func (p parzen) density(x float64) float64 {
	sum := 1.0
	for _, m := range p.at {
		z := (x - m) / p.width
		sum += math.Exp(-z*z/2) / (p.width * math.Sqrt(2*math.Pi))
	}
	return sum / float64(len(p.at)+1)
}

func (p parzen) draw(rng *rand.Rand) float64 {
	i := rng.IntN(len(p.at) + 1)
	if i == len(p.at) {
		return rng.Float64()
	}
	return min(1, max(0, p.at[i]+p.width*rng.NormFloat64()))
}
