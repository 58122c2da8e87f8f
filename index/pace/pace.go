// Package pace lets questions and long work share the processor. Go's scheduler
// leaves a goroutine on it for ten milliseconds, which is ten questions. So a
// question begins by going to the end of the line, behind the others that wait,
// and long work goes there too after each step, which takes about as long as a
// question.
//
// Going to the end of Go's line alone is not fair: a processor takes several from
// it at a time, and while they wait for it in a line of its own, another gets back
// the one that it just gave up. So questions begin in the order in which they came.
// And work comes in batches with several goroutines each, which together would have
// half of the processors while they last. So while questions come, all work has a
// third of them at most; where none come, it is not held up.
//
// Why not priorities of the system: a thread of low priority gets next to
// nothing beside busy ones, for minutes, and what the kernel deals out are
// slices of several milliseconds.
package pace

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Step is how long work goes on before others have their turn.
const Step = 500 * time.Microsecond

// Question is called where a question begins, and returns when it is its turn.
func Question() {
	shared.asked.Store(time.Now().UnixNano())
	p := questions.come()
	runtime.Gosched()
	questions.begin(p)
}

var questions line

// line of those that came and have not begun.
type line struct {
	mu      sync.Mutex
	waiting []*place // the first is the next
}

// place in a line. One that has the processor before its turn gives it up: begin
// is closed when the turn has come.
type place struct{ begin chan struct{} }

// come is where a question joins the line.
func (l *line) come() *place {
	p := &place{}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, p)
	return p
}

// begin returns when those that came before have begun.
func (l *line) begin(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[0] != p {
		p.begin = make(chan struct{})
		l.mu.Unlock()
		<-p.begin
		l.mu.Lock()
	}
	l.waiting[0] = nil
	if l.waiting = l.waiting[1:]; len(l.waiting) > 0 && l.waiting[0].begin != nil {
		close(l.waiting[0].begin)
	}
}

// Work is a piece of long work in one goroutine.
type Work struct{ since time.Time }

// Begin a piece of work.
func Begin() Work { return Work{time.Now()} }

// Pause where a step is over. Cheap enough for every passage.
func (w *Work) Pause() {
	now := time.Now()
	ran := now.Sub(w.since)
	if ran < Step {
		return
	}
	if wait := shared.wait(now, ran); wait > 0 {
		time.Sleep(wait)
	} else {
		runtime.Gosched()
	}
	w.since = time.Now()
}

// shared by all long work while questions come.
var shared share

// busy: a question came so lately that others are likely.
const busy = 5 * time.Millisecond

// share of the processors that work has: one in so many.
const shareOf = 3

// share keeps account of what work has had.
type share struct {
	mu    sync.Mutex
	free  time.Time    // until then it has had its share
	asked atomic.Int64 // when the last question came, Unix nanoseconds
}

// wait is for how long work that ran must pause.
func (s *share) wait(now time.Time, ran time.Duration) time.Duration {
	if now.UnixNano()-s.asked.Load() > int64(busy) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(ran * shareOf / time.Duration(runtime.GOMAXPROCS(0)))
	return s.free.Sub(now)
}

// Process sets up a process that answers questions; undo is for tests and
// measurements. What is searched lies in mapped files, so the heap is small, and
// at Go's default it would be collected hundreds of times a second under load.
// $GOGC counts.
func Process() (undo func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(before) }
}
