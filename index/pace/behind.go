package pace

import (
	"context"
	"sync"
	"time"
)

// Askers are the questions that people wait for, from their beginning to their
// end, whatever does the work for them meanwhile: a search, or the process of a
// language model. The zero value has none. Safe for concurrent use.
type Askers struct {
	mu    sync.Mutex
	n     int
	last  time.Time     // when one ended
	idle  chan struct{} // closed while there are none
	begun chan struct{} // closed while there are some
}

// channels with mu held.
func (a *Askers) channels() (idle, begun chan struct{}) {
	if a.idle == nil {
		a.idle, a.begun = make(chan struct{}), make(chan struct{})
		close(a.idle)
	}
	return a.idle, a.begun
}

// Begin of a question.
func (a *Askers) Begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, begun := a.channels()
	if a.n++; a.n == 1 {
		close(begun)
		a.idle = make(chan struct{})
	}
}

// End of a question, once for each Begin.
func (a *Askers) End() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = time.Now()
	if a.n--; a.n == 0 {
		close(a.idle)
		a.begun = make(chan struct{})
	}
}

// Count is how many there are.
func (a *Askers) Count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// Begun is closed when there are some.
func (a *Askers) Begun() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, begun := a.channels()
	return begun
}

// Idle returns when there are none, after limit, or when ctx ends, and says how
// long that took.
func (a *Askers) Idle(ctx context.Context, limit time.Duration) time.Duration {
	a.mu.Lock()
	idle, _ := a.channels()
	a.mu.Unlock()
	select {
	case <-idle:
		return 0
	default:
	}
	began := time.Now()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	case <-ctx.Done():
	}
	return time.Since(began)
}

// lately is how long after a question others are likely.
const lately = time.Second

// Lately says whether there are askers, or were a moment ago.
func (a *Askers) Lately() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n > 0 || !a.last.IsZero() && time.Since(a.last) < lately
}

// While there are askers now and then, work that nobody waits for has a fourth of
// the time. A question that comes while it is at work is slowed down, so that is to
// be seldom; one that comes while it rests is not. Where a question is under way after
// the rest, the work stands back further, for so many times as long as it worked, so
// that it comes to its end however many they are; what it did not have to stand back
// it may be made to later, up to mostCredit.
const (
	rests      = 3
	standsBack = 4
	mostRest   = 250 * time.Millisecond
	mostCredit = 250 * time.Millisecond
)

type behindKey struct{}

// Behind lets work that is begun with the context stand back for askers.
func Behind(ctx context.Context, a *Askers) context.Context {
	return context.WithValue(ctx, behindKey{}, a)
}

// BeginIn begins a piece of work of a context, which stands back where Behind says so.
func BeginIn(ctx context.Context) Work {
	w := Begin()
	w.behind, _ = ctx.Value(behindKey{}).(*Askers)
	w.credit = mostCredit
	return w
}

// Rest after a step that ran, where Behind says so, and return when the next may
// begin or ctx ends.
func (w *Work) Rest(ctx context.Context, ran time.Duration) {
	if w.behind == nil || !w.behind.Lately() {
		return
	}
	t := time.NewTimer(min(rests*ran, mostRest))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	w.credit = min(w.credit+standsBack*ran, mostCredit)
	w.credit -= w.behind.Idle(ctx, max(w.credit, 0))
}
