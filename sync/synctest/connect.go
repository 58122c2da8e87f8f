package synctest

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is an HTTP proxy that lets CONNECT through, as firms have them.
type Proxy struct {
	Address string // host:port

	// User and Password that it wants, as it is made; "": none.
	User, Password string
	// Pretend to be the hub with this certificate; nil: bytes pass as they are.
	Pretend *tls.Certificate

	refuse atomic.Bool
	silent atomic.Bool

	tunnels atomic.Int64 // that were let through
	denied  atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
	first [][]byte // what clients sent first in each tunnel
	wg    sync.WaitGroup
}

// Serve on a loopback port until the test ends.
func (p *Proxy) Serve(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Address, p.conns = l.Addr().String(), map[net.Conn]bool{}
	srv := &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second}
	p.wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = srv.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Refuse every CONNECT with 403, or no longer.
func (p *Proxy) Refuse(yes bool) { p.refuse.Store(yes) }

// Silent takes connections and answers nothing, or no longer.
func (p *Proxy) Silent(yes bool) { p.silent.Store(yes) }

// Tunnels that were let through, ever, and requests that were not.
func (p *Proxy) Tunnels() (through, denied int64) { return p.tunnels.Load(), p.denied.Load() }

// First bytes that the client sent in each tunnel.
func (p *Proxy) First() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]byte(nil), p.first...)
}

// Cut all tunnels.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if p.silent.Load() {
		<-r.Context().Done()
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.User+":"+p.Password))
	switch {
	case r.Method != http.MethodConnect:
		http.Error(w, "CONNECT alone", http.StatusMethodNotAllowed)
	case p.User != "" && r.Header.Get("Proxy-Authorization") != want:
		p.denied.Add(1)
		w.Header().Set("Proxy-Authenticate", `Basic realm="firm"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
	case p.refuse.Load():
		p.denied.Add(1)
		http.Error(w, "not to there", http.StatusForbidden)
	default:
		p.tunnel(w, r.Host)
	}
}

func (p *Proxy) tunnel(w http.ResponseWriter, to string) {
	up, err := net.DialTimeout("tcp", to, 2*time.Second)
	if err != nil {
		http.Error(w, "it is not there", http.StatusBadGateway)
		return
	}
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = up.Close()
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: 1.1 firm\r\n\r\n"); err != nil {
		_ = c.Close()
		_ = up.Close()
		return
	}
	p.tunnels.Add(1)
	var client net.Conn = c
	if p.Pretend != nil {
		client = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*p.Pretend}})
	}
	p.mu.Lock()
	p.conns[c], p.conns[up] = true, true
	mine := len(p.first)
	p.first = append(p.first, nil)
	p.mu.Unlock()
	p.wg.Go(func() {
		var from io.Reader = client
		if p.Pretend == nil {
			from = buf // what came with the request, then the rest
		}
		_, _ = io.Copy(up, io.TeeReader(from, note{p, mine}))
		_ = up.Close()
		_ = c.Close()
	})
	p.wg.Go(func() {
		_, _ = io.Copy(client, up)
		_ = up.Close()
		_ = c.Close()
		p.mu.Lock()
		delete(p.conns, c)
		delete(p.conns, up)
		p.mu.Unlock()
	})
}

type note struct {
	p *Proxy
	n int
}

// Write implements io.Writer: it keeps the first 64 KiB.
func (n note) Write(b []byte) (int, error) {
	n.p.mu.Lock()
	defer n.p.mu.Unlock()
	if f := &n.p.first[n.n]; len(*f) < 64<<10 {
		*f = append(*f, bytes.Clone(b)...)
	}
	return len(b), nil
}
