package llama

import (
	"testing"
	"time"
)

func TestPulseStalls(t *testing.T) {
	t.Parallel()
	p := &pulse{works: map[*work]struct{}{}}
	forgot := false
	w := p.begin(1000, func() { forgot = true })
	after := func(d time.Duration) time.Time { return w.last.Add(d) }
	p.measured(8, time.Second) // too short to tell anything
	p.measured(100, time.Second)
	// 1,000 tokens at 100 a second, three times as slow, and the base.
	if d := stallBase + 30*time.Second; p.stalled(after(d-time.Second), 0) || !p.stalled(after(d+time.Second), 0) {
		t.Error("the allowance for a prompt that is read in one piece")
	}
	if d := stallBase + 3*2*time.Second; p.stalled(after(d-time.Second), 200) || !p.stalled(after(d+time.Second), 200) {
		t.Error("the allowance where there is progress every 200 tokens")
	}
	w.progress(0, true)
	if p.stalled(after(stallBase-time.Second), 200) || !p.stalled(after(stallBase+time.Second), 200) {
		t.Error("the allowance for a token")
	}
	// What its caller holds up is not the child's fault, and a stalled one is
	// found however many others are begun.
	w.pause(true)
	if p.stalled(after(time.Hour), 0) {
		t.Error("a caller that takes its time")
	}
	w.pause(false)
	late := p.begin(0, func() {})
	late.last = after(stallBase)
	if !p.stalled(after(stallBase+time.Second), 0) {
		t.Error("a later request hides the stall")
	}
	// While others get on, a request is waited for, but not for ever.
	p.progressed = after(forgotten + stallBase)
	late.last = p.progressed
	if p.stalled(p.progressed.Add(time.Second), 0) || !forgot {
		t.Error("a request that sees nothing while others do")
	}
	// Time in which it had no processor does not count.
	now := after(24 * time.Hour)
	p.progressed, w.last, late.last = now.Add(-stallBase), now.Add(-stallBase), now.Add(-stallBase)
	p.excuse(3*time.Second, now)
	if p.stalled(now.Add(3*time.Second-time.Millisecond), 0) || !p.stalled(now.Add(3*time.Second+time.Millisecond), 0) {
		t.Error("after three seconds without a processor")
	}
	p.excuse(24*time.Hour, now) // and what comes after now is not excused in advance
	if p.stalled(now.Add(time.Second), 0) || !p.stalled(now.Add(stallBase+time.Second), 0) {
		t.Error("after a day")
	}
	late.done(false)
	w.done(true)
	if p.stalled(now.Add(time.Hour), 0) || p.due(p.proved.Add(time.Second), time.Minute) || !p.due(p.proved.Add(2*time.Minute), time.Minute) {
		t.Error("an idle child")
	}
	p.close()
	if !p.wasBusy() {
		t.Error("a request was lost a moment ago")
	}
}
