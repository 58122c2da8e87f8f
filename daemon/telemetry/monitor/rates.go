package monitor

import (
	"fmt"
	"slices"

	"rxedge/daemon/telemetry"
)

// rate of a slice.
type rate struct {
	name string
	kind string
	of   func(*telemetry.Slice) int64
}

var watched = []rate{
	{"abstained", PredictionDrift, func(s *telemetry.Slice) int64 { return s.Abstained }},
	{"ungrounded", ConceptDrift, func(s *telemetry.Slice) int64 { return s.Ungrounded }},
	{"flagged", PredictionDrift, func(s *telemetry.Slice) int64 { return s.Flagged }},
	{"disapproved", ConceptDrift, func(s *telemetry.Slice) int64 { return s.Judged.TP + s.Judged.FN }},
}

// drilled are the dimensions by which a changed rate is traced, the most telling
// first: of those that explain it as well, the first is named.
var drilled = []telemetry.Dimension{telemetry.Cohort, telemetry.Section, telemetry.Kind, telemetry.Class, telemetry.Mode, telemetry.Fallback}

// rates compares the rates of all questions and of each slice. A rate that rose in
// one slice and nowhere else is that slice's; one that rose everywhere is the
// model's.
func rates(base, now *telemetry.Window, l Limits) []Alarm {
	var out []Alarm
	tests := 0
	for _, d := range drilled {
		tests += len(now.Slices[d])
	}
	// Groups of patients are few and matter most: half of what chance is allowed is
	// theirs.
	cohorts := len(now.Slices[telemetry.Cohort])
	p := l.P / 2 / float64((tests-cohorts+1)*len(watched))
	pCohort := l.P / 2 / float64((cohorts+1)*len(watched))
	bt, nt := base.Total(), now.Total()
	for _, r := range watched {
		type risen struct {
			d          telemetry.Dimension
			value      string
			diff, pv   float64
			rest       float64 // z of all other questions
			was, is    float64
			n          int64
			order      int
			everywhere bool
		}
		var found []risen
		for order, d := range drilled {
			for _, v := range now.Values(d) {
				s, b := now.Slices[d][v], base.Slices[d][v]
				if b == nil || s.N < l.LeastSlice || b.N < l.LeastSlice {
					continue
				}
				diff, pv := l.risen(r.of(b), b.N, r.of(s), s.N)
				if diff < l.Rate || pv > p && (d != telemetry.Cohort || pv > pCohort) {
					continue
				}
				_, rest, _ := differ(r.of(&bt)-r.of(b), bt.N-b.N, r.of(&nt)-r.of(s), nt.N-s.N)
				found = append(found, risen{d: d, value: v, diff: diff, pv: pv, rest: rest, order: order, n: s.N,
					was: float64(r.of(b)) / float64(b.N), is: float64(r.of(s)) / float64(s.N), everywhere: s.N == nt.N})
			}
		}
		diff, pv := l.risen(r.of(&bt), bt.N, r.of(&nt), nt.N)
		overall := diff >= l.Rate && pv <= p
		// Explained by one slice: what is left outside it is no more than chance.
		const left = 3
		best := -1
		for i, f := range found {
			if f.everywhere || f.rest > left || f.value == telemetry.None || f.value == telemetry.Other {
				continue
			}
			if best < 0 || f.rest < found[best].rest-0.5 || f.rest < found[best].rest+0.5 && f.order < found[best].order {
				best = i
			}
		}
		switch {
		case best >= 0:
			f := found[best]
			kind := r.kind
			if f.d == telemetry.Cohort {
				kind = Fairness
			}
			out = append(out, Alarm{Kind: kind, Level: level(f.diff, l), Feature: r.name, By: f.d.String(), Value: f.value, Figure: f.diff, Limit: l.Rate, P: f.pv,
				Baseline: &f.was, Current: &f.is, N: f.n,
				Text: fmt.Sprintf("%s rose from %.0f %% to %.0f %% where %s is %s, and not elsewhere", r.name, 100*f.was, 100*f.is, f.d, f.value)})
		case overall:
			was, is := float64(r.of(&bt))/float64(bt.N), float64(r.of(&nt))/float64(nt.N)
			a := Alarm{Kind: r.kind, Level: level(diff, l), Feature: r.name, By: "model", Value: now.Model, Figure: diff, Limit: l.Rate, P: pv, Baseline: &was, Current: &is, N: nt.N}
			if a.Value == "" {
				a.Value = "extractive"
			}
			a.Text = fmt.Sprintf("%s rose from %.0f %% to %.0f %% everywhere (model %s on %s)", r.name, 100*was, 100*is, a.Value, now.Generation)
			out = append(out, a)
		}
	}
	return out
}

func level(diff float64, l Limits) string {
	if diff >= 2*l.Rate {
		return Act
	}
	return Investigate
}

// fair compares the refusals of the cohorts with one another, where that is more
// than the baseline has too.
func fair(base, now *telemetry.Window, l Limits) []Alarm {
	type group struct {
		name string
		s    *telemetry.Slice
		rate float64
	}
	var gs []group
	for _, v := range now.Values(telemetry.Cohort) {
		s := now.Slices[telemetry.Cohort][v]
		if v == telemetry.None || v == telemetry.Other || s.N < l.LeastSlice {
			continue
		}
		gs = append(gs, group{v, s, float64(s.Refused) / float64(s.N)})
	}
	if len(gs) < 2 {
		return nil
	}
	slices.SortStableFunc(gs, func(a, b group) int {
		switch {
		case a.rate < b.rate:
			return -1
		case a.rate > b.rate:
			return 1
		}
		return 0
	})
	low, high := gs[0], gs[len(gs)-1]
	diff, p := l.risen(low.s.Refused, low.s.N, high.s.Refused, high.s.N)
	pairs := float64(len(gs) * (len(gs) - 1) / 2)
	if diff <= l.Fairness || p > l.P/pairs/10 {
		return nil
	}
	lv := Investigate
	if diff >= 2*l.Fairness || low.rate < 0.8*high.rate && diff >= 1.5*l.Fairness {
		lv = Act
	}
	return []Alarm{{Kind: Fairness, Level: lv, Feature: "refused", By: telemetry.Cohort.String(), Value: high.name, Figure: diff, Limit: l.Fairness, P: p,
		Baseline: &low.rate, Current: &high.rate, N: high.s.N,
		Text: fmt.Sprintf("questions about cohort %s are refused in %.0f %%, those about %s in %.0f %%", high.name, 100*high.rate, low.name, 100*low.rate)}}
}
