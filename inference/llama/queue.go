package llama

import (
	"math"
	"sync"
	"time"

	"rxedge/inference"
)

const (
	defaultQueue = 64               // requests that may wait at a child
	ageing       = 20 * time.Second // background work that has waited so long gets a share
	agedShare    = 4                // of so many places given, one goes to it
	firstService = 2 * time.Second  // taken for the length of a request before any is known
	longestRetry = 2 * time.Minute
)

// queue stands in front of a child: as many requests run as it has slots, a
// bounded number waits, callers take turns, and questions go before background
// work, which is never left out for good.
type queue struct {
	slots, bound int
	now          func() time.Time

	mu         sync.Mutex
	running    int
	background int // of running
	waiting    int
	class      [2]class // by inference.Priority
	sinceAged  int      // places given since background work had its share
	service    float64  // seconds that a request holds its slot, smoothed
}

// class is the waiting of one priority: a line for each caller, in turn.
type class struct{ turn []*line }

type line struct {
	key     string
	tickets []*ticket
}

// ticket is a place in the queue and then at the child.
type ticket struct {
	q      *queue
	caller inference.Caller
	since  time.Time
	called chan struct{} // closed when granted or refused

	// Under the queue's lock, and fixed once called.
	granted  bool
	refused  error
	left     bool
	waited   time.Duration
	grantedA time.Time
}

func newQueue(slots, bound int) *queue {
	return &queue{slots: slots, bound: bound, now: time.Now, service: firstService.Seconds()}
}

// enter takes a place. A *inference.BusyError says that there is none. Where the
// queue is full, one who holds fewer places than another takes the latest of
// that other's, and a question takes background work's.
func (q *queue) enter(c inference.Caller) (*ticket, error) {
	if c.Priority != inference.Background {
		c.Priority = inference.Question
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &ticket{q: q, caller: c, since: q.now(), called: make(chan struct{})}
	if q.waiting >= q.bound && !(q.waiting == 0 && q.running < q.slots) && !q.pushOut(c) {
		return nil, q.busy()
	}
	q.class[c.Priority].add(t)
	q.waiting++
	q.dispatch()
	return t, nil
}

// leave gives the place back, granted or not. It may be called more than once.
func (t *ticket) leave() {
	q := t.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.left {
		return
	}
	t.left = true
	switch {
	case t.granted:
		q.running--
		if t.caller.Priority == inference.Background {
			q.background--
		}
		q.service += 0.2 * (q.now().Sub(t.grantedA).Seconds() - q.service)
		q.dispatch()
	case t.refused == nil:
		q.class[t.caller.Priority].remove(t)
		q.waiting--
	}
}

func (q *queue) busy() *inference.BusyError {
	seconds := math.Ceil(q.service * float64(q.waiting+1) / float64(q.slots))
	seconds = min(max(seconds, 1), longestRetry.Seconds())
	return &inference.BusyError{Waiting: q.waiting, RetryAfter: time.Duration(seconds) * time.Second}
}

func (q *queue) dispatch() {
	for q.running < q.slots {
		t := q.next()
		if t == nil {
			return
		}
		q.waiting--
		q.running++
		if t.caller.Priority == inference.Background {
			q.background++
			q.sinceAged = 0
		} else {
			q.sinceAged++
		}
		t.granted, t.grantedA = true, q.now()
		t.waited = t.grantedA.Sub(t.since)
		close(t.called)
	}
}

// next picks who goes. The last free slot of several is kept from background
// work, so that a question need not wait for it.
func (q *queue) next() *ticket {
	questions, work := &q.class[inference.Question], &q.class[inference.Background]
	if q.slots > 1 && q.background >= q.slots-1 {
		return questions.pop()
	}
	if q.sinceAged >= agedShare-1 && work.oldest(q.now()) >= ageing {
		return work.pop()
	}
	if t := questions.pop(); t != nil {
		return t
	}
	return work.pop()
}

// pushOut refuses one who waits to make room for another caller, if that is fair.
func (q *queue) pushOut(c inference.Caller) bool {
	mine := 0
	if l := q.class[c.Priority].line(c.Key); l != nil {
		mine = len(l.tickets)
	}
	for p := inference.Background; p >= c.Priority; p-- {
		var most *line
		for _, l := range q.class[p].turn {
			if most == nil || len(l.tickets) > len(most.tickets) {
				most = l
			}
		}
		if most == nil || p == c.Priority && len(most.tickets) <= mine+1 {
			continue
		}
		t := most.tickets[len(most.tickets)-1]
		t.refused = q.busy()
		q.class[p].remove(t)
		q.waiting--
		close(t.called)
		return true
	}
	return false
}

func (q *queue) counts() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, q.waiting
}

func (c *class) line(key string) *line {
	for _, l := range c.turn {
		if l.key == key {
			return l
		}
	}
	return nil
}

func (c *class) add(t *ticket) {
	l := c.line(t.caller.Key)
	if l == nil {
		l = &line{key: t.caller.Key}
		c.turn = append(c.turn, l)
	}
	l.tickets = append(l.tickets, t)
}

// pop takes the first ticket of the caller whose turn it is.
func (c *class) pop() *ticket {
	if len(c.turn) == 0 {
		return nil
	}
	l := c.turn[0]
	t := l.tickets[0]
	l.tickets = l.tickets[1:]
	c.turn = c.turn[1:]
	if len(l.tickets) > 0 {
		c.turn = append(c.turn, l)
	}
	return t
}

func (c *class) remove(t *ticket) {
	for i, l := range c.turn {
		for j, other := range l.tickets {
			if other != t {
				continue
			}
			l.tickets = append(l.tickets[:j:j], l.tickets[j+1:]...)
			if len(l.tickets) == 0 {
				c.turn = append(c.turn[:i:i], c.turn[i+1:]...)
			}
			return
		}
	}
}

// oldest is how long the longest has waited.
func (c *class) oldest(now time.Time) time.Duration {
	var longest time.Duration
	for _, l := range c.turn {
		longest = max(longest, now.Sub(l.tickets[0].since))
	}
	return longest
}
