// Package uplink is the site's one connection to the hub: what the spool holds
// goes up, each message until the hub has it; what was published comes down.
package uplink

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
	"rxedge/sync/link"
	"rxedge/sync/spool"
)

// ErrDown: there is no connection to the hub now.
var ErrDown = errors.New("there is no connection to the hub")

// Options of an uplink.
type Options struct {
	Identity *enroll.Identity
	Spool    *spool.Spool // nil: nothing goes up
	Proxy    string
	// Silence after which a line is dead, Backoff the longest wait between attempts;
	// 0: link's.
	Silence, Backoff time.Duration
	// News is called when the hub has something new, and at each connection. It
	// must not block.
	News func()
	// Acknowledged hears of each message that the hub has, and how long after it was sent
	// that came; nil: nobody does. It must not block.
	Acknowledged func(took time.Duration)

	Now func() time.Time // for certificates; nil: time.Now
	Log *slog.Logger     // nil: silent
}

// Status of the uplink.
type Status struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"` // connected, or not
	Hub       string    `json:"hub,omitempty"`
	// Code and Why say what is in the way: unreachable, certificate, not_admitted,
	// proxy, dead_line, ended.
	Code     string `json:"code,omitempty"`
	Why      string `json:"why,omitempty"`
	Attempts int    `json:"attempts,omitempty"` // since it was lost
	BytesIn  int64  `json:"bytes_in"`
	BytesOut int64  `json:"bytes_out"`
	// LastAck is when the hub last acknowledged a message of the spool.
	LastAck time.Time     `json:"last_ack,omitzero"`
	Sent    uint64        `json:"sent"` // acknowledged since the start
	Waiting spool.Waiting `json:"waiting"`
	// Spool says why what waits is not known, nor forwarded; "": it is.
	Spool string `json:"spool_error,omitempty"`
}

// Uplink runs from Start to Close. Safe for concurrent use.
type Uplink struct {
	opt  Options
	nc   *nats.Conn
	stop context.CancelFunc
	wg   sync.WaitGroup

	read, wrote atomic.Int64
	sent        atomic.Uint64
	window      window
	landed      landed
	long        sync.Mutex // held while a message goes in parts

	mu      sync.Mutex
	ready   sync.Cond
	up      bool
	hub     string // address of the one that is connected
	since   time.Time
	lastErr error
	denied  error // the hub's no, as it was at the latest attempt
	tries   int
	lastAck time.Time
	epoch   context.Context // ends with the connection
	end     context.CancelFunc
	state   []byte // what the centre should have of this site
	told    bool
	tell    chan struct{}
}

