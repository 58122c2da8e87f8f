package monitor

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
)

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
		for day, opened := range replay(t, telemetrytest.Month(seed, nil)) {
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
		"nothing but other words for the same": {func(_ *rand.Rand, o *telemetry.Observation) {
			telemetrytest.Terse(o)
		}, EmbeddingDrift, Projection, "", ""},
		"other words for one kind of question": {func(_ *rand.Rand, o *telemetry.Observation) {
			if o.In[telemetry.Kind] == "interaction" {
				telemetrytest.Terse(o)
			}
		}, EmbeddingDrift, Projection, "kind", "interaction"},
		"a model that grows unsure": {func(rng *rand.Rand, o *telemetry.Observation) {
			if !o.Abstained {
				o.Values[telemetry.Support] -= 0.2 * rng.Float64()
				o.Ungrounded = o.Values[telemetry.Support] < 0.8
				o.Values[telemetry.Doubt] = math.Min(1, o.Values[telemetry.Doubt]+0.3*rng.Float64())
			}
		}, ConceptDrift, "ungrounded", "model", "qwen-1b"},
		"a cohort with three times the refusals": {func(rng *rand.Rand, o *telemetry.Observation) {
			if o.In[telemetry.Cohort] == "65+" && rng.Float64() < 0.25 {
				telemetrytest.Abstain(o)
			}
		}, Fairness, "abstained", "cohort", "65+"},
		"a broken section": {func(rng *rand.Rand, o *telemetry.Observation) {
			if o.In[telemetry.Kind] == "interaction" && rng.Float64() < 0.7 {
				telemetrytest.Abstain(o)
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
				opened := replay(t, telemetrytest.Month(100+seed, c.change))
				found := false
				for _, o := range opened[telemetrytest.Changed] {
					found = found || o.Kind == c.kind && o.Feature == c.feature && (c.by == "" || o.By == c.by && o.Value == c.value)
				}
				if c.feature == Projection {
					for _, o := range opened[telemetrytest.Changed] {
						if o.Feature != Projection {
							t.Errorf("seed %d: nothing but the words changed: %s", seed, o.Text)
						}
						t.Log(o.Text)
					}
				}
				if !found {
					t.Errorf("seed %d: not found on its day: %+v", seed, opened[telemetrytest.Changed])
				}
				for day := range opened {
					if day < telemetrytest.Changed {
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
	opened := replay(t, telemetrytest.Month(7, func(rng *rand.Rand, o *telemetry.Observation) {
		if !o.Abstained && rng.Float64() < 0.07 {
			o.Ungrounded = true
		}
	}))
	for day, alarms := range opened {
		for _, o := range alarms {
			if o.Feature == "grounded" && o.Kind == ConceptDrift && day >= telemetrytest.Changed+FallDays-1 {
				return
			}
		}
	}
	t.Errorf("not told: %+v", opened)
}
