package flow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"rxedge/sync/local"
)

// socketName of the bus in the flow's folder.
const socketName = "bus.sock"

// maxPayload of the embedded server, bytes. A message that would be longer goes in parts.
const maxPayload = 8 << 20

const busReadyIn = 30 * time.Second

// Bus is the nats-server of this process. Programs of this machine reach it by a unix
// socket in its folder; it opens no port unless it is told to.
type Bus struct {
	srv  *server.Server
	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]bool // of the socket
	done bool
}

// BusOptions of StartBus.
type BusOptions struct {
	// MaxStore is the most that the streams may have on disk, bytes; 0: 8 GiB.
	MaxStore int64
	// Listen is host:port on which workers of other machines are heard, "" for none.
	// TLS goes with it, and asks for their certificates.
	Listen string
	TLS    *tls.Config
}

// StartBus starts the server over the folder dir, which the caller has locked. What it
// acknowledges is on disk.
func StartBus(dir string, o BusOptions) (*Bus, error) {
	fail := func(err error) (*Bus, error) { return nil, fmt.Errorf("starting the bus in %s: %w", dir, err) }
	if o.MaxStore <= 0 {
		o.MaxStore = 8 << 30
	}
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(store, 0o700); err != nil {
		return fail(err)
	}
	opt := &server.Options{ServerName: "flow", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: store, SyncAlways: true, JetStreamMaxStore: o.MaxStore, JetStreamMaxMemory: 8 << 20, MaxPayload: maxPayload}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return fail(fmt.Errorf("%q is not host:port", o.Listen))
		}
		n, err := net.LookupPort("tcp", port)
		if err != nil {
			return fail(err)
		}
		if n == 0 {
			n = server.RANDOM_PORT
		}
		if o.TLS == nil || o.TLS.ClientAuth != tls.RequireAndVerifyClientCert {
			return fail(errors.New("it listens to nobody without certificates"))
		}
		opt.DontListen, opt.Host, opt.Port, opt.TLSConfig, opt.TLSVerify, opt.TLSTimeout, opt.TLSHandshakeFirst = false, host, n, o.TLS, true, 10, true
	}
	srv, err := server.NewServer(opt)
	if err != nil {
		return fail(err)
	}
	go srv.Start()
	b := &Bus{srv: srv, open: map[net.Conn]bool{}}
	if !srv.ReadyForConnections(busReadyIn) {
		b.Close()
		return fail(fmt.Errorf("it is not ready after %v", busReadyIn))
	}
	if b.l, err = local.Listen(dir, socketName); err != nil {
		b.Close()
		return fail(err)
	}
	b.wg.Go(b.accept)
	return b, nil
}

// Address on which other machines are heard, "" where none are.
func (b *Bus) Address() string {
	if a := b.srv.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// Connect within the process.
func (b *Bus) Connect(name string) (*nats.Conn, error) {
	return nats.Connect("", append(connectOptions(name), nats.InProcessServer(b.srv))...)
}

// Close ends the server; what was acknowledged is on disk.
func (b *Bus) Close() {
	b.mu.Lock()
	b.done = true
	for c := range b.open {
		_ = c.Close()
	}
	b.mu.Unlock()
	if b.l != nil {
		_ = b.l.Close()
	}
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
	b.wg.Wait()
}

func (b *Bus) accept() {
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		in, err := b.srv.InProcessConn()
		if err != nil {
			_ = c.Close()
			return
		}
		if !b.keep(c, in) {
			return
		}
		pipe := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.Close()
			_ = from.Close()
			b.mu.Lock()
			delete(b.open, from)
			b.mu.Unlock()
		}
		b.wg.Go(func() { pipe(in, c) })
		b.wg.Go(func() { pipe(c, in) })
	}
}

func (b *Bus) keep(cs ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range cs {
		if b.done {
			_ = c.Close()
			continue
		}
		b.open[c] = true
	}
	return !b.done
}

