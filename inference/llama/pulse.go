package llama

import (
	"slices"
	"sync"
	"time"
)

const (
	// stallBase is how long a child may be without any progress, prompts aside.
	stallBase = 8 * time.Second
	// readFactor allows a batch of prompts to be read so many times slower than
	// was measured.
	readFactor = 3
	// forgotten is how long a request may see nothing while others do.
	forgotten = 10 * time.Minute
	// slowestRead is taken for the speed of a prompt, in tokens a second, before
	// one was measured.
	slowestRead = 50.0
)

// pulse knows what a child has in hand and when it last got on with it.
type pulse struct {
	mu         sync.Mutex
	works      map[*work]struct{}
	closed     bool
	busyAtEnd  bool      // it had work when it ended
	lost       time.Time // a request was lost
	progressed time.Time // any request, any progress
	proved     time.Time // a token written, an embedding made
	speed      float64   // tokens a second at which prompts are read, smoothed; 0: unknown
	cached     []int     // the latest prompt, which lies in a slot; for the probe
	adapters   []loraScale
}

// work is a request that the child has in hand.
type work struct {
	p      *pulse
	last   time.Time // sent, or its latest progress
	unread int       // tokens of its prompt
	paused bool      // its caller takes its time
	forget func()    // ends the request alone
}

// begin is called right before a request is sent; forget ends it.
func (p *pulse) begin(unread int, forget func()) *work {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &work{p: p, last: time.Now(), unread: unread, forget: forget}
	p.works[w] = struct{}{}
	return w
}

// progress: so many tokens of the prompt are left unread. A token written, an
// embedding made, are proof that the model works.
func (w *work) progress(unread int, proof bool) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.last = time.Now()
	w.unread = unread
	w.p.progressed = w.last
	if proof {
		w.p.proved = w.last
	}
}

// pause: what follows is the caller's time.
func (w *work) pause(on bool) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.paused, w.last = on, time.Now()
}

// done: the request has ended, lost where the child was.
func (w *work) done(lost bool) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if lost {
		w.p.lost = time.Now()
	}
	delete(w.p.works, w)
}

// measured takes the speed at which a prompt was read.
func (p *pulse) measured(tokens int, took time.Duration) {
	if tokens < 16 || took <= 0 { // too short to tell
		return
	}
	speed := float64(tokens) / took.Seconds()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.speed == 0 {
		p.speed = speed
	}
	p.speed += (speed - p.speed) / 3
}

// reading is the time that so many tokens of prompts take.
func (p *pulse) reading(tokens int) time.Duration {
	speed := p.speed
	if speed == 0 {
		speed = slowestRead
	}
	return time.Duration(float64(tokens) / speed * float64(time.Second))
}

// tokensIn is how many tokens of a prompt are read in d.
func (p *pulse) tokensIn(d time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	speed := p.speed
	if speed == 0 {
		speed = slowestRead
	}
	return int(speed * d.Seconds())
}

// stalled tells whether some request has waited longer for the child's progress
// than what it has in hand explains. Progress comes at least once a step, in
// which it reads at most batch tokens; 0: at the end alone.
func (p *pulse) stalled(now time.Time, batch int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	unread := 0
	for w := range p.works {
		unread += w.unread
	}
	if batch > 0 {
		unread = min(unread, batch)
	}
	allowed := stallBase + readFactor*p.reading(unread)
	for w := range p.works {
		if w.paused {
			continue
		}
		since := w.last
		if p.progressed.After(since) {
			since = p.progressed
		}
		if now.Sub(since) > allowed {
			return true
		}
		if now.Sub(w.last) > forgotten+allowed {
			w.forget()
		}
	}
	return false
}

// excuse takes so much off every silence: the child had no processor for so long.
func (p *pulse) excuse(d time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progressed = later(p.progressed, d, now)
	for w := range p.works {
		w.last = later(w.last, d, now)
	}
}

// later is t moved on by d, but not beyond now.
func later(t time.Time, d time.Duration, now time.Time) time.Time {
	if t.IsZero() || t.After(now) {
		return t
	}
	if t = t.Add(d); t.After(now) {
		return now
	}
	return t
}

// close says that the child has ended; the first call counts.
func (p *pulse) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		// A request may learn of the end before we do.
		p.closed, p.busyAtEnd = true, len(p.works) > 0 || time.Since(p.lost) < 5*time.Second
	}
}

// wasBusy tells whether requests were in hand when the child ended.
func (p *pulse) wasBusy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busyAtEnd
}

// due tells whether the child is idle and has proved nothing for so long.
func (p *pulse) due(now time.Time, idle time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.works) == 0 && now.Sub(p.proved) >= idle
}

func (p *pulse) lastProof() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proved
}

// remember keeps the latest prompt, to be asked again by the probe: it is read
// already, so that asking costs one token and nothing is lost from the cache.
func (p *pulse) remember(tokens []int, adapters []loraScale) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cached, p.adapters = tokens, adapters
}

func (p *pulse) remembered() ([]int, []loraScale) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.cached), p.adapters
}
