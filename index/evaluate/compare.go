package evaluate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Resamples of the bootstrap, and its seed: the same runs give the same interval.
const (
	Resamples     = 10_000
	bootstrapSeed = 1
)

// Comparison of two runs, B against A.
type Comparison struct {
	Queries int               `json:"queries"` // in both runs
	OnlyA   int               `json:"only_a"`  // in one of them, and left out
	OnlyB   int               `json:"only_b"`
	Metrics map[string]Paired `json:"metrics"`
	// ByKind is the same for the queries of each kind, where the runs name any.
	ByKind map[string]map[string]Paired `json:"by_kind,omitempty"`
}

// Paired says whether a metric differs between two runs over the same queries.
type Paired struct {
	Pairs      int     `json:"pairs"` // queries for which both runs have the metric
	A          float64 `json:"a"`     // means over those
	B          float64 `json:"b"`
	Difference float64 `json:"difference"` // mean of b − a
	// Relative is Difference / A; nil where A is 0.
	Relative *float64 `json:"relative"`
	Better   int      `json:"better"` // pairs where b > a
	Worse    int      `json:"worse"`
	// T = mean(d) / (sd(d)/√n) with n−1 degrees of freedom, sd over n−1; P is
	// two-sided. Both are nil where they are undefined, and Undefined says why.
	T *float64 `json:"t"`
	P *float64 `json:"p"`
	// Low and High are the 95 % percentile interval of the difference over
	// Resamples bootstrap samples of the pairs (Efron and Tibshirani 1993, 13.3).
	Low       *float64 `json:"low"`
	High      *float64 `json:"high"`
	Undefined string   `json:"undefined,omitempty"`
}

// Compare compares two runs by the queries that both have. Runs that have none
// in common are an error.
func Compare(a, b []RunLine) (Comparison, error) {
	cmp := Comparison{Metrics: map[string]Paired{}, ByKind: map[string]map[string]Paired{}}
	of := make(map[string]RunLine, len(a))
	for _, l := range a {
		of[l.ID] = l
	}
	type pair struct{ a, b float64 }
	all := map[string][]pair{}
	kinds := map[string]map[string][]pair{}
	for _, lb := range b {
		la, ok := of[lb.ID]
		if !ok {
			cmp.OnlyB++
			continue
		}
		cmp.Queries++
		if la.Kind != lb.Kind {
			return cmp, fmt.Errorf("query %s is of kind %q in one run and %q in the other; do the two belong together?", lb.ID, la.Kind, lb.Kind)
		}
		for m, vb := range lb.Metrics {
			va := la.Metrics[m]
			if va == nil || vb == nil {
				continue
			}
			p := pair{*va, *vb}
			all[m] = append(all[m], p)
			if lb.Kind != "" {
				if kinds[lb.Kind] == nil {
					kinds[lb.Kind] = map[string][]pair{}
				}
				kinds[lb.Kind][m] = append(kinds[lb.Kind][m], p)
			}
		}
	}
	cmp.OnlyA = len(a) - cmp.Queries
	if len(all) == 0 {
		return cmp, errors.New("the two runs have no metric of any query in common")
	}
	test := func(ps []pair) Paired {
		as, bs := make([]float64, len(ps)), make([]float64, len(ps))
		for i, p := range ps {
			as[i], bs[i] = p.a, p.b
		}
		return PairedTest(as, bs)
	}
	for m, ps := range all {
		cmp.Metrics[m] = test(ps)
	}
	for k, ms := range kinds {
		cmp.ByKind[k] = map[string]Paired{}
		for m, ps := range ms {
			cmp.ByKind[k][m] = test(ps)
		}
	}
	return cmp, nil
}

// PairedTest compares values of the same queries, a[i] with b[i]. Fewer than two
// pairs, or differences that are all the same, leave t undefined; the interval
// is undefined with fewer than two pairs and where all differences are 0.
func PairedTest(a, b []float64) Paired {
	n := len(a)
	out := Paired{Pairs: n}
	if n == 0 {
		out.Undefined = "no pairs"
		return out
	}
	d := make([]float64, n)
	same := true
	for i := range d {
		d[i] = b[i] - a[i]
		same = same && d[i] == d[0]
		switch {
		case d[i] > 0:
			out.Better++
		case d[i] < 0:
			out.Worse++
		}
	}
	out.A, out.B = stat.Mean(a, nil), stat.Mean(b, nil)
	mean, sd := stat.MeanStdDev(d, nil)
	out.Difference = mean
	if out.A != 0 {
		r := mean / out.A
		out.Relative = &r
	}
	switch {
	case n < 2:
		out.Undefined = "one pair alone"
		return out
	case same && d[0] == 0:
		out.Undefined = "all differences are 0"
		return out
	case same:
		out.Undefined = "all differences are the same"
	default:
		t := mean / (sd / math.Sqrt(float64(n)))
		p := 2 * distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Survival(math.Abs(t))
		out.T, out.P = &t, &p
	}
	low, high := bootstrap(d)
	out.Low, out.High = &low, &high
	return out
}

// bootstrap gives the 2.5th and 97.5th percentile of the resampled mean.
func bootstrap(d []float64) (low, high float64) {
	rng := rand.New(rand.NewPCG(bootstrapSeed, uint64(len(d))))
	means := make([]float64, Resamples)
	for r := range means {
		sum := 0.0
		for range d {
			sum += d[rng.IntN(len(d))]
		}
		means[r] = sum / float64(len(d))
	}
	slices.Sort(means)
	return Percentile(means, 2.5), Percentile(means, 97.5)
}
