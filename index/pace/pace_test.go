package pace

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// On one processor, who waits has a turn after a step, and when a question begins.
func TestTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for name, pause := range map[string]func(){
		"work":     (&Work{time.Now().Add(-Step)}).Pause,
		"question": Question,
	} {
		var had atomic.Bool
		go had.Store(true)
		pause()
		if !had.Load() {
			t.Errorf("%s: who waited had no turn", name)
		}
	}
}

// Questions begin in the order in which they came, whichever has the processor
// first.
func TestOrder(t *testing.T) {
	t.Parallel()
	const n = 20
	var l line
	var places []*place
	for range n {
		places = append(places, l.come())
	}
	parked := func(p *place) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return p.begin != nil
	}
	began := make(chan int, n)
	var wg sync.WaitGroup
	for i := n - 1; i >= 0; i-- {
		wg.Go(func() {
			l.begin(places[i])
			began <- i
		})
		for i > 0 && !parked(places[i]) {
			runtime.Gosched()
		}
		if i == 1 && len(began) > 0 {
			t.Fatalf("%d began before the first", <-began)
		}
	}
	wg.Wait()
	if len(l.waiting) > 0 {
		t.Errorf("%d are left in the line", len(l.waiting))
	}
	// As many as there are come and go at once.
	for range n {
		wg.Go(func() {
			for range 200 {
				p := l.come()
				runtime.Gosched()
				l.begin(p)
			}
		})
	}
	wg.Wait()
	if len(l.waiting) > 0 {
		t.Errorf("%d are left in the line", len(l.waiting))
	}
}

// Work has its share while questions come, and all there is where none do.
func TestShare(t *testing.T) {
	var s share
	now := time.Unix(1000, 0)
	if d := s.wait(now, Step); d != 0 {
		t.Errorf("nobody asks, and work waits %v", d)
	}
	s.asked.Store(now.UnixNano())
	full := Step * shareOf / time.Duration(runtime.GOMAXPROCS(0))
	for n := time.Duration(1); n <= 3; n++ { // of three goroutines at once
		if d := s.wait(now, Step); d != n*full {
			t.Errorf("the %d. waits %v, want %v", n, d, n*full)
		}
	}
	later := now.Add(3*full + time.Millisecond)
	if d := s.wait(later, Step); d != full {
		t.Errorf("when the share is free again, %v", d)
	}
	if d := s.wait(later.Add(busy), Step); d != 0 {
		t.Errorf("questions have ended, and work waits %v", d)
	}
}

func TestProcess(t *testing.T) {
	t.Setenv("GOGC", "")
	undo := Process()
	if now := debug.SetGCPercent(400); now != 400 {
		t.Errorf("GOGC is %d", now)
	}
	undo()
	if now := debug.SetGCPercent(100); now == 400 {
		t.Error("it was not undone")
	}
}
