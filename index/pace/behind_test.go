package pace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While people ask, work rests after each step, and stands back for the question that
// is under way; when nobody has asked for a while it goes on at once.
func TestRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a Askers
		w := BeginIn(Behind(t.Context(), &a))
		step := func() time.Duration {
			began := time.Now()
			w.Rest(t.Context(), Step)
			return time.Since(began)
		}
		if took := step(); took != 0 {
			t.Errorf("nobody asks, and it rested for %v", took)
		}
		a.Begin()
		a.Begin()
		go func() {
			time.Sleep(10 * time.Millisecond)
			a.End()
			time.Sleep(10 * time.Millisecond)
			a.End()
		}()
		if took := step(); took != 20*time.Millisecond {
			t.Errorf("went on after %v, and there were questions until 20 ms", took)
		}
		if took := step(); took != rests*Step {
			t.Errorf("somebody asked a moment ago, and it rested for %v", took)
		}
		time.Sleep(lately)
		if took := step(); took != 0 {
			t.Errorf("nobody has asked for a while, and it rested for %v", took)
		}
	})
}

// Where there is always somebody, work comes to its end all the same.
func TestComesToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a Askers
		a.Begin()
		w := BeginIn(Behind(t.Context(), &a))
		began := time.Now()
		const steps = 1000
		for range steps {
			time.Sleep(Step) // it works
			w.Rest(t.Context(), Step)
		}
		if took, most := time.Since(began), (1+rests+standsBack)*steps*Step+mostCredit; took > most || took < most-mostCredit {
			t.Errorf("%d steps took %v; at most %v", steps, took, most)
		}
		if got := a.Idle(t.Context(), time.Second); got != time.Second {
			t.Errorf("waited %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got := a.Idle(ctx, time.Second); got != time.Millisecond {
			t.Errorf("waited %v", got)
		}
	})
}

// Begun and Idle tell of the questions that there are.
func TestAskers(t *testing.T) {
	t.Parallel()
	var a Askers
	open := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return false
		default:
			return true
		}
	}
	before := a.Begun()
	if a.Count() != 0 || !open(before) || a.Idle(t.Context(), time.Hour) != 0 {
		t.Fatal("nobody asks")
	}
	a.Begin()
	a.Begin()
	if a.Count() != 2 || open(before) || open(a.Begun()) {
		t.Fatal("two ask")
	}
	a.End()
	if open(a.Begun()) {
		t.Fatal("one asks")
	}
	a.End()
	if a.Count() != 0 || !open(a.Begun()) || a.Idle(t.Context(), time.Hour) != 0 {
		t.Fatal("nobody asks any more")
	}
}
