package rollout

import (
	"testing"
	"time"
)

// What is due is not confirmed where its check fails then: what was before serves again.
// A person's word against the check stays with the pair, over a restart, too.
func TestConfirmsIsAsked(t *testing.T) {
	t.Parallel()
	dir, s, now, asked := t.TempDir(), &still{Pair{Generation: "gen-0"}}, time.Now(), 0
	open := func() *Manager {
		t.Helper()
		m, err := Open(Config{Dir: dir, Now: func() time.Time { return now }, Confirms: func(e Entry) *Check {
			if e.Override != nil {
				return nil
			}
			asked++
			return &Check{Name: "group_disparity", Detail: "two cohorts"}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Recover(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	if err := offered(t, m, 1, s, time.Hour); err != nil || s.p.Generation != "gen-1" {
		t.Fatal(err, s.p)
	}
	if err := m.Tick(t.Context(), nil); err != nil || asked != 0 || m.State().Candidate == nil {
		t.Errorf("%v: asked %d times before it was due", err, asked)
	}
	now = now.Add(time.Hour)
	if err := m.Tick(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	st := m.State()
	if st.Candidate != nil || st.Last == nil || st.Last.Check != "group_disparity" || s.p.Generation != "gen-0" || asked != 1 {
		t.Fatalf("%+v serves, last %+v, asked %d", s.p, st.Last, asked)
	}
	if err := offered(t, m, 2, s, time.Hour); err != nil {
		t.Fatal(err)
	}
	over := &Override{Check: Check{Name: "group_disparity"}, By: "ann", Reason: "labels follow"}
	if e, err := m.Approve(t.Context(), "ann", time.Hour, over); err != nil || e.Slot != Confirmed {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open()
	defer m.Close()
	if o := m.State().Confirmed.Override; o == nil || o.By != "ann" || o.Reason != "labels follow" {
		t.Errorf("after a restart: %+v", o)
	}
}
