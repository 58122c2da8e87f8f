package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"rxedge/daemon/rollout"
	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
	"rxedge/sync/relay"
	"rxedge/sync/spool"
	"rxedge/sync/uplink"
)

// site is one site of the fleet: the link, spool and receiver of a box, and in the place
// of its index and models what they would come to.
type site struct {
	w     *worker
	place int
	plan  *Site
	id    *enroll.Identity

	poke chan struct{} // there is news
	due  chan struct{} // of the days

	mu    sync.Mutex // of what follows
	r     *bundle.Receiver
	sp    *spool.Spool
	up    *uplink.Uplink
	line  *relay.Line
	sent  int64 // of uplinks before this one
	in    int64
	out   int64
	day   time.Time // the first that is not sent yet
	state rollout.SiteState
	heard string // state as it was told
	holds int64  // the newest bundle that it has, or had until it went back

	last figures // as they were when the site was not busy; of the telling alone

	restarting sync.Mutex
	life       context.CancelFunc
	wg         sync.WaitGroup
}

// report of a step of a bundle at a site.
type report struct {
	Bundle int64        `json:"bundle"`
	Pair   string       `json:"pair"`
	Slot   rollout.Slot `json:"slot"`
	At     time.Time    `json:"at"`
	Check  string       `json:"check,omitempty"`
	Reason string       `json:"reason,omitempty"`
}

// clock of the box beside that of this machine, for certificates and signed metadata.
func (s *site) clock() time.Time {
	if s.plan.Dead {
		return time.Unix(0, 0).Add(time.Since(s.w.began))
	}
	return time.Now().Add(s.plan.Clock)
}

func (s *site) folder() string { return filepath.Join(s.w.set.Folder, s.plan.ID) }

// open what the site keeps, and connect. Where the machine is too busy for it, it is
// tried again, as a service manager would.
func (s *site) open(ctx context.Context) (err error) {
	for range 10 {
		if err = s.begin(ctx); err == nil || ctx.Err() != nil {
			break
		}
		s.w.errs.Add(1)
		pause(ctx, time.Second)
	}
	return err
}

func (s *site) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == nil && s.plan.Line {
		l, err := relay.New(s.w.set.Hubs[s.place%len(s.w.set.Hubs)])
		if err != nil {
			return err
		}
		if s.line = l; s.plan.Slow {
			l.Slow(64_000/8, 300*time.Millisecond)
		}
	}
	id := *s.id
	id.Hubs = s.w.set.Hubs
	if s.line != nil {
		id.Hubs = []string{s.line.Address()}
	}
	var err error
	s.sp, err = spool.Open(filepath.Join(s.folder(), "spool"), spool.Options{MaxBytes: 16 << 20})
	if err != nil {
		return err
	}
	s.r, err = bundle.Open(filepath.Join(s.folder(), "bundles"), bundle.Config{Channel: id.Channel, Site: id.Site, Root: id.Root, Least: id.Floor, Issued: id.Issued, Now: s.clock,
		Event: func(e bundle.Event) {
			if b, err := json.Marshal(e); err == nil {
				s.put(spool.High, "bundle", b, time.Time{})
			}
		}})
	if err == nil {
		s.held()
		s.up, err = uplink.Start(uplink.Options{Identity: &id, Spool: s.sp, Now: s.r.Now, Acknowledged: s.w.acknowledged, News: func() {
			select {
			case s.poke <- struct{}{}:
			default:
			}
		}})
	}
	if err != nil {
		return errors.Join(err, s.sp.Close())
	}
	s.heard = "" // whoever comes back tells again
	var life context.Context
	life, s.life = context.WithCancel(ctx)
	s.wg.Go(func() { s.run(life) })
	return nil
}

// close in good order; what waits stays in the spool.
func (s *site) close() {
	s.mu.Lock()
	life, up, sp := s.life, s.up, s.sp
	s.mu.Unlock()
	if life == nil {
		return
	}
	life()
	s.wg.Wait()
	st := up.Link()
	up.Close()
	s.mu.Lock()
	s.sent, s.in, s.out = s.sent+int64(st.Sent), s.in+st.BytesIn, s.out+st.BytesOut
	s.up, s.life = nil, nil
	s.mu.Unlock()
	if err := sp.Close(); err != nil {
		s.w.trouble(s, err)
	}
}

// put a message for the centre into the spool, and note that it is there. ok: both.
func (s *site) put(class spool.Class, kind string, data []byte, day time.Time) (ok bool) {
	id, err := s.sp.Put(context.Background(), class, kind, data)
	if err == nil {
		err = s.w.ledger.note(entry{Site: s.place, Kind: kind, ID: id, Day: day})
	}
	if err != nil {
		s.w.trouble(s, fmt.Errorf("a %s for the centre: %w", kind, err))
		return false
	}
	s.w.put.Add(1)
	return true
}

const (
	spread = 500 * time.Millisecond // as a box waits after news
	retry  = time.Second
	// lookEvery is how often a box looks where no news came; the simulated ones come no
	// closer together than leastLook, as a hub would be asked faster than any is.
	lookEvery = 15 * time.Minute
	leastLook = 30 * time.Second
)

// run is what daemon/box's loop does, until ctx ends.
func (s *site) run(ctx context.Context) {
	never := time.Hour
	wait := never
	var ends time.Time // of watching
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-s.due:
			t.Stop()
			s.days(ctx)
			continue
		case <-s.poke:
			t.Stop()
			pause(ctx, rand.N(spread))
		}
		err := s.look(ctx, &ends)
		switch every := s.w.lookEvery(); {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.w.refused(s, err)
			if wait = retry; bundle.CodeOf(err) != "" {
				wait = time.Minute
			}
		case !ends.IsZero():
			wait = max(time.Until(ends), 0)
		case every == 0:
			wait = never
		default:
			wait = every/2 + rand.N(every)
		}
	}
}

