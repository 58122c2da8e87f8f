package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/telemetry/fleet"
	"rxedge/sync/central"
)

// as makes the test binary the program that a simulation starts.
const as = "RXEDGE_TEST_AS_RXEDGE"

func TestMain(m *testing.M) {
	if os.Getenv(as) != "" {
		if err := asRxedge(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func asRxedge(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 2 && args[1] == "simulate-sites":
		return Work(ctx, os.Stdin, os.Stdout)
	case len(args) == 4 && args[1] == "hub":
		h, err := central.RunNode(args[3], "")
		if err != nil {
			return err
		}
		defer h.Close()
		<-ctx.Done()
		return nil
	}
	return fmt.Errorf("unknown: %q", args)
}

func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), as+"=1")
	return c
}

func readers() central.Readers {
	return central.Readers{Window: func(b []byte) (central.WindowOf, error) {
		w, err := fleet.ReadWindow(b)
		if err != nil {
			return central.WindowOf{}, err
		}
		return central.WindowOf{From: w.From, To: w.To, Model: w.Model, Generation: w.Generation, Questions: w.Questions}, nil
	}, Alarm: func([]byte) error { return nil }}
}

func small(seed uint64) Options {
	return Options{Sites: 16, Nodes: 1, Processes: 2, For: 3 * time.Second, Speed: 57600, Resting: 300 * time.Millisecond, Seed: seed, Faults: Kinds, Bundle: 8 << 10, RollBack: 0.2}
}

// Sixteen sites, two days, every fault: each message is at the hub once, each window at
// the centre, each site has the update.
func TestSmallFleet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var told []Progress
	rep, err := Simulate(t.Context(), Run{Options: small(3), Work: dir, Command: command, Readers: readers(), Progress: func(p Progress) { told = append(told, p) }})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.MarshalIndent(rep, "", " ")
	t.Logf("%s", b)
	c := rep.Counted
	if c == nil || c.Put == 0 || c.Lost != 0 || c.Twice != 0 || c.Waiting != 0 || c.Hub != c.Put || c.States != 16 || c.Missed != 0 {
		t.Errorf("counted: %+v", c)
	}
	if d := rep.Days; d.Windows < 10 || rep.TakeUp.Windows < d.Windows-c.Unnoted || rep.TakeUp.Refused != 0 || d.Faults == 0 || d.P50 <= 0 {
		t.Errorf("days: %+v, taken up: %+v", d, rep.TakeUp)
	}
	if rep.Update == nil || rep.Update.Sites != 16 || rep.Rollout == nil || rep.Rollout.State == "" || rep.Return == nil || rep.Return.Back != 16 {
		t.Errorf("update: %+v, rollout: %+v, return: %+v", rep.Update, rep.Rollout, rep.Return)
	}
	if rep.Interrupted || rep.Phase != "take-up" || rep.PerDay == nil || len(told) == 0 {
		t.Errorf("%v %s %v %d", rep.Interrupted, rep.Phase, rep.PerDay, len(told))
	}
}

// A hub of three nodes, of which one is killed and in the end all: sites are back before
// the nodes have agreed who leads, and what they sent is taken up and counted all the same.
func TestThreeNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("nodes that were all killed take some ten seconds to agree on a leader")
	}
	t.Parallel()
	o := small(5)
	o.Sites, o.Nodes, o.Faults = 8, 3, []Kind{Hub, Herd}
	rep, err := Simulate(t.Context(), Run{Options: o, Work: t.TempDir(), Command: command, Readers: readers()})
	if err != nil {
		t.Fatal(err)
	}
	c, x := rep.Counted, rep.Return
	if c == nil || c.Put == 0 || c.Lost != 0 || c.Twice != 0 || c.Hub != c.Put || c.Missed != 0 || c.States != 8 {
		t.Errorf("counted: %+v", c)
	}
	if x == nil || x.Back != 8 || x.Taking <= 0 || rep.TakeUp == nil || rep.TakeUp.Windows == 0 {
		t.Errorf("return: %+v, taken up: %+v", x, rep.TakeUp)
	}
	t.Logf("%+v; %+v", x, rep.TakeUp)
}

