package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/rollouttest"
)

// site is a box whose CURRENT lies on the same disk as the journal.
type site struct {
	fs      *rollouttest.Power
	serves  rollout.Pair // in memory
	held    bool
	asked   func(rollout.Pair)
	current string // generation, as CURRENT has it
}

const currentFile = "/index/CURRENT"

func (s *site) boot() {
	b, err := s.fs.ReadFile(currentFile)
	if err != nil {
		b = []byte("gen-0")
	}
	s.current = string(b)
	s.serves = rollout.Pair{Generation: s.current}
}

func (s *site) Current() rollout.Pair {
	return rollout.Pair{Generation: s.current, Model: rollout.File{Name: "m-0"}}
}

func (s *site) Idle(context.Context, time.Duration) {}

func (s *site) ask() {
	if s.asked != nil && !s.fs.Cut() && s.serves.Model.Name != "" { // questions come after the start
		s.asked(s.serves)
	}
}

func (s *site) Serve(_ context.Context, p rollout.Pair) error {
	s.ask()
	s.serves, s.held = p, true
	s.ask()
	return nil
}

func (s *site) Return(_ context.Context, p rollout.Pair) error {
	s.ask()
	p.Generation = s.current
	s.serves, s.held = p, false
	s.ask()
	return nil
}

func (s *site) Settle(_ context.Context, p rollout.Pair) error {
	s.ask()
	if s.current != p.Generation {
		tmp := currentFile + ".tmp"
		f, err := s.fs.Append(tmp)
		if err == nil {
			err = f.Truncate(0)
		}
		if err == nil {
			_, err = f.Write([]byte(p.Generation))
		}
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = s.fs.Rename(tmp, currentFile)
		}
		if err == nil {
			err = s.fs.SyncDir(filepath.Dir(currentFile))
		}
		if err != nil {
			return err
		}
		s.current = p.Generation
	}
	s.serves, s.held = p, false
	s.ask()
	return nil
}

// run is one life of a box through all that can happen to pairs.
type run struct {
	t    testing.TB
	fs   *rollouttest.Power
	site *site
	m    *rollout.Manager
	now  time.Time
	// sure is the pair that was confirmed last with the call returned; maybe is the
	// one that a call under way would make so.
	sure, maybe string
	asked       int
}

// models by generation, so that a mixture is seen.
func pairOf(n int) (generation, model string) {
	return fmt.Sprintf("gen-%d", n), fmt.Sprintf("m-%d", n)
}

func (r *run) start() error {
	r.site = &site{fs: r.fs}
	r.site.boot()
	m, err := rollout.Open(rollout.Config{Dir: "/rollout", FS: r.fs, Now: func() time.Time { return r.now }})
	if err != nil {
		return err
	}
	r.m = m
	r.site.asked = func(p rollout.Pair) {
		r.asked++
		g, ok := strings.CutPrefix(p.Generation, "gen-")
		if mo, _ := strings.CutPrefix(p.Model.Name, "m-"); !ok || mo != g {
			r.t.Errorf("a mixture answered: %s with %s", p.Generation, p.Model.Name)
		}
	}
	if err := m.Recover(context.Background(), r.site); err != nil {
		return err
	}
	if r.site.serves.Model.Name == "" { // the first start
		r.site.serves = r.site.Current()
	}
	return nil
}

func (r *run) offer(n int, watch time.Duration, bad bool) error {
	g, model := pairOf(n)
	if watch == 0 && !bad {
		r.maybe = g
	}
	_, err := r.m.Offer(context.Background(), rollout.Offer{ID: fmt.Sprintf("bundle-%d", n), Bundle: int64(n), Watch: watch,
		Prepare: func(context.Context) (rollout.Pair, []rollout.Version, error) {
			return rollout.Pair{Generation: g, Base: r.site.current, Model: rollout.File{Name: model, SHA256: model}},
				[]rollout.Version{{Kind: rollout.KindModel, Name: model, SHA256: model}}, nil
		},
		Validate: func(context.Context, rollout.Pair) (rollout.Verdict, error) {
			return rollout.Verdict{Pass: !bad, Checks: []rollout.Check{{Name: "golden_ndcg", Pass: !bad}}}, nil
		}})
	if err == nil && watch == 0 {
		r.sure = g
	}
	return err
}

