// Package link makes the one TLS connection to the hub: what is checked, who is
// shown to be calling, how a dead line is noticed, the way through a proxy, and how what
// lies at the hub is read to its end.
package link

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// ServerName is what every hub's certificate is made out to, whatever address
// it is reached by.
const ServerName = "hub.rxedge"

// Credentials of one party: a TLS certificate and a JWT with its seed.
type Credentials struct {
	JWT         string `json:"jwt"`
	Seed        string `json:"seed"`
	Certificate string `json:"certificate"` // PEM
	Key         string `json:"key"`         // PEM
}

// Config of a connection.
type Config struct {
	Name string // of the party, as in its JWT; the inbox is "_INBOX_NAME"
	// Hubs are host:port, tls://host:port, or wss://host:port for WebSocket.
	Hubs []string
	CA   string // PEM
	Credentials
	// Proxy is the address of an HTTP proxy, http://[user:password@]host:port,
	// through which the connection is made by CONNECT; "": none.
	Proxy string
	// Silence is how long no byte may arrive before the line is taken for dead;
	// 0: 12 s. A ping goes out every third of it.
	Silence time.Duration
	// Backoff is the longest wait between attempts; 0: 2 s.
	Backoff time.Duration
	// Delay before an attempt; nil: Backoff with full jitter.
	Delay func(attempts int) time.Duration
	// Now is the time that certificates are judged by; nil: time.Now.
	Now func() time.Time
	// Read counts the bytes that arrive on the wire; nil: not counted.
	Read *atomic.Int64
	// Wrote counts the bytes that go out on the wire; nil: not counted.
	Wrote *atomic.Int64
}

// Connect dials. With retry it returns at once, and the connection is made and
// kept in the background until it is closed.
func Connect(c Config, retry bool, more ...nats.Option) (*nats.Conn, error) {
	if len(c.Hubs) == 0 {
		return nil, errors.New("link: no hub's address is known")
	}
	if c.Silence == 0 {
		c.Silence = 12 * time.Second
	}
	if c.Backoff == 0 {
		c.Backoff = 2 * time.Second
	}
	if c.Delay == nil {
		c.Delay = func(attempts int) time.Duration { return Backoff(attempts, c.Backoff) }
	}
	if c.Read == nil {
		c.Read = new(atomic.Int64)
	}
	if c.Wrote == nil {
		c.Wrote = new(atomic.Int64)
	}
	tc, err := c.tls()
	if err != nil {
		return nil, err
	}
	kp, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		return nil, fmt.Errorf("link: the seed can't be used: %w", err)
	}
	d := &dialer{silence: c.Silence, read: c.Read, wrote: c.Wrote}
	if c.Proxy != "" {
		if d.proxy, err = parseProxy(c.Proxy); err != nil {
			return nil, err
		}
	}
	var urls []string
	ws := false
	for _, h := range c.Hubs {
		if !strings.Contains(h, "://") {
			h = "tls://" + h
		}
		u, err := url.Parse(h)
		if err != nil || u.Host == "" || u.Scheme != "tls" && u.Scheme != "wss" {
			return nil, fmt.Errorf("link: %q is no address of a hub, such as hub.example:4222", h)
		}
		ws = ws || u.Scheme == "wss"
		urls = append(urls, h)
	}
	opts := []nats.Option{
		nats.Name(c.Name), nats.Secure(tc), nats.SetCustomDialer(d),
		nats.UserJWT(func() (string, error) { return c.JWT, nil }, func(nonce []byte) ([]byte, error) { return kp.Sign(nonce) }),
		nats.CustomInboxPrefix("_INBOX_" + c.Name),
		nats.Timeout(dialTimeout), nats.PingInterval(c.Silence / 3), nats.MaxPingsOutstanding(20), // the watch on bytes decides
		nats.ReconnectBufSize(-1), nats.IgnoreDiscoveredServers(), nats.NoEcho(),
	}
	if !ws {
		opts = append(opts, nats.TLSHandshakeFirst()) // nothing in the clear, and any proxy takes it for TLS
	}
	if retry {
		opts = append(opts, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
			nats.CustomReconnectDelay(c.Delay))
	}
	return nats.Connect(strings.Join(urls, ","), append(opts, more...)...)
}

