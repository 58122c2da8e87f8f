package pace

import (
	"testing"
	"time"
)

// What was taken is given back once after each time that there was something to do,
// and never while there is.
func TestSettle(t *testing.T) {
	t.Parallel()
	freed := 0
	s := settling{free: func() { freed++ }}
	start := time.Unix(1_000_000, 0)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	last := start
	for _, c := range []struct {
		name       string
		asked, now int // asked < 0: nobody did
		freed      int
	}{
		{"just begun", 0, 1, 0},
		{"not for long", -1, 15, 0},
		{"left alone", -1, 20, 1},
		{"still", -1, 300, 1},
		{"asked again", 301, 302, 1},
		{"and again", 325, 326, 1},
		{"left alone again", -1, 350, 2},
	} {
		if c.asked >= 0 {
			last = at(c.asked)
		}
		if s.look(at(c.now), last); freed != c.freed {
			t.Errorf("%s: given back %d times, want %d", c.name, freed, c.freed)
		}
	}
}
