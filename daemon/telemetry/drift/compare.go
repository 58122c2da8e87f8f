package drift

import (
	"maps"
	"slices"
)

// Comparison of a feature with its baseline. What is undefined is nil.
type Comparison struct {
	PSI     float64  `json:"psi"`
	KS      *float64 `json:"ks"` // of numbers alone
	KSP     *float64 `json:"ks_p"`
	Chi2    *float64 `json:"chi2"`
	Chi2P   *float64 `json:"chi2_p"`
	Verdict Verdict  `json:"verdict"`
	// Smoothed: a bin was empty, so ½ was added to every count before the PSI.
	Smoothed bool  `json:"smoothed"`
	Baseline int   `json:"baseline"` // values
	Current  int   `json:"current"`
	Bins     []Bar `json:"bins"`
}

// Bar is a bin of both, for a drawing and to see where the change is.
type Bar struct {
	// From and To are nil at the open ends, and of categories.
	From     *float64 `json:"from,omitempty"`
	To       *float64 `json:"to,omitempty"`
	Category string   `json:"category,omitempty"`
	Baseline int64    `json:"baseline"`
	Current  int64    `json:"current"`
	// PSI is the bin's part of the whole.
	PSI float64 `json:"psi"`
}

// Numbers compares numbers: over bins that hold equally many values of the
// baseline. least is the fewest values for a verdict.
func Numbers(baseline, current []float64, bins, least int) (Comparison, error) {
	d, p, err := KS(baseline, current)
	if err != nil {
		return Comparison{}, err
	}
	edges := Edges(baseline, bins)
	c, err := Counts(Histogram(edges, baseline), Histogram(edges, current), least)
	if err != nil {
		return c, err
	}
	c.KS, c.KSP = &d, &p
	c.Between(edges)
	return c, nil
}

// Between says where the bins are: between edges.
func (c *Comparison) Between(edges []float64) {
	for i := range c.Bins {
		if i > 0 {
			c.Bins[i].From = &edges[i-1]
		}
		if i < len(edges) {
			c.Bins[i].To = &edges[i]
		}
	}
}

// Categories compares how often each word occurs.
func Categories(baseline, current []string, least int) (Comparison, error) {
	count := map[string]*[2]int64{}
	for side, values := range [2][]string{baseline, current} {
		for _, v := range values {
			if count[v] == nil {
				count[v] = new([2]int64)
			}
			count[v][side]++
		}
	}
	names := slices.Sorted(maps.Keys(count))
	b, c := make([]int64, len(names)), make([]int64, len(names))
	for i, n := range names {
		b[i], c[i] = count[n][0], count[n][1]
	}
	cmp, err := Counts(b, c, least)
	for i := range cmp.Bins {
		cmp.Bins[i].Category = names[i]
	}
	return cmp, err
}

// Counts compares two histograms of the same bins.
func Counts(baseline, current []int64, least int) (Comparison, error) {
	psi, smoothed, err := PSI(baseline, current)
	if err != nil {
		return Comparison{}, err
	}
	c := Comparison{PSI: psi, Smoothed: smoothed, Bins: make([]Bar, len(baseline))}
	for i := range baseline {
		c.Baseline, c.Current = c.Baseline+int(baseline[i]), c.Current+int(current[i])
	}
	for i := range baseline {
		c.Bins[i] = Bar{Baseline: baseline[i], Current: current[i], PSI: part(baseline[i], current[i], c.Baseline, c.Current, len(baseline), smoothed)}
	}
	x, ok, p, err := ChiSquare(baseline, current)
	if err != nil {
		return c, err
	}
	c.Chi2P = &p
	if ok {
		c.Chi2 = &x
	}
	c.Verdict = Judge(psi, min(c.Baseline, c.Current), least)
	return c, nil
}
