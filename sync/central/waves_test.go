package central_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// fleet is a centre, a hub in a process of its own, and sites with real uplinks
// and receivers; what comes of a bundle at a site is made up by outcome.
type fleet struct {
	*central.Folder
	dir   string
	sites map[string]*simSite
	// outcome of a bundle at a site: confirmed, rolled_back, not_validated.
	outcome func(site string, number int64) string

	mu       sync.Mutex
	manifest map[string]int64      // by its name at the hub
	chunks   map[bundle.Hash]int64 // by the bundle that brought it
}

// simSite is one site. Its uplink runs while it is on.
type simSite struct {
	f    *fleet
	id   *enroll.Identity
	r    *bundle.Receiver
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	fetched map[int64]int // manifests and chunks, by bundle
	told    atomic.Int64  // bundles of which it has told how they ended
}

func startFleet(t *testing.T, sites int) *fleet {
	t.Helper()
	addr := synctest.FreePort(t)
	// The disks of so many sites are one here: in memory, where there is room.
	dir, err := os.MkdirTemp("/dev/shm", "rxedge-fleet-*")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := central.Init(filepath.Join(dir, "central"), central.InitOptions{Name: "waves", Hubs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := c.WriteNode(filepath.Join(c.Dir, "hub"), central.Node{Number: 1, Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	hub := exec.Command(os.Args[0])
	hub.Env, hub.Stderr = append(os.Environ(), asHub+"="+conf), os.Stderr
	hub.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hub.Process.Kill(); _ = hub.Wait() })
	ctx, stop := context.WithCancel(context.Background())
	served, ready := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(served)
		_ = c.Serve(ctx, nil, slog.New(slog.DiscardHandler), func() { close(ready) })
	}()
	t.Cleanup(func() { stop(); <-served })
	<-ready
	f := &fleet{Folder: c, dir: dir, sites: map[string]*simSite{}, manifest: map[string]int64{}, chunks: map[bundle.Hash]int64{}}
	for i := range sites {
		f.add(t, fmt.Sprintf("site-%03d", i))
	}
	t.Cleanup(func() {
		for _, s := range f.sites {
			s.off()
		}
	})
	return f
}

func (f *fleet) add(t *testing.T, name string) *simSite {
	t.Helper()
	id := f.Grant(t, name)
	r, err := bundle.Open(filepath.Join(f.dir, name), bundle.Config{Channel: "stable", Site: name, Root: id.Root, Least: id.Floor, Issued: id.Issued})
	if err != nil {
		t.Fatal(err)
	}
	f.sites[name] = &simSite{f: f, id: id, r: r, fetched: map[int64]int{}}
	return f.sites[name]
}

// publish gives the hub a bundle, and remembers what of it is new.
func (f *fleet) publish(t *testing.T, text string, hold bool) int64 {
	t.Helper()
	p, err := f.Publish(central.Release{Channel: "stable", Hold: hold, Who: "ann", Documents: docs(map[string]string{"a": text})})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.manifest[manifestOf(t, f.Latest(t))] = p.Number
	for h := range f.Chunks(t) {
		if _, old := f.chunks[h]; !old {
			f.chunks[h] = p.Number
		}
	}
	f.mu.Unlock()
	nc, err := f.Connect(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := f.Push(t.Context(), nc, nil); err != nil {
		t.Fatal(err)
	}
	return p.Number
}

// counted is the hub, which counts what a site fetches of which bundle.
type counted struct {
	bundle.Source
	s *simSite
}

func (c counted) note(n int64, ok bool) {
	if ok {
		c.s.mu.Lock()
		c.s.fetched[n]++
		c.s.mu.Unlock()
	}
}

func (c counted) Metadata(ctx context.Context, name string, most int64) ([]byte, error) {
	c.s.f.mu.Lock()
	n, ok := c.s.f.manifest[name]
	c.s.f.mu.Unlock()
	c.note(n, ok)
	return c.Source.Metadata(ctx, name, most)
}

func (c counted) Chunk(ctx context.Context, h bundle.Hash) ([]byte, error) {
	c.s.f.mu.Lock()
	n, ok := c.s.f.chunks[h]
	c.s.f.mu.Unlock()
	c.note(n, ok)
	return c.Source.Chunk(ctx, h)
}

func (s *simSite) fetches(n int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched[n]
}

func (s *simSite) active() int64 {
	if a := s.r.Status().Active; a != nil {
		return a.Number
	}
	return 0
}

// on starts its uplink, as a box that is switched on.
func (s *simSite) on(t *testing.T) {
	if s.stop != nil {
		return
	}
	news := make(chan struct{}, 1)
	u, err := uplink.Start(uplink.Options{Identity: s.id, Now: s.r.Now, News: func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Error(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.done = stop, make(chan struct{})
	go func() {
		defer close(s.done)
		defer u.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-news:
			}
			for ctx.Err() == nil && s.turn(ctx, u) != nil {
				time.Sleep(50 * time.Millisecond)
			}
		}
	}()
}

func (s *simSite) off() {
	if s.stop != nil {
		s.stop()
		<-s.done
		s.stop = nil
	}
}

// turn is what a box does when it hears of something new.
func (s *simSite) turn(ctx context.Context, u *uplink.Uplink) error {
	if _, err := s.r.Pull(ctx, counted{u.Source(), s}); err != nil {
		return err
	}
	var told map[string]any
	slot := func(n int64, slot string) {
		told = map[string]any{"bundle": n, "slot": slot}
		s.tell(u, told)
	}
	if n := s.active(); s.r.Gate(n).Rollback {
		err := s.r.Revert(n, &bundle.Error{Code: bundle.RolledBack, Reason: "the centre took it back"})
		if err != nil && !errors.Is(err, bundle.ErrNoPrevious) {
			return err
		}
		slot(n, "rolled_back")
	}
	st, err := s.r.Staged()
	if err != nil || st == nil {
		s.tell(u, told)
		return err
	}
	slot(st.Number, "provisional")
	is := "confirmed"
	if s.f.outcome != nil {
		is = s.f.outcome(s.id.Site, st.Number)
	}
	if is == "confirmed" {
		err = s.r.Activate(st.Number)
	} else {
		s.r.Reject(st.Number, &bundle.Error{Code: bundle.Code(is), Reason: "grounded is 0.61, 0.87 before"})
		is = "rolled_back"
	}
	slot(st.Number, is)
	s.told.Add(1)
	return err
}

func (s *simSite) tell(u *uplink.Uplink, rollout map[string]any) {
	st := s.r.Status()
	v := map[string]any{"active": s.active(), "quarantine": st.Quarantine}
	if rollout != nil {
		v["rollout"] = rollout
	}
	b, _ := json.Marshal(v)
	u.Tell(b)
}

// control runs the controller until the test, or stop, ends it.
func (f *fleet) control(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- f.RunRollouts(ctx, central.RunOptions{Who: "controller", Every: 50 * time.Millisecond})
	}()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (f *fleet) standing(t testing.TB, n int64) *central.Rollout {
	t.Helper()
	rs, err := f.Rollouts()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		if r.Bundle == n {
			return r
		}
	}
	t.Fatal("there is no rollout of", n)
	return nil
}

// reach waits until a rollout is in a state and a wave.
func (f *fleet) reach(t testing.TB, n int64, state central.RolloutState, wave int) *central.Rollout {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r := f.standing(t, n)
		if r.State == state && r.Wave == wave {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("bundle %d is not %s in wave %d: %+v", n, state, wave, r)
		}
	}
}

// have waits until those sites have a bundle active.
func (f *fleet) have(t testing.TB, n int64, sites []string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		left := slices.DeleteFunc(slices.Clone(sites), func(s string) bool { return f.sites[s].active() == n })
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d sites do not have %d, such as %s with %d: %+v", len(left), len(sites), n, left[0], f.sites[left[0]].active(), f.sites[left[0]].r.Status())
		}
	}
}

