// Package explain adds up why the guard doubted and where it was wrong, by group of
// patients and week, and which numbers of a question tell its group. All of it are sums
// that can be merged.
package explain

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
)

// What is added up apart.
const (
	Refused = telemetry.Refused
	Wrong   = telemetry.Wrong
	Usual   = telemetry.Usual // one in SampleEvery of all others
)

// SampleEvery of the answers that are not doubted are explained, to compare with.
const SampleEvery = 20

// mostCohorts of a table; what comes after is Other.
const mostCohorts = 16

// Sums of exact Shapley values, in probability: over N answers the values of all
// features add up to Doubt − Baseline.
type Sums struct {
	N        int64        `json:"n"`
	Values   guard.Vector `json:"values"`
	Doubt    float64      `json:"doubt"`
	Baseline float64      `json:"baseline"`
}

func (s *Sums) merge(o *Sums) {
	s.N, s.Doubt, s.Baseline = s.N+o.N, s.Doubt+o.Doubt, s.Baseline+o.Baseline
	for i := range s.Values {
		s.Values[i] += o.Values[i]
	}
}

// Table of a time. Not safe for concurrent use.
type Table struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Why by cohort and what.
	Why map[string]map[string]*Sums `json:"why"`
	// Bins of each feature of the questions, by cohort, as telemetry's windows have them.
	Bins map[string]map[string][]int64 `json:"bins"`
}

// NewTable from from to to.
func NewTable(from, to time.Time) *Table {
	return &Table{From: from, To: to, Why: map[string]map[string]*Sums{}, Bins: map[string]map[string][]int64{}}
}

// cohort that there is room for.
func cohort[V any](of map[string]V, name string) string {
	if _, ok := of[name]; !ok && len(of) >= mostCohorts {
		return telemetry.Other
	}
	return name
}

// Count the numbers of a question.
func (t *Table) Count(o *telemetry.Observation) {
	c := cohort(t.Bins, o.In[telemetry.Cohort])
	if t.Bins[c] == nil {
		t.Bins[c] = map[string][]int64{}
	}
	for _, f := range telemetry.Features() {
		v := o.Values[f]
		if math.IsNaN(v) {
			continue
		}
		b := t.Bins[c][f.String()]
		if b == nil {
			b = make([]int64, len(f.Edges())+1)
			t.Bins[c][f.String()] = b
		}
		b[drift.Bin(f.Edges(), v)]++
	}
}

// Add the exact Shapley values of one answer's doubt. It takes tens of milliseconds.
func (t *Table) Add(m *guard.Model, group, what string, v *guard.Vector) {
	values, baseline := m.Shapley(v)
	t.add(group, what, &Sums{1, values, m.Wrong(v), baseline})
}

func (t *Table) add(group, what string, s *Sums) {
	c := cohort(t.Why, group)
	if t.Why[c] == nil {
		t.Why[c] = map[string]*Sums{}
	}
	if t.Why[c][what] == nil {
		t.Why[c][what] = &Sums{}
	}
	t.Why[c][what].merge(s)
}

// forget cohorts that are not known, and say whether there were any.
func (t *Table) forget(known []string) bool {
	keep := func(g string) bool { return g == telemetry.None || g == telemetry.Other || slices.Contains(known, g) }
	found := false
	c := NewTable(t.From, t.To)
	for g, whats := range t.Why {
		if !keep(g) {
			g, found = telemetry.Other, true
		}
		for what, s := range whats {
			c.add(g, what, s)
		}
	}
	for g, fs := range t.Bins {
		if !keep(g) {
			g, found = telemetry.Other, true
		}
		c.bins(g, fs)
	}
	if found {
		*t = *c
	}
	return found
}

// bins of a cohort's questions are added.
func (t *Table) bins(g string, fs map[string][]int64) {
	c := cohort(t.Bins, g)
	if t.Bins[c] == nil {
		t.Bins[c] = map[string][]int64{}
	}
	for f, b := range fs {
		if len(t.Bins[c][f]) != len(b) {
			t.Bins[c][f] = make([]int64, len(b))
		}
		for i, n := range b {
			t.Bins[c][f][i] += n
		}
	}
}

// Merge adds up o too; the time stretches over its.
func (t *Table) Merge(o *Table) {
	if o.From.Before(t.From) {
		t.From = o.From
	}
	if o.To.After(t.To) {
		t.To = o.To
	}
	for g, whats := range o.Why {
		for what, s := range whats {
			t.add(g, what, s)
		}
	}
	for g, fs := range o.Bins {
		t.bins(g, fs)
	}
}

// Driver is how much a feature added to doubt, on average.
type Driver struct {
	Feature string `json:"feature"`
	// Points are hundredths of probability. Excess is how many more than of the answers
	// that were not doubted; nil where there are too few of those.
	Points float64  `json:"points"`
	Excess *float64 `json:"excess"`
}

