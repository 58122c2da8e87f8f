// Package sequential holds tests that may be looked at after every observation,
// for as long as one likes, and stopped when one likes: their error bound holds
// all the same. Each keeps the wealth of a gambler who bets against a hypothesis.
// While the hypothesis is true the wealth is a nonnegative supermartingale that
// starts at 1, so by Ville's inequality (1939) it ever reaches 1/α with a
// probability of at most α. See Ramdas, Grünwald, Vovk and Shafer,
// "Game-theoretic statistics and safe anytime-valid inference", Statistical
// Science 38 (2023). The derivations are in ../trial/DESIGN.md.
package sequential

import "math"

// rateGrid is how many alternatives a Rate bets on, with equal stakes.
const rateGrid = 8

// Rate bets against "at most a share limit of the observations is bad". For an
// alternative q above the limit the likelihood ratio of q to the limit is a
// supermartingale under every share up to the limit; the wealth is the mean of
// eight of them, from a third more than the limit to nearly all.
type Rate struct {
	limit     float64
	bads, oks [rateGrid]float64 // logarithms of the ratios for one of each
	n, bad    int
}

// NewRate for a limit inside 0 to 1.
func NewRate(limit float64) *Rate {
	limit = min(max(limit, 1e-6), 1-1e-6)
	r := &Rate{limit: limit}
	// Evenly in the logarithm of the odds, from 4/3 of the limit's odds up to 0.9,
	// or where the limit is higher halfway between it and 1.
	odds := func(p float64) float64 { return math.Log(p / (1 - p)) }
	lo, hi := odds(limit)+math.Log(4.0/3), odds(max(0.9, (1+limit)/2))
	hi = max(hi, lo+1)
	for i := range rateGrid {
		x := lo + (hi-lo)*float64(i)/(rateGrid-1)
		q := 1 / (1 + math.Exp(-x))
		r.bads[i], r.oks[i] = math.Log(q/limit), math.Log((1-q)/(1-limit))
	}
	return r
}

// Observe one more.
func (r *Rate) Observe(bad bool) {
	r.n++
	if bad {
		r.bad++
	}
}

// Counts of what was observed.
func (r *Rate) Counts() (n, bad int) { return r.n, r.bad }

// Share of the bad; 0 of none.
func (r *Rate) Share() float64 {
	if r.n == 0 {
		return 0
	}
	return float64(r.bad) / float64(r.n)
}

// LogWealth is the natural logarithm of the wealth.
func (r *Rate) LogWealth() float64 {
	var terms [rateGrid]float64
	for i := range terms {
		terms[i] = float64(r.bad)*r.bads[i] + float64(r.n-r.bad)*r.oks[i]
	}
	return logMean(terms[:])
}

// Over says whether the share is over the limit, where saying so of one that is
// not has a probability of at most alpha, however often it is asked.
func (r *Rate) Over(alpha float64) bool { return r.LogWealth() >= -math.Log(alpha) }

func logMean(x []float64) float64 {
	most := math.Inf(-1)
	for _, v := range x {
		most = max(most, v)
	}
	if math.IsInf(most, -1) {
		return most
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - most)
	}
	return most + math.Log(sum/float64(len(x)))
}

// RateOf counts that were kept.
func RateOf(limit float64, n, bad int) *Rate {
	r := NewRate(limit)
	r.n, r.bad = n, bad
	return r
}
