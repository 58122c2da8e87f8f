package pace

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// worked is when long work was last at work, by steady.
var worked atomic.Int64

// A process that was left alone for settleAfter gives back to the machine what it
// took for questions and long work. Go itself would keep five times what is live
// (Process), and half a gigabyte after an ingest.
const (
	settleAfter = 20 * time.Second
	settleEvery = 5 * time.Second
)

// Settle looks until ctx ends whether there was something to do and there is no more.
// Giving back costs a collection, a tenth of a second or two: nobody waits for it.
func Settle(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	s := settling{free: debug.FreeOSMemory}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.look(now, began.Add(time.Duration(max(shared.asked.Load(), worked.Load()))))
		}
	}
}

// settling knows what was given back.
type settling struct {
	free func()
	was  time.Time // the last that was at work before
}

// look at now; last is when something was at work.
func (s *settling) look(now, last time.Time) {
	if last.After(s.was) && now.Sub(last) >= settleAfter {
		s.was = last
		s.free()
	}
}
