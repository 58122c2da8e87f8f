package monitor

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/telemetry"
)

// month is a replay of 30 days at one site: about 400 questions on a weekday, half
// on others. change makes a question of the days from changed on another.
const changed = 21 // a Monday

var first = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // a Monday

func month(seed uint64, change func(*rand.Rand, *telemetry.Observation)) []*telemetry.Window {
	rng := rand.New(rand.NewPCG(seed, 30))
	var out []*telemetry.Window
	for day := range 30 {
		from := first.AddDate(0, 0, day)
		w := telemetry.NewWindow(from, from.AddDate(0, 0, 1), "qwen-1b", "gen-000001")
		n := 400 + rng.IntN(60)
		if wd := from.Weekday(); wd == time.Saturday || wd == time.Sunday {
			n /= 2
		}
		for range n {
			o := question(rng)
			if day >= changed && change != nil {
				change(rng, &o)
			}
			w.Add(&o)
			if rng.Float64() < 0.15 {
				bad := rng.Float64() < 0.1
				if o.Flagged {
					bad = rng.Float64() < 0.6
				}
				w.Judge(&o, bad)
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

// question as a pharmacy asks them: some classes and sections often, most rarely.
func question(rng *rand.Rand) telemetry.Observation {
	var o telemetry.Observation
	for f := range o.Values {
		o.Values[f] = math.NaN()
	}
	for d := range o.In {
		o.In[d] = telemetry.None
	}
	o.Model, o.Generation = "qwen-1b", "gen-000001"
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
	o.In[telemetry.Outcome] = "answered"
	if rng.Float64() < 0.1 {
		abstain(&o)
		return o
	}
	o.Values[telemetry.Support] = 1 - 0.15*rng.ExpFloat64()
	o.Values[telemetry.Claims] = float64(1 + rng.IntN(3))
	o.Values[telemetry.AnswerWords] = o.Values[telemetry.Claims] * float64(12+rng.IntN(14))
	o.Flagged = o.Values[telemetry.Doubt] > 0.8
	o.Ungrounded = o.Values[telemetry.Support] < 0.8
	return o
}

func abstain(o *telemetry.Observation) {
	o.In[telemetry.Outcome], o.Abstained, o.Flagged, o.Ungrounded = "no_evidence", true, false, false
	o.In[telemetry.Section] = telemetry.None
	for _, f := range []telemetry.Feature{telemetry.Support, telemetry.Claims, telemetry.AnswerWords, telemetry.Doubt} {
		o.Values[f] = math.NaN()
	}
}

// replay gives what is opened, by day.
func replay(t *testing.T, days []*telemetry.Window) map[int][]Open {
	t.Helper()
	tr := NewTracker(DefaultLimits(), nil)
	out := map[int][]Open{}
	for i, w := range days {
		opened, err := tr.Day(w)
		if err != nil {
			t.Fatal(err)
		}
		if len(opened) > 0 {
			out[i] = opened
		}
	}
	return out
}

func TestQuietMonths(t *testing.T) {
	t.Parallel()
	alarms := 0
	months := 6
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_REPLAYS")); err == nil {
		months = n
	}
	for seed := range uint64(months) {
		for day, opened := range replay(t, month(seed, nil)) {
			for _, o := range opened {
				alarms++
				t.Logf("month %d, day %d: %s", seed, day, o.Text)
			}
		}
	}
	t.Logf("%d alarms in %d quiet months", alarms, months)
	if alarms > months/3 { // wanted: one a month at most
		t.Errorf("%d alarms in %d quiet months", alarms, months)
	}
}

// Each injected change is found on its first day, by the right alarm, and what it
// comes from is named.
func TestInjectedChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change                   func(*rand.Rand, *telemetry.Observation)
		kind, feature, by, value string
	}{
		"a new class of medicines": {func(rng *rand.Rand, o *telemetry.Observation) {
			if rng.Float64() < 0.15 {
				o.In[telemetry.Class] = "glp-1-agonist"
			}
		}, DataDrift, "class", "class", "glp-1-agonist"},
		"questions of another kind by meaning": {func(rng *rand.Rand, o *telemetry.Observation) {
			if rng.Float64() < 0.3 {
				o.In[telemetry.Occupancy] = "c31"
			}
		}, EmbeddingDrift, "occupancy", "occupancy", "c31"},
		"a model that grows unsure": {func(rng *rand.Rand, o *telemetry.Observation) {
			if !o.Abstained {
				o.Values[telemetry.Support] -= 0.2 * rng.Float64()
				o.Ungrounded = o.Values[telemetry.Support] < 0.8
				o.Values[telemetry.Doubt] = math.Min(1, o.Values[telemetry.Doubt]+0.3*rng.Float64())
			}
		}, ConceptDrift, "ungrounded", "model", "qwen-1b"},
		"a cohort with three times the refusals": {func(rng *rand.Rand, o *telemetry.Observation) {
			if o.In[telemetry.Cohort] == "65+" && rng.Float64() < 0.25 {
				abstain(o)
			}
		}, Fairness, "abstained", "cohort", "65+"},
		"a broken section": {func(rng *rand.Rand, o *telemetry.Observation) {
			if o.In[telemetry.Kind] == "interaction" && rng.Float64() < 0.7 {
				abstain(o)
			}
		}, PredictionDrift, "abstained", "kind", "interaction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeds := 3
			if n, err := strconv.Atoi(os.Getenv("RXEDGE_REPLAYS")); err == nil {
				seeds = n
			}
			for seed := range uint64(seeds) {
				opened := replay(t, month(100+seed, c.change))
				found := false
				for _, o := range opened[changed] {
					found = found || o.Kind == c.kind && o.Feature == c.feature && o.By == c.by && o.Value == c.value
				}
				if !found {
					t.Errorf("seed %d: not found on its day: %+v", seed, opened[changed])
				}
				for day := range opened {
					if day < changed {
						t.Errorf("seed %d: an alarm on day %d, before the change", seed, day)
					}
				}
			}
		})
	}
}

// A change too small for a day's figures is told on the third day running.
func TestSlowDecline(t *testing.T) {
	t.Parallel()
	opened := replay(t, month(7, func(rng *rand.Rand, o *telemetry.Observation) {
		if !o.Abstained && rng.Float64() < 0.07 {
			o.Ungrounded = true
		}
	}))
	for day, alarms := range opened {
		for _, o := range alarms {
			if o.Feature == "grounded" && o.Kind == ConceptDrift && day >= changed+FallDays-1 {
				return
			}
		}
	}
	t.Errorf("not told: %+v", opened)
}
