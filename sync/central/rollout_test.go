package central

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/sync/bundle"
)

// From held to done: each wave holds those before it, waits for its sites and
// soaks, and who is let in follows.
func TestRolloutAdvances(t *testing.T) {
	t.Parallel()
	x := newTable(t, 40)
	n := x.publish(t, "two", true)
	if len(x.may(t, n)) != 0 || len(x.may(t, 1)) != 40 {
		t.Fatal("a held bundle is for nobody")
	}
	x.create(t, n, plan(nil))
	if len(x.may(t, n)) != 0 {
		t.Fatal("nobody is let in before a controller watches")
	}
	before := []string{}
	for i, want := range []int{2, 10, 40} {
		x.step(t)
		r, may := x.rollout(t, n), x.may(t, n)
		if r.State != RolloutRunning || r.Wave != i+1 || len(may) != want || !slices.Equal(may, r.Sites) {
			t.Fatalf("%+v %v", r, may)
		}
		for _, s := range before {
			if !slices.Contains(may, s) {
				t.Fatal("waves do not nest")
			}
		}
		x.clock = x.clock.Add(12 * time.Hour)
		x.step(t) // the soak has not begun: too few have confirmed it
		order := slices.Concat(before, slices.DeleteFunc(slices.Clone(may), func(s string) bool { return slices.Contains(before, s) }))
		for _, s := range order[:max(len(before), want/2-1)] {
			x.tell(s, "confirmed", n)
		}
		before = may
		x.step(t)
		if r := x.rollout(t, n); r.Wave != i+1 || !r.Settled.IsZero() {
			t.Fatalf("%+v", r)
		}
		for _, s := range may {
			x.tell(s, "confirmed", n)
		}
		x.step(t)
		x.clock = x.clock.Add(2*time.Hour - time.Second)
		x.step(t)
		if r := x.rollout(t, n); r.Wave != i+1 || r.Settled.IsZero() {
			t.Fatalf("%+v", r)
		}
		x.clock = x.clock.Add(time.Second)
	}
	x.step(t)
	if r := x.rollout(t, n); r.State != RolloutDone || len(x.may(t, n)) != 40 {
		t.Fatalf("%+v", r)
	}
	if s := x.actions(t); s != "hold2 create2 open2 settle2 advance2 settle2 advance2 settle2 finish2" {
		t.Fatal(s)
	}
	if p := x.publish(t, "three", false); p != 3 || len(x.may(t, 3)) != 40 {
		t.Fatal("after it is done all is as before")
	}
}

