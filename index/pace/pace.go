// Package pace lets questions and long work share the processor. Go's scheduler
// leaves a goroutine on it for ten milliseconds, which is ten questions. So a
// question begins by going to the end of the line, behind the others that wait,
// and long work goes there too after each step, which takes about as long as a
// question: beside many questions it gets the share of one more of them, and
// where there are none it is not held up.
//
// Why not priorities of the system: a thread of low priority gets next to
// nothing beside busy ones, for minutes, and what the kernel deals out are
// slices of several milliseconds.
package pace

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// Step is how long work goes on before others have their turn.
const Step = 500 * time.Microsecond

// Question is called where a question begins.
func Question() { runtime.Gosched() }

// Work is a piece of long work in one goroutine.
type Work struct{ since time.Time }

// Begin a piece of work.
func Begin() Work { return Work{time.Now()} }

// Pause where a step is over. Cheap enough for every passage.
func (w *Work) Pause() {
	if time.Since(w.since) >= Step {
		runtime.Gosched()
		w.since = time.Now()
	}
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
