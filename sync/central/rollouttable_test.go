package central

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/sync/bundle"
)

// table is a centre without a hub, whose sites say what the test lets them.
type table struct {
	*Folder
	clock time.Time
	heard *heard
}

func newTable(t testing.TB, sites int) *table {
	t.Helper()
	x := &table{clock: time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC), heard: newHeard()}
	f, err := Init(filepath.Join(t.TempDir(), "central"), InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}, Now: func() time.Time { return x.clock }})
	if err != nil {
		t.Fatal(err)
	}
	x.Folder = f
	f.SetClock(func() time.Time { return x.clock })
	for i := range sites {
		region := "south"
		if i%4 == 0 {
			region = "north"
		}
		if err := f.saveSite(&Site{ID: fmt.Sprintf("site-%03d", i), Channel: "stable", Public: "U", Labels: map[string]string{"region": region}}); err != nil {
			t.Fatal(err)
		}
	}
	x.publish(t, "one", false)
	return x
}

func (x *table) publish(t testing.TB, text string, hold bool) int64 {
	t.Helper()
	p, err := x.Publish(Release{Channel: "stable", Hold: hold, Who: "ann", Documents: func(yield func(bundle.Document, error) bool) {
		yield(bundle.Document{ID: text, Parts: [][]byte{[]byte(text)}}, nil)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Number
}

func plan(change func(*Plan)) Plan {
	p := Plan{Waves: []float64{5, 25, 100}, Soak: Duration(2 * time.Hour), Confirmed: 50, Silence: Duration(time.Hour), AbortIf: []Condition{{MetricRolledBack, 2}}}
	if change != nil {
		change(&p)
	}
	return p
}

func (x *table) create(t testing.TB, n int64, p Plan) {
	t.Helper()
	if _, err := x.CreateRollout("stable", n, p, By{Who: "ann", Reason: "June"}); err != nil {
		t.Fatal(err)
	}
}

func (x *table) step(t testing.TB) {
	t.Helper()
	if _, err := x.stepRollouts(x.heard, "controller", func(Standing) {}); err != nil {
		t.Fatal(err)
	}
}

func (x *table) rollout(t testing.TB, n int64) *Rollout {
	t.Helper()
	rs, err := x.Rollouts()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		if r.Bundle == n {
			return r
		}
	}
	t.Fatalf("there is no rollout of %d", n)
	return nil
}

// tell the slot of a bundle.
func (x *table) tell(site, slot string, n int64) {
	s := map[string]any{"active": n - 1, "rollout": map[string]any{"bundle": n, "slot": slot, "check": "error_rate", "reason": "it failed"}}
	switch slot {
	case "confirmed":
		s["active"] = n
	case "not_validated", "rolled_back":
		s["quarantine"] = []map[string]any{{"number": n, "code": slot, "reason": "it failed"}}
	}
	b, _ := json.Marshal(s)
	x.heard.state(site, b, x.clock)
}

// may are the sites that the signed gates let have n.
func (x *table) may(t testing.TB, n int64) []string {
	t.Helper()
	r, err := x.repository()
	if err != nil {
		t.Fatal(err)
	}
	var g *bundle.Gates
	if tf := r.targets.Signed.Targets[bundle.GatesPath("stable")]; tf != nil {
		if g, err = x.gatesFile(tf); err != nil {
			t.Fatal(err)
		}
	}
	sites, err := x.Sites()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range sites {
		if g.Of(s.ID, n, x.clock).Allowed {
			out = append(out, s.ID)
		}
	}
	return out
}

func (x *table) actions(t testing.TB) string {
	t.Helper()
	all, err := x.Audit()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		c, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s%d", c.Action, c.Bundle))
	}
	return strings.Join(out, " ")
}
