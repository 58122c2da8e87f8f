package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/cache"
	"rxedge/daemon/health"
)

// busyBox is a look at a box that has all there can be, after n questions.
func busyBox(at time.Time, n int) box.Live {
	whole := func(v int) *int { return &v }
	power := 60.5
	card := api.StationCard{Name: "NVIDIA RTX 6000 Ada Generation Laptop GPU", MemoryUsed: 40 << 30, MemoryTotal: 48 << 30, Temperature: whole(78), Slowdown: whole(92), Power: &power, Busy: whole(97), Throttled: true}
	l := box.Live{At: at, Started: time.Unix(1, 0), Version: "0.1.0", Ready: true, Generation: "gen-000123+45", Documents: 101234, Passages: 1234567, DiskFree: 1 << 40,
		Answers: map[string]float64{"answered": 3 * float64(n), "abstained": float64(n)}, Failed: 0,
		Stages:   map[string]box.Spread{"total": {Count: uint64(4 * n), Sum: float64(n), Bounds: []float64{.1, .2, .4}, Below: []uint64{uint64(2 * n), uint64(3 * n), uint64(4 * n)}}, "retrieve": {Count: uint64(n), Sum: 0.01 * float64(n)}},
		Underway: map[string]int64{"questions": 7, "retrieve": 1, "rerank": 2, "generate": 4}, Cache: &cache.Stats{Answers: 123456, Embeddings: 123456, Bytes: 250 << 20, AnswerHits: n, AnswerMisses: 3 * n},
		Step: "shorter", StepWhy: "card 0 is at 92 °C and slows down by itself, which it does from 92 °C on", Goroutines: 12345,
		Daemon: box.Process{Name: "rxedged", PID: 1, Memory: 3 << 30, CPU: float64(n) / 10, Files: 12345},
		Link:   &box.LiveLink{Site: "pharmacy-in-a-long-street-17", Connected: true, Since: at.Add(-49 * time.Hour), Waiting: 12345, Bytes: 60 << 20, Bundle: 1234, Activated: at}}
	for i := range 5 {
		c := card
		c.Index = i
		name := fmt.Sprintf("a-language-model-of-a-long-name-%d-q4_k_m", i)
		l.Cards = append(l.Cards, c)
		l.Models = append(l.Models, api.ModelState{Name: name, Phase: "ready", Running: 4, Waiting: 12})
		l.Engines = append(l.Engines, box.Process{Name: name, PID: 100 + i, Memory: 5 << 30, CPU: float64(n), Files: 99})
	}
	for range 3 {
		l.Wrong = append(l.Wrong, health.Finding{Title: "The disk is nearly full", Severity: health.Error})
	}
	return l
}

func TestFigures(t *testing.T) {
	t.Parallel()
	var w window
	begin := time.Unix(1000, 0)
	for i := range 100 {
		w.add(busyBox(begin.Add(time.Duration(i)*time.Second), i))
	}
	f := w.figures()
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("questions", f.Questions, 4)
	near("abstained", f.Abstained, 1)
	near("p50", *f.P50, 100) // half of them took at most .1 s
	near("p95", *f.P95, 360) // .2 s + .2 s · (.95 − .75)/.25
	near("hits", *f.Hits, .25)
	near("retrieve", f.Stages["retrieve"], 10)
	near("over", f.Over, 60)
	near("processor", float64(f.CPU["rxedged"]), 10)
	if len(f.rates) != bars || len(w.looks) > 62 {
		t.Errorf("%d rates of %d looks", len(f.rates), len(w.looks))
	}
	// Another start of the daemon begins anew.
	other := busyBox(begin.Add(101*time.Second), 0)
	other.Started = begin
	if w.add(other); len(w.looks) != 1 || w.figures().P50 != nil {
		t.Errorf("%d looks", len(w.looks))
	}
	if s := spark([]float64{0, 1, 7}); s != "·▁▇" {
		t.Error(s)
	}
}

func TestScreenFits(t *testing.T) {
	t.Parallel()
	var w window
	for i := range 70 {
		w.add(busyBox(time.Unix(int64(1000+i), 0), i))
	}
	lines := w.figures().screen()
	for _, l := range lines {
		if utf8.RuneCountInString(l) > 80 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(l), l)
		}
	}
	if len(lines) > 24 {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

type fakeLive struct {
	mu   sync.Mutex
	n    int
	fail error
}

func (f *fakeLive) Live(context.Context) (box.Live, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	return busyBox(time.Unix(int64(1000+f.n), 0), f.n), f.fail
}

// terminal is a pseudo-terminal: what a person sits before, and what the program has.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { _ = person.Close(); _ = program.Close() })
	return person, program
}

// 'q', Ctrl-C and the end of the program leave the terminal as it was.
func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"q", "\x03", "signal"} {
		person, program := terminal(t)
		size := &unix.Winsize{Row: 10, Col: 40}
		if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, size); err != nil {
			t.Fatal(err)
		}
		before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		live := &fakeLive{}
		done := make(chan error, 1)
		go func() { done <- topScreen(ctx, live, 10*time.Millisecond, program, program) }()
		seen, drawn := make(chan string, 1), make(chan struct{})
		go func() {
			var all bytes.Buffer
			told := false
			for b := make([]byte, 4096); ; {
				n, err := person.Read(b)
				all.Write(b[:n])
				if !told && strings.Count(all.String(), showDrawing) > 3 {
					told = true
					close(drawn)
				}
				if err != nil || strings.Contains(all.String(), formerScreen) {
					seen <- all.String()
					return
				}
			}
		}()
		<-drawn
		if how == "signal" {
			cancel()
		} else if _, err := person.WriteString(how); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%q: %v", how, err)
		}
		out := <-seen
		after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%q: the terminal is %+v, and was %+v", how, after, before)
		}
		if !strings.HasPrefix(out, otherScreen) || !strings.HasSuffix(out, formerScreen) {
			t.Errorf("%q: %q … %q", how, out[:20], out[len(out)-20:])
		}
		last := strings.Split(out, home)
		for l := range strings.SplitSeq(strings.NewReplacer(restOfLine, "", restOfScreen, "", showDrawing, "", holdDrawing, "").Replace(last[2]), "\r\n") {
			if utf8.RuneCountInString(l) > 40 {
				t.Errorf("%d columns of 40: %q", utf8.RuneCountInString(l), l)
			}
		}
		if n := strings.Count(last[2], "\r\n"); n != 9 {
			t.Errorf("%d line ends of 9", n)
		}
	}
}

func TestTopOnceAndLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{out: &out}
	if err := a.topOnce(t.Context(), &fakeLive{}, time.Millisecond); err != nil || !strings.Contains(out.String(), "Questions  4.0/s") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := a.topOnce(t.Context(), &fakeLive{fail: errors.New("gone")}, time.Millisecond); err == nil {
		t.Error("no error")
	}
	out.Reset()
	a.json = true
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.topLines(ctx, &fakeLive{}, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), `"questions_per_s":4,`); n < 2 || n != strings.Count(out.String(), "\n") {
		t.Errorf("%d lines: %s", n, out.String())
	}
}
