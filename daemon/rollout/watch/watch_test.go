package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"rxedge/daemon/answer"
)

var start = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)

func good(ms float64) *answer.Answer {
	return &answer.Answer{Status: answer.StatusAnswered, Claims: []answer.Claim{{Support: answer.Grounded}}, Timings: answer.Timings{Total: ms}}
}

func abstained() *answer.Answer { return &answer.Answer{Status: answer.StatusAbstained} }

var errBroken = errors.New("broken")

// asked lets questions come, perSecond of them, until the watch fires or they are over;
// it returns the trigger and after how many questions and how long.
func asked(w *Watch, n int, perSecond float64, each func(i int) (*answer.Answer, error)) (string, int, time.Duration) {
	for i := range n {
		now := start.Add(time.Duration(float64(i+1) / perSecond * float64(time.Second)))
		w.Observe(each(i))
		if c := w.Trouble(now); c != nil {
			return c.Name, i + 1, now.Sub(start)
		}
	}
	return "", n, 0
}

// Broken pairs are undone within seconds to a minute at 20 questions a second, and
// within the first few questions where each fails.
func TestBrokenIsUndoneSoon(t *testing.T) {
	t.Parallel()
	base := Baseline{Asked: 500, Grounded: 450}
	limits := Limits{Budget: time.Second}
	for _, c := range []struct {
		name, want string
		within     time.Duration
		each       func(*rand.Rand) (*answer.Answer, error)
	}{
		{"every question fails", ErrorRate, time.Second, func(*rand.Rand) (*answer.Answer, error) { return nil, errBroken }},
		{"one in ten fails", ErrorRate, 10 * time.Second, func(r *rand.Rand) (*answer.Answer, error) {
			if r.IntN(10) == 0 {
				return nil, errBroken
			}
			return good(50), nil
		}},
		{"four in a hundred fail", ErrorRate, time.Minute, func(r *rand.Rand) (*answer.Answer, error) {
			if r.IntN(25) == 0 {
				return nil, errBroken
			}
			return good(50), nil
		}},
		{"slow", Latency, time.Second, func(*rand.Rand) (*answer.Answer, error) { return good(1500), nil }},
		{"one in eight is slow", Latency, 15 * time.Second, func(r *rand.Rand) (*answer.Answer, error) {
			return good(900 + 125*float64(r.IntN(2)*r.IntN(2)*r.IntN(2)*2)), nil
		}},
		{"all abstain", Grounded, 5 * time.Second, func(*rand.Rand) (*answer.Answer, error) { return abstained(), nil }},
		{"a quarter less is borne out", Grounded, 30 * time.Second, func(r *rand.Rand) (*answer.Answer, error) {
			if r.Float64() < 0.35 {
				return abstained(), nil
			}
			return good(50), nil
		}},
		{"the model is never borne out", Grounded, 5 * time.Second, func(*rand.Rand) (*answer.Answer, error) {
			a := good(50)
			a.Fallbacks = []answer.Fallback{{Name: answer.FallbackExtract}}
			return a, nil
		}},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		got, n, after := asked(New(limits, base, start), 2000, 20, func(int) (*answer.Answer, error) { return c.each(rng) })
		t.Logf("%s: %q after %d questions, %v", c.name, got, n, after)
		if got != c.want || after > c.within {
			t.Errorf("%s: %q after %v, want %q within %v", c.name, got, after, c.want, c.within)
		}
	}
}

// A pair that keeps to its limits is let be: at the very limits at most one watch in a
// thousand fires, and three bad answers never do.
func TestGoodIsLetBe(t *testing.T) {
	t.Parallel()
	w := New(Limits{Budget: time.Second}, Baseline{Asked: 400, Grounded: 400}, start)
	for _, bad := range []*answer.Answer{nil, abstained(), good(5000)} {
		for range 3 {
			var err error
			if bad == nil {
				err = errBroken
			}
			w := New(Limits{Budget: time.Second}, Baseline{Asked: 400, Grounded: 400}, start)
			got, _, _ := asked(w, 3, 20, func(int) (*answer.Answer, error) { return bad, err })
			if got != "" {
				t.Errorf("three bad answers fired %q", got)
			}
		}
	}
	// What says nothing of the pair is not counted.
	for range 100 {
		w.Observe(nil, context.Canceled)
		w.Observe(nil, &answer.InvalidError{})
		kept := abstained()
		kept.Cached = true
		w.Observe(kept, nil)
	}
	if c := w.Counted(); c.Asked != 0 || w.Trouble(start) != nil {
		t.Errorf("%+v", c)
	}
	fired := map[string]int{}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		w := New(Limits{Budget: time.Second}, Baseline{Asked: 500, Grounded: 450}, start)
		got, _, _ := asked(w, 400, 20, func(int) (*answer.Answer, error) {
			switch {
			case rng.Float64() < 0.01:
				return nil, errBroken
			case rng.Float64() < 0.05:
				return good(1100), nil
			case rng.Float64() < 0.10:
				return abstained(), nil
			}
			return good(50), nil
		})
		fired[got]++
	}
	t.Logf("of 1000 watches of 400 answers at the limits: %v", fired)
	for _, name := range []string{ErrorRate, Latency, Grounded} {
		if fired[name] > 3 {
			t.Errorf("%s fired in %d of 1000 watches of a pair at its limits", name, fired[name])
		}
	}
}

func TestEngineDeaths(t *testing.T) {
	t.Parallel()
	w := New(Limits{}, Baseline{Over: 30 * 24 * time.Hour}, start)
	w.EngineDied()
	if c := w.Trouble(start.Add(40 * time.Second)); c == nil || c.Name != EngineDeaths || *c.Candidate != 1 {
		t.Errorf("the first, after 40 s: %+v", c)
	}
	// An engine that ends every hour anyway tells nothing by one more.
	w = New(Limits{}, Baseline{Deaths: 200, Over: 200 * time.Hour}, start)
	for n, want := range []bool{false, false, false, true} {
		if n > 0 {
			w.EngineDied()
		}
		if c := w.Trouble(start.Add(10 * time.Minute)); (c != nil) != want {
			t.Errorf("%d deaths in ten minutes: %+v, want trouble %v", n, c, want)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	w := New(Limits{}, Baseline{}, start)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	w.Ready(false, "the model is loading", at(1))
	w.Ready(false, "the model is loading", at(9))
	if c := w.Trouble(at(10)); c != nil {
		t.Errorf("%+v", c)
	}
	w.Ready(true, "", at(10))
	w.Ready(false, "the model failed", at(12))
	if c := w.Trouble(at(21)); c != nil {
		t.Errorf("%+v", c)
	}
	if c := w.Trouble(at(22)); c == nil || c.Name != Readiness || *c.Candidate != 10 {
		t.Errorf("%+v", c)
	}
	w.Ready(true, "", at(23))
	if w.Trouble(at(24)) == nil {
		t.Error("a trigger that fired was taken back")
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	var r Recent
	for i := range 1200 {
		if i%4 == 0 {
			r.Observe(abstained(), nil)
		} else {
			r.Observe(good(5), nil)
		}
	}
	r.EngineDied()
	if b := r.Baseline(time.Hour); b.Asked != 500 || b.Grounded != 375 || b.Deaths != 1 {
		t.Errorf("%+v", b)
	}
}