// Each condition halts at once, by the figures of its sites, and says why.
func TestRolloutHalts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slots string // of the ten sites of the wave
		abort []Condition
		halts bool
		after time.Duration
	}{
		"one of ten is more than 2 %":        {"rolled_back", []Condition{{MetricRolledBack, 2}}, true, 0},
		"one of ten is not more than 10 %":   {"rolled_back", []Condition{{MetricRolledBack, 10}}, false, 0},
		"another metric":                     {"rolled_back", []Condition{{MetricNotValidated, 2}}, false, 0},
		"not validated":                      {"not_validated", []Condition{{MetricNotValidated, 2}}, true, 0},
		"failed is any":                      {"not_validated confirmed rolled_back", []Condition{{MetricFailed, 19}}, true, 0},
		"the second of two conditions":       {"rolled_back", []Condition{{MetricSilent, 2}, {MetricFailed, 2}}, true, 0},
		"at it, and heard of lately":         {"provisional provisional", []Condition{{MetricSilent, 10}}, false, time.Hour},
		"at it, and not heard of":            {"provisional provisional", []Condition{{MetricSilent, 10}}, true, time.Hour + 1},
		"not come to it is not silent":       {"confirmed", []Condition{{MetricSilent, 0}}, false, 9 * time.Hour},
		"all well":                           {"confirmed confirmed validated", []Condition{{MetricFailed, 0}}, false, 0},
		"errors of too few questions":        {"errors:1/49", []Condition{{MetricErrorRate, 1}}, false, 0},
		"errors":                             {"errors:1/49 errors:1/51", []Condition{{MetricErrorRate, 1}}, true, 0},
		"as many errors as are borne":        {"errors:1/49 errors:0/51", []Condition{{MetricErrorRate, 1}}, false, 0},
		"a chunk that the hub lacks":         {"missing_chunk", []Condition{{MetricFailed, 0}}, false, 0},
		"a box that it does not suit":        {"wrong_profile", []Condition{{MetricFailed, 0}}, false, 0},
		"content that no box takes":          {"bad_content", []Condition{{MetricFailed, 2}}, true, 0},
		"a site whose state can't be read":   {"garbage", []Condition{{MetricFailed, 0}}, false, 0},
		"rolled back, and then on the older": {"rolled_back+confirmed-1", []Condition{{MetricFailed, 2}}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTable(t, 40)
			n := x.publish(t, "two", true)
			x.create(t, n, plan(func(p *Plan) { p.Waves, p.AbortIf = []float64{25, 100}, c.abort }))
			x.step(t)
			sites := x.rollout(t, n).Sites
			if len(sites) != 10 {
				t.Fatal(sites)
			}
			for i, slot := range strings.Fields(c.slots) {
				var errs, asked int64
				switch _, err := fmt.Sscanf(slot, "errors:%d/%d", &errs, &asked); {
				case err == nil:
					x.heard.state(sites[i], fmt.Appendf(nil, `{"rollout":{"bundle":%d,"slot":"provisional","asked":%d,"errors":%d}}`, n, asked, errs), x.clock)
				case slot == "garbage":
					x.heard.state(sites[i], []byte(`{"active":"x"`), x.clock)
				case slot == "rolled_back+confirmed-1":
					x.heard.report(sites[i], fmt.Appendf(nil, `{"bundle":%d,"slot":"rolled_back","check":"grounded"}`, n), x.clock)
					x.tell(sites[i], "confirmed", n-1)
				case strings.Contains("missing_chunk wrong_profile bad_content", slot):
					x.heard.state(sites[i], fmt.Appendf(nil, `{"active":1,"quarantine":[{"number":%d,"code":%q}]}`, n, slot), x.clock)
				default:
					x.tell(sites[i], slot, n)
				}
			}
			x.clock = x.clock.Add(c.after)
			x.step(t)
			r := x.rollout(t, n)
			if (r.State == RolloutHalted) != c.halts {
				t.Fatalf("%+v", r)
			}
			if !c.halts {
				return
			}
			if !strings.Contains(r.Reason, string(c.abort[len(c.abort)-1].Metric)) {
				t.Error(r.Reason)
			}
			if may := x.may(t, n); len(may) != 0 {
				t.Error("halted, and still let in", may)
			}
			// What is later is frozen with it, until it is resumed or aborted.
			if _, err := x.Publish(Release{Channel: "stable", Withdraw: []string{"zero"}}); !errors.Is(err, ErrRolloutOpen) {
				t.Error("a bundle overtook a halted one", err)
			}
		})
	}
}

