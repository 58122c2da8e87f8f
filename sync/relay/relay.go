// Package relay is a line to a hub that can be made bad: for tests, and for fleets
// that are simulated.
package relay

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Line is a TCP relay to a hub that can be cut, fall silent, be slow or far. It
// counts what the hub sends down it.
type Line struct {
	target string
	l      net.Listener

	down, hole atomic.Bool
	rate       atomic.Int64 // bytes a second each way; 0: as fast as it goes
	delay      atomic.Int64 // nanoseconds each way
	bytes      atomic.Int64 // from the hub

	mu     sync.Mutex
	conns  map[net.Conn]bool
	record io.Writer
	wg     sync.WaitGroup
}

// Record writes all bytes that pass from now on, either way, to w too.
func (x *Line) Record(w io.Writer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.record = w
}

func (x *Line) note(b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.record != nil {
		_, _ = x.record.Write(b)
	}
}

// New listens on a loopback port and relays to target, host:port.
func New(target string) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	x := &Line{target: target, l: l, conns: map[net.Conn]bool{}}
	x.wg.Go(x.accept)
	return x, nil
}

// Address to connect to.
func (x *Line) Address() string { return x.l.Addr().String() }

// Bytes that came from the hub.
func (x *Line) Bytes() int64 { return x.bytes.Load() }

// Cut ends all connections and refuses new ones, until Heal.
func (x *Line) Cut() { x.down.Store(true); x.drop() }

// Hole swallows all that is sent and answers nothing, until Heal.
func (x *Line) Hole() { x.hole.Store(true) }

// Slow gives it a rate in bytes a second and a delay each way; 0: none.
func (x *Line) Slow(rate int64, delay time.Duration) {
	x.rate.Store(rate)
	x.delay.Store(int64(delay))
}

// Heal ends every fault but slowness. Connections that lay in a hole are ended,
// as the packets are long lost.
func (x *Line) Heal() {
	if x.hole.Load() {
		x.drop()
	}
	x.down.Store(false)
	x.hole.Store(false)
}

// Close ends it.
func (x *Line) Close() {
	_ = x.l.Close()
	x.down.Store(true)
	x.drop()
	x.hole.Store(false)
	x.wg.Wait()
}

func (x *Line) drop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(x.conns)
}

func (x *Line) keep(c net.Conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.down.Load() {
		_ = c.Close()
		return false
	}
	x.conns[c] = true
	return true
}

func (x *Line) accept() {
	for {
		c, err := x.l.Accept()
		if err != nil {
			return
		}
		if !x.keep(c) || x.hole.Load() {
			continue
		}
		x.wg.Go(func() {
			u, err := net.DialTimeout("tcp", x.target, 2*time.Second)
			if err != nil {
				_ = c.Close()
				return
			}
			if !x.keep(u) {
				_ = c.Close()
				return
			}
			x.wg.Go(func() { x.pipe(c, u, false) })
			x.pipe(u, c, true)
		})
	}
}

type packet struct {
	data []byte
	due  time.Time
}

func (x *Line) pipe(from, to net.Conn, down bool) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		x.mu.Lock()
		delete(x.conns, from)
		delete(x.conns, to)
		x.mu.Unlock()
	}()
	// Few packets wait, so that the sender soon feels a slow line.
	queue := make(chan packet, 4)
	x.wg.Go(func() {
		defer close(queue)
		for {
			buf := make([]byte, 4<<10)
			n, err := from.Read(buf)
			if n > 0 {
				queue <- packet{buf[:n], time.Now().Add(time.Duration(x.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	})
	defer func() {
		_ = from.Close()
		for range queue { // lets the reader end
		}
	}()
	for p := range queue {
		time.Sleep(time.Until(p.due))
		if x.hole.Load() {
			continue
		}
		if r := x.rate.Load(); r > 0 {
			time.Sleep(time.Duration(int64(len(p.data)) * int64(time.Second) / r))
		}
		x.note(p.data)
		if down {
			x.bytes.Add(int64(len(p.data)))
		}
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}
