package monitor

import (
	"math/rand/v2"
	"testing"
	"time"

	"rxedge/daemon/telemetry"
)

// pairs of a day, of which a share agrees.
func pairsOf(w *telemetry.Window, rng *rand.Rand, n int, agree float64) {
	for range n {
		c := telemetry.NewCompared()
		c.Set(telemetry.Agreed, rng.Float64() < agree)
		w.Concordance.Add(&c)
	}
}

// Agreement with the model at full precision: of 400 questions a day one in a hundred is
// asked twice. Quiet months raise hardly anything; a fall from 0.9 to 0.4 is told by the
// stream within days, and by the days running.
func TestAgreement(t *testing.T) {
	t.Parallel()
	const runs, aDay = 200, 4
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var quietStream, quietDays, foundStream, foundDays, after, days int
	for run := range uint64(runs) {
		rng := rand.New(rand.NewPCG(run, 31))
		for _, change := range []bool{false, true} {
			s := &Streams{}
			g := agreement{}
			streamed, told := 0, 0
			for d := range 60 {
				share := 0.9
				if change && d >= 30 {
					share = 0.4
				}
				w := telemetry.NewWindow(at, at, "m", "g")
				pairsOf(w, rng, aDay, share)
				yes, n := w.Concordance.Of(telemetry.Agreed)
				for i := range n {
					c := telemetry.NewCompared()
					c.Set(telemetry.Agreed, i < yes)
					for _, o := range s.Compared("m", &c, at.AddDate(0, 0, d)) {
						if o.Feature != AgreementFeature || o.Kind != ConceptDrift {
							t.Errorf("%+v", o)
						}
						if streamed == 0 && (!change || d >= 30) {
							streamed = d + 1
						}
					}
				}
				if a := g.day(w); a != nil && told == 0 {
					told = d + 1
				}
			}
			switch {
			case !change:
				quietStream += b2i(streamed > 0)
				quietDays += b2i(told > 0)
			default:
				if streamed > 30 {
					foundStream++
					after += streamed - 30
				}
				if told > 30 {
					foundDays++
					days += told - 30
				}
			}
		}
	}
	t.Logf("of %d: quiet two months with an alarm %d (stream) and %d (days running); a fall found by the stream %d, after %.1f days, by the days %d, after %.1f",
		runs, quietStream, quietDays, foundStream, float64(after)/float64(max(foundStream, 1)), foundDays, float64(days)/float64(max(foundDays, 1)))
	if quietStream > runs/50 || quietDays > runs/50 || foundStream < runs*95/100 || foundDays < runs*8/10 {
		t.Error("more often, or less, than what DESIGN.md says")
	}
}

// A fleet's weeks are compared by what cannot be what waits at the sites.
func TestAgreementOfWindows(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	window := func(yes, no int) *telemetry.Window {
		w := telemetry.NewWindow(at, at, "m", "g")
		for i := range yes + no {
			c := telemetry.NewCompared()
			c.Set(telemetry.Agreed, i < yes)
			w.Concordance.Add(&c)
		}
		return w
	}
	l := DefaultLimits()
	if got := agreed(window(190, 10), window(150, 50), l); len(got) != 1 || got[0].Level != Act || got[0].Value != "m" || got[0].N != 200 {
		t.Errorf("%+v", got)
	}
	l.Waiting = 40 // of these fifty
	if got := agreed(window(190, 10), window(150, 50), l); got != nil {
		t.Errorf("what waits may be it: %+v", got)
	}
	for what, got := range map[string][]Alarm{"by a little": agreed(window(190, 10), window(183, 17), DefaultLimits()), "of few": agreed(window(190, 10), window(5, 10), DefaultLimits()),
		"of none": agreed(window(0, 0), window(150, 50), DefaultLimits()), "it rose": agreed(window(150, 50), window(190, 10), DefaultLimits())} {
		if got != nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
