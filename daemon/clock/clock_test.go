package clock

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is one whose clocks a test moves.
type machine struct {
	wall   time.Time
	steady time.Duration
}

func (m *machine) read() (time.Time, time.Duration) { return m.wall, m.steady }

func (m *machine) pass(d time.Duration) { m.wall, m.steady = m.wall.Add(d), m.steady+d }

var made = time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestJumpsWhileItRuns(t *testing.T) {
	t.Parallel()
	for by, words := range map[time.Duration]string{
		time.Minute: "", -time.Minute: "", // what time servers do
		3 * time.Hour: "set forward by 3h0m0s", -3 * time.Hour: "set back by 3h0m0s",
		10 * 365 * 24 * time.Hour: "set forward by 3650 days, to 2036-", -100 * 24 * time.Hour: "set back by 100 days",
	} {
		m := &machine{wall: noon}
		c := Open("", made, m.read, nil)
		for range 10 {
			m.pass(time.Hour)
			if !c.Sound() {
				t.Fatal("it is doubted while it runs on")
			}
		}
		m.wall = m.wall.Add(by)
		j, doubt := c.Doubt()
		if doubt != (words != "") || doubt && (!strings.Contains(j.String(), words) || j.By() != by || !j.Running) {
			t.Errorf("%s: %v %q", by, doubt, j)
		}
		if now := c.Now(); !now.Equal(m.wall) {
			t.Errorf("%s: a clock that may be right is believed: %s, %s", by, now, m.wall)
		}
		m.pass(Settle)
		if !c.Sound() {
			t.Errorf("%s: it is doubted for ever", by)
		}
	}
}

// A battery that is dead: the time goes on from what was known, and nothing is kept of 1970.
func TestStandsBeforeAllTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "clock")
	m := &machine{wall: noon}
	c := Open(path, made, m.read, nil)
	m.pass(time.Hour)
	if err := c.Keep(true); err != nil {
		t.Fatal(err)
	}
	for _, start := range []time.Time{time.Unix(0, 0), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		m = &machine{wall: start, steady: 77 * time.Second}
		c = Open(path, made, m.read, nil)
		j, doubt := c.Doubt()
		if !doubt || j.Running || !strings.Contains(j.String(), "stood, at the start, back by") {
			t.Fatalf("%v %s", doubt, j)
		}
		m.pass(30 * time.Minute)
		if now := c.Now(); !now.Equal(noon.Add(90 * time.Minute)) {
			t.Fatalf("it is %s", now)
		}
		if err := c.Keep(true); err != nil {
			t.Fatal(err)
		}
		if next := Open(path, made, (&machine{wall: start}).read, nil).Now(); !next.Equal(noon.Add(90 * time.Minute)) {
			t.Fatalf("the next start without a battery goes on at %s", next)
		}
		m.pass(3 * Settle)
		if c.Sound() {
			t.Error("1970 is believed after some days")
		}
		m.wall = noon.Add(80 * time.Hour)
		if now := c.Now(); !now.Equal(m.wall) {
			t.Fatalf("set right, it is %s", now)
		}
		m.wall, m.steady = noon.Add(time.Hour), 0
		if err := Open(path, made, m.read, nil).Keep(true); err != nil { // for the next start
			t.Fatal(err)
		}
	}
}

func TestStarts(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		off   time.Duration
		sound bool
	}{{0, true}, {30 * 24 * time.Hour, true}, {-time.Minute, true}, {-time.Hour, false}, {90 * 24 * time.Hour, false}, {14 * 365 * 24 * time.Hour, false}} {
		path := filepath.Join(t.TempDir(), "clock")
		m := &machine{wall: noon}
		if err := Open(path, made, m.read, nil).Keep(false); err != nil {
			t.Fatal(err)
		}
		m.wall, m.steady = noon.Add(s.off), 5*time.Second
		c := Open(path, made, m.read, nil)
		if c.Sound() != s.sound || !c.Now().Equal(m.wall) {
			t.Errorf("off by %s: sound %v, now %s", s.off, !s.sound, c.Now())
		}
		m.pass(Settle + time.Hour)
		if !c.Sound() {
			t.Errorf("off by %s: doubted for ever", s.off)
		}
	}
}

// What somebody signed is past, whatever the clock says.
func TestSigned(t *testing.T) {
	t.Parallel()
	m := &machine{wall: noon.AddDate(0, -2, 0)}
	c := Open("", made, m.read, nil)
	c.Signed(noon)
	c.Signed(noon.AddDate(-1, 0, 0))
	m.pass(time.Minute)
	if now := c.Now(); now.Before(noon) || now.After(noon.Add(time.Hour)) {
		t.Error(now)
	}
	m.wall = noon.Add(time.Hour)
	if !c.Now().Equal(m.wall) {
		t.Error(c.Now())
	}
}