// What people do, in order; what the state does not allow is refused and leaves
// no record.
func TestRolloutByPeople(t *testing.T) {
	t.Parallel()
	x := newTable(t, 20)
	by := By{Who: "ann", Reason: "as agreed"}
	n := x.publish(t, "two", true)
	refused := func(what string, r *Rollout, err error) {
		t.Helper()
		var e *NotNowError
		if !errors.As(err, &e) {
			t.Fatal(what, r, err)
		}
	}
	is := func(s RolloutState, let int) func(*Rollout, error) {
		return func(r *Rollout, err error) {
			t.Helper()
			if err != nil || r.State != s || r.By != "ann" || r.Reason != by.Reason || len(x.may(t, n)) != let {
				t.Fatalf("%+v, %v, %d", r, err, len(x.may(t, n)))
			}
		}
	}
	for _, f := range []func(string, int64, By) (*Rollout, error){x.PauseRollout, x.ResumeRollout, x.ApproveRollout} {
		r, err := f("stable", n, by)
		refused("a held one", r, err)
		if _, err := f("stable", 9, by); !errors.Is(err, ErrNoRollout) {
			t.Fatal(err)
		}
	}
	x.create(t, n, plan(func(p *Plan) { p.ApproveEach, p.Soak = true, 0 }))
	r, err := x.CreateRollout("stable", n, plan(nil), by)
	refused("once more", r, err)
	is(RolloutPaused, 0)(x.PauseRollout("stable", n, by))
	x.step(t)
	is(RolloutPlanned, 0)(x.ResumeRollout("stable", n, by))
	x.step(t) // wave 1: 1 site
	x.tell(x.rollout(t, n).Sites[0], "confirmed", n)
	x.step(t)
	x.step(t)
	if r := x.rollout(t, n); r.State != RolloutAwaiting || len(x.may(t, n)) != 1 {
		t.Fatalf("%+v", r)
	}
	is(RolloutRunning, 5)(x.ApproveRollout("stable", n, by))
	is(RolloutPaused, 0)(x.PauseRollout("stable", n, by))
	is(RolloutRunning, 5)(x.ResumeRollout("stable", n, by))
	x.tell(x.rollout(t, n).Sites[1], "rolled_back", n)
	x.step(t)
	if r := x.rollout(t, n); r.State != RolloutHalted {
		t.Fatalf("%+v", r)
	}
	is(RolloutRunning, 5)(x.ResumeRollout("stable", n, by)) // a person has seen it
	x.step(t)
	if r := x.rollout(t, n); r.State != RolloutRunning || len(r.Forgiven) != 1 {
		t.Fatalf("%+v", r)
	}
	x.tell(x.rollout(t, n).Sites[2], "rolled_back", n) // another one
	x.step(t)
	if r := x.rollout(t, n); r.State != RolloutHalted {
		t.Fatalf("%+v", r)
	}
	is(RolloutAborted, 0)(x.AbortRollout("stable", n, true, by))
	refused2 := func(r *Rollout, err error) { t.Helper(); refused("aborted", r, err) }
	refused2(x.ResumeRollout("stable", n, by))
	refused2(x.AbortRollout("stable", n, false, by))
	if s := x.actions(t); !strings.HasPrefix(s, "hold2 create2 pause2 resume2 open2 settle2 soaked2 approve2 pause2 resume2 halt2 resume2 halt2 ") {
		t.Fatal(s)
	}
	if _, err := x.PauseRollout("stable", n, By{}); err == nil {
		t.Error("nobody did it")
	}
}