const dialTimeout = 5 * time.Second

// Backoff is full jitter under a limit that doubles from 100 ms to most.
func Backoff(attempts int, most time.Duration) time.Duration {
	limit := most
	if attempts < 16 {
		limit = min(most, 100*time.Millisecond<<max(attempts, 0))
	}
	return limit/8 + rand.N(limit*7/8+1)
}

func (c *Config) tls() (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.CA)) {
		return nil, errors.New("link: the CA's certificate can't be read")
	}
	cert, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
	if err != nil {
		return nil, fmt.Errorf("link: the certificate can't be used: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: ServerName, MinVersion: tls.VersionTLS13, Time: c.Now}, nil
}

func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.Port() == "" {
		return nil, errors.New("link: the proxy is to be given as http://host:port")
	}
	return u, nil
}

// ProxyError is a proxy that did not make the connection.
type ProxyError struct {
	Status int // that it answered; 0: none
	Why    string
	Err    error // cause, or nil
}

func (e *ProxyError) Error() string { return "the proxy: " + e.Why }
func (e *ProxyError) Unwrap() error { return e.Err }

// dialer connects, through the proxy where there is one.
type dialer struct {
	proxy       *url.URL
	silence     time.Duration
	read, wrote *atomic.Int64

	mu   sync.Mutex
	last net.Conn
}

// Dial implements nats.CustomDialer. The client has one connection at a time, and leaves
// one on which it never got as far as the handshake to the garbage collector: on a box at
// rest a hundred of them lie about where a hub hangs up. So the one before is closed here.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil {
		_ = d.last.Close() // it mostly is
		d.last = nil
	}
	to := address
	if d.proxy != nil {
		to = d.proxy.Host
	}
	c, err := net.DialTimeout(network, to, dialTimeout)
	if err != nil && d.proxy != nil {
		why := "it is not reached: " + err.Error()
		if errors.Is(err, syscall.ECONNREFUSED) {
			why = "it is not reached: nothing listens at " + to // the NATS client makes less of the error's own words
		}
		return nil, &ProxyError{Why: why, Err: err}
	}
	if err != nil {
		return nil, err
	}
	if d.proxy != nil {
		if err := d.tunnel(c, address); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	d.last = &watched{Conn: c, d: d}
	return d.last, nil
}

func (d *dialer) tunnel(c net.Conn, address string) error {
	_ = c.SetDeadline(time.Now().Add(dialTimeout))
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := d.proxy.User; u != nil {
		pw, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+pw)))
	}
	if err := req.Write(c); err != nil {
		return &ProxyError{Why: "it hung up: " + err.Error(), Err: err}
	}
	// The hub says nothing before it is spoken to, so nothing is read too far.
	resp, err := http.ReadResponse(bufio.NewReaderSize(&oneByte{c}, 16), req)
	if err != nil {
		return &ProxyError{Why: "it gave no answer: " + err.Error(), Err: err}
	}
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusProxyAuthRequired:
		why := "it wants a name and a password (407); give them in sync.proxy, as http://user:password@host:port"
		if d.proxy.User != nil {
			why = "it does not take the name and password of sync.proxy (407)"
		}
		return &ProxyError{Status: resp.StatusCode, Why: why}
	default:
		return &ProxyError{Status: resp.StatusCode, Why: fmt.Sprintf("it does not connect to %s (%d); whoever runs it has to allow that", address, resp.StatusCode)}
	}
	return c.SetDeadline(time.Time{})
}

// oneByte reads so little at a time that nothing after the answer is taken.
type oneByte struct{ net.Conn }

func (o *oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:min(len(p), 1)]) }

// watched ends a connection on which nothing arrives, and counts what does.
type watched struct {
	net.Conn
	d *dialer
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.Conn.SetReadDeadline(time.Now().Add(w.d.silence)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	w.d.read.Add(int64(n))
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.d.wrote.Add(int64(n))
	return n, err
}

// The deadlines that the NATS client sets for its own reads would undo the watch.
func (w *watched) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}
