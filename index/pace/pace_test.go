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
		"work":     func() { (&Work{since: time.Now().Add(-Step)}).Pause() },
		"question": func() { Question().End() },
	} {
		var had atomic.Bool
		go had.Store(true)
		pause()
		if !had.Load() {
			pause() // of 61 turns the scheduler gives one to who stands at the end of the line
		}
		if !had.Load() {
			t.Errorf("%s: who waited had no turn", name)
		}
	}
}

// As many questions as may be are answered at a time, and begin in the order in
// which they came.
func TestOrder(t *testing.T) {
	t.Parallel()
	const n, most = 20, 3
	var l line
	waiting := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.waiting)
	}
	for range most {
		l.begin(most)
	}
	began := make(chan int)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			l.begin(most)
			began <- i
		})
		for waiting() != i+1 {
			runtime.Gosched()
		}
	}
	for i := range n {
		l.end()
		if got := <-began; got != i {
			t.Fatalf("%d began as number %d", got, i)
		}
		if l.begun != most {
			t.Fatalf("%d are answered at a time, not %d", l.begun, most)
		}
	}
	wg.Wait()
	for range most {
		l.end()
	}
	if l.begun != 0 || len(l.waiting) != 0 {
		t.Errorf("%d are answered and %d wait, of none", l.begun, len(l.waiting))
	}
	// Who comes where the processors were more than they are now waits, too.
	l.begin(2)
	l.begin(2)
	go l.begin(1)
	for waiting() != 1 {
		runtime.Gosched()
	}
	l.end()
	l.end()
	l.end()
}

func TestIdle(t *testing.T) {
	t.Parallel()
	var l line
	for processors, want := range map[int]int{1: 0, 2: 1, 4: 2, 5: 2} {
		n := 0
		for ; l.idle(processors); n++ {
			l.begin(processors)
		}
		for range n {
			l.end()
		}
		if n != want {
			t.Errorf("of %d processors %d questions have two, want %d", processors, n, want)
		}
	}
}

// Work has its share while questions come, and all there is where none do.
func TestShare(t *testing.T) {
	var s share
	now := time.Unix(1000, 0)
	if d := s.wait(now, Step); d != 0 {
		t.Errorf("nobody asks, and work waits %v", d)
	}
	s.asked.Store(steady(now))
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
