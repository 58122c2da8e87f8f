package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/rollout"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// waitRollout until the rollout stands as it should.
func waitRollout(t *testing.T, k *control.Client, what string, is func(box.RolloutStatus) bool) box.RolloutStatus {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		st, err := k.RolloutStatus(t.Context())
		if err == nil && is(st) {
			return st
		}
		if time.Now().After(end) {
			b, _ := json.Marshal(st)
			t.Fatalf("%s: %s, %v", what, b, err)
		}
	}
}

func provisional(bundle int64) func(box.RolloutStatus) bool {
	return func(st box.RolloutStatus) bool {
		return st.Candidate != nil && st.Candidate.Bundle == bundle && st.Candidate.Slot == rollout.Provisional && st.Serving.Bundle == bundle
	}
}

// A bundle answers while it is watched, keeps changes of the box's own out, is
// confirmed by a person or rolled back by one; bundles, index and the centre say
// the same of it.
func TestRolloutOfBundles(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	s := startDaemon(t, func(c *config.Config) {
		noFloor(c)
		c.Rollout.Watch, c.Model.Embedder = config.Wait(time.Hour), config.None
	})
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	file, err := f.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Enroll(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	version := 0
	publish := func() { f.Release(t, central.Release{Documents: labels(func(int) int { return version }, 12)}) }
	question := "What is the dosage and administration number 0 of medicine7?"
	says := func(want int) string {
		t.Helper()
		a := s.ask(t, question)
		if !strings.Contains(fmt.Sprint(a), fmt.Sprintf("with %d tablets", want)) {
			t.Fatalf("not of version %d: %+v", want, a)
		}
		return a.Generation
	}
	publish()
	st := waitRollout(t, k, "bundle 1", provisional(1))
	first := says(0)
	if st.Serving.Generation != first || st.Serving.Until.Before(time.Now().Add(50*time.Minute)) {
		t.Errorf("%+v", st.Serving)
	}
	if _, err := k.Withdraw(t.Context(), []string{"medicine3"}, nil); err == nil || !rollout.Refused(err) || !strings.Contains(err.Error(), "rxedge rollout") {
		t.Errorf("a withdrawal while a bundle is watched: %v", err)
	}
	if st, err := k.SyncStatus(t.Context()); err != nil || st.Bundles.Active != nil || st.Bundles.Staged.Number != 1 {
		t.Errorf("%+v %v", st.Bundles, err)
	}
	if e, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, By: "tester"}); err != nil || e.Slot != rollout.Confirmed {
		t.Fatal(e, err)
	}
	waitActive(t, k, 1)
	version = 5
	publish()
	waitRollout(t, k, "bundle 2", provisional(2))
	second := says(5)
	if second == first {
		t.Errorf("%s answers with both versions", first)
	}
	began := time.Now()
	e, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack, By: "tester", Reason: "wrong doses"})
	if took := time.Since(began); err != nil || e.Bundle != 1 || took > 5*time.Second {
		t.Fatal(e, err, took)
	}
	if g := says(0); g != first {
		t.Errorf("%s answers after the rollback, %s did before", g, first)
	}
	bs, err := k.SyncStatus(t.Context())
	if err != nil || bs.Bundles.Active.Number != 1 || bs.Bundles.Staged != nil || len(bs.Bundles.Quarantine) != 1 || bs.Bundles.Quarantine[0].Code != bundle.RolledBack {
		t.Fatalf("%+v %v", bs.Bundles, err)
	}
	if _, err := k.Withdraw(t.Context(), []string{"medicine3"}, nil); err != nil {
		t.Error(err)
	}
	// The next one is built upon that, and a confirmed one goes back, too.
	version = 9
	publish()
	waitRollout(t, k, "bundle 3", provisional(3))
	if _, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove}); err != nil {
		t.Fatal(err)
	}
	waitActive(t, k, 3)
	says(9)
	if e, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack}); err != nil || e.Bundle != 1 {
		t.Fatal(e, err)
	}
	says(0)
	// Bundle 2, which went back before, is not tried in its place.
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		bs, err := k.SyncStatus(t.Context())
		if err != nil || bs.Bundles.Active.Number != 1 || time.Now().After(end) {
			t.Fatalf("%+v %v", bs.Bundles, err)
		}
		if bs.Bundles.Staged == nil && len(bs.Bundles.Quarantine) == 2 {
			break
		}
	}
	says(0)
	if _, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack}); err == nil || !rollout.Refused(err) {
		t.Errorf("back from the first: %v", err)
	}
	// After a start the same serves.
	hs, err := k.RolloutHistory(t.Context())
	if err != nil || len(hs) < 15 {
		t.Fatal(len(hs), err)
	}
	slots := map[string]bool{}
	for end := time.Now().Add(30 * time.Second); len(slots) < 8; time.Sleep(50 * time.Millisecond) {
		if err := f.Collect(t.Context(), nil, 0, func(r central.Report) error {
			if r.Kind != "rollout" {
				return nil
			}
			var v struct {
				Bundle       int
				Slot, Reason string
			}
			if err := json.Unmarshal(r.Data, &v); err != nil {
				return err
			}
			slots[fmt.Sprint(v.Bundle, v.Slot)] = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("the centre heard of %v", slots)
		}
	}
}