// look for what is new, take it, and tell.
func (s *site) look(ctx context.Context, ends *time.Time) error {
	if err := s.judge(ends); err != nil {
		return err
	}
	var err error
	if s.up.Link().Connected {
		var res bundle.Result
		if ends.IsZero() {
			if res, err = s.r.Pull(ctx, s.up.Source()); res.Staged != 0 {
				s.mu.Lock()
				s.holds = max(s.holds, res.Staged)
				s.mu.Unlock()
				s.w.have(res.Staged, res.Bytes)
				*ends = s.offer(res.Staged)
			}
		} else { // on trial: nothing newer is fetched, but the centre may call it back
			err = s.r.Refresh(ctx, s.up.Source())
		}
		s.w.looks.Add(1)
	}
	s.tell()
	return err
}

// offer a bundle that came: it is checked, and watched until then.
func (s *site) offer(number int64) time.Time {
	for _, slot := range []rollout.Slot{rollout.Staged, rollout.Validated, rollout.Provisional} {
		s.step(number, slot, "")
	}
	return time.Now().Add(s.w.set.Options.watching())
}

// judge the bundle that was watched, when that is over.
func (s *site) judge(ends *time.Time) error {
	st, err := s.r.Staged()
	switch {
	case err != nil:
		return err
	case st == nil:
		*ends = time.Time{}
		return nil
	case ends.IsZero(): // as after a start
		*ends = s.offer(st.Number)
		return nil
	case time.Now().Before(*ends):
		return nil
	}
	*ends = time.Time{}
	if s.rollsBack(st.Number) {
		s.step(st.Number, rollout.RolledBack, "too many of its answers were doubted")
		s.r.Reject(st.Number, &bundle.Error{Code: bundle.RolledBack, Reason: "too many of its answers were doubted"})
		s.w.rolledBack.Add(1)
		return nil
	}
	if err := s.r.Activate(st.Number); err != nil {
		return err
	}
	s.step(st.Number, rollout.Confirmed, "")
	s.w.confirmed.Add(1)
	return nil
}

// rollsBack follows from the seed, the site and the bundle. The first, without which
// there is nothing to go back to, stays.
func (s *site) rollsBack(number int64) bool {
	o := s.w.set.Options
	rng := rand.New(rand.NewPCG(o.Seed^uint64(number)<<32, uint64(s.place)))
	return number > s.w.set.Kept && rng.Float64() < o.RollBack
}

// step of a bundle, told at once as a report and later by the state.
func (s *site) step(number int64, slot rollout.Slot, reason string) {
	now := time.Now().UTC()
	e := report{Bundle: number, Pair: fmt.Sprintf("bundle-%d", number), Slot: slot, At: now, Reason: reason}
	if reason != "" {
		e.Check = "flagged"
	}
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	s.put(spool.High, "rollout", b, time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Rollout = &rollout.SiteRollout{Bundle: number, Slot: slot, Since: now, Check: e.Check, Reason: reason}
}

// tell the centre what this site has, where it has changed.
func (s *site) tell() {
	st := s.r.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &s.state
	x.Version, x.Profile, x.Generation, x.Documents = "simulated", "simulated", "gen-000001", 0
	x.Take(st)
	if x.Rollout != nil {
		x.Rollout.Confirmed = x.Active
	}
	b, err := json.Marshal(x)
	if err != nil || string(b) == s.heard {
		return
	}
	s.heard = string(b)
	s.up.Tell(b)
}

// days that are over by this site's clock are sent.
func (s *site) days(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		day := s.day
		s.mu.Unlock()
		if !s.w.over(s.place, day) {
			return
		}
		w, err := s.plan.window(s.w.set.Options.Seed, s.place, day)
		if err != nil {
			s.w.trouble(s, err)
			return
		}
		if w != nil {
			data, err := w.MarshalBinary()
			if err == nil {
				data, err = s.id.Sign("window", data)
			}
			if err != nil {
				s.w.trouble(s, err)
				return
			}
			if !s.put(spool.Normal, "window", data, day) {
				return // it is tried again
			}
			s.w.windows.Add(1)
			s.w.questions.Add(w.Questions)
			s.w.bytes.Add(int64(len(data)))
		}
		s.mu.Lock()
		s.day = day.AddDate(0, 0, 1)
		s.mu.Unlock()
	}
}

// held notes what the site finds on its disk; s.mu is held.
func (s *site) held() {
	st := s.r.Status()
	for _, h := range []*bundle.Held{st.Active, st.Staged} {
		if h != nil {
			s.holds = max(s.holds, h.Number)
		}
	}
	for _, q := range st.Quarantine {
		s.holds = max(s.holds, q.Number)
	}
}

// figures of a site.
type figures struct {
	link          uplink.Status
	active, holds int64
	sent, in, out int64
	day           time.Time
}

// figures now; while it opens, which takes long on a busy machine, those of before.
func (s *site) figures() figures {
	if !s.mu.TryLock() {
		return s.last
	}
	f := figures{active: s.state.Active, holds: s.holds, sent: s.sent, in: s.in, out: s.out, day: s.day}
	up := s.up
	s.mu.Unlock()
	if up != nil {
		f.link = up.Link()
		f.sent, f.in, f.out = f.sent+int64(f.link.Sent), f.in+f.link.BytesIn, f.out+f.link.BytesOut
	}
	s.last = f
	return f
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
