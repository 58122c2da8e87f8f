package ladder

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var limits = Limits{
	Temperature: Thresholds{80, 83, 86, 89, 92}, TemperatureHysteresis: 5,
	Memory: Thresholds{90, 93, 95, 97, 99}, MemoryHysteresis: 5,
	Rise: 10 * time.Second, Fall: time.Minute, Gap: 30 * time.Second,
}

var zero = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func temperature(c float64) Reading { return Reading{Temperature: &c} }
func memory(p float64) Reading      { return Reading{Memory: &p} }

func ladder(t testing.TB, l Limits) *Ladder {
	t.Helper()
	ld, err := New(l)
	if err != nil {
		t.Fatal(err)
	}
	return ld
}

// feed gives the same reading every second for so many seconds.
type feed struct {
	r    Reading
	secs int
	want Step // after it
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	hot, cool, mild := temperature(91), temperature(50), temperature(84)
	fault := Reading{Fault: "the card has fallen off the bus"}
	for name, feeds := range map[string][]feed{
		"nothing known":             {{Reading{}, 600, Normal}},
		"cool":                      {{cool, 600, Normal}},
		"a blip":                    {{hot, 10, Normal}, {cool, 1, Normal}, {hot, 10, Normal}, {cool, 1, Normal}},
		"step by step":              {{hot, 11, Warn}, {hot, 11, SmallerBatch}, {hot, 11, SmallerContext}, {hot, 11, CPUEmbeddings}, {hot, 60, CPUEmbeddings}},
		"stops where it helps":      {{mild, 11, Warn}, {mild, 11, SmallerBatch}, {mild, 600, SmallerBatch}},
		"at once when too hot":      {{temperature(92), 1, ExtractiveOnly}},
		"at once when lost":         {{fault, 1, ExtractiveOnly}, {fault, 600, ExtractiveOnly}},
		"memory is not urgent":      {{memory(99.5), 1, Normal}, {memory(99.5), 10, Warn}, {memory(99.5), 44, ExtractiveOnly}},
		"memory as heat":            {{memory(93), 11, Warn}, {memory(93), 11, SmallerBatch}, {memory(93), 100, SmallerBatch}},
		"back in reverse":           {{temperature(92), 1, ExtractiveOnly}, {cool, 61, CPUEmbeddings}, {cool, 61, SmallerContext}, {cool, 61, SmallerBatch}, {cool, 61, Warn}, {cool, 61, Normal}, {cool, 600, Normal}},
		"hysteresis holds":          {{temperature(81), 11, Warn}, {temperature(76), 600, Warn}, {temperature(74.9), 61, Normal}},
		"a break begins anew":       {{temperature(81), 11, Warn}, {cool, 59, Warn}, {temperature(76), 1, Warn}, {cool, 60, Warn}, {cool, 1, Normal}},
		"one of two is enough":      {{Reading{Temperature: cool.Temperature, Memory: memory(91).Memory}, 11, Warn}, {Reading{Temperature: cool.Temperature, Memory: memory(91).Memory}, 300, Warn}},
		"between: neither way":      {{mild, 22, SmallerBatch}, {temperature(79), 300, SmallerBatch}},
		"recovers from a lost card": {{fault, 1, ExtractiveOnly}, {cool, 61, CPUEmbeddings}, {fault, 1, ExtractiveOnly}, {cool, 60, ExtractiveOnly}, {cool, 1, CPUEmbeddings}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, now := ladder(t, limits), zero
			for i, f := range feeds {
				for range f.secs {
					l.Observe(now, f.r)
					now = now.Add(time.Second)
				}
				if s := l.State(); s.Step != f.want {
					t.Fatalf("after part %d: %s (%s), want %s", i+1, s.Step, s.Why, f.want)
				}
			}
		})
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	l := ladder(t, limits)
	l.Observe(zero, temperature(81))
	// Two readings far apart do not say what was between them.
	if s, changed := l.Observe(zero.Add(time.Hour), temperature(81)); changed {
		t.Errorf("%+v after a gap", s)
	}
	// A clock set back does not count, nor upset what comes after.
	l.Observe(zero, temperature(81))
	if s, changed := l.Observe(zero.Add(time.Hour+10*time.Second), temperature(81)); !changed || s.Step != Warn || !s.Since.Equal(zero.Add(time.Hour+10*time.Second)) {
		t.Errorf("%+v", s)
	}
	if why := l.State().Why; why != "the card is at 81 °C (limit of warn: 80 °C)" {
		t.Error(why)
	}
}

// Full memory calls for the last step in time, a card at its last temperature
// at once, and both together at once too.
func TestHotAndFull(t *testing.T) {
	t.Parallel()
	hot, full := limits.Temperature[4], limits.Memory[4]
	l := ladder(t, limits)
	if s, changed := l.Observe(zero, Reading{Memory: &full}); changed {
		t.Fatalf("%+v at once with full memory", s)
	}
	if s, _ := l.Observe(zero.Add(time.Second), Reading{Memory: &full, Temperature: &hot}); s.Step != ExtractiveOnly || !strings.Contains(s.Why, "°C") {
		t.Errorf("%+v with a card at %v °C", s, hot)
	}
}

