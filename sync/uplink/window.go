package uplink

import (
	"context"
	"sync"
	"time"
)

// Bytes that are on their way to the hub and not acknowledged wait behind one
// another, and so does the ping that shows that the line lives, and every question
// to the hub. So there are no more of them than the line carries in about a second.
const (
	windowLeast = 16 << 10 // 2 s at 64 kbit/s
	windowMost  = 1 << 20
	prompt      = time.Second // an acknowledgement within this: there is room for more
	late        = 2 * time.Second
	overhead    = 300 // bytes of a message's subject and headers, about
)

// window lets so many bytes be in flight. It opens by what is acknowledged
// promptly, and closes by half when that is late.
type window struct {
	mu     sync.Mutex
	free   chan struct{} // closed when something has landed; nil: nobody waits
	flying int
	limit  int
	shrunk time.Time // once for what was in flight together
}

// enter waits until n bytes may go, or ctx ends; one message may always go.
func (w *window) enter(ctx context.Context, n int) error {
	w.mu.Lock()
	for w.flying > 0 && w.flying+n > max(w.limit, windowLeast) {
		if w.free == nil {
			w.free = make(chan struct{})
		}
		free := w.free
		w.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return ErrDown
		}
		w.mu.Lock()
	}
	w.flying += n
	w.mu.Unlock()
	return nil
}

// leave: n bytes were acknowledged, or given up, so long after they were sent.
func (w *window) leave(n int, sent time.Time, acknowledged bool) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying -= n
	w.limit = max(w.limit, windowLeast)
	switch took := now.Sub(sent); {
	case acknowledged && took <= prompt:
		w.limit = min(w.limit+n, windowMost)
	case (took > late || !acknowledged) && sent.After(w.shrunk):
		w.limit, w.shrunk = max(w.limit/2, windowLeast), now
	}
	if w.free != nil {
		close(w.free)
		w.free = nil
	}
}

// landed are the latest parts of messages that the hub has, by their ids: where a
// line is cut in the middle of a message they do not travel again. One that is
// forgotten does, and the hub knows it by its id.
type landed struct {
	mu   sync.Mutex
	ids  map[string]bool
	ring [256]string
	next int
}

func (l *landed) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[id]
}

func (l *landed) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = map[string]bool{}
	}
	delete(l.ids, l.ring[l.next])
	l.ring[l.next], l.ids[id] = id, true
	l.next = (l.next + 1) % len(l.ring)
}
