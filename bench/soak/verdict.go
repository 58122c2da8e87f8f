package main

import (
	"cmp"
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

// span10 is the time of which the least value is taken.
const span10 = 10.0 / 60 // hours

// point of a series: at in hours, and the state in which the box was.
type point struct {
	at, value float64
	state     int
}

// lows are the least value of each ten minutes in each state, at the moment at which it
// was. What lies in the heap until the next collection, or is open while a question is
// answered, goes again; what leaks is there at the lowest moment too. And they lie far
// enough apart for the interval, which takes values as independent. A span that was cut
// short is left out.
func lows(points []point) (out []point) {
	most := 0
	for i := 0; i < len(points); {
		window, from := int(points[i].at/span10), i
		least := map[int]int{} // of a state, where in out
		had := len(out)
		for ; i < len(points) && int(points[i].at/span10) == window; i++ {
			p := points[i]
			if at, ok := least[p.state]; !ok {
				least[p.state] = len(out)
				out = append(out, p)
			} else if p.value < out[at].value {
				out[at] = p
			}
		}
		if most = max(most, i-from); 2*(i-from) < most {
			out = out[:had]
		}
	}
	slices.SortStableFunc(out, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	return out
}

// judge the series. Slopes are those between points of the same state alone: a box that
// builds a generation has more open and more in memory than one at rest, and how often
// it was seen building is no trend of what it takes.
func judge(points []point, b bound) trend {
	points = points[len(points)/4:]
	t := trend{Samples: len(points), Verdict: short}
	if len(points) == 0 {
		return t
	}
	values := make([]float64, len(points))
	states := map[int]float64{}
	for i, p := range points {
		values[i] = p.value
		states[p.state]++
	}
	tenth := max(1, len(values)/10)
	t.Median, t.Most = median(values), slices.Max(values)
	t.First, t.Last = median(values[:tenth]), median(values[len(values)-tenth:])
	t.Bound = max(b.Share*t.Median, b.Amount)
	var slopes []float64
	for i, p := range points {
		for _, q := range points[i+1:] {
			if p.state == q.state && q.at > p.at {
				slopes = append(slopes, (q.value-p.value)/(q.at-p.at))
			}
		}
	}
	if len(values) < enough || len(slopes) < enough*(enough-1)/2 {
		return t
	}
	slices.Sort(slopes)
	t.Slope = middle(slopes)
	variance := 0.0 // of Kendall's count, added up over the states
	for _, n := range states {
		variance += n * (n - 1) * (2*n + 5) / 18
	}
	c := 1.96 * math.Sqrt(variance)
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
