package monitor

import (
	"fmt"
	"time"

	"rxedge/daemon/telemetry"
)

// A hundredth of the questions is a few a day. So agreement is looked at over a week
// that ends with each day, its baseline is the first week of days in which
// agreementLeast pairs and more are known, and its stream has a change of its own: with
// δ 0.1 and λ 8 a fall from 0.9 to 0.4 is told after some twenty pairs, and chance
// passes λ about once in ten thousand (replayed in agreement_test.go).
const (
	agreementDays      = 7
	agreementLeast     = 20
	agreementDelta     = 0.1
	agreementThreshold = 8
	agreementFirst     = 25
	agreementRecent    = 10
)

// AgreementFeature is the feature of its alarms.
const AgreementFeature = "agreement"

// agreement of a model with itself at full precision, over the days.
type agreement struct {
	baseline [2]int64 // agreed, of
	days     int      // in it
	recent   [][2]int64
	low      int // days running on which it was lower
}

// day takes the pairs of a day that is over, whatever else was asked on it.
func (g *agreement) day(w *telemetry.Window) *Alarm {
	yes, n := w.Concordance.Of(telemetry.Agreed)
	if n == 0 {
		return nil // says nothing, either way
	}
	if g.days < agreementDays || g.baseline[1] < agreementLeast {
		g.days, g.baseline[0], g.baseline[1] = g.days+1, g.baseline[0]+yes, g.baseline[1]+n
		return nil
	}
	g.recent = append(g.recent, [2]int64{yes, n})
	if len(g.recent) > agreementDays {
		g.recent = g.recent[1:]
	}
	var b, m int64
	for _, d := range g.recent {
		b, m = b+d[0], m+d[1]
	}
	a := fell(g.baseline[0], g.baseline[1], b, m, 0)
	if a == nil {
		g.low = 0
		return nil
	}
	if g.low++; g.low < FallDays || a.P > fallP {
		return nil
	}
	a.By, a.Value = "days", "running"
	a.Text += fmt.Sprintf(", over a week that ended on each of %d days running", g.low)
	return a
}

// fell gives the alarm of agreement a of n that has become b of m, nil where it is down by
// less than Fall or too few are known. Of each count so many may wait elsewhere.
func fell(a, n, b, m, waiting int64) *Alarm {
	if n < agreementLeast || m < agreementLeast || a == 0 {
		return nil
	}
	was, is := float64(a)/float64(n), float64(b)/float64(m)
	if is >= was*(1-Fall) {
		return nil
	}
	// Of as many that do not agree.
	bad, now := min(n-a+waiting, n), max(m-b-waiting, 0)
	return &Alarm{Kind: ConceptDrift, Level: Act, Feature: AgreementFeature, By: "model", Figure: 1 - is/was, Limit: Fall, P: fisher(bad, n, now, m), Baseline: &was, Current: &is, N: m,
		Text: fmt.Sprintf("answers agree with those of the model at full precision in %.0f %% of the questions asked twice, and did in %.0f %%", 100*is, 100*was)}
}

// agreed compares the agreement of two windows, as a fleet's weeks have it.
func agreed(base, now *telemetry.Window, l Limits) []Alarm {
	a, n := base.Concordance.Of(telemetry.Agreed)
	b, m := now.Concordance.Of(telemetry.Agreed)
	x := fell(a, n, b, m, l.Waiting)
	if x == nil || x.P > l.P {
		return nil
	}
	x.Value = model(now.Model)
	return []Alarm{*x}
}

func model(name string) string {
	if name == "" {
		return "extractive"
	}
	return name
}

// Compared takes an answer of a model beside that at full precision, and gives the
// change that it shows.
func (s *Streams) Compared(name string, c *telemetry.Compared, at time.Time) []Open {
	if !c.Has[telemetry.Agreed] {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(name)
	if m == nil {
		return nil
	}
	i := len(streams) - 1
	if x := m[i].add(streams[i], truth(c.Yes[telemetry.Agreed]), at); x != nil {
		return []Open{*x}
	}
	return nil
}

// Agreement of a model's answers with those at full precision.
type Agreement struct {
	Pairs  int64    `json:"pairs"` // questions asked twice
	Agreed *float64 `json:"agreed"`
	// Checks are shares of the pairs of which each is known, Measures how many pairs have
	// which value.
	Checks   map[string]CheckShare `json:"checks"`
	Measures map[string][]Bin      `json:"measures"`
}

// CheckShare of the pairs.
type CheckShare struct {
	N     int64   `json:"n"`
	Share float64 `json:"share"`
}

// Bin of a measure: From ≤ value < To; nil is without a bound.
type Bin struct {
	From *float64 `json:"from,omitempty"`
	To   *float64 `json:"to,omitempty"`
	N    int64    `json:"n"`
}

// AgreementOf the pairs.
func AgreementOf(c *telemetry.Concordance) *Agreement {
	a := &Agreement{Checks: map[string]CheckShare{}, Measures: map[string][]Bin{}}
	for _, k := range telemetry.Checks() {
		if yes, n := c.Of(k); n > 0 {
			a.Checks[k.String()] = CheckShare{n, float64(yes) / float64(n)}
		}
	}
	if s, ok := a.Checks[telemetry.Agreed.String()]; ok {
		a.Pairs, a.Agreed = s.N, &s.Share
	}
	for _, m := range telemetry.Measures() {
		edges, some := m.Edges(), false
		bins := make([]Bin, len(c.Bins[m]))
		for i, n := range c.Bins[m] {
			bins[i].N, some = n, some || n > 0
			if i > 0 {
				bins[i].From = &edges[i-1]
			}
			if i < len(edges) {
				bins[i].To = &edges[i]
			}
		}
		if some {
			a.Measures[m.String()] = bins
		}
	}
	return a
}
