package trial

import (
	"sync"
	"time"
)

// Pace lets work that nobody waits for take a share of the time alone, one piece after
// another, and only while nobody is asking. The zero value is ready.
type Pace struct {
	mu      sync.Mutex
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
	if t.s.Verdict != nil {
		return nil, false
	}
	return t.pace.Begin(t.s.Config.Capacity, now, asking)
}

// Begin says whether a piece of work may begin, of what may take that share of the time;
// asking is how many questions are being answered now. Where it says yes, done is called
// with how long that took.
func (p *Pace) Begin(capacity float64, now time.Time, asking int) (done func(took time.Duration), yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() || now.Sub(p.began) > credit {
		p.began, p.spent = now, max(0, p.spent-time.Duration(capacity*float64(credit)))
	}
	if p.running || asking > 0 {
		return nil, false
	}
	if allowed := time.Duration(capacity * float64(now.Sub(p.began)+time.Second)); p.spent > allowed {
		return nil, false
	}
	p.running = true
	return func(took time.Duration) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.running = false
		p.spent += took
	}, true
}
