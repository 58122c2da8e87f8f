package suite

import (
	"maps"
	"slices"
	"time"

	"rxedge/daemon/telemetry/quality"
	retrieval "rxedge/index/evaluate"
)

// What is told of a composite: a fall by more than Fall of what it was, which chance
// makes with a probability below FallP, by a paired t-test over LeastPairs questions or
// more.
const (
	Fall       = 0.05
	FallP      = 0.05
	LeastPairs = 11
)

// Worse is a run whose answers are worse than those of an earlier one.
type Worse struct {
	Run, Reference Run
	Since          time.Time // of the first run in a row that was worse than the reference
	Runs           int       // in that row
	Composite      retrieval.Paired
	Metric         string // that fell most, by its weight
}

// Worsened gives, of each set and mode, the latest run where it is worse than the
// reference: the first run, and after it each that was better than the reference by the
// same test. So a fall of a little each night is told once it has come to enough, and it
// is told until the answers are as they were.
func Worsened(runs []Run) []Worse {
	type state struct {
		reference Run
		worse     *Worse
	}
	states := map[[2]string]*state{}
	var order [][2]string
	for _, r := range runs {
		k := [2]string{r.Set, r.Mode}
		s := states[k]
		if s == nil {
			states[k] = &state{reference: r}
			order = append(order, k)
			continue
		}
		c, ok := compared(s.reference, r)
		if !ok {
			continue // says nothing, either way
		}
		switch p := c.Composite; {
		case p.Relative != nil && *p.Relative < -Fall && p.P != nil && *p.P < FallP:
			c.Since, c.Runs = r.At, 1
			if s.worse != nil {
				c.Since, c.Runs = s.worse.Since, s.worse.Runs+1
			}
			s.worse = &c
		case p.Difference > 0 && p.P != nil && *p.P < FallP:
			s.reference, s.worse = r, nil
		default:
			s.worse = nil
		}
	}
	var out []Worse
	for _, k := range order {
		if w := states[k].worse; w != nil {
			out = append(out, *w)
		}
	}
	return out
}

// compared by each question's composite, of those parts that both runs have of it: what
// is not answered any more has no faithfulness, and nothing in common with its answer of
// before. False where too few questions are in both.
func compared(was, is Run) (Worse, bool) {
	w := Worse{Run: is, Reference: was}
	before := make(map[string]retrieval.RunLine, len(was.Lines))
	for _, l := range was.Lines {
		before[l.ID] = l
	}
	var as, bs []float64
	metrics := map[string]float64{}
	for _, l := range is.Lines {
		old, ok := before[l.ID]
		if !ok {
			continue
		}
		a, b, of := 0.0, 0.0, 0.0
		for name, weight := range quality.Weights {
			x, y := old.Metrics[name], l.Metrics[name]
			if x == nil || y == nil {
				continue
			}
			a, b, of = a+weight**x, b+weight**y, of+weight
			metrics[name] += weight * (*x - *y)
		}
		if of == 0 {
			continue
		}
		as, bs = append(as, a/of), append(bs, b/of)
	}
	if len(as) < LeastPairs {
		return w, false
	}
	w.Composite = retrieval.PairedTest(as, bs)
	w.Metric = most(metrics)
	return w, true
}

// most is the name with the largest number; the first of equal ones.
func most(of map[string]float64) (name string) {
	for _, k := range slices.Sorted(maps.Keys(of)) {
		if name == "" || of[k] > of[name] {
			name = k
		}
	}
	return name
}
