package pace

import (
	"runtime"
	"runtime/debug"
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
