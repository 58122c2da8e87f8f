package drift

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Limits of the population stability index, and how few values say nothing.
const (
	Investigate = 0.2
	Act         = 0.3
	Bins        = 10
	// LeastCount on either side; below it the verdict is Insufficient.
	LeastCount = 30
)

// Verdict of a comparison.
type Verdict string

// Verdicts, from the PSI alone: its size means the same for any number of values,
// which a p-value's does not.
const (
	VerdictStable       Verdict = "stable"
	VerdictInvestigate  Verdict = "investigate"
	VerdictAct          Verdict = "act"
	VerdictInsufficient Verdict = "insufficient"
)

// ErrBins: two histograms are not of the same bins.
var ErrBins = errors.New("the two histograms are not of the same bins")

// Edges are the inner borders of n bins that hold equally many of the values:
// their quantiles, by linear interpolation between order statistics (numpy's
// default). Values that are the same may make two borders one; fewer bins are
// left then. The outer bins have no end.
func Edges(values []float64, n int) []float64 {
	if len(values) == 0 || n < 2 {
		return nil
	}
	s := slices.Sorted(slices.Values(values))
	out := make([]float64, 0, n-1)
	for i := 1; i < n; i++ {
		e := quantile(s, float64(i)/float64(n))
		if len(out) == 0 || e > out[len(out)-1] {
			out = append(out, e)
		}
	}
	return out
}

// quantile of sorted values.
func quantile(s []float64, q float64) float64 {
	at := q * float64(len(s)-1)
	i := int(math.Floor(at))
	if i >= len(s)-1 {
		return s[len(s)-1]
	}
	t := at - float64(i)
	// As numpy does it, so that the borders are the same to the last bit.
	if t >= 0.5 {
		return s[i+1] - (s[i+1]-s[i])*(1-t)
	}
	return s[i] + (s[i+1]-s[i])*t
}

// Bin of a value: i where edges[i−1] ≤ v < edges[i].
func Bin(edges []float64, v float64) int {
	return sort.Search(len(edges), func(i int) bool { return v < edges[i] })
}

// Histogram counts values in the bins between edges.
func Histogram(edges, values []float64) []int64 {
	h := make([]int64, len(edges)+1)
	for _, v := range values {
		h[Bin(edges, v)]++
	}
	return h
}

// PSI is the population stability index Σ(p−q)·ln(p/q) of two histograms of the
// same bins. Where a bin of either is empty ½ is added to every count of both,
// and smoothed says so. It is an error where a side has no values at all.
func PSI(baseline, current []int64) (psi float64, smoothed bool, err error) {
	if len(baseline) != len(current) || len(baseline) == 0 {
		return 0, false, fmt.Errorf("%w: %d and %d", ErrBins, len(baseline), len(current))
	}
	var nb, nc int64
	for i := range baseline {
		if baseline[i] < 0 || current[i] < 0 {
			return 0, false, errors.New("a count is negative")
		}
		nb, nc = nb+baseline[i], nc+current[i]
		smoothed = smoothed || baseline[i] == 0 || current[i] == 0
	}
	if nb == 0 || nc == 0 {
		return 0, false, errors.New("one side has no values")
	}
	for i := range baseline {
		psi += part(baseline[i], current[i], int(nb), int(nc), len(baseline), smoothed)
	}
	return psi, smoothed, nil
}

// part of one bin in the PSI over k bins.
func part(baseline, current int64, nb, nc, k int, smoothed bool) float64 {
	add := 0.0
	if smoothed {
		add = 0.5
	}
	p := (float64(current) + add) / (float64(nc) + add*float64(k))
	q := (float64(baseline) + add) / (float64(nb) + add*float64(k))
	return (p - q) * math.Log(p/q)
}

// Judge gives the verdict of a PSI over that many values on the smaller side.
func Judge(psi float64, fewest, least int) Verdict {
	switch {
	case fewest < least:
		return VerdictInsufficient
	case psi >= Act:
		return VerdictAct
	case psi >= Investigate:
		return VerdictInvestigate
	}
	return VerdictStable
}
