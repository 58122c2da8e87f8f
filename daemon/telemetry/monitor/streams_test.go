package monitor

import (
	"math/rand/v2"
	"testing"
	"time"

	"rxedge/daemon/telemetry"
)

// A month of quiet answers raises nothing; a change is found within half a day, says
// which stream it is and what it means, and once.
func TestStreams(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const day = 400
	give := func(s *Streams, rng *rand.Rand, n int, abstained, ungrounded, doubt float64) (out []Open, first int) {
		for i := range n {
			o := telemetry.Observation{At: at, Abstained: rng.Float64() < abstained, Ungrounded: rng.Float64() < ungrounded}
			o.Values[telemetry.Doubt] = min(1, max(0, doubt+0.15*rng.NormFloat64()))
			if c := s.Add(&o); len(c) > 0 {
				if out == nil {
					first = i + 1
				}
				out = append(out, c...)
			}
		}
		return out, first
	}
	quiet, changes := 0, 0
	const runs = 20
	for run := range uint64(runs) {
		rng := rand.New(rand.NewPCG(run, 7))
		s := &Streams{}
		out, _ := give(s, rng, 30*day, 0.25, 0.1, 0.3)
		quiet += len(out)
		for _, c := range []struct {
			abstained, ungrounded, doubt float64
			feature, level               string
		}{{0.55, 0.1, 0.3, "abstained", Act}, {0.25, 0.5, 0.3, "grounded", Act}, {0.25, 0.1, 0.6, "doubt", Act}} {
			s := &Streams{}
			if out, _ := give(s, rng, 5*day, 0.25, 0.1, 0.3); len(out) > 0 {
				t.Errorf("run %d: a quiet week says %+v", run, out)
			}
			out, first := give(s, rng, day, c.abstained, c.ungrounded, c.doubt)
			if len(out) != 1 || out[0].Feature != c.feature || out[0].Level != c.level || first > day/2 {
				t.Errorf("run %d, %s: %+v after %d", run, c.feature, out, first)
				continue
			}
			changes++
			if a := s.Alarms("", at.Add(time.Hour)); len(a) != 1 || a[0].Feature != c.feature {
				t.Errorf("%+v stands", a)
			}
			if a := s.Alarms("", at.Add(25*time.Hour)); len(a) != 0 {
				t.Errorf("%+v stands a day later", a)
			}
		}
	}
	if quiet > 1 {
		t.Errorf("%d alarms in %d quiet months", quiet, runs)
	}
	t.Logf("%d alarms in %d quiet months; %d of %d changes found", quiet, runs, changes, 3*runs)
}
