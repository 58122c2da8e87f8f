package box

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rxedge/inference/gpu"
	"rxedge/inference/ladder"
)

const (
	readEvery   = 5 * time.Second
	readTimeout = 10 * time.Second
)

// cards is what was last seen of them.
type cards struct {
	mu      sync.Mutex
	watched bool
	snap    *gpu.Snapshot
	none    error              // why there are none; nil: there are, or it was not looked yet
	fault   string             // why a reading failed; "": it did not
	faults  map[int]string     // of cards, that an XID reported and no reading shows
	xids    map[gpu.Effect]int // so many were reported
	changes int                // of the ladder's step
}

func (c *cards) state(m *Models) (ladder.State, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.Step(), c.watched
}

// OpenCards is gpu.Open. A test has a machine whose driver is gone, and sets it before a
// box is opened.
var OpenCards = gpu.Open

// WatchCards watches the machine's NVIDIA cards until ctx ends: it takes the
// models down and up the ladder of the profile. Without a card it returns.
func (b *Box) WatchCards(ctx context.Context) {
	open, cancel := context.WithTimeout(ctx, gpuTimeout)
	src, err := OpenCards(open)
	cancel()
	if err != nil {
		if !errors.Is(err, gpu.ErrNoGPU) {
			b.log.Warn("the cards can't be watched", "error", err)
		}
		b.cards.mu.Lock()
		b.cards.none = err
		b.cards.mu.Unlock()
		return
	}
	defer src.Close()
	b.watch(ctx, src, b.Models.chosen().profile.LadderLimits(), time.Tick(readEvery))
}

// watch reads src at each tick, and when the driver reports a fault.
func (b *Box) watch(ctx context.Context, src gpu.Source, limits ladder.Limits, tick <-chan time.Time) {
	l, err := ladder.New(limits)
	if err != nil {
		b.log.Error("the profile's ladder can't be used; cards are shown and not acted on", "error", err)
	}
	c := &b.cards
	c.mu.Lock()
	c.watched, c.faults, c.xids = true, map[int]string{}, map[gpu.Effect]int{}
	c.mu.Unlock()
	xids, err := src.XIDs(ctx)
	if err != nil {
		b.log.Info("faults that the driver reports can't be followed", "error", err)
		xids = nil
	}
	var now time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case x, ok := <-xids:
			if !ok {
				xids = nil
				continue
			}
			b.log.Error("the driver reports a fault", "xid", x.Code, "card", x.Card, "effect", string(x.Effect()), "text", x.Text())
			c.reported(x)
		case now = <-tick:
		}
		read, cancel := context.WithTimeout(ctx, readTimeout)
		snap, err := src.Read(read)
		cancel()
		if ctx.Err() != nil {
			return
		}
		r := c.saw(snap, err)
		if l == nil {
			continue
		}
		if st, changed := l.Observe(now, r); changed {
			c.mu.Lock()
			c.changes++
			c.mu.Unlock()
			b.Models.stepTo(st)
		}
	}
}

// reported takes in a fault. One that needs a reset or a new card stays, since
// the card's other values may look well; the machine is restarted to mend it.
func (c *cards) reported(x gpu.XID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.xids[x.Effect()]++
	if e := x.Effect(); e == gpu.EffectReset || e == gpu.EffectLost {
		c.faults[x.Card] = fmt.Sprintf("XID %d: %s", x.Code, x.Text())
	}
}

// saw makes the ladder's reading of a snapshot. The worst card decides: a model
// may lie on any of them.
func (c *cards) saw(snap gpu.Snapshot, err error) (r ladder.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.fault = err.Error()
		if errors.Is(err, gpu.ErrHung) {
			r.Fault = err.Error()
		}
		return r // of another error nothing is known
	}
	c.fault, c.snap = "", &snap
	for _, card := range snap.Cards {
		if f := card.Fault; f != "" {
			r.Fault = fmt.Sprintf("card %d: %s", card.Index, f)
		}
		if t := card.Temperature.Now; t != nil && (r.Temperature == nil || float64(*t) > *r.Temperature) {
			v := float64(*t)
			r.Temperature = &v
		}
		if m := card.Memory; m != nil && m.Total > 0 {
			if v := 100 * float64(m.Used) / float64(m.Total); r.Memory == nil || v > *r.Memory {
				r.Memory = &v
			}
		}
	}
	for i, f := range c.faults {
		r.Fault = fmt.Sprintf("card %d: %s", i, f)
	}
	return r
}
