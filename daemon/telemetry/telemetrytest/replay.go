// Package telemetrytest makes up what a pharmacy's questions are like, for tests and
// replays. No question of a person is in it.
package telemetrytest

import (
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
)

// Model and Generation of what is made up.
const (
	Model      = "qwen-1b"
	Generation = "gen-000001"
)

// Changed is the day of a Month, counted from 0, from which its change holds: a
// Monday.
const Changed = 21

// First day of a Month, a Monday.
var First = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Change of a question.
type Change func(*rand.Rand, *telemetry.Observation)

// Asked is a question, and what was said of its answer.
type Asked struct {
	telemetry.Observation
	Judged, Bad bool
}

// Day of about 400 questions on a weekday, half as many on others.
func Day(rng *rand.Rand, from time.Time, change Change) []Asked {
	n := 400 + rng.IntN(60)
	if wd := from.Weekday(); wd == time.Saturday || wd == time.Sunday {
		n /= 2
	}
	out := make([]Asked, n)
	for i := range out {
		o := Question(rng)
		if change != nil {
			change(rng, &o)
		}
		out[i].Observation = o
		if rng.Float64() < 0.15 {
			out[i].Judged = true
			out[i].Bad = rng.Float64() < 0.1
			if o.Flagged {
				out[i].Bad = rng.Float64() < 0.6
			}
		}
	}
	return out
}

// Month is a replay of 30 days at one site, of which those from Changed on have a
// change; nil: none.
func Month(seed uint64, change Change) []*telemetry.Window {
	rng := rand.New(rand.NewPCG(seed, 30))
	var out []*telemetry.Window
	for day := range 30 {
		from := First.AddDate(0, 0, day)
		w := telemetry.NewWindow(from, from.AddDate(0, 0, 1), Model, Generation)
		c := change
		if day < Changed {
			c = nil
		}
		for _, a := range Day(rng, from, c) {
			w.Add(&a.Observation)
			if a.Judged {
				w.Judge(&a.Observation, a.Bad)
			}
		}
		out = append(out, w)
	}
	return out
}

func pick(rng *rand.Rand, words string) string {
	w := strings.Fields(words)
	return w[rng.IntN(len(w))]
}

// Question as a pharmacy asks them: some classes and sections often, most rarely.
func Question(rng *rand.Rand) telemetry.Observation {
	var o telemetry.Observation
	for f := range o.Values {
		o.Values[f] = math.NaN()
	}
	for d := range o.In {
		o.In[d] = telemetry.None
	}
	o.Model, o.Generation = Model, Generation
	o.In[telemetry.Class] = pick(rng, "statin statin ace-inhibitor ace-inhibitor anticoagulant anticoagulant anticoagulant ssri biguanide biguanide nsaid opioid ppi beta-blocker arb sulfonylurea fluoroquinolone macrolide none")
	o.In[telemetry.Kind] = pick(rng, "dose dose dose renal interaction interaction pregnancy adverse contraindication none")
	o.In[telemetry.Section] = map[string]string{"dose": "34068-7", "renal": "88828-9", "interaction": "34073-7", "pregnancy": "42228-7", "adverse": "34084-4", "contraindication": "34070-3", "none": "43685-7"}[o.In[telemetry.Kind]]
	o.In[telemetry.Cohort] = pick(rng, "0-17 18-64 18-64 18-64 65+ 65+ none none")
	o.In[telemetry.Mode], o.In[telemetry.Cached] = "generated", "no"
	o.In[telemetry.Occupancy] = "c" + pick(rng, "1 1 2 2 2 3 4 5 6 7 8 9 10 11 12")
	o.Values[telemetry.QuestionWords] = float64(4 + rng.IntN(8) + rng.IntN(6))
	o.Values[telemetry.Medicines] = float64(1 + rng.IntN(5)/4)
	o.Values[telemetry.TopScore] = 0.5 + 0.15*rng.NormFloat64()
	o.Values[telemetry.Margin] = math.Abs(0.2 * rng.NormFloat64())
	o.Values[telemetry.Doubt] = math.Pow(rng.Float64(), 3)
	o.Values[telemetry.Latency] = 5 * math.Exp(0.5*rng.NormFloat64())
	place(&o, "usual")
	o.In[telemetry.Outcome] = "answered"
	if rng.Float64() < 0.1 {
		Abstain(&o)
		return o
	}
	o.Values[telemetry.Support] = 1 - 0.15*rng.ExpFloat64()
	o.Values[telemetry.Claims] = float64(1 + rng.IntN(3))
	o.Values[telemetry.AnswerWords] = o.Values[telemetry.Claims] * float64(12+rng.IntN(14))
	o.Flagged = o.Values[telemetry.Doubt] > 0.8
	o.Ungrounded = o.Values[telemetry.Support] < 0.8
	return o
}

// Abstain makes an answer none.
func Abstain(o *telemetry.Observation) {
	o.In[telemetry.Outcome], o.Abstained, o.Flagged, o.Ungrounded = "no_evidence", true, false, false
	o.In[telemetry.Section] = telemetry.None
	for _, f := range []telemetry.Feature{telemetry.Support, telemetry.Claims, telemetry.AnswerWords, telemetry.Doubt} {
		o.Values[f] = math.NaN()
	}
}

// Pairs of a day that were asked of a model at full precision, too, and answers to a
// cohort that are explained; what these come from is Driver.
const (
	Pairs     = 4
	Explained = 6
	Driver    = guard.Coverage
)

func beside(r *telemetry.Recorder, rng *rand.Rand) {
	for range Pairs {
		c := telemetry.NewCompared()
		c.Set(telemetry.Agreed, rng.IntN(20) > 0)
		c.Set(telemetry.SameStatus, true)
		r.Compare(Model, Generation, &c)
	}
	for range Explained {
		var v guard.Vector
		v[Driver], v[guard.Claims] = 0.4+0.1*rng.Float64(), -0.05
		r.Explain(Model, Generation, "65+", telemetry.Refused, &v, 0.15+v[Driver], 0.2)
	}
}

// Replay counts days of made-up questions in the store in dir, as a box does, the last
// of them the one before until. It is left as it is when a box is stopped in the
// evening of that day. change says what is different on a day, so many before until.
func Replay(dir string, seed uint64, until time.Time, days int, change func(before int) Change) error {
	at := until
	r, err := telemetry.Open(dir, telemetry.Options{Now: func() time.Time { return at }})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 30))
	own := rand.New(rand.NewPCG(seed, 31))
	for before := days; before >= 1; before-- {
		from := until.AddDate(0, 0, -before)
		at = from.Add(10 * time.Hour)
		for i, a := range Day(rng, from, change(before)) {
			o := a.Observation
			o.At = at
			id := strconv.Itoa(before) + "." + strconv.Itoa(i)
			r.Count(&o, id)
			if a.Judged {
				r.Judge(id, a.Bad)
			}
		}
		beside(r, own)
		if before > 1 {
			at = from.AddDate(0, 0, 1)
		}
		if err := r.Flush(); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	return r.Close()
}