// What is to happen follows from the options, and one kind of fault changes no other.
func TestPlan(t *testing.T) {
	t.Parallel()
	o := small(7)
	o.Sites = 500
	a, b := NewPlan(o), NewPlan(o)
	if !reflect.DeepEqual(a, b) {
		t.Error("two plans of the same options differ")
	}
	o.Seed = 8
	if c := NewPlan(o); reflect.DeepEqual(a.Faults, c.Faults) || a.Sites[0].Questions == c.Sites[0].Questions {
		t.Error("another seed makes the same plan")
	}
	o.Seed, o.Faults = 7, []Kind{}
	calm := NewPlan(o)
	if len(calm.Faults) != 0 {
		t.Error(calm.Faults)
	}
	few, many, lines, dead := 0, 0, 0, 0
	for i, s := range calm.Sites {
		if s.Questions != a.Sites[i].Questions || s.Zone != a.Sites[i].Zone || s.Clock != 0 || s.Line || s.Dead {
			t.Fatal(s, a.Sites[i])
		}
		if s.Questions < 60 {
			few++
		}
		if s.Questions > 600 {
			many++
		}
		if a.Sites[i].Line {
			lines++
		}
		if a.Sites[i].Dead {
			dead++
		}
	}
	if few < 200 || few > 300 || many < 1 || many > 20 || lines < 25 || lines > 80 || dead < 1 {
		t.Error(few, many, lines, dead)
	}
	for i := range a.Faults {
		f := &a.Faults[i]
		if f.At < 0 || f.At > o.For || i > 0 && f.At < a.Faults[i-1].At {
			t.Error(f)
		}
	}
}

// The same day of the same site is the same, byte by byte; a week has the rhythm of
// shops.
func TestDay(t *testing.T) {
	t.Parallel()
	s := Site{ID: "a", Questions: 200, Zone: -5 * time.Hour}
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	bytesOf := func(place int, d time.Time) []byte {
		w, err := s.window(9, place, d)
		if err != nil || w == nil {
			t.Fatal(w, err)
		}
		b, err := w.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if r, err := fleet.ReadWindow(b); err != nil || r.Questions != w.Questions {
			t.Fatal(r, err)
		}
		return b
	}
	if !bytes.Equal(bytesOf(1, monday), bytesOf(1, monday)) {
		t.Error("a day that is made again is another")
	}
	if bytes.Equal(bytesOf(1, monday), bytesOf(2, monday)) {
		t.Error("two sites have the same day")
	}
	wed, sat, sun := s.expected(monday.AddDate(0, 0, 2)), s.expected(monday.AddDate(0, 0, 5)), s.expected(monday.AddDate(0, 0, 6))
	if wed < 190 || wed > 210 || sat > 0.7*wed || sun > 0.4*wed || sun == 0 {
		t.Error(wed, sat, sun)
	}
	// In Tokyo's zone much of a Monday is on Sunday's date in UTC.
	s.Zone = 14 * time.Hour
	if e := s.expected(monday.AddDate(0, 0, -1)); e < 0.25*wed {
		t.Error(e)
	}
	quiet := Site{ID: "b", Questions: 3}
	if w, err := quiet.window(1, 1, monday); w != nil || err != nil {
		t.Error("three questions left a site", err)
	}
}

// Interrupted, it tells what there is.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	o := small(4)
	o.Sites, o.For, o.Speed, o.Faults = 4, time.Hour, 24, nil
	rep, err := Simulate(ctx, Run{Options: o, Work: t.TempDir(), Command: command, Readers: readers(), Progress: func(p Progress) {
		if p.Phase == "days" {
			stop()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Interrupted || rep.Phase != "days" || rep.Enrolled == nil || rep.Rest == nil || rep.Counted == nil || rep.Counted.Lost != 0 || rep.Counted.Twice != 0 {
		t.Errorf("%+v %+v", rep, rep.Counted)
	}
}

// A site that is opening holds up neither what its process tells nor the faults of others;
// until it is open it is told of as it was.
func TestNobodyWaitsForASiteThatOpens(t *testing.T) {
	t.Parallel()
	o := small(1)
	w := &worker{set: &setup{Options: o}, plan: NewPlan(o), haves: map[int64]*having{}, codes: map[string]int64{}, acks: newSketch()}
	for i := range 2 {
		w.sites = append(w.sites, &site{w: w, place: i, plan: &w.plan.Sites[i], holds: 7, due: make(chan struct{}, 1)})
	}
	if n := w.stand().hold(7); n != 2 {
		t.Fatalf("%d sites have it", n)
	}
	w.sites[0].mu.Lock() // it opens
	w.sites[1].holds = 8
	done := make(chan *told)
	go func() {
		w.do(t.Context(), &order{Do: doFault, Fault: &Fault{Kind: Cut, Sites: []int{0}}})
		done <- w.stand()
	}()
	select {
	case s := <-done:
		if s.hold(7) != 2 || s.hold(8) != 1 || s.hold(9) != 0 || s.Sites != 2 {
			t.Errorf("%+v", s)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits")
	}
}
