package main

import (
	"math"
	"slices"
)

// A bound is what a series may grow by in an hour: the greater of a share of its
// median and an amount.
type bound struct {
	Share  float64 `json:"share"`  // of the median
	Amount float64 `json:"amount"` // in the series' unit
}

// Verdicts on a series.
const (
	flat    = "flat"
	grows   = "grows"
	unclear = "unclear" // over the bound, and not told from chance
	short   = "short"   // too few samples
)

// trend of a series over the last three quarters of a phase.
type trend struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Samples int     `json:"samples"`
	First   float64 `json:"first"` // median of the first tenth that is judged
	Last    float64 `json:"last"`  // and of the last tenth
	Median  float64 `json:"median"`
	Most    float64 `json:"most"`
	// Slope an hour, with its 95 % interval: Theil and Sen's estimate, the median of
	// the slopes between all pairs, which the sawtooth of a collector and single
	// peaks do not move. The interval is Kendall's and takes samples as independent.
	Slope   float64 `json:"slope_per_hour"`
	Low     float64 `json:"slope_low"`
	High    float64 `json:"slope_high"`
	Bound   float64 `json:"bound_per_hour"`
	Verdict string  `json:"verdict"`
	// All is the slope of the samples as they came, where the verdict is on lows.
	All float64 `json:"slope_of_all_per_hour"`
}

// enough values for a verdict.
const enough = 8

// span of time of which the least value is taken: longer than most events are apart,
// so that each holds moments at which nothing is built, replaced or mended.
const span10 = 10.0 / 60 // hours

// lows are the least value of each ten minutes, at the moment at which it was. What is
// open while a generation is built, or lies in the heap until the next collection, goes
// again; what leaks is there at the lowest moment too. So lows compare like with like,
// and lie far enough apart for the interval, which takes values as independent.
// A span that was cut short holds no such moment perhaps, and is left out.
func lows(at, values []float64) (lowAt, low []float64) {
	most := 0
	for i := 0; i < len(at); {
		window, from, least := int(at[i]/span10), i, i
		for ; i < len(at) && int(at[i]/span10) == window; i++ {
			if values[i] < values[least] {
				least = i
			}
		}
		if most = max(most, i-from); 2*(i-from) >= most {
			lowAt, low = append(lowAt, at[least]), append(low, values[least])
		}
	}
	return lowAt, low
}

// judge the series: at in hours, values in any unit.
func judge(at, values []float64, b bound) trend {
	from := len(at) / 4
	at, values = at[from:], values[from:]
	t := trend{Samples: len(values), Verdict: short}
	if len(values) == 0 {
		return t
	}
	tenth := max(1, len(values)/10)
	t.Median, t.Most = median(values), slices.Max(values)
	t.First, t.Last = median(values[:tenth]), median(values[len(values)-tenth:])
	t.Bound = max(b.Share*t.Median, b.Amount)
	if len(values) < enough {
		return t
	}
	var slopes []float64
	for i := range at {
		for j := i + 1; j < len(at); j++ {
			if d := at[j] - at[i]; d > 0 {
				slopes = append(slopes, (values[j]-values[i])/d)
			}
		}
	}
	slices.Sort(slopes)
	t.Slope = middle(slopes)
	n := float64(len(values))
	c := 1.96 * math.Sqrt(n*(n-1)*(2*n+5)/18)
	pairs := float64(len(slopes))
	rank := func(r float64) float64 { return slopes[min(len(slopes)-1, max(0, int(r)))] }
	t.Low, t.High = rank((pairs-c)/2), rank((pairs+c)/2)
	switch {
	case t.Slope <= t.Bound:
		t.Verdict = flat
	case t.Low > 0:
		t.Verdict = grows
	default:
		t.Verdict = unclear
	}
	return t
}

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return middle(s)
}

// middle of sorted values.
func middle(s []float64) float64 {
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
