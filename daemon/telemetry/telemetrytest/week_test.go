package telemetrytest

import (
	"math/rand/v2"
	"testing"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
)

// All that a busy site sends of a week, two models in turn with all that a window can
// have, is a few kilobytes a day.
func TestWeekUpstream(t *testing.T) {
	t.Parallel()
	const busy, most = 1000, 64 << 10
	rng := rand.New(rand.NewPCG(7, 7))
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	waiting := map[string]*telemetry.Window{}
	total := 0
	for day := range 7 {
		for _, model := range []string{"", Model} {
			w := telemetry.NewWindow(from.AddDate(0, 0, day), from.AddDate(0, 0, day+1), model, Generation)
			for range busy {
				o := Question(rng)
				w.Add(&o)
			}
			for i := range busy / 10 {
				c := telemetry.NewCompared()
				for _, k := range telemetry.Checks() {
					c.Set(k, rng.IntN(4) > 0)
				}
				for _, m := range telemetry.Measures() {
					c.Values[m] = rng.Float64()
				}
				w.Concordance.Add(&c)
				cohort := []string{"0-17", "18-64", "65+", telemetry.None}[i%4]
				if w.Explained[cohort] == nil {
					w.Explained[cohort] = map[string]*telemetry.Reasons{telemetry.Refused: {}, telemetry.Wrong: {}, telemetry.Usual: {}}
				}
				var v guard.Vector
				for f := range v {
					v[f] = 0.1 * (rng.Float64() - 0.5)
				}
				w.Explained[cohort][[]string{telemetry.Refused, telemetry.Wrong, telemetry.Usual}[i%3]].Add(&v, 0.4, 0.2)
			}
			out, rest, err := w.Release(waiting[model])
			if err != nil || out == nil || !out.Covered() {
				t.Fatal(err, out == nil)
			}
			waiting[model] = rest
			b, err := out.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			total += len(b)
		}
	}
	t.Logf("%d bytes of %d questions", total, 2*7*busy)
	if total > most {
		t.Errorf("a week has %d bytes, the most is %d", total, most)
	}
}
