package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fairness"
)

// BaselineDays are merged into a baseline, where none comes from a validation.
const BaselineDays = 7

// Open is an alarm and since when it stands.
type Open struct {
	Alarm
	Since time.Time `json:"since"`
	Seen  time.Time `json:"seen"` // the last day that showed it
	Days  int       `json:"days"` // that showed it
}

// Tracker watches the days of one model and generation. Not safe for concurrent
// use. What it needs to go on after a restart are the days: it is fed them again.
type Tracker struct {
	Limits Limits

	baseline *telemetry.Window
	fixed    bool                              // the baseline came from outside
	learned  int                               // days in it
	declines [len(declining)][]telemetry.Slice // of the days running on which it was lower
	against  agreement                         // with the model at full precision
	open     map[string]*Open
}

// NewTracker with a baseline, or nil: the first week is it.
func NewTracker(l Limits, baseline *telemetry.Window) *Tracker {
	return &Tracker{Limits: l, baseline: baseline, fixed: baseline != nil, open: map[string]*Open{}}
}

// Learning says that there is no baseline yet.
func (t *Tracker) Learning() bool { return !t.fixed && t.learned < BaselineDays }

// Baseline that days are compared with; nil while there is none.
func (t *Tracker) Baseline() *telemetry.Window { return t.baseline }

// Day takes the window of a day, in order, and gives the alarms that it opens.
// Days with few questions open none and close none.
func (t *Tracker) Day(w *telemetry.Window) ([]Open, error) {
	agreement := t.against.day(w)
	if t.Learning() {
		if t.baseline == nil {
			t.baseline = w.Clone()
		} else if err := t.baseline.Merge(w, true); err != nil {
			return nil, err
		}
		if w.Questions >= t.Limits.Least {
			t.learned++
		}
		return nil, nil
	}
	if w.Questions < t.Limits.Least {
		return nil, nil
	}
	var opened []Open
	seen := map[string]bool{}
	alarms := append(Compare(t.baseline, w, t.Limits), t.decline(w)...)
	if agreement != nil {
		alarms = append(alarms, *agreement)
	}
	for _, a := range alarms {
		k := a.Key()
		seen[k] = true
		if o := t.open[k]; o != nil {
			o.Alarm, o.Seen, o.Days = a, w.To, o.Days+1
			continue
		}
		t.open[k] = &Open{Alarm: a, Since: w.From, Seen: w.To, Days: 1}
		opened = append(opened, *t.open[k])
	}
	for k, o := range t.open {
		if !seen[k] && w.From.Sub(o.Seen) >= 24*time.Hour { // two days without it
			delete(t.open, k)
		}
	}
	return opened, nil
}

// Alarms that stand, the oldest first.
func (t *Tracker) Alarms() []Open {
	out := make([]Open, 0, len(t.open))
	for _, k := range slices.Sorted(maps.Keys(t.open)) {
		out = append(out, *t.open[k])
	}
	slices.SortStableFunc(out, func(a, b Open) int { return cmp.Compare(a.Since.Unix(), b.Since.Unix()) })
	return out
}

// declining are the figures that may not fall by a twentieth on three days
// running, as a share of so many; 0 of 0 where a day says nothing of it.
var declining = [...]struct {
	name  string
	least int64
	of    func(telemetry.Slice) (a, n int64)
}{
	{"grounded", 50, func(s telemetry.Slice) (a, n int64) { return s.N - s.Abstained - s.Ungrounded, s.N - s.Abstained }},
	{"approved", 20, func(s telemetry.Slice) (a, n int64) { return s.Judged.FP + s.Judged.TN, s.Judged.N() }},
	// F1 is the share 2TP of 2TP+FP+FN; each error is one of its cases, so half as
	// many are independent.
	{"guard_f1", 10, func(s telemetry.Slice) (a, n int64) {
		return s.Judged.TP, s.Judged.TP + (s.Judged.FP+s.Judged.FN+1)/2
	}},
}

// Fall of a figure that is told, as a share of the baseline, the days running, and
// how likely chance may make those days together as low.
const (
	Fall     = 0.05
	FallDays = 3
	fallP    = 1e-3
)

func (t *Tracker) decline(w *telemetry.Window) []Alarm {
	var out []Alarm
	base, now := t.baseline.Total(), w.Total()
	for i, d := range declining {
		a, n := d.of(base)
		b, m := d.of(now)
		if n < d.least || m < d.least || a == 0 {
			continue // says nothing, either way
		}
		was, is := float64(a)/float64(n), float64(b)/float64(m)
		if is >= was*(1-Fall) {
			t.declines[i] = nil
			continue
		}
		t.declines[i] = append(t.declines[i], now)
		if len(t.declines[i]) < FallDays {
			continue
		}
		var sum [2]int64
		for _, s := range t.declines[i][len(t.declines[i])-FallDays:] {
			x, y := d.of(s)
			sum[0], sum[1] = sum[0]+x, sum[1]+y
		}
		is = float64(sum[0]) / float64(sum[1])
		p := fisher(n-a, n, sum[1]-sum[0], sum[1]) // of as many that are not
		if p > fallP {
			continue
		}
		out = append(out, Alarm{Kind: ConceptDrift, Level: Act, Feature: d.name, By: "days", Value: "running", Figure: 1 - is/was, Limit: Fall, P: p, Baseline: &was, Current: &is, N: sum[1],
			Text: fmt.Sprintf("%s fell from %.2f to %.2f, on %d days running", d.name, was, is, len(t.declines[i]))})
	}
	return out
}

// F1 of the guard's decisions against what was said of the answers; nil with fewer
// than least of them, or where it is undefined.
func F1(c fairness.Counts, least int64) *float64 {
	if c.N() < least || 2*c.TP+c.FP+c.FN == 0 {
		return nil
	}
	f := 2 * float64(c.TP) / float64(2*c.TP+c.FP+c.FN)
	return &f
}