// Start the uplink. It needs no connection to do so.
func Start(opt Options) (*Uplink, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.News == nil {
		opt.News = func() {}
	}
	if opt.Acknowledged == nil {
		opt.Acknowledged = func(time.Duration) {}
	}
	ctx, stop := context.WithCancel(context.Background())
	u := &Uplink{opt: opt, stop: stop, since: time.Now(), tell: make(chan struct{}, 1)}
	u.ready.L = &u.mu
	u.epoch, u.end = context.WithCancel(ctx)
	u.end()
	id := opt.Identity
	most := opt.Backoff
	if most == 0 {
		most = 2 * time.Second
	}
	cfg := link.Config{Name: id.Site, Hubs: id.Hubs, CA: id.CA, Credentials: id.Credentials, Proxy: opt.Proxy, Silence: opt.Silence, Now: opt.Now, Read: &u.read, Wrote: &u.wrote,
		Delay: func(attempts int) time.Duration {
			u.mu.Lock()
			nc := u.nc
			u.mu.Unlock()
			denied := denial(nc)
			u.mu.Lock()
			u.tries, u.denied = attempts, denied
			code, _ := explain(u.trouble())
			u.mu.Unlock()
			if code == codeNotAdmitted {
				return link.Backoff(attempts, 15*max(most, time.Second)) // a hub that knows this site says no
			}
			return link.Backoff(attempts, most)
		}}
	nc, err := link.Connect(cfg, true,
		nats.ConnectHandler(func(nc *nats.Conn) { u.connected(ctx, nc) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { u.connected(ctx, nc) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { u.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { u.failed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { u.opt.Log.Warn("the hub", "error", err) }),
	)
	if err != nil {
		stop()
		return nil, err
	}
	u.mu.Lock()
	u.nc = nc
	u.mu.Unlock()
	if nc.IsConnected() {
		u.connected(ctx, nc)
	}
	if _, err := nc.Subscribe(bundle.TimestampSubject, func(*nats.Msg) { u.opt.News() }); err != nil {
		stop()
		nc.Close()
		return nil, err
	}
	if opt.Spool != nil {
		u.wg.Go(func() { u.forward(ctx) })
	}
	u.wg.Go(func() { u.report(ctx) })
	return u, nil
}

// Close ends it. What waits stays in the spool.
func (u *Uplink) Close() {
	u.stop()
	u.nc.Close()
	u.mu.Lock()
	u.end()
	u.ready.Broadcast()
	u.mu.Unlock()
	u.wg.Wait()
}

func (u *Uplink) connected(ctx context.Context, nc *nats.Conn) {
	hub := nc.ConnectedAddr()
	u.mu.Lock()
	again := u.up
	u.hub = hub
	if !again {
		u.up, u.since, u.lastErr, u.denied, u.tries = true, time.Now(), nil, nil, 0
		u.epoch, u.end = context.WithCancel(ctx)
		u.told = false
		u.ready.Broadcast()
	}
	u.mu.Unlock()
	if again {
		return
	}
	u.opt.Log.Info("connected to the hub")
	select {
	case u.tell <- struct{}{}:
	default:
	}
	u.opt.News()
}

func (u *Uplink) lost(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.up {
		return
	}
	u.up, u.since, u.tries = false, time.Now(), 0
	if err != nil {
		u.lastErr = err
	} else {
		u.lastErr = nats.ErrConnectionClosed
	}
	u.end()
	code, why := explain(u.lastErr)
	u.opt.Log.Info("the connection to the hub was lost", "code", code, "why", why)
}

func (u *Uplink) failed(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lastErr = err
}

// denial is the hub's no, of which the client tells nobody but who asks. It answers
// between attempts alone: during one it holds what it would answer by, for as long as a
// silent line lets it. So nothing of it is asked while u.mu is held.
func denial(nc *nats.Conn) error {
	if nc == nil {
		return nil
	}
	if err := nc.LastError(); errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		return err
	}
	return nil
}

// trouble is what is in the way, as far as it is known; u.mu is held.
func (u *Uplink) trouble() error {
	if u.denied != nil {
		return u.denied
	}
	return u.lastErr
}

// link of now; its context ends with the connection.
func (u *Uplink) current() (context.Context, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.epoch, u.up
}

// wait for a connection, until ctx ends.
func (u *Uplink) wait(ctx context.Context) (context.Context, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for !u.up && ctx.Err() == nil {
		u.ready.Wait()
	}
	return u.epoch, ctx.Err() == nil
}

// Link says how the connection stands: Status without what waits.
func (u *Uplink) Link() Status {
	u.mu.Lock()
	st := Status{Connected: u.up, Since: u.since.UTC(), Attempts: u.tries, LastAck: u.lastAck}
	if u.up {
		st.Hub = u.hub
	} else {
		st.Code, st.Why = explain(u.trouble())
	}
	u.mu.Unlock()
	st.BytesIn, st.BytesOut, st.Sent = u.read.Load(), u.wrote.Load(), u.sent.Load()
	return st
}

// Status says how it stands.
func (u *Uplink) Status(ctx context.Context) Status {
	st := u.Link()
	if u.opt.Spool != nil {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		var err error
		if st.Waiting, err = u.opt.Spool.Waiting(ctx); err != nil {
			st.Spool = err.Error()
		}
	}
	return st
}

const codeNotAdmitted = "not_admitted"

// explain an error of the connection to a technician.
func explain(err error) (code, why string) {
	var (
		op    *net.OpError
		proxy *link.ProxyError
	)
	switch {
	case err == nil:
		return "starting", "no attempt has ended yet"
	case errors.As(err, &proxy):
		return "proxy", err.Error()
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired), strings.Contains(err.Error(), "uthorization"), strings.Contains(err.Error(), "uthentication"):
		return codeNotAdmitted, "the hub does not admit this site: it was revoked, or enrolled anew on another box"
	case strings.Contains(err.Error(), "x509:"), strings.Contains(err.Error(), "tls:"):
		return "certificate", "the hub and this box do not accept each other's certificate: " + err.Error()
	case errors.Is(err, nats.ErrStaleConnection), strings.Contains(err.Error(), "i/o timeout") && !strings.Contains(err.Error(), "dial"):
		return "dead_line", "nothing came over the line any more"
	case errors.As(err, &op), errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), strings.Contains(err.Error(), "dial"), strings.Contains(err.Error(), "lookup"):
		return "unreachable", err.Error()
	}
	return "ended", err.Error()
}
