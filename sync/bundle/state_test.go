package bundle

import (
	"testing"
	"time"
)

// What a clock that was ahead has put off is not put off for years.
func TestQuarantineMindsTheClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at    time.Time
		waits bool
	}{{now, true}, {now.Add(-30 * time.Minute), true}, {now.Add(-2 * time.Hour), false}, {now.Add(30 * time.Minute), true}, {now.AddDate(14, 0, 0), false}} {
		q := &Quarantined{At: c.at, Retry: c.at.Add(time.Hour)}
		if q.waits(now) != c.waits {
			t.Errorf("put there at %s it waits: %v", c.at, !c.waits)
		}
	}
	if q := (&Quarantined{At: now.AddDate(14, 0, 0)}); !q.waits(now) {
		t.Error("what is never tried again is")
	}
}
