package access

import (
	"strings"
	"sync"
	"time"
)

// Tries hold up who guesses passwords: after freeTries that failed in a row, each more
// is refused for twice as long as the one before, up to longestWait. They are counted by
// name and by address: one machine that tries all names, or many that try one.
type Tries struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[string]*tried
}

type tried struct {
	failed int
	until  time.Time
	last   time.Time
}

const (
	freeTries   = 5  // of a name
	freeAddress = 20 // of an address: several people may be behind one
	longestWait = 5 * time.Minute
	// forgotten after so long without another.
	forgotten = time.Hour
	mostTried = 20_000
)

// addressKey begins the keys of addresses.
const addressKey = "address "

// Keys of a try.
func Keys(name, address string) []string { return []string{"name " + name, addressKey + address} }

// NewTries that nobody has made.
func NewTries() *Tries { return &Tries{now: time.Now, by: map[string]*tried{}} }

// Wait is how long none of keys may try; 0: now.
func (t *Tries) Wait(keys ...string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait := time.Duration(0)
	for _, k := range keys {
		if x := t.by[k]; x != nil {
			wait = max(wait, x.until.Sub(t.now()))
		}
	}
	return wait
}

// Failed a try. It is counted before the password is looked at, and taken back by
// Succeeded: so tries at the same time do not get around it.
func (t *Tries) Failed(keys ...string) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.by) > mostTried {
		for k, x := range t.by {
			if now.Sub(x.last) > forgotten || len(t.by) > mostTried {
				delete(t.by, k)
			}
		}
	}
	for _, k := range keys {
		x := t.by[k]
		if x == nil || now.Sub(x.last) > forgotten {
			x = &tried{}
			t.by[k] = x
		}
		x.failed++
		x.last = now
		free := freeTries
		if strings.HasPrefix(k, addressKey) {
			free = freeAddress
		}
		if n := x.failed - free; n >= 0 {
			x.until = now.Add(min(longestWait, time.Second<<min(n, 20)))
		}
	}
}

// Succeeded for these keys.
func (t *Tries) Succeeded(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		delete(t.by, k)
	}
}