// Why of one cohort's answers.
type Why struct {
	Cohort   string   `json:"cohort"`
	What     string   `json:"what"`
	N        int64    `json:"n"`
	Doubt    float64  `json:"doubt"`    // mean probability of being wrong
	Baseline float64  `json:"baseline"` // mean over the answers compared with
	Drivers  []Driver `json:"drivers"`  // the strongest first; all add up to Doubt − Baseline
}

// Proxy is how well a feature of the question tells a cohort from the others.
type Proxy struct {
	Feature string `json:"feature"`
	Cohort  string `json:"cohort"`
	// AUC of telling the cohort by the feature, 0.5: not at all; Bits of information that
	// the feature has on whether it is the cohort.
	AUC  float64 `json:"auc"`
	Bits float64 `json:"bits"`
	N    int64   `json:"n"`
}

// Of windows that left a box: the sums of their answers, without what tells a cohort.
func Of(e telemetry.Explained) *Table {
	t := NewTable(time.Time{}, time.Time{})
	for c, whats := range e {
		for what, r := range whats {
			s := &Sums{N: r.N, Doubt: float64(r.Doubt) / telemetry.Unit, Baseline: float64(r.Baseline) / telemetry.Unit}
			for i, v := range r.Values {
				s.Values[i] = float64(v) / telemetry.Unit
			}
			t.add(c, what, s)
		}
	}
	return t
}

// All cohorts of a table together.
func (t *Table) All() *Table {
	out := NewTable(t.From, t.To)
	for _, whats := range t.Why {
		for what, s := range whats {
			out.add(Everybody, what, s)
		}
	}
	return out
}

// Everybody is the cohort that All has.
const Everybody = "all"

// Report of what is of eleven questions at least; Hidden is how many cells are not.
type Report struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Why     []Why     `json:"why"`
	Proxies []Proxy   `json:"proxies"` // the most telling first
	Hidden  int       `json:"hidden"`
}

// Report on the table.
func (t *Table) Report() *Report {
	r := &Report{From: t.From, To: t.To, Why: []Why{}, Proxies: []Proxy{}}
	for _, g := range slices.Sorted(maps.Keys(t.Why)) {
		usual := t.Why[g][Usual]
		for _, what := range []string{Refused, Wrong, Usual} {
			s := t.Why[g][what]
			if s == nil {
				continue
			}
			if s.N < telemetry.LeastCell {
				r.Hidden++
				continue
			}
			n := float64(s.N)
			w := Why{Cohort: g, What: what, N: s.N, Doubt: s.Doubt / n, Baseline: s.Baseline / n}
			for i, v := range s.Values {
				d := Driver{Feature: guard.Names[i], Points: 100 * v / n}
				if usual != nil && usual.N >= telemetry.LeastCell && what != Usual {
					e := d.Points - 100*usual.Values[i]/float64(usual.N)
					d.Excess = &e
				}
				w.Drivers = append(w.Drivers, d)
			}
			slices.SortStableFunc(w.Drivers, func(a, b Driver) int { return cmp.Compare(math.Abs(b.Points), math.Abs(a.Points)) })
			r.Why = append(r.Why, w)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(t.Bins)) {
		if g == telemetry.None || g == telemetry.Other {
			continue
		}
		for _, f := range telemetry.Features() {
			name := f.String()
			here := t.Bins[g][name]
			there := make([]int64, len(f.Edges())+1)
			for other, fs := range t.Bins {
				if b := fs[name]; other != g && other != telemetry.None && len(b) == len(there) {
					for i, n := range b {
						there[i] += n
					}
				}
			}
			if len(here) != len(there) {
				continue
			}
			n, m := total(here), total(there)
			if n < telemetry.LeastCell || m < telemetry.LeastCell {
				r.Hidden++
				continue
			}
			r.Proxies = append(r.Proxies, Proxy{name, g, auc(here, there), information(here, there), n})
		}
	}
	slices.SortStableFunc(r.Proxies, func(a, b Proxy) int { return cmp.Compare(b.Bits, a.Bits) })
	return r
}

func total(b []int64) (n int64) {
	for _, x := range b {
		n += x
	}
	return n
}

// auc of telling the one histogram from the other by the place of the bin, ties half.
func auc(pos, neg []int64) float64 {
	below, sum := 0.0, 0.0
	for i := range pos {
		sum += float64(pos[i]) * (below + float64(neg[i])/2)
		below += float64(neg[i])
	}
	return sum / float64(total(pos)) / below
}

// information in bits, mutual, between the bin and which of the histograms it is in.
func information(a, b []int64) float64 {
	n := float64(total(a) + total(b))
	sum := 0.0
	for _, h := range [][]int64{a, b} {
		p := float64(total(h)) / n
		for i := range h {
			if h[i] > 0 {
				sum += float64(h[i]) / n * math.Log2(float64(h[i])/float64(a[i]+b[i])/p)
			}
		}
	}
	return max(0, sum)
}
