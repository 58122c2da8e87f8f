package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"rxedge/bench/process"
	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
	"rxedge/index"
	"rxedge/sync/central"
)

// Days that are counted: as ever, and unlike before.
const (
	quietDays   = 8
	changedDays = 7
	atOnce      = 4 // sites that are started or asked at a time
)

// site is a rxedged of its own.
type site struct {
	name, data string
	d          *process.Daemon
	seed       uint64
}

const settings = "[rollout]\nwatch = \"3s\"\ndefer = \"1s\"\n[index]\ndisk_floor_mb = 0\n[cache]\nenabled = false\n"

// each site, some at a time; the first error ends it.
func (l *loop) each(ctx context.Context, do func(*site) error) error {
	sem, errs := make(chan struct{}, atOnce), make([]error, len(l.sites))
	var wg sync.WaitGroup
	for i, s := range l.sites {
		wg.Go(func() {
			sem <- struct{}{}
			defer func() { <-sem }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				if err := do(s); err != nil {
					errs[i] = fmt.Errorf("%s: %w", s.name, err)
				}
			}
		})
	}
	wg.Wait()
	return errFirst(errs...)
}

func today() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) }

func (l *loop) startSites(ctx context.Context) error {
	for i := range *sites {
		s := &site{name: fmt.Sprintf("pharmacy-%02d", i+1), seed: uint64(900 + i)}
		s.data = filepath.Join(l.dir, s.name)
		l.sites = append(l.sites, s)
	}
	for i, s := range l.sites {
		file := filepath.Join(l.dir, s.name+".enroll")
		run := l.quiet
		if i == 0 {
			run = func(ctx context.Context, given ...string) (string, error) { return l.rxedge(ctx, 0, given...) }
		}
		if _, err := run(ctx, "central", "site", "add", s.name, "--out", file); err != nil {
			return err
		}
	}
	l.say("… and so for each of the %d.", len(l.sites))
	if err := l.each(ctx, func(s *site) error {
		if err := os.MkdirAll(s.data, 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.data, "rxedge.toml"), []byte(settings), 0o600); err != nil {
			return err
		}
		if err := s.count(today().AddDate(0, 0, -changedDays), quietDays, false); err != nil {
			return err
		}
		if s == l.sites[0] {
			if _, err := l.rxedgeAt(ctx, s.data, 0, "enroll", filepath.Join(l.dir, s.name+".enroll")); err != nil {
				return err
			}
		} else if _, err := l.quietAt(ctx, s.data, "enroll", filepath.Join(l.dir, s.name+".enroll")); err != nil {
			return err
		}
		return l.start(ctx, s)
	}); err != nil {
		return err
	}
	l.say("%d of `rxedged --data pharmacy-NN` run; their settings are:", len(l.sites))
	l.output(settings, 10)
	return nil
}

func (l *loop) start(ctx context.Context, s *site) error {
	log, err := os.OpenFile(s.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.d, err = process.Start(ctx, l.daemon, s.data, process.Options{Log: log})
	return err
}

// count made-up questions of so many days before until in the site's own store.
func (s *site) count(until time.Time, days int, changed bool) error {
	s.seed += 1000
	return telemetrytest.Replay(filepath.Join(s.data, "telemetry"), s.seed, until, days, func(int) telemetrytest.Change {
		return func(rng *rand.Rand, o *telemetry.Observation) {
			o.Model, o.In[telemetry.Mode] = "", answer.ModeExtractive
			if changed && rng.Float64() < 0.5 {
				o.In[telemetry.Kind], o.In[telemetry.Section], o.In[telemetry.Class] = "renal", "88828-9", "anticoagulant"
			}
		}
	})
}

// shift what the sites were asked in the last week.
func (l *loop) shift(ctx context.Context) error {
	return l.each(ctx, func(s *site) error {
		if err := s.d.Stop(); err != nil {
			return err
		}
		if err := s.count(today(), changedDays, true); err != nil {
			return err
		}
		return l.start(ctx, s)
	})
}

// ask a site over HTTP, as a pharmacist's page does.
func (s *site) ask(ctx context.Context, text string) (*answer.Answer, error) {
	b, err := json.Marshal(map[string]string{"question": text})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.d.URL+"/v1/ask", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	a := &answer.Answer{}
	if r.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 500))
		return nil, fmt.Errorf("%s: %s", r.Status, body)
	}
	return a, json.NewDecoder(r.Body).Decode(a)
}

// askAll sites, each of which has to say want.
func (l *loop) askAll(ctx context.Context, text, want string) error {
	var mu sync.Mutex
	said := ""
	if err := l.each(ctx, func(s *site) error {
		a, err := s.ask(ctx, text)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, c := range a.Claims {
			fmt.Fprintf(&b, "%s\n", c.Text)
		}
		if !strings.Contains(b.String(), want) {
			return fmt.Errorf("its answer does not say %q: %s %s", want, a.Status, b.String())
		}
		mu.Lock()
		defer mu.Unlock()
		if said == "" || s == l.sites[0] {
			said = b.String()
		}
		return nil
	}); err != nil {
		return err
	}
	l.say("Asked of all %d sites over HTTP: *%s* Each says “%s”; %s's answer:", len(l.sites), text, want, l.sites[0].name)
	l.output(said, 8)
	return nil
}

func (s *site) control(do func(*control.Client) error) error {
	k, err := control.Dial(s.data)
	if err != nil {
		return err
	}
	defer k.Close()
	return do(k)
}

func (s *site) rollout(ctx context.Context) (st box.RolloutStatus, err error) {
	err = s.control(func(k *control.Client) (err error) { st, err = k.RolloutStatus(ctx); return err })
	return st, err
}

func (s *site) generation(ctx context.Context) (g index.GenerationInfo, err error) {
	err = s.control(func(k *control.Client) error {
		st, err := k.Stats(ctx)
		g = st.Generation
		return err
	})
	return g, err
}

// until it holds at every site.
func (l *loop) until(ctx context.Context, what string, most time.Duration, is func(*site) (bool, error)) error {
	began := time.Now()
	for {
		n := 0
		for _, s := range l.sites {
			ok, err := is(s)
			if err != nil {
				return err
			}
			if ok {
				n++
			}
		}
		if n == len(l.sites) {
			l.say("After %s %s.", time.Since(began).Round(time.Second), what)
			return nil
		}
		if time.Since(began) > most {
			return fmt.Errorf("%s: of %d it holds at %d after %s", what, len(l.sites), n, most)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// rolledOut waits until a rollout has ended well, and tells how its waves went.
func (l *loop) rolledOut(ctx context.Context, number int64) error {
	began, told := time.Now(), ""
	for {
		rs, err := l.folder.Rollouts()
		if err != nil {
			return err
		}
		for _, r := range rs {
			if r.Bundle != number {
				continue
			}
			if now := fmt.Sprintf("bundle %d is %s, wave %d, %d sites let in", number, r.State, r.Wave, len(r.Sites)); now != told {
				told = now
				l.say("- %s: %s", time.Since(began).Round(time.Second), now)
			}
			if l.toKill && r.Wave > 0 {
				if err := l.killNode(); err != nil {
					return err
				}
			}
			switch r.State {
			case central.RolloutDone:
				return nil
			case central.RolloutHalted, central.RolloutAborted, central.RolloutPaused:
				_, _ = l.rxedge(ctx, 0, "central", "rollout", "show", fmt.Sprint(number))
				return fmt.Errorf("bundle %d is %s: %s", number, r.State, r.Reason)
			}
		}
		if time.Since(began) > 20*time.Minute {
			return fmt.Errorf("bundle %d is not out after 20 minutes", number)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}
