package simulate

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
)

// A day's window is made of questions of a pool, which all sites of a process draw from:
// each question is one that telemetrytest makes, and only its making is saved.
const poolSize = 4096

var pool = sync.OnceValue(func() []telemetry.Observation {
	rng := rand.New(rand.NewPCG(1, 1))
	out := make([]telemetry.Observation, poolSize)
	for i := range out {
		out[i] = telemetrytest.Question(rng)
	}
	return out
})

// busy is how many of a day's questions come in each hour of a site's own time: shut at
// night, most before noon and after work.
var busy = [24]float64{8: 0.05, 9: 0.10, 10: 0.13, 11: 0.13, 12: 0.09, 13: 0.07, 14: 0.08, 15: 0.09, 16: 0.10, 17: 0.09, 18: 0.05, 19: 0.02}

// expected questions of a site on a day in UTC: its own days, of which Saturdays have
// half and Sundays a fifth, lie across it.
func (s *Site) expected(day time.Time) (n float64) {
	for h := range 24 {
		local := day.Add(time.Duration(h)*time.Hour + s.Zone)
		of := 1.0
		switch local.Weekday() {
		case time.Saturday:
			of = 0.5
		case time.Sunday:
			of = 0.2
		}
		n += s.Questions * of * busy[local.Hour()]
	}
	return n
}

// window of a site's day, as it leaves the site; nil: of too few questions. It follows
// from the seed, the site and the day alone, so a site that lost track makes it again.
// What is of too few to leave is not taken along to the next day, as a box does: a
// window has a little less in it than a box's.
func (s *Site) window(seed uint64, place int, day time.Time) (*telemetry.Window, error) {
	rng := rand.New(rand.NewPCG(seed+uint64(place)*0x9e3779b97f4a7c15, uint64(day.Unix())))
	mean := s.expected(day)
	n := int(math.Round(mean + math.Sqrt(mean)*rng.NormFloat64()))
	if n < telemetry.LeastCell {
		return nil, nil
	}
	questions := pool()
	w := telemetry.NewWindow(day, day.AddDate(0, 0, 1), telemetrytest.Model, telemetrytest.Generation)
	for range n {
		o := questions[rng.IntN(len(questions))]
		w.Add(&o)
		bad := 0.1
		if o.Flagged {
			bad = 0.6
		}
		if u := rng.Float64(); u < 0.15 {
			w.Judge(&o, rng.Float64() < bad)
		}
		if o.Flagged || o.Abstained {
			explain(w, &o, rng)
		}
	}
	out, _, err := w.Release(nil)
	if err != nil || out == nil || !out.Covered() {
		return nil, err
	}
	return out, nil
}

// explain adds why the guard doubted.
func explain(w *telemetry.Window, o *telemetry.Observation, rng *rand.Rand) {
	cohort := o.In[telemetry.Cohort]
	if w.Explained[cohort] == nil {
		w.Explained[cohort] = map[string]*telemetry.Reasons{telemetry.Refused: {}}
	}
	var v guard.Vector
	for f := range v {
		v[f] = 0.1 * (rng.Float64() - 0.5)
	}
	w.Explained[cohort][telemetry.Refused].Add(&v, 0.4, 0.2)
}
