package spool

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// PartSize is the most bytes of a message that travel as one. A longer message goes
// in parts, each acknowledged by itself: on a slow line nothing waits long behind
// one, and a cut costs a part and not all that had gone before.
const PartSize = 16 << 10

// headerPart of a part says "2/16", counted from 1; its id is that of the message,
// a dot, and the number, so that the hub knows each part that it has.
const headerPart = "Rxedge-Part"

const maxParts = (MaxMessage + PartSize - 1) / PartSize

// Parts of the message with the headers that they travel under, in order.
func (m *Message) Parts() iter.Seq2[nats.Header, []byte] {
	return func(yield func(nats.Header, []byte) bool) {
		n := max(1, (len(m.Data)+PartSize-1)/PartSize)
		for k := range n {
			h := nats.Header{nats.MsgIdHdr: {m.ID}}
			if n > 1 {
				h.Set(nats.MsgIdHdr, m.ID+"."+strconv.Itoa(k+1))
				h.Set(headerPart, fmt.Sprintf("%d/%d", k+1, n))
			}
			if !yield(h, m.Data[k*PartSize:min(len(m.Data), (k+1)*PartSize)]) {
				return
			}
		}
	}
}

// Assembler makes messages of parts again. The zero value is ready to use. What it
// is given came from sites, and it holds no more of it than maxHeld bytes: of what
// is incomplete the oldest is forgotten.
type Assembler struct {
	open  map[string]*pieces
	order []string
	held  int
}

type pieces struct {
	parts [][]byte
	left  int
	size  int
}

const maxHeld = 64 << 20

// Add what a site sent under these headers. ok: it is a whole message, or it was
// the last part of one, which id and data are then.
func (a *Assembler) Add(site string, h nats.Header, data []byte) (id string, whole []byte, ok bool) {
	id = h.Get(nats.MsgIdHdr)
	k, n, parted := partOf(h.Get(headerPart))
	if !parted {
		return id, data, true
	}
	id = strings.TrimSuffix(id, "."+strconv.Itoa(k))
	key := site + " " + id
	p := a.open[key]
	if p == nil || len(p.parts) != n {
		a.forget(key)
		p = &pieces{parts: make([][]byte, n), left: n}
		if a.open == nil {
			a.open = map[string]*pieces{}
		}
		a.open[key] = p
		a.order = append(a.order, key)
	}
	if p.parts[k-1] == nil {
		// A part that has no byte is there all the same.
		p.parts[k-1] = append(make([]byte, 0, len(data)+1), data...)
		p.left--
		p.size += len(data)
		a.held += len(data)
	}
	if p.left == 0 {
		a.forget(key)
		return id, bytes.Join(p.parts, nil), true
	}
	for len(a.order) > 1 && a.held > maxHeld {
		a.forget(a.order[0])
	}
	return "", nil, false
}

func (a *Assembler) forget(key string) {
	p := a.open[key]
	if p == nil {
		return
	}
	a.held -= p.size
	delete(a.open, key)
	for i, k := range a.order {
		if k == key {
			a.order = append(a.order[:i], a.order[i+1:]...)
			break
		}
	}
}

// partOf reads "2/16"; ok is false for what is none of these.
func partOf(s string) (k, n int, ok bool) {
	first, second, found := strings.Cut(s, "/")
	k, err := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	return k, n, found && err == nil && err2 == nil && 1 <= k && k <= n && 1 < n && n <= maxParts
}
