// Package clock is the box's time: the machine's, but never before a time that is known
// to be past, and with word of when it was set. DESIGN.md beside it says what in the box
// goes by which clock, and what a jump does.
package clock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"rxedge/sync/durable"
)

// Clocks of the machine: the wall's, and one that is never set (from any beginning).
type Clocks func() (wall time.Time, steady time.Duration)

var began = time.Now()

// Machine is the machine's own clocks.
func Machine() (time.Time, time.Duration) {
	now := time.Now()
	return now, now.Sub(began) // by the monotonic reading of both
}

const (
	// Slack is how far the clock may be moved without it being a jump: time servers
	// move it by less, and a suspended machine's clock that is never set stands still.
	Slack = 2 * time.Minute
	// Settle is how long after a jump nothing is thrown away for its age.
	Settle = 24 * time.Hour
	// gap is how long a box may have been off without the clock being doubted.
	gap = 45 * 24 * time.Hour
	// keepEvery is how often the time is written down.
	keepEvery = 10 * time.Minute
)

// Jump of the clock.
type Jump struct {
	// From and To, by the wall's clock; From is where it would stand without.
	From, To time.Time
	// Running: the box saw it; else a start found the clock there.
	Running bool
}

// By is how far; negative is back.
func (j Jump) By() time.Duration { return j.To.Sub(j.From) }

func (j Jump) String() string {
	by, way := j.By(), "forward"
	if by < 0 {
		by, way = -by, "back"
	}
	how := "was set"
	if !j.Running {
		how = "stood, at the start,"
	}
	return fmt.Sprintf("the clock %s %s by %s, to %s", how, way, long(by), j.To.UTC().Format("2006-01-02 15:04"))
}

// long is a duration in words: days where there are many.
func long(d time.Duration) string {
	if days := int(d / (24 * time.Hour)); days >= 2 {
		return fmt.Sprintf("%d days", days)
	}
	return d.Round(time.Second).String()
}

// Clock of a box. Safe for concurrent use.
type Clock struct {
	read Clocks
	path string // where the time is kept; "": nowhere
	log  *slog.Logger

	mu     sync.Mutex
	wall   time.Time     // when it was looked last, without its monotonic reading
	steady time.Duration // then
	// from is what Now counts on from where the wall's clock is surely wrong, and
	// fromAt the steady time of that.
	from   time.Time
	fromAt time.Duration
	past   time.Time // a time that is known to be past
	jump   *Jump     // the last one
	jumpAt time.Duration
	kept   time.Duration // when it was written down last
}

// kept is what lies on disk.
type kept struct {
	At time.Time `json:"at"`
}

// Open reads the time that was kept at path, "" being nowhere, and compares it with the
// clock. made is when this program was: a clock that stands before has lost its battery.
// read nil: the machine's.
func Open(path string, made time.Time, read Clocks, log *slog.Logger) *Clock {
	if read == nil {
		read = Machine
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Clock{read: read, path: path, log: log, past: made}
	c.wall, c.steady = c.look()
	c.kept = c.steady - keepEvery
	c.from, c.fromAt = made, c.steady
	var k kept
	b, err := os.ReadFile(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) || err == nil && json.Unmarshal(b, &k) != nil || k.At.Before(made) {
		if c.wall.Before(made) {
			c.jumped(Jump{From: made, To: c.wall})
		}
		return c
	}
	c.from = k.At
	if off := c.wall.Sub(k.At); off < -Slack || off > gap {
		c.jumped(Jump{From: k.At, To: c.wall})
	}
	return c
}

func (c *Clock) look() (time.Time, time.Duration) {
	wall, steady := c.read()
	return wall.Round(0), steady
}

// jumped with mu held, or before anybody else has the clock.
func (c *Clock) jumped(j Jump) {
	c.jump, c.jumpAt = &j, c.steady
	c.log.Warn("the clock has jumped; what is kept for a time is not thrown away for a day", "jump", j.String())
}

// see what the clocks say now, with mu held.
func (c *Clock) see() (wall time.Time, steady time.Duration) {
	wall, steady = c.look()
	would := c.wall.Add(steady - c.steady)
	by := wall.Sub(would)
	c.wall, c.steady = wall, steady
	if by.Abs() > Slack {
		c.jumped(Jump{From: would, To: wall, Running: true})
	}
	return wall, steady
}

// Now is the wall's time. Where that is surely wrong, before a time that is known to be
// past, it is the last one that was known, and goes on from there.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.see()
	if least := c.past; wall.Before(least) {
		at := c.from
		if at.Before(least) {
			at = least
		}
		return at.Add(steady - c.fromAt)
	}
	return wall
}

// Signed tells of a time that somebody else has signed; it is past.
func (c *Clock) Signed(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.past) {
		c.past = t
	}
}

// Sound says that nothing is known against the clock: nothing may be thrown away for its
// age while it is not.
func (c *Clock) Sound() bool {
	_, held := c.Doubt()
	return !held
}

// Doubt is the last jump, where it was less than a day ago or the clock still stands
// where it can't be.
func (c *Clock) Doubt() (Jump, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.see()
	if c.jump == nil {
		return Jump{}, false
	}
	return *c.jump, steady-c.jumpAt < Settle || wall.Before(c.past)
}

// Keep writes the time down, now and then, so that a start knows how late it was. A
// clock that is surely wrong is not, and one that was set back is.
func (c *Clock) Keep(now bool) error {
	c.mu.Lock()
	wall, steady := c.see()
	due := c.path != "" && (now || steady-c.kept >= keepEvery)
	if wall.Before(c.past) {
		wall = c.from.Add(steady - c.fromAt)
		if wall.Before(c.past) {
			due = false
		}
	}
	if due {
		c.kept = steady
	}
	c.mu.Unlock()
	if !due {
		return nil
	}
	b, err := json.Marshal(kept{wall.UTC()})
	if err == nil {
		err = durable.Write(c.path, b)
	}
	return err
}
