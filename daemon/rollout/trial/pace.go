package trial

import "time"

// pace lets the challenger work in the shadow for a share of the time alone, one
// question after another, and only while nobody is asking.
type pace struct {
	running bool
	began   time.Time
	spent   time.Duration
}

// credit is how much of unused time may be made up for.
const credit = 2 * time.Minute

// Shadow says whether a question that was just answered is to be asked of the
// challenger, too; asking is how many questions are being answered now. Where it says
// yes, done is called with how long that took.
func (t *Trial) Shadow(now time.Time, asking int) (done func(took time.Duration), yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.pace
	if p.began.IsZero() || now.Sub(p.began) > credit {
		p.began, p.spent = now, max(0, p.spent-time.Duration(t.s.Config.Capacity*float64(credit)))
	}
	if t.s.Verdict != nil || p.running || asking > 0 {
		return nil, false
	}
	if allowed := time.Duration(t.s.Config.Capacity * float64(now.Sub(p.began)+time.Second)); p.spent > allowed {
		return nil, false
	}
	p.running = true
	return func(took time.Duration) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.pace.running = false
		t.pace.spent += took
	}, true
}