// Whatever the readings: down only one step and not before Fall after the last
// change, up one step and not before Rise unless to safety, and a steady cool
// card always comes back to Normal.
func TestNeverOscillates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, now := &Ladder{limits: limits}, zero
		var last State
		var changes []time.Time
		n := rapid.IntRange(1, 400).Draw(t, "readings")
		for range n {
			now = now.Add(time.Duration(rapid.IntRange(-2000, 20000).Draw(t, "ms")) * time.Millisecond)
			var r Reading
			if rapid.Bool().Draw(t, "has temperature") {
				r.Temperature = new(rapid.Float64Range(40, 93).Draw(t, "°C"))
			}
			if rapid.Bool().Draw(t, "has memory") {
				r.Memory = new(rapid.Float64Range(50, 100).Draw(t, "%"))
			}
			if rapid.IntRange(0, 50).Draw(t, "fault") == 0 {
				r.Fault = "lost"
			}
			s, changed := l.Observe(now, r)
			if !changed {
				if s != last {
					t.Fatalf("changed without saying so: %+v to %+v", last, s)
				}
				continue
			}
			wait := s.Since.Sub(last.Since)
			first := last.Since.IsZero()
			safety := r.Fault != "" || r.Temperature != nil && *r.Temperature >= limits.Temperature[4]
			switch {
			case s.Step == last.Step:
				t.Fatalf("a change to the same: %+v", s)
			case s.Step < last.Step && (s.Step != last.Step-1 || wait < limits.Fall):
				t.Fatalf("%s to %s after %v", last.Step, s.Step, wait)
			case s.Step > last.Step && safety && s.Step != ExtractiveOnly:
				t.Fatalf("%s to %s with a card in danger", last.Step, s.Step)
			case s.Step > last.Step && !safety && (s.Step != last.Step+1 || !first && wait < limits.Rise):
				t.Fatalf("%s to %s after %v", last.Step, s.Step, wait)
			case s.Why == "":
				t.Fatal("no reason")
			}
			changes = append(changes, s.Since)
			last = s
		}
		// Not more changes in a time than its length allows: a fall for each rise.
		for i := 2; i < len(changes); i++ {
			if changes[i].Sub(changes[i-2]) < limits.Rise {
				t.Fatalf("three changes within %v", changes[i].Sub(changes[i-2]))
			}
		}
		for range 6 * 61 {
			now = now.Add(time.Second)
			if now.Before(l.last) {
				now = l.last
			}
			l.Observe(now, Reading{Temperature: new(40.0), Memory: new(10.0)})
		}
		if l.State().Step != Normal {
			t.Fatalf("a cool card stays at %s", l.State().Step)
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Limits){
		"temperature of warn: 20 is outside":          func(l *Limits) { l.Temperature[0] = 20 },
		"temperature of smaller_context: 82 is below": func(l *Limits) { l.Temperature[2] = 82 },
		"memory of extractive_only: 101":              func(l *Limits) { l.Memory[4] = 101 },
		"memory of cpu_embeddings: NaN":               func(l *Limits) { l.Memory[3] = nan() },
		"hysteresis of temperature: 0":                func(l *Limits) { l.TemperatureHysteresis = 0 },
		"hysteresis of memory: 90":                    func(l *Limits) { l.MemoryHysteresis = 90 },
		"fall at least rise":                          func(l *Limits) { l.Fall = time.Second },
		"rise 0s":                                     func(l *Limits) { l.Rise = 0 },
	} {
		l := limits
		change(&l)
		if _, err := New(l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	l := limits
	l.Temperature, l.TemperatureHysteresis = Thresholds{}, 0 // not watched
	if s, _ := ladder(t, l).Observe(zero, temperature(119)); s.Step != Normal {
		t.Errorf("%+v", s)
	}
}

func nan() float64 { var z float64; return z / z }

func TestApply(t *testing.T) {
	t.Parallel()
	full := Settings{Batch: 2048, MicroBatch: 512, Context: 8192, Slots: 4, EmbedOnGPU: true, GenerateOnGPU: true}
	var got []string
	for s := range Step(steps) {
		got = append(got, fmt.Sprintf("%s %v", s, s.Apply(full)))
	}
	want := []string{
		"normal {2048 512 8192 4 true true}",
		"warn {2048 512 8192 4 true true}",
		"smaller_batch {1024 256 8192 4 true true}",
		"smaller_context {1024 256 4096 2 true true}",
		"cpu_embeddings {1024 256 4096 2 false true}",
		"extractive_only {1024 256 4096 2 false false}",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
	if small := SmallerContext.Apply(Settings{Batch: 200, MicroBatch: 64, Context: 3000, Slots: 1}); small != (Settings{Batch: 128, MicroBatch: 64, Context: 2048, Slots: 1}) {
		t.Errorf("%+v", small)
	}
}