// touched are the sites that have fetched anything of a bundle.
func (f *fleet) touched(n int64) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(f.sites)) {
		if f.sites[name].fetches(n) > 0 {
			out = append(out, name)
		}
	}
	return out
}

func quickPlan(change func(*central.Plan)) central.Plan {
	p := central.DefaultPlan()
	p.Soak, p.AbortIf = central.Duration(100*time.Millisecond), []central.Condition{{Metric: central.MetricRolledBack, Above: 2}}
	change(&p)
	return p
}

// Many sites on one hub. RXEDGE_WAVE_SITES=200 is the long run.
func TestWaves(t *testing.T) {
	total := number("RXEDGE_WAVE_SITES", 24)
	f := startFleet(t, total)
	by := central.By{Who: "ann", Reason: "as agreed"}
	must := func(r *central.Rollout, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.PushGates(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	all := slices.Sorted(maps.Keys(f.sites))
	one := f.publish(t, "one", false)
	for _, s := range all {
		f.sites[s].on(t)
	}
	f.have(t, one, all)
	asleep, awake := all[:total/10], all[total/10:] // some are off from here
	for _, s := range asleep {
		f.sites[s].off()
	}
	stop := f.control(t)
	defer func() { stop() }()

	// A bundle that every site rolls back.
	f.outcome = func(_ string, n int64) string {
		if n == 2 {
			return "rolled_back"
		}
		return "confirmed"
	}
	two := f.publish(t, "two, shuffled "+strings.Repeat("x", 5000), true)
	began := time.Now()
	must(f.CreateRollout("stable", two, quickPlan(func(*central.Plan) {}), by))
	r := f.reach(t, two, central.RolloutHalted, 1)
	halted := time.Since(began)
	wave := len(r.Sites)
	if want := max(1, (total*5+99)/100); wave != want {
		t.Fatalf("%d sites in the wave, want %d", wave, want)
	}
	letIn, touched := r.Sites, f.touched(two)
	for _, s := range touched {
		if !slices.Contains(r.Sites, s) {
			t.Errorf("%s is not of the wave, and fetched of it", s)
		}
	}
	t.Logf("%d sites: halted %v after it was created; %d sites of the wave, %d of them fetched anything of it, 0 of the other %d: %s", total, halted.Round(time.Millisecond), wave, len(touched), total-wave, r.Reason)

	// Going back: aborted, nobody has it; the next is built on what was before.
	must(f.AbortRollout("stable", two, true, by))
	f.have(t, one, awake)

	// A good one, with a person's word between the waves.
	three := f.publish(t, "three", true)
	must(f.CreateRollout("stable", three, quickPlan(func(p *central.Plan) { p.ApproveEach, p.Waves = true, []float64{5, 50, 100} }), by))
	f.reach(t, three, central.RolloutAwaiting, 1)
	must(f.ApproveRollout("stable", three, by))
	f.reach(t, three, central.RolloutAwaiting, 2)
	must(f.PauseRollout("stable", three, by))
	before := f.touched(three)
	for _, s := range asleep[:1] { // one of the wave, or not: paused, it gets nothing
		f.sites[s].on(t)
	}
	f.reach(t, three, central.RolloutPaused, 2)
	must(f.ResumeRollout("stable", three, by))
	r = f.reach(t, three, central.RolloutAwaiting, 2)
	for _, s := range f.touched(three) {
		if !slices.Contains(r.Sites, s) {
			t.Errorf("%s is not of the wave, and fetched of it", s)
		}
	}
	t.Logf("two of three waves, paused and resumed: %d sites let in, %d fetched of it (%d before the pause)", len(r.Sites), len(f.touched(three)), len(before))
	must(f.ApproveRollout("stable", three, by))
	f.reach(t, three, central.RolloutAwaiting, 3)
	must(f.ApproveRollout("stable", three, by))
	f.reach(t, three, central.RolloutDone, 3)
	f.have(t, three, awake)
	// Those that were off join when they return, past what was aborted meanwhile.
	began = time.Now()
	for _, s := range asleep {
		f.sites[s].on(t)
	}
	f.have(t, three, all)
	t.Logf("%d sites that were off since bundle %d have %d %v after their return", len(asleep), one, three, time.Since(began).Round(time.Millisecond))
	// One of the first wave may have begun to fetch just as it was halted; no other ever does.
	for _, s := range f.touched(two) {
		if !slices.Contains(letIn, s) {
			t.Errorf("%s was never let in, and fetched of what was aborted", s)
		}
	}

	// One that half the sites have confirmed is taken back, by a controller that
	// was started anew, while some are off.
	four := f.publish(t, "four", true)
	must(f.CreateRollout("stable", four, quickPlan(func(p *central.Plan) { p.Waves, p.ApproveEach = []float64{50, 100}, true }), by))
	r = f.reach(t, four, central.RolloutAwaiting, 1)
	f.have(t, four, r.Sites)
	stop()
	stop = f.control(t)
	gone := r.Sites[:len(r.Sites)/5]
	for _, s := range gone {
		f.sites[s].off()
	}
	began = time.Now()
	must(f.AbortRollout("stable", four, true, by))
	f.have(t, three, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(gone, s) }))
	back := time.Since(began)
	f.have(t, four, gone)
	for _, s := range gone {
		f.sites[s].on(t)
	}
	f.have(t, three, all)
	if got := f.touched(four); len(got) > len(r.Sites) {
		t.Errorf("%d sites fetched of it", len(got))
	}
	fresh := f.add(t, "site-fresh")
	fresh.on(t)
	f.have(t, three, []string{"site-fresh"})
	t.Logf("%d sites that had bundle %d are back on %d after %v; %d that were off went back on their return", len(r.Sites)-len(gone), four, three, back.Round(time.Millisecond), len(gone))

	trail, err := f.Audit()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(trail)
	if err != nil {
		t.Fatal(err)
	}
	checked, err := f.VerifyAudit(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the trail: %d signed records, %d bytes", checked.Records, len(b))
}

// The controller is killed again and again while rollouts go on, one after another:
// each ends as it would have, with one record for each step. RXEDGE_WAVE_KILLS=60 is
// the long run.
func TestControllerKilled(t *testing.T) {
	t.Parallel()
	kills := number("RXEDGE_WAVE_KILLS", 4)
	f := startFleet(t, 6)
	all := slices.Sorted(maps.Keys(f.sites))
	one := f.publish(t, "one", false)
	for _, s := range all {
		f.sites[s].on(t)
	}
	f.have(t, one, all)
	seed := uint64(number("RXEDGE_TEST_SEED", 1))
	rnd := rand.New(rand.NewPCG(seed, 0))
	killed, rollouts := 0, 0
	for killed < kills {
		rollouts++
		n := f.publish(t, fmt.Sprintf("rollout %d", rollouts), true)
		if _, err := f.CreateRollout("stable", n, quickPlan(func(p *central.Plan) { p.Waves = []float64{10, 40, 70, 100} }), central.By{Who: "ann"}); err != nil {
			t.Fatal(err)
		}
		for f.standing(t, n).State != central.RolloutDone {
			cmd := exec.Command(os.Args[0])
			cmd.Env, cmd.SysProcAttr = append(os.Environ(), asRoll+"="+f.Dir), &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if killed < kills {
				time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond) // the moment of the kill, not a wait
				killed++
			} else {
				f.reach(t, n, central.RolloutDone, 4)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		stop := f.control(t) // gives the hub what the killed one may have left
		f.have(t, n, all)
		stop()
	}
	trail, err := f.Audit()
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, s := range trail {
		var c central.Record
		if err := json.Unmarshal(s.Record, &c); err != nil {
			t.Fatal(err)
		}
		acts = append(acts, string(c.Action))
	}
	once := "hold create open settle advance settle advance settle advance settle finish"
	if got := strings.Join(acts, " "); got != strings.TrimSpace(strings.Repeat(once+" ", rollouts)) {
		t.Errorf("killed %d times in %d rollouts: %s", killed, rollouts, got)
	}
	t.Logf("killed %d times in %d rollouts, each of them: %s", killed, rollouts, once)
}
