package validate

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// leastCohort is the number of answerable questions from which a cohort's share of
// abstentions is judged.
const leastCohort = 10

// cohort counts answerable questions, and those that a pair did not answer.
type cohort struct {
	n                  int
	serving, candidate int
}

// fairness compares the shares of abstention of the cohorts: it fails where the
// candidate's shares of two of them lie further apart than they may, further than
// those of the pair that serves, and that is not chance (Fisher's exact test,
// for as many pairs of cohorts as there are).
func fairness(cfg Config, cohorts map[string]*cohort) Check {
	c := Check{Name: Fairness, Pass: true, Limit: figure(cfg.Disparity)}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(cohorts)) {
		if name != "" && cohorts[name].n >= leastCohort {
			names = append(names, name)
			c.N += cohorts[name].n
		}
	}
	if len(names) < 2 {
		c.Untold = true
		c.Detail = fmt.Sprintf("fewer than two cohorts have %d answerable questions", leastCohort)
		return c
	}
	rate := func(k, n int) float64 { return float64(k) / float64(n) }
	gap := func(of func(*cohort) int) float64 {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, name := range names {
			r := rate(of(cohorts[name]), cohorts[name].n)
			lo, hi = min(lo, r), max(hi, r)
		}
		return hi - lo
	}
	before, after := gap(func(c *cohort) int { return c.serving }), gap(func(c *cohort) int { return c.candidate })
	c.Serving, c.Candidate = figure(before), figure(after)
	pairs := len(names) * (len(names) - 1) / 2
	best := 1.0
	worst := ""
	for i, a := range names {
		for _, b := range names[i+1:] {
			x, y := cohorts[a], cohorts[b]
			if p := fisher(x.candidate, x.n, y.candidate, y.n); p < best {
				best = p
				if rate(x.candidate, x.n) < rate(y.candidate, y.n) {
					a, b, x, y = b, a, y, x
				}
				worst = fmt.Sprintf("%s abstains in %d of %d, %s in %d of %d", a, x.candidate, x.n, b, y.candidate, y.n)
			}
		}
	}
	p := math.Min(1, best*float64(pairs))
	apart := after > cfg.Disparity && after > before+cfg.Margin
	c.Pass = !(apart && p <= cfg.Alpha)
	c.Untold = c.Pass && apart
	c.Detail = fmt.Sprintf("abstentions of %d cohorts lie %.3f apart, and %.3f serves", len(names), after, before)
	if worst != "" {
		c.Detail += fmt.Sprintf("; %s (p %.2g for all pairs)", worst, p)
	}
	return c
}

// fisher is the two-sided exact probability of a table with the margins of a of n
// and b of m: that of all tables that are no likelier than it.
func fisher(a, n, b, m int) float64 {
	k := a + b
	choose := func(n, k int) float64 {
		x, _ := math.Lgamma(float64(n + 1))
		y, _ := math.Lgamma(float64(k + 1))
		z, _ := math.Lgamma(float64(n - k + 1))
		return x - y - z
	}
	all := choose(n+m, k)
	of := func(i int) float64 { return math.Exp(choose(n, i) + choose(m, k-i) - all) }
	seen, p := of(a), 0.0
	for i := max(0, k-m); i <= min(n, k); i++ {
		if q := of(i); q <= seen*(1+1e-9) {
			p += q
		}
	}
	return math.Min(p, 1)
}
