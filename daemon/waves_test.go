package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// Three real boxes and a controller: a bundle that the first box rolls back halts
// and the other two never see it; a good one reaches all, and is taken back from
// all.
func TestWavesOverBoxes(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	type site struct {
		*station
		k *control.Client
	}
	boxes := map[string]site{}
	for i := range 3 {
		name := fmt.Sprintf("box-%d", i)
		s := startDaemon(t, func(c *config.Config) {
			noFloor(c)
			c.Rollout.Watch, c.Model.Embedder = config.Wait(time.Hour), config.None
		})
		k, err := control.Dial(s.data)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = k.Close() })
		file, err := f.AddSite(name, "stable", time.Hour)
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
		boxes[name] = site{s, k}
	}
	says := func(name string, version int) {
		t.Helper()
		a := boxes[name].ask(t, "What is the dosage and administration number 0 of medicine7?")
		if !strings.Contains(fmt.Sprint(a), fmt.Sprintf("with %d tablets", version)) {
			t.Fatalf("%s does not answer from version %d: %+v", name, version, a)
		}
	}
	do := func(name string, n int64, action string) {
		t.Helper()
		waitRollout(t, boxes[name].k, fmt.Sprintf("bundle %d at %s", n, name), provisional(n))
		if _, err := boxes[name].k.RolloutDo(t.Context(), box.RolloutRequest{Action: action, By: "tester", Reason: "seen"}); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(version int, hold bool) {
		t.Helper()
		f.Release(t, central.Release{Documents: labels(func(int) int { return version }, 12), Hold: hold, Who: "ann"})
	}
	by := central.By{Who: "ann", Reason: "as agreed"}
	must := func(_ *central.Rollout, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.PushGates(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	reach := func(n int64, is func(*central.Rollout) bool) *central.Rollout {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			rs, err := f.Rollouts()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rs {
				if r.Bundle == n && is(r) {
					return r
				}
				if r.Bundle == n && time.Now().After(end) {
					t.Fatalf("%+v", r)
				}
			}
		}
	}
	plan := central.DefaultPlan()
	plan.Waves, plan.Soak, plan.Confirmed = []float64{30, 100}, 0, 100
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- f.RunRollouts(ctx, central.RunOptions{Who: "controller", Every: 50 * time.Millisecond})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	publish(0, false)
	for name := range boxes {
		do(name, 1, box.RolloutApprove)
		waitActive(t, boxes[name].k, 1)
	}
	publish(5, true)
	must(f.CreateRollout("stable", 2, plan, by))
	first := reach(2, func(r *central.Rollout) bool { return r.Wave == 1 }).Sites[0]
	began := time.Now()
	do(first, 2, box.RolloutBack)
	r := reach(2, func(r *central.Rollout) bool { return r.State == central.RolloutHalted })
	t.Logf("halted %v after %s was let in: %s", time.Since(began).Round(time.Millisecond), first, r.Reason)
	for name, s := range boxes {
		says(name, 0)
		h, err := s.k.SyncHistory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range h {
			if name != first && e.Number == 2 {
				t.Errorf("%s has seen bundle 2: %+v", name, e)
			}
		}
	}
	must(f.AbortRollout("stable", 2, true, by))

	publish(7, true)
	must(f.CreateRollout("stable", 3, plan, by))
	first = reach(3, func(r *central.Rollout) bool { return r.Wave == 1 }).Sites[0]
	do(first, 3, box.RolloutApprove)
	reach(3, func(r *central.Rollout) bool { return r.Wave == 2 })
	for name := range boxes {
		if name != first {
			do(name, 3, box.RolloutApprove)
		}
		waitActive(t, boxes[name].k, 3)
		says(name, 7)
	}
	reach(3, func(r *central.Rollout) bool { return r.State == central.RolloutDone })
	began = time.Now()
	must(f.AbortRollout("stable", 3, true, by))
	for name, s := range boxes {
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			st, err := s.k.SyncStatus(t.Context())
			if err == nil && st.Bundles.Active != nil && st.Bundles.Active.Number == 1 {
				break
			}
			if time.Now().After(end) {
				b, _ := json.Marshal(st.Bundles)
				t.Fatalf("%s: %s, %v\n%s", name, b, err, s.log)
			}
		}
		// The journal's word, then the swap: an answer under way may be the last of 7.
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			a := s.ask(t, "What is the dosage and administration number 0 of medicine7?")
			if strings.Contains(fmt.Sprint(a), "with 0 tablets") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s still answers from what was taken back (cached: %v): %+v\n%s", name, a.Cached, a, s.log)
			}
		}
	}
	t.Logf("%d boxes are back on bundle 1 %v after the abort", len(boxes), time.Since(began).Round(time.Millisecond))
}