func connectOptions(name string) []nats.Option {
	return []nats.Option{nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(10 * time.Second),
		nats.CustomReconnectDelay(func(n int) time.Duration { return min(50*time.Millisecond<<min(n, 6), 2*time.Second) })}
}

// dialer reaches the bus by its socket.
type dialer struct{ dir string }

// Dial implements nats.CustomDialer.
func (d dialer) Dial(string, string) (net.Conn, error) {
	path, done, err := local.Address(d.dir, socketName)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var n net.Dialer
	return n.DialContext(ctx, "unix", path)
}

// ErrNoBus: no run is going on in that folder, so there is nothing to connect to.
var ErrNoBus = errors.New("no ingest is running here")

// Dial the bus that runs in the folder dir, in whichever process. The connection is made
// again for as long as it is open.
func Dial(dir, name string) (*nats.Conn, error) {
	nc, err := nats.Connect("nats://flow", append(connectOptions(name), nats.SetCustomDialer(dialer{dir}))...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	return nc, nil
}

// Hub is a bus that other processes run: one server, or a cluster.
type Hub struct {
	// Access lets in to a bus that Cluster has written; then the rest is empty.
	Access *Access

	Addresses   []string // host:port or tls://host:port
	CA          string   // file of the certificates that its own are signed by; "": the machine's
	Cert, Key   string   // files of the certificate to show, "" for none
	Credentials string   // file of a NATS user (JWT and seed), "" for none
}

// Connect to it. The connection is made again for as long as it is open.
func (h Hub) Connect(name string, more ...nats.Option) (*nats.Conn, error) {
	opts := append(connectOptions(name), more...)
	if h.Access != nil {
		o, err := h.Access.options()
		if err != nil {
			return nil, err
		}
		h.Addresses, opts = h.Access.Addresses, append(opts, o...)
	}
	if h.CA != "" {
		opts = append(opts, nats.RootCAs(h.CA))
	}
	if h.Cert != "" {
		opts = append(opts, nats.ClientCert(h.Cert, h.Key))
	}
	if h.Credentials != "" {
		opts = append(opts, nats.UserCredentials(h.Credentials))
	}
	url := ""
	for i, a := range h.Addresses {
		if i > 0 {
			url += ","
		}
		url += a
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		why := ""
		var unknown x509.UnknownAuthorityError
		switch {
		case h.Access == nil:
		case time.Now().After(h.Access.Expires):
			why = "; the file that lets in has run out: 'rxedge central ingest bus-config' writes another"
		case errors.As(err, &unknown):
			why = "; the servers' certificates are not those that go with this file: copy the one that bus-config wrote with them"
		}
		return nil, fmt.Errorf("reaching the bus at %s: %w%s", url, err, why)
	}
	return nc, nil
}

// Reach is Connect, with as much patience: a bus whose servers are not there, or not yet,
// is waited for; refused is told of each time. What no waiting mends is returned.
func (h Hub) Reach(ctx context.Context, name string, patience time.Duration, refused func(error)) (*nats.Conn, error) {
	until := time.Now().Add(patience)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		nc, err := h.Connect(name)
		if err == nil || !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) || time.Now().After(until) {
			return nc, err
		}
		refused(err)
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// options of a connection by this file alone.
func (a *Access) options() ([]nats.Option, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(a.CA)) {
		return nil, errors.New("the file that lets in to the bus is damaged: its CA can't be read")
	}
	cert, err := tls.X509KeyPair([]byte(a.Certificate), []byte(a.Key))
	if err != nil {
		return nil, fmt.Errorf("the file that lets in to the bus is damaged: %w", err)
	}
	// Servers tell clients of one another by the addresses that they see: only those of
	// the file are known to be reachable from here.
	return []nats.Option{nats.Secure(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: busServerName, MinVersion: tls.VersionTLS13}),
		nats.TLSHandshakeFirst(), nats.CustomInboxPrefix(inboxOf(a.Role)), nats.IgnoreDiscoveredServers(),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2)}, nil
}