// life: confirmed after a watch, rolled back by a trigger, confirmed at once,
// rolled back after that by a person, refused.
func (r *run) life(from int) error {
	if err := r.offer(from+1, time.Minute, false); err != nil {
		return err
	}
	r.now = r.now.Add(2 * time.Minute)
	r.maybe, _ = pairOf(from + 1)
	if err := r.m.Tick(context.Background(), nil); err != nil {
		return err
	}
	r.sure = r.maybe
	if err := r.offer(from+2, time.Minute, false); err != nil {
		return err
	}
	if err := r.m.Tick(context.Background(), &rollout.Check{Name: "error_rate"}); err != nil {
		return err
	}
	if err := r.offer(from+3, 0, false); err != nil {
		return err
	}
	r.maybe, _ = pairOf(from + 1)
	if _, err := r.m.Rollback(context.Background(), "somebody", "", "", false); err != nil {
		return err
	}
	r.sure = r.maybe
	var no *rollout.RefusedError
	if err := r.offer(from+4, 0, true); !errors.As(err, &no) {
		return err
	}
	return nil
}

func life(t testing.TB, fs *rollouttest.Power) *run {
	r := &run{t: t, fs: fs, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), sure: "gen-0"}
	r.maybe = r.sure
	return r
}

// The power is cut at every operation of the journal and of CURRENT, with nothing
// or half of it done, and what was not synced lost, torn or there. Each time the
// last confirmed pair serves, no question was answered by a mixture, and the box
// goes on. RXEDGE_CUTS is how often each is cut, RXEDGE_SEED repeats a run.
func TestPowerCutAtEveryWrite(t *testing.T) {
	t.Parallel()
	each := 4
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_CUTS")); err == nil {
		each = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("RXEDGE_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("RXEDGE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	whole := life(t, rollouttest.NewPower())
	if err := errors.Join(whole.start(), whole.life(0)); err != nil {
		t.Fatal(err)
	}
	ops := whole.fs.Ops()
	cuts, asked, again := 0, 0, 0
	for n := 1; n <= ops; n++ {
		for k := range each {
			r := life(t, rollouttest.NewPower())
			r.fs.CutAt(n, k%2 == 1)
			err := r.start()
			if err == nil {
				err = r.life(0)
			}
			if !errors.Is(err, rollouttest.ErrCut) {
				t.Fatalf("operation %d: %v", n, err)
			}
			cuts++
			// The start after it may be cut, too.
			for tries := 0; ; tries++ {
				r.fs = r.fs.Reboot(rnd)
				if tries < 2 && rnd.IntN(2) == 0 {
					r.fs.CutAt(1+rnd.IntN(6), rnd.IntN(2) == 0)
				}
				if err = r.start(); err == nil && !r.fs.Cut() {
					break
				}
				if !errors.Is(err, rollouttest.ErrCut) {
					t.Fatalf("operation %d: the start after it: %v", n, err)
				}
				again++
			}
			s := r.m.State()
			got := r.site.serves
			if got.Generation != r.sure && got.Generation != r.maybe {
				t.Fatalf("operation %d: %s serves; confirmed was %s, on its way %s", n, got.Generation, r.sure, r.maybe)
			}
			if r.site.held || s.Unsettled || s.Candidate != nil && s.Candidate.Slot == rollout.Provisional {
				t.Fatalf("operation %d: after the start: %+v", n, s)
			}
			if got.Generation != s.Confirmed.Generation || r.site.current != got.Generation || got.Model.Name != "m"+strings.TrimPrefix(got.Generation, "gen") {
				t.Fatalf("operation %d: %+v serves, CURRENT %s, confirmed %+v", n, got, r.site.current, s.Confirmed)
			}
			r.fs.CutAt(1<<30, false)
			if err := r.life(10); err != nil {
				t.Fatalf("operation %d: afterwards: %v", n, err)
			}
			if r.site.serves.Generation != "gen-11" {
				t.Fatalf("operation %d: afterwards %+v serves", n, r.site.serves)
			}
			asked += r.asked
		}
	}
	t.Logf("%d operations of the journal and of CURRENT; %d power cuts, %d more in the starts after them; %d questions, each by one pair", ops, cuts, again, asked)
}
