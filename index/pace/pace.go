// Package pace lets questions and long work share the processor. Go's scheduler
// leaves a goroutine on it for ten milliseconds, which is ten questions. So a
// question begins by going to the end of the line, behind the others that wait,
// and long work goes there too after each step, which takes about as long as a
// question.
//
// Going to the end of Go's line alone is not fair: a processor takes several from
// it at a time, and while they wait for it in a line of its own, another gets back
// the one that it just gave up. So as many questions as there are processors are
// answered at a time, and begin in the order in which they came.
// And work comes in batches with several goroutines each, which together would have
// half of the processors while they last. So while questions come, all work has a
// third of them at most; where none come, it is not held up.
//
// Work that nobody waits for, such as judging what was built, stands back further: while
// there are askers now and then it has a fourth of the time (Behind).
//
// Why not priorities of the system: a thread of low priority gets next to
// nothing beside busy ones, for minutes, and what the kernel deals out are
// slices of several milliseconds.
package pace

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Step is how long work goes on before others have their turn.
const Step = 250 * time.Microsecond

// Question is called where a question begins, and returns when it is its turn; End
// where it is answered. What waits for other than a processor, such as another
// process, is not done between.
func Question() Turn {
	shared.asked.Store(steady(time.Now()))
	questions.begin(runtime.GOMAXPROCS(0))
	runtime.Gosched() // long work has its turn
	return Turn{}
}

// Turn of a question.
type Turn struct{}

// End of a question, once.
func (Turn) End() { questions.end() }

// Idle says whether there are so few questions that one may have two processors.
// Else a part of it that is handed to another goroutine waits for its turn, and the
// question with it.
func Idle() bool { return questions.idle(runtime.GOMAXPROCS(0)) }

var questions line

// line of questions: as many as there are processors are answered, the others
// begin in the order in which they came.
type line struct {
	mu      sync.Mutex
	begun   int
	waiting []chan struct{} // the first is the next
}

func (l *line) begin(most int) {
	l.mu.Lock()
	if l.begun < most && len(l.waiting) == 0 {
		l.begun++
		l.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	<-turn
}

// end gives the place to the next.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.begun--
		return
	}
	close(l.waiting[0])
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
}

func (l *line) idle(processors int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 2*(l.begun+len(l.waiting)+1) <= processors
}

// Work is a piece of long work in one goroutine.
type Work struct {
	since  time.Time
	behind *Askers       // for whom it stands back; nil: for nobody
	credit time.Duration // for which it may be made to
}

// Begin a piece of work.
func Begin() Work { return Work{since: time.Now()} }

// Pause where a step is over. Cheap enough for every passage.
func (w *Work) Pause() {
	now := time.Now()
	ran := now.Sub(w.since)
	if ran < Step {
		return
	}
	worked.Store(steady(now))
	if w.behind != nil {
		w.Rest(context.Background(), ran)
		w.since = time.Now()
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

// began is what steady counts from.
var began = time.Now()

// steady is a time in nanoseconds that goes on whatever the wall's clock is set to.
func steady(t time.Time) int64 { return int64(t.Sub(began)) }

// share of the processors that work has: one in so many.
const shareOf = 3

// share keeps account of what work has had.
type share struct {
	mu    sync.Mutex
	free  time.Time    // until then it has had its share
	asked atomic.Int64 // when the last question came, by steady; 0: none did
}

// wait is for how long work that ran must pause.
func (s *share) wait(now time.Time, ran time.Duration) time.Duration {
	if a := s.asked.Load(); a == 0 || steady(now)-a > int64(busy) {
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
// The more was worked on, the more it keeps for next time: Settle gives it back.
func Process() (undo func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(before) }
}
