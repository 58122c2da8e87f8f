package supportbundle

import (
	"math"
	"slices"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/telemetry"
)

// Telemetry is what may leave of what answers were like. Numbers of questions are rounded
// down to a multiple of eleven, so one of 1 to 10 is none; left out is a share that is of so
// few, or leaves so few.
type Telemetry struct {
	Day    Window  `json:"last_24_hours"`
	Hours  []Hour  `json:"hours"`
	Models []Drift `json:"drift"`
	// Cohorts that are compared, and those with too few questions; none by its name.
	Cohorts int `json:"cohorts"`
	Hidden  int `json:"cohorts_hidden"`
}

// Window of questions. Nil: of too few to be told.
type Window struct {
	Questions *int64   `json:"questions"`
	Abstained *float64 `json:"abstained,omitempty"`
	Failed    *float64 `json:"failed,omitempty"`
	Grounded  *float64 `json:"grounded,omitempty"`
	P50       *float64 `json:"p50_ms,omitempty"`
	P95       *float64 `json:"p95_ms,omitempty"`
	P99       *float64 `json:"p99_ms,omitempty"`
}

// Hour of questions.
type Hour struct {
	From time.Time `json:"from"`
	Window
}

// Drift of a model's features.
type Drift struct {
	Model    string    `json:"model"`
	Learning bool      `json:"learning"`
	Features []Feature `json:"features"`
}

// Feature beside its baseline.
type Feature struct {
	Name    string  `json:"name"`
	PSI     float64 `json:"psi"`
	Verdict string  `json:"verdict"`
}

// TelemetryOf the technician's page.
func TelemetryOf(st api.Station, n *Names) Telemetry {
	t := Telemetry{Day: window(st.Day.Questions), Cohorts: len(st.Fairness.Cohorts), Hidden: st.Fairness.Hidden, Hours: []Hour{}, Models: []Drift{}}
	if t.Day.Questions != nil && *t.Day.Questions > 0 {
		q := st.Day.Questions
		t.Day.Abstained, t.Day.Failed, t.Day.Grounded = share(st.Day.Abstained, q), share(st.Day.Failed, q), share(st.Day.Grounded, q)
		t.Day.P50, t.Day.P95, t.Day.P99 = st.Day.P50, st.Day.P95, st.Day.P99
	}
	for _, h := range st.Hours {
		w := window(h.Questions)
		if w.Questions != nil && *w.Questions > 0 {
			a := float64(h.Abstained) / float64(h.Questions)
			w.Abstained, w.Grounded, w.P50, w.P95 = share(&a, h.Questions), share(h.Grounded, h.Questions), h.P50, h.P95
		}
		t.Hours = append(t.Hours, Hour{h.From.UTC(), w})
	}
	var known []string
	for _, f := range telemetry.Features() {
		known = append(known, f.String())
	}
	for d := range telemetry.Dimension(64) {
		if s := dimension(d); s != "" {
			known = append(known, s)
		}
	}
	for _, m := range st.Models {
		name, _ := model(m.Model, n)
		d := Drift{Learning: m.Learning, Features: []Feature{}}
		d.Model, _ = name.(string)
		for _, f := range m.Features {
			if !slices.Contains(known, f.Name) || f.Baseline < LeastCell || f.Current < LeastCell {
				continue
			}
			d.Features = append(d.Features, Feature{f.Name, f.PSI, string(f.Verdict)})
		}
		t.Models = append(t.Models, d)
	}
	return t
}

// dimension by its number; "": there is none.
func dimension(d telemetry.Dimension) (s string) {
	defer func() { _ = recover() }()
	return d.String()
}

func window(questions int64) Window {
	if questions > 0 && questions < LeastCell {
		return Window{}
	}
	questions = questions / LeastCell * LeastCell
	return Window{Questions: &questions}
}

// share of n that can be told: neither it nor what is left of n is of a few.
func share(s *float64, n int64) *float64 {
	if s == nil {
		return nil
	}
	k := int64(math.Round(*s * float64(n)))
	few := func(k int64) bool { return k > 0 && k < LeastCell }
	if few(k) || few(n-k) {
		return nil
	}
	return s
}
