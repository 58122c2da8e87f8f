package box

import (
	"time"

	"rxedge/daemon/clock"
	"rxedge/daemon/health"
)

// Clocks are the machine's where nil. A test sets them before a box is opened.
var Clocks clock.Clocks

// clockName is the file in which it is kept how late it was.
const clockName = "clock"

// builtAt is when this version had been made.
func builtAt() time.Time {
	t, _ := time.Parse(time.DateOnly, Built)
	return t
}

// keepTime looks at the clock, writes down how late it is, now and then or at once, and
// what the centre has signed of the time.
func (b *Box) keepTime(now bool) {
	if r, _ := b.sync.parts(); r != nil {
		if at := r.Now(); at.After(SyncClock()) { // the clock stands before what was signed
			b.clock.Signed(at)
		}
	}
	if err := b.clock.Keep(now); err != nil {
		b.log.Warn("the time can't be kept for the next start", "error", err)
	}
}

func (b *Box) clockConditions() []health.Finding {
	j, doubt := b.clock.Doubt()
	if !doubt {
		return nil
	}
	return []health.Finding{health.ClockJumped.Found("%s", j)}
}