// What is built on what was aborted goes with it; the next is built on what is
// good; what was good stays signed, to go back to.
func TestAbortTakesWhatBuildsOnIt(t *testing.T) {
	t.Parallel()
	x := newTable(t, 8)
	for i := range 6 {
		x.publish(t, fmt.Sprint("held ", i), true) // 2 to 7
	}
	r, err := x.repository()
	if err != nil || !slices.Equal(r.numbers("stable"), []int64{1, 2, 3, 4, 5, 6, 7}) {
		t.Fatal(r.numbers("stable"), err)
	}
	x.create(t, 3, plan(nil)) // 2 is part of it
	x.step(t)
	if _, err := x.CreateRollout("stable", 4, plan(nil), By{Who: "ann"}); err == nil {
		t.Fatal("two at a time")
	}
	if _, err := x.AbortRollout("stable", 3, true, By{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	for n := int64(2); n <= 7; n++ {
		if r := x.rollout(t, n); r.State != RolloutAborted || r.Rollback != (n > 2) {
			t.Fatalf("%+v", r)
		}
	}
	if n := x.publish(t, "good", false); n != 8 {
		t.Fatal(n)
	}
	r, err = x.repository()
	if err != nil || !slices.Equal(r.numbers("stable"), []int64{5, 6, 7, 8}) {
		t.Fatal(r.numbers("stable"), err)
	}
	m, err := x.latest(r, "stable", func(int64) bool { return true })
	if err != nil || m.Number != 8 || m.Documents.Count != 2 || len(x.may(t, 8)) != 8 {
		t.Fatalf("%+v, %v", m, err)
	}
	// The last for all can be aborted; there is none before it to go back to.
	if _, err := x.AbortRollout("stable", 8, true, By{Who: "ann"}); err == nil {
		t.Fatal("back to nothing")
	}
}

func TestRolloutByLabels(t *testing.T) {
	t.Parallel()
	x := newTable(t, 40)
	n := x.publish(t, "two", true)
	if _, err := x.CreateRollout("stable", n, plan(func(p *Plan) { p.Labels = map[string]string{"region": "west"} }), By{Who: "ann"}); err == nil {
		t.Fatal("for nobody")
	}
	north := map[string]string{"region": "north"}
	x.create(t, n, plan(func(p *Plan) { p.Labels, p.Waves, p.Soak = north, []float64{20, 100}, 0 }))
	x.step(t)
	if may := x.may(t, n); len(may) != 2 {
		t.Fatal(may)
	}
	for range 2 {
		for _, s := range x.rollout(t, n).Sites {
			x.tell(s, "confirmed", n)
		}
		x.step(t)
	}
	r := x.rollout(t, n)
	if may := x.may(t, n); r.State != RolloutDone || len(may) != 10 {
		t.Fatalf("%+v %v", r, may)
	}
	sites, _ := x.Sites()
	for _, s := range sites {
		if slices.Contains(x.may(t, n), s.ID) != (s.Labels["region"] == "north") {
			t.Fatal(s.ID)
		}
	}
	// Then for all: those that have it keep it.
	x.create(t, n, plan(func(p *Plan) { p.Waves = []float64{50, 100} }))
	x.step(t)
	if may := x.may(t, n); len(may) != 20 {
		t.Fatal(len(may))
	}
	if labels, err := x.Label("site-000", map[string]string{"size": "big"}, []string{"region"}); err != nil || !maps.Equal(labels, map[string]string{"size": "big"}) {
		t.Fatal(labels, err)
	}
	for _, bad := range [][2]string{{"", "a"}, {"a", ""}, {"A", "a"}, {"a=b", "a"}, {"a", "-"}} {
		if _, err := x.Label("site-000", map[string]string{bad[0]: bad[1]}, nil); err == nil {
			t.Error(bad)
		}
	}
}

// The lease of a running gate is renewed when half of it is over, and only then.
func TestRunningGateIsRenewed(t *testing.T) {
	t.Parallel()
	x := newTable(t, 4)
	n := x.publish(t, "two", true)
	x.create(t, n, plan(nil))
	x.step(t)
	version := func() int64 { r, _ := x.repository(); return r.targets.Signed.Version }
	v := version()
	x.clock = x.clock.Add(bundle.GateLease/2 - time.Second)
	if x.step(t); version() != v {
		t.Fatal("it was signed again")
	}
	x.clock = x.clock.Add(time.Second)
	if x.step(t); version() != v+1 || len(x.may(t, n)) != 1 {
		t.Fatal(version(), x.may(t, n))
	}
	x.clock = x.clock.Add(bundle.GateLease)
	if len(x.may(t, n)) != 0 {
		t.Fatal("a wave that nobody watches is open")
	}
}

func TestParsePlans(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"5%,25%,100%": "[5 25 100]", " 0.5% , 100%": "[0.5 100]", "100%": "[100]", "": "", "5%": "", "25%,5%,100%": "", "5,100": "", "0%,100%": "", "5%,5%,100%": "", "NaN%,100%": "", "5%,101%": ""} {
		w, err := ParseWaves(s)
		if (err == nil) != (want != "") || err == nil && fmt.Sprint(w) != want {
			t.Errorf("%q: %v, %v", s, w, err)
		}
	}
	for s, ok := range map[string]bool{"rolled_back>2%": true, "silent > 10%": true, "error_rate>0.5%": true, "rolled_back>2": false, "rolled_back<2%": false, "mood>2%": false, "": false, "failed>-1%": false} {
		if c, err := ParseCondition(s); (err == nil) != ok {
			t.Errorf("%q: %v, %v", s, c, err)
		} else if again, err := ParseCondition(c.String()); ok && (err != nil || again != c) {
			t.Errorf("%q: %v", s, again)
		}
	}
}

// An approval of a bundle's trial goes to the sites with the gates, while its waves are
// open and once they are done, and stays when the trail is read anew; the rollout stands as
// it stood. What was aborted brings none.
func TestApprovalGoesWithTheGates(t *testing.T) {
	t.Parallel()
	x := newTable(t, 8)
	n := x.publish(t, "two", true)
	by := By{Who: "ann", Reason: "the trial speaks for it"}
	var no *NotNowError
	if _, err := x.PromoteRollout("stable", n, "{}", by); !errors.As(err, &no) {
		t.Errorf("of what is held: %v", err)
	}
	if _, err := x.PromoteRollout("stable", n, strings.Repeat("x", bundle.MaxApproval+1), by); err == nil {
		t.Error("one that no site reads was taken")
	}
	x.create(t, n, plan(func(p *Plan) { p.Waves, p.Soak = []float64{50, 100}, 0 }))
	x.step(t)
	before := x.rollout(t, n)
	approvals := func() string {
		t.Helper()
		r, err := x.repository()
		if err != nil {
			t.Fatal(err)
		}
		g, err := x.gatesFile(r.targets.Signed.Targets[bundle.GatesPath("stable")])
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range g.Gates {
			if g.Bundle == n {
				return fmt.Sprint(g.State, g.Approvals)
			}
		}
		return ""
	}
	for _, a := range []string{`{"trial":"june"}`, `{"trial":"june"}`, `{"trial":"july"}`} {
		if _, err := x.PromoteRollout("stable", n, a, by); err != nil {
			t.Fatal(err)
		}
	}
	after := x.rollout(t, n)
	if got := approvals(); got != `running[{"trial":"june"} {"trial":"july"}]` {
		t.Error(got)
	}
	if after.State != before.State || !after.Since.Equal(before.Since) || after.Wave != before.Wave || after.By != before.By || len(after.Sites) != 4 {
		t.Errorf("%+v, before %+v", after, before)
	}
	for range 2 {
		for _, s := range x.may(t, n) {
			x.tell(s, "confirmed", n)
		}
		x.step(t)
	}
	if got := approvals(); got != `done[{"trial":"june"} {"trial":"july"}]` || len(x.may(t, n)) != 8 {
		t.Error(got)
	}
	if next := x.publish(t, "three", false); len(x.may(t, next)) != 8 {
		t.Error("what is done held the next")
	}
	if got := strings.Count(x.actions(t), "promote2"); got != 2 {
		t.Errorf("%d on record", got)
	}
	for i := range bundle.MaxApprovals - 1 {
		_, err := x.PromoteRollout("stable", n, fmt.Sprint(i), by)
		if (err == nil) != (i < bundle.MaxApprovals-2) {
			t.Errorf("%d: %v", i, err)
		}
	}
	n = x.publish(t, "four", true)
	x.create(t, n, plan(nil))
	if _, err := x.PromoteRollout("stable", n, "{}", by); err != nil {
		t.Fatal(err)
	}
	if _, err := x.AbortRollout("stable", n, false, by); err != nil {
		t.Fatal(err)
	}
	if got := approvals(); got != "aborted[]" {
		t.Error(got)
	}
}
