package monitor

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
)

// Page–Hinkley over one answer after the other finds a change within a few hundred
// questions, where a day's window needs the day. δ is half of the least change of a
// rate that is told; with λ a stream of the rate 0.3 raises a false alarm about once
// in a hundred thousand questions (replayed in streams_test.go).
const (
	streamDelta     = 0.04
	streamThreshold = 30
	streamLeast     = 200
	// recent answers that the present mean is of, and how long a change is told.
	recent      = 50
	streamStays = 24 * time.Hour
)

// stream is one number of each answer; up and down are what a change in a direction
// means.
type stream struct {
	name     string
	kind     string
	worse    int // 1: where it rises; -1: where it falls
	value    func(*telemetry.Observation) float64
	answered bool // only of those that were answered
	// recent values that the present mean is of.
	recent float64
	// delta, threshold and least of the test.
	delta, threshold float64
	least            int
}

// The last is not of every answer: Compared feeds it.
var streams = [...]stream{
	{"abstained", PredictionDrift, 1, func(o *telemetry.Observation) float64 { return truth(o.Abstained) }, false, recent, streamDelta, streamThreshold, streamLeast},
	{"grounded", ConceptDrift, -1, func(o *telemetry.Observation) float64 { return truth(!o.Ungrounded) }, true, recent, streamDelta, streamThreshold, streamLeast},
	{"doubt", PredictionDrift, 1, func(o *telemetry.Observation) float64 { return o.Values[telemetry.Doubt] }, true, recent, streamDelta, streamThreshold, streamLeast},
	{AgreementFeature, ConceptDrift, -1, nil, false, agreementRecent, agreementDelta, agreementThreshold, agreementFirst},
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Streams watch the answers of each model as they come. The zero value is ready. Safe
// for concurrent use. After a start they begin anew.
type Streams struct {
	mu     sync.Mutex
	models map[string]*[len(streams)]watchedStream
}

type watchedStream struct {
	test   *drift.PageHinkley
	n      int64
	sum    float64 // since the test began
	now    float64 // moving mean
	change *Open
}

// most models that are watched; a box has two or three.
const mostModels = 16

// Add takes an answer and gives the changes that it shows.
func (s *Streams) Add(o *telemetry.Observation) []Open {
	if o.Failed {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(o.Model)
	if m == nil {
		return nil
	}
	var out []Open
	for i, st := range streams {
		if st.value == nil {
			continue
		}
		v := st.value(o)
		if st.answered && o.Abstained || math.IsNaN(v) {
			continue
		}
		if c := m[i].add(st, v, o.At); c != nil {
			out = append(out, *c)
		}
	}
	return out
}

// of a model; nil: there are too many. s.mu is held.
func (s *Streams) of(model string) *[len(streams)]watchedStream {
	if s.models == nil {
		s.models = map[string]*[len(streams)]watchedStream{}
	}
	m := s.models[model]
	if m == nil && len(s.models) < mostModels {
		m = &[len(streams)]watchedStream{}
		for i, st := range streams {
			t := drift.NewPageHinkley()
			t.Delta, t.Threshold, t.Least = st.delta, st.threshold, st.least
			m[i].test = t
		}
		s.models[model] = m
	}
	return m
}

func (w *watchedStream) add(st stream, v float64, at time.Time) *Open {
	if w.n++; w.n == 1 {
		w.now = v
	}
	w.now += (v - w.now) / min(float64(w.n), st.recent)
	w.sum += v
	if !w.test.Add(v) {
		return nil
	}
	was, is, n := w.sum/float64(w.n), w.now, w.n
	a := Alarm{Kind: st.kind, Level: Investigate, Feature: st.name, By: "stream", Value: "rose", Figure: math.Abs(is - was), Limit: st.delta,
		P: math.Exp(-2 * st.delta * st.threshold / max(was*(1-was), 0.01)), Baseline: &was, Current: &is, N: n}
	word := "rose"
	if w.test.Fell() {
		word, a.Value = "fell", "fell"
	}
	if (word == "rose") == (st.worse > 0) {
		a.Level = Act
	}
	a.Text = fmt.Sprintf("%s %s from %.2f over %d questions to %.2f in the latest", st.name, word, was, n, is)
	w.change = &Open{Alarm: a, Since: at.UTC(), Seen: at.UTC(), Days: 1}
	w.n, w.sum = 0, 0
	return w.change
}

// Alarms of a model's streams of the last day.
func (s *Streams) Alarms(model string, now time.Time) []Open {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Open
	if m := s.models[model]; m != nil {
		for i := range m {
			if c := m[i].change; c != nil && now.Sub(c.Since) < streamStays {
				out = append(out, *c)
			}
		}
	}
	return out
}

// Models that are watched.
func (s *Streams) Models() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.models))
}
