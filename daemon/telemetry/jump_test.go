package telemetry

import (
	"sync/atomic"
	"testing"
	"time"
)

// The clock is ahead for a while, by years: nothing is thrown away for its age, and what
// was counted then is found at hours that were, once it is set right.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	c := &clock{t: noon}
	var sound atomic.Bool
	sound.Store(true)
	r, err := Open(t.TempDir(), Options{Now: c.now, Sound: sound.Load})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	slow := anAnswer("")
	slow.Timings.Total = 500
	ask := func(n int, at time.Time) {
		c.set(at)
		for range n {
			r.Observe(slow, nil, "65+", 3)
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	count := func(ws []*Window, err error) int64 {
		t.Helper()
		sum, serr := Sum(ws)
		if err != nil || serr != nil {
			t.Fatal(err, serr)
		}
		if sum == nil {
			return 0
		}
		return sum.Questions
	}
	ask(20, noon.Add(-30*time.Hour))
	ask(30, noon)
	sound.Store(false)
	for n := range 10 { // more traces than are kept
		ask(60, noon.AddDate(14, 0, n))
	}
	if n := count(r.Hours(noon.Add(-48 * time.Hour))); n != 650 {
		t.Errorf("with the clock ahead %d of 650 are there", n)
	}
	ask(5, noon.Add(time.Hour))
	sound.Store(true)
	c.set(noon.Add(2 * time.Hour))
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := count(r.Hours(noon.Add(-48 * time.Hour))); n != 655 {
		t.Errorf("set right, %d of 655 are there", n)
	}
	if n := count(r.Hours(noon.Add(4 * time.Hour))); n != 0 {
		t.Errorf("%d questions were asked in the future", n)
	}
	if n := count(r.Days(noon.Add(24 * time.Hour))); n != 0 {
		t.Errorf("days of the future have %d questions", n)
	}
	ts, err := r.Slow(noon.Add(-time.Hour))
	if err != nil || len(ts) == 0 || ts[0].At.After(noon.Add(3*time.Hour)) {
		t.Errorf("%d traces: %v", len(ts), err)
	}
	// Years later nothing is in the way of letting go.
	ask(1, noon.AddDate(3, 0, 0))
	if n := count(r.Hours(noon.Add(-48 * time.Hour))); n != 1 {
		t.Errorf("%d hours' questions are kept for years", n)
	}
}

// A day that comes twice has all that was asked in it, once.
func TestDayComesTwice(t *testing.T) {
	t.Parallel()
	c := &clock{t: noon}
	var left int64
	r, err := Open(t.TempDir(), Options{Now: c.now, Leave: func(w *Window) error { left += w.Questions; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, step := range []struct {
		at   time.Time
		n    int
		days int64 // counted in days that are over
	}{{noon, 20, 0}, {noon.Add(24 * time.Hour), 0, 20}, {noon, 15, 20}, {noon.Add(24 * time.Hour), 12, 35}, {noon.Add(48 * time.Hour), 0, 47}} {
		c.set(step.at)
		for range step.n {
			r.Observe(anAnswer(""), nil, "65+", 3)
		}
		for range 2 {
			if err := r.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		ds, err := r.Days(noon.Add(-48 * time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		sum, err := Sum(ds)
		if err != nil {
			t.Fatal(err)
		}
		if n := int64(0); sum != nil && sum.Questions != step.days || sum == nil && step.days != n {
			t.Errorf("at %s: %+v, wanted %d", step.at, sum, step.days)
		}
	}
	if left > 47 {
		t.Errorf("%d questions have left, of 47", left)
	}
}
