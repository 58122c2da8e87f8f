package sequential

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// A rate exactly at the limit is said to be over it in at most α of the runs,
// though it is asked after each observation; one well over it is found soon.
func TestRateErrorBound(t *testing.T) {
	t.Parallel()
	const alpha, runs, most = 0.05, 500, 400
	run := func(limit, share float64, seed uint64) (found, at int) {
		rng := rand.New(rand.NewPCG(seed, 1))
		for range runs {
			r := NewRate(limit)
			for i := range most {
				bad := rng.Float64() < share
				r.Observe(bad)
				if bad && r.Over(alpha) {
					found++
					at += i + 1
					break
				}
			}
		}
		return found, at / max(found, 1)
	}
	for _, limit := range []float64{0.01, 0.05, 0.3, 0.8} {
		if n, _ := run(limit, limit, 7); n > alpha*runs {
			t.Errorf("limit %v: %d of %d runs at the limit were said to be over it", limit, n, runs)
		}
		if n, _ := run(limit, limit/2, 8); n > alpha*runs {
			t.Errorf("limit %v: %d of %d runs at half the limit were said to be over it", limit, n, runs)
		}
	}
	if n, at := run(0.05, 0.2, 9); n < runs*99/100 || at > 60 {
		t.Errorf("four times the limit: found in %d of %d, after %d on average", n, runs, at)
	}
}

// The wealth is a supermartingale: its expectation after one more observation is
// at most what it was, at every share up to the limit.
func TestWealthNeverGrowsUnderTheHypothesis(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Float64Range(0.001, 0.99).Draw(t, "limit")
		share := limit * rapid.Float64Range(0, 1).Draw(t, "of the limit")
		r := NewRate(limit)
		for range rapid.IntRange(0, 200).Draw(t, "before") {
			r.Observe(rapid.Float64Range(0, 1).Draw(t, "u") < 0.3)
		}
		before, bad, good := r.LogWealth(), *r, *r
		bad.Observe(true)
		good.Observe(false)
		mean := share*math.Exp(bad.LogWealth()-before) + (1-share)*math.Exp(good.LogWealth()-before)
		if mean > 1+1e-9 {
			t.Fatalf("grows by %v", mean-1)
		}

		m := NewMean(rapid.Float64Range(-0.5, 0.5).Draw(t, "bound"), rapid.Float64Range(0.01, 0.5).Draw(t, "effect"))
		for range rapid.IntRange(0, 50).Draw(t, "seen") {
			m.Observe(rapid.Float64Range(-1, 1).Draw(t, "d"))
		}
		// Two values with the bound as their mean.
		lo := rapid.Float64Range(-1, m.Bound).Draw(t, "low")
		hi := rapid.Float64Range(m.Bound, 1).Draw(t, "high")
		p := 0.5
		if hi > lo {
			p = (m.Bound - lo) / (hi - lo)
		}
		x, y := *m, *m
		x.Observe(hi)
		y.Observe(lo)
		if hi == lo {
			return
		}
		if mean := p*math.Exp(x.Log-m.Log) + (1-p)*math.Exp(y.Log-m.Log); mean > 1+1e-9 {
			t.Fatalf("mean grows by %v", mean-1)
		}
	})
}

// Against statsmodels' proportion_confint(k, n, 2·alpha, "wilson"), as R's
// prop.test(correct=FALSE) gives them.
func TestWilson(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n      int
		alpha     float64
		low, high float64
	}{
		{5, 50, 0.025, 0.0434754, 0.2136024},
		{0, 20, 0.025, 0, 0.1611249},
		{20, 20, 0.025, 0.8388751, 1},
		{0, 0, 0.025, 0, 1},
	} {
		low, high := Wilson(c.k, c.n, c.alpha)
		if math.Abs(low-c.low) > 1e-6 || math.Abs(high-c.high) > 1e-6 {
			t.Errorf("%d of %d: %.7f to %.7f, want %.7f to %.7f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}
