package central

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// ErrController: there is one already.
var ErrController = errors.New("a controller of rollouts runs on this folder already")

// Standing of a rollout: where it is, what its sites have told, what comes next.
type Standing struct {
	*Rollout
	Waves   int      `json:"waves"`
	Share   float64  `json:"share,omitempty"` // of the wave, in percent
	Figures *Figures `json:"figures,omitempty"`
	Next    string   `json:"next,omitempty"`
}

func standing(r *Rollout, h *heard, now time.Time) Standing {
	s := Standing{Rollout: r}
	if r.Plan != nil {
		s.Waves = len(r.Plan.Waves)
		if r.Wave > 0 {
			s.Share = r.Plan.Waves[r.Wave-1]
		}
	}
	if h == nil {
		_, s.Next = r.decide(&Figures{}, now)
		return s
	}
	s.Figures = h.figures(r, now)
	do, why := r.decide(s.Figures, now)
	s.Next = cmp.Or(why, string(do))
	if do != "" {
		s.Next = "the controller is to " + string(do)
	}
	return s
}

// RunOptions of RunRollouts.
type RunOptions struct {
	Hubs  []string
	Every time.Duration // at most between two looks; 0: 5 s
	Who   string
	Once  bool // look once, do what there is to do, and end
	Log   *slog.Logger
	// Told hears of each rollout that is not finished, or has just been, after a
	// change; nil: nobody does.
	Told func(Standing)
}

// controller of rollouts.
type controller struct {
	*listener
	opt RunOptions

	unsent bool // what is signed may not be at the hub
	told   map[string]string
}

// RunRollouts watches the sites and moves rollouts on: it opens waves, lets them
// soak, halts at once where a condition says so. All that it has to remember is
// in the trail, so it can end, or be killed, anywhere. One runs on a folder.
func (f *Folder) RunRollouts(ctx context.Context, opt RunOptions) error {
	if opt.Every == 0 {
		opt.Every = 5 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Told == nil {
		opt.Told = func(Standing) {}
	}
	if err := (By{Who: opt.Who}).check(); err != nil {
		return err
	}
	if err := os.MkdirAll(f.path("rollout"), 0o700); err != nil {
		return err
	}
	l, err := os.OpenFile(f.path("rollout/controller.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return ErrController
	}
	n, err := f.listen(opt.Hubs, !opt.Once)
	if err != nil {
		return err
	}
	defer n.close()
	c := &controller{listener: n, opt: opt, unsent: true, told: map[string]string{}}
	return c.run(ctx)
}

func (c *controller) run(ctx context.Context) error {
	tick := time.NewTicker(c.opt.Every)
	defer tick.Stop()
	for {
		err := c.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrAudit), c.opt.Once:
			return err
		case err != nil:
			c.opt.Log.Warn("rollouts", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.wake:
		}
	}
}

func (c *controller) look(ctx context.Context) error {
	try, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	rerr := c.readAgain(try)
	// What was heard before counts even where the hub is not read now: a halt is
	// signed here, and given to the hub as soon as that takes it, which may be before
	// all reports can be read again: a cluster that has lost a node has the one, and not
	// yet the other.
	if rerr != nil && !c.once() {
		return rerr
	}
	signed, err := c.step()
	if c.unsent = c.unsent || signed; err == nil && c.unsent && c.nc.IsConnected() {
		give, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err = c.f.pushMetadata(give, c.nc); err == nil {
			c.unsent = false
		}
	}
	return errors.Join(err, rerr)
}

// step does all that there is to do now.
func (c *controller) step() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Standing
	signed, err := c.f.stepRollouts(c.heard, c.opt.Who, func(s Standing) { all = append(all, s) })
	for _, s := range all {
		key := fmt.Sprintf("%s/%d", s.Channel, s.Bundle)
		text := fmt.Sprint(s.State, s.Wave, s.Next, s.Figures)
		if was, ok := c.told[key]; was != text && (ok || s.unfinished()) {
			c.told[key] = text
			c.opt.Told(s)
		}
	}
	return signed, err
}

// stepRollouts takes every step that is due. Killed anywhere, the next call goes
// on: what the trail has is done, and what is not signed yet is signed.
func (f *Folder) stepRollouts(h *heard, who string, tell func(Standing)) (bool, error) {
	return f.change(func(l *ledger) error {
		var errs []error
		for channel := range l.t.rolls {
			for _, r := range l.t.rolls.of(channel) {
				mine := *r
				errs = append(errs, l.advance(&mine, h, who))
				tell(standing(&mine, h, f.now()))
			}
		}
		return errors.Join(errs...)
	})
}

// advance one rollout by all the steps that are due.
func (l *ledger) advance(r *Rollout, h *heard, who string) error {
	for range 2*20 + 2 { // waves at most, each with its settling
		now := l.f.now()
		f := h.figures(r, now)
		do, why := r.decide(f, now)
		c := Record{Who: who, Action: do, Reason: why, Figures: f}
		var err error
		switch do {
		case "":
			return nil
		case ActOpen, ActAdvance:
			err = l.wave(r, c)
		case ActSettle:
			err = l.do(r, RolloutRunning, c)
		case ActSoaked:
			err = l.do(r, RolloutAwaiting, c)
		case ActHalt:
			err = l.do(r, RolloutHalted, c)
		case ActFinish:
			err = l.do(r, RolloutDone, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Standings of all rollouts. Where the hub is not reached they are without
// figures, beside the error.
func (f *Folder) Standings(ctx context.Context, hubs []string) ([]Standing, error) {
	rs, err := f.Rollouts()
	if err != nil {
		return nil, err
	}
	var h *heard
	var herr error
	if slices.ContainsFunc(rs, func(r *Rollout) bool { return len(r.Sites) > 0 }) {
		nc, err := f.Connect(hubs, false)
		if err == nil {
			defer nc.Close()
			h, err = f.hear(ctx, nc)
		}
		herr = err
	}
	out := []Standing{}
	for _, r := range rs {
		out = append(out, standing(r, h, f.now()))
	}
	return out, herr
}

// PushGates gives the hub the signed metadata alone.
func (f *Folder) PushGates(ctx context.Context, hubs []string) error {
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	return f.pushMetadata(ctx, nc)
}

// UnderWay says whether a rollout is neither done nor given up.
func (s *Standing) UnderWay() bool { return s.unfinished() }

// Steps that a person can take of a rollout as it stands.
func (s *Standing) Steps() []string {
	out := []string{}
	for _, a := range []Action{ActApprove, ActPause, ActResume, ActAbort} {
		for _, t := range transitions {
			if t.Action == a && slices.Contains(t.From, s.State) {
				out = append(out, string(a))
			}
		}
	}
	return out
}
