package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/rollout/trial"
)

const (
	trialName = "embedder"
	// leastPairs of a site before its verdict may be to promote; the default is 200, which
	// takes this run a minute more.
	leastPairs = 60
	shown      = 25 // pairs after which the figures are shown as they come up
)

// planTrial of whatever is trained: in the shadow, no worse by more than 0.05.
func (l *loop) planTrial(ctx context.Context) error {
	l.plan = filepath.Join(l.dir, "plan.json")
	return l.steps(ctx,
		[]string{"central", "root", "key", filepath.Join(l.dir, "ann")},
		[]string{"central", "trial", "plan", l.plan, "--id", trialName, "--margin", "0.05", "--least", fmt.Sprint(leastPairs), "--capacity", "1", "--approver", "ann=" + filepath.Join(l.dir, "ann.pub")},
	)
}

// questions as pharmacies ask them.
func questions() (out []string, err error) {
	f, err := os.Open(*golden)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var q struct {
			Question string `json:"question"`
		}
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return nil, fmt.Errorf("%s: %w", *golden, err)
		}
		out = append(out, q.Question)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no questions", *golden)
	}
	return out, nil
}

// feed sites that try something with questions over HTTP, until stop is called, which says
// how many were asked.
func (l *loop) feed(ctx context.Context) (stop func() (int, error), err error) {
	all, err := questions()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	asked, errs := make([]int, len(l.sites)), make([]error, len(l.sites))
	var wg sync.WaitGroup
	for i, s := range l.sites {
		mine := slices.Clone(all) // in an order of its own
		rng := rand.New(rand.NewPCG(s.seed, 1))
		rng.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
		wg.Go(func() {
			for at := 0; ctx.Err() == nil; {
				st, err := s.rollout(ctx)
				if err != nil && ctx.Err() == nil {
					errs[i] = fmt.Errorf("%s: %w", s.name, err)
					return
				}
				if t := st.Trial; t == nil || t.Figures.Verdict.Final || t.Waiting > 8 {
					_ = sleep(ctx, 100*time.Millisecond)
					continue
				}
				for range 4 {
					if _, err := s.ask(ctx, mine[at%len(mine)]); err != nil && ctx.Err() == nil {
						errs[i] = fmt.Errorf("%s: %w", s.name, err)
						return
					}
					at++
					asked[i]++
				}
			}
		})
	}
	return func() (n int, err error) {
		cancel()
		wg.Wait()
		for _, k := range asked {
			n += k
		}
		return n, errors.Join(errs...)
	}, nil
}

// told is what the centre was told of a site's trial last.
type told struct {
	Site string `json:"site"`
	box.RolloutTrial
}

func (l *loop) told(ctx context.Context) (out []told, err error) {
	b, err := l.quiet(ctx, "central", "trial", "show", trialName, "--json")
	if err == nil {
		err = json.Unmarshal([]byte(b), &out)
	}
	return out, err
}

// tryIt: the first wave's sites try the model until their figures speak for it; then ann
// signs, and the centre brings that to the rollout's sites.
func (l *loop) tryIt(ctx context.Context, bundle int64, sum string) error {
	began, seen := time.Now(), false
	for all := []told(nil); ; {
		if time.Since(began) > 10*time.Minute {
			return fmt.Errorf("of %d trials not all are decided after 10 minutes", len(all))
		}
		for _, s := range l.sites {
			st, err := s.rollout(ctx)
			if err != nil {
				return err
			}
			if st.Trial != nil && !seen && st.Trial.Figures.Verdict.N >= shown {
				seen = true
				l.say("Its first sites ask it, unseen, what theirs has answered. How %s's trial stands after %s:", s.name, time.Since(began).Round(time.Second))
				if _, err := l.rxedgeAt(ctx, s.data, 0, "rollout", "status"); err != nil {
					return err
				}
			}
		}
		wave, err := l.letIn(bundle)
		if err != nil {
			return err
		}
		if all, err = l.told(ctx); err != nil {
			return err
		}
		decided := 0
		for _, t := range all {
			v := t.Figures.Verdict
			if v.Final && v.Decision != trial.Promote {
				_, _ = l.rxedge(ctx, 0, "central", "trial", "show")
				return fmt.Errorf("%s's verdict is %s: %s", t.Site, v.Decision, v.Reason)
			}
			if v.Final {
				decided++
			}
		}
		if wave > 0 && decided == wave {
			l.say("After %s the figures of the first wave's %d sites speak for it. It serves nowhere:", time.Since(began).Round(time.Second), wave)
			return l.approve(ctx, bundle, sum, all[0].From, all[0].To)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// letIn is how many sites the waves of a bundle's rollout have let in.
func (l *loop) letIn(bundle int64) (int, error) {
	rs, err := l.folder.Rollouts()
	for _, r := range rs {
		if r.Bundle == bundle {
			return len(r.Sites), err
		}
	}
	return 0, err
}

func (l *loop) approve(ctx context.Context, bundle int64, sum, from, to string) error {
	for _, s := range l.sites {
		g, err := s.generation(ctx)
		if err != nil {
			return err
		}
		if g.Embedder.SHA256 == sum {
			return fmt.Errorf("%s searches by it before anybody has signed", s.name)
		}
	}
	file := filepath.Join(l.dir, "approval.json")
	return l.steps(ctx,
		[]string{"central", "trial", "show"},
		[]string{"central", "trial", "approve", file, "--trial", trialName, "--from", from, "--to", to, "--as", "ann", "--key", filepath.Join(l.dir, "ann.key")},
		[]string{"central", "rollout", "promote", fmt.Sprint(bundle), "--approval", file, "--as", "ann", "--note", "no worse, and it finds what is asked now"},
	)
}
