package page

import (
	"testing"
	"time"

	"rxedge/centre/survey"
)

// What is recorded is on the page a few seconds later, also where nothing was new for a
// while and the hub is away. (It was ten times as long as nothing had been new.)
func TestNewsIsShownSoon(t *testing.T) {
	t.Parallel()
	w := &world{Server: quiet(t, nil)}
	w.serveQuiet(t)
	time.Sleep(3 * time.Second)
	w.recordAccess("anna", "for a test")
	began := time.Now()
	w.until(t, "the record is not shown", func(o *survey.Overview) bool { return len(o.Audit) > 0 })
	// Every 5 s the folder is looked at; the rest is for a busy machine.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it was shown after %v", took)
	}
}
