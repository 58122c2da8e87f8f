// Package page is the fleet page: what the centre knows of its sites, rollouts, drift,
// fairness and decisions, for people who have signed in; and, for those whose role it
// is, the steps that they may take, each with a reason and on record.
package page

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pelletier/go-toml/v2"

	"rxedge/centre/page/access"
	"rxedge/centre/review"
	"rxedge/centre/survey"
	"rxedge/sync/central"
)

// Options of a page.
type Options struct {
	Folder *central.Folder
	Hubs   []string // by which the hub is reached; none: those of the folder
	// Listen on host:port; one that is not this machine's loopback wants a certificate,
	// and accounts or an OpenID provider.
	Listen           string
	Certificate, Key string   // PEM files
	Hosts            []string // names by which the page is reached, beside loopback's and the certificate's
	Settings         string   // file; "": page/page.toml of the centre's folder, if it is there
	Log              *slog.Logger
	Live             *survey.Live // nil: one of Folder
}

// DefaultListen of the page.
const DefaultListen = "127.0.0.1:8740"

// Settings of the page, in a TOML file.
type Settings struct {
	OIDC *access.OIDC `toml:"oidc"`
}

// UsageError is an option that can't be used.
type UsageError struct{ Reason string }

func (e *UsageError) Error() string { return e.Reason }

func misuse(format string, a ...any) error { return &UsageError{fmt.Sprintf(format, a...)} }

// ReadSettings of a file, strictly.
func ReadSettings(path string) (Settings, error) {
	var s Settings
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	d := toml.NewDecoder(strings.NewReader(string(b))).DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		var strict *toml.StrictMissingError
		var at *toml.DecodeError
		switch {
		case errors.As(err, &strict):
			return s, misuse("%s: there is no such setting:\n%s", path, strict.String())
		case errors.As(err, &at):
			row, col := at.Position()
			return s, misuse("%s:%d:%d: %s", path, row, col, at.Error())
		}
		return s, misuse("%s: %v", path, err)
	}
	if s.OIDC != nil {
		if err := s.OIDC.Check(); err != nil {
			return s, misuse("%s: %v", path, err)
		}
	}
	return s, nil
}

// Server of the page.
type Server struct {
	opt      Options
	f        *central.Folder
	live     *survey.Live
	accounts *access.Accounts
	sessions *access.Sessions
	tries    *access.Tries
	provider *access.Provider // nil: none
	secure   bool             // served over TLS
	hosts    map[string]bool
	log      *slog.Logger
	views    *views

	followers atomic.Int64 // of events

	deskMu   sync.Mutex
	deskOpen *review.Desk

	first struct { // the one-time token of the first admin
		sync.Mutex
		token string
	}
}

// New server, not listening yet.
func New(opt Options) (*Server, error) {
	s := &Server{opt: opt, f: opt.Folder, accounts: access.Open(opt.Folder.Dir), tries: access.NewTries(), log: opt.Log, live: opt.Live, hosts: map[string]bool{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.live == nil {
		s.live = survey.NewLive(opt.Folder, opt.Hubs, s.log)
	}
	s.sessions = access.NewSessions(s.accounts)
	if s.opt.Listen == "" {
		s.opt.Listen = DefaultListen
	}
	path := opt.Settings
	if path == "" {
		path = filepath.Join(opt.Folder.Dir, access.Dir, "page.toml")
	}
	set, err := ReadSettings(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && opt.Settings == "":
	case err != nil:
		return nil, err
	}
	if set.OIDC != nil {
		if s.provider, err = access.NewProvider(*set.OIDC); err != nil {
			return nil, misuse("%s: %v", path, err)
		}
		s.hosts[s.provider.Host()] = true
	}
	for _, h := range opt.Hosts {
		s.hosts[strings.ToLower(h)] = true
	}
	accounts, err := s.accounts.List()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(s.opt.Listen)
	if err != nil {
		return nil, misuse("--listen: %q is no host:port", s.opt.Listen)
	}
	s.secure = opt.Certificate != "" || opt.Key != ""
	if !isLoopback(host) {
		switch {
		case !s.secure:
			return nil, misuse("--listen: %s is reached from other machines: name a certificate and its key with --tls-cert and --tls-key", s.opt.Listen)
		case len(accounts) == 0 && s.provider == nil:
			return nil, misuse("--listen: %s is reached from other machines, and nobody has an account yet: 'rxedge central user add NAME --role admin' first", s.opt.Listen)
		}
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			s.hosts[host] = true
		}
	}
	if len(accounts) == 0 && s.provider == nil {
		s.first.token = access.Token()
	}
	s.views = newViews()
	return s, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// FirstToken is what makes the first admin; "": there is an account, or a provider.
func (s *Server) FirstToken() string {
	s.first.Lock()
	defer s.first.Unlock()
	return s.first.token
}

// FirstAddress makes the first admin: the token stands behind the #, which a browser
// sends nowhere.
func FirstAddress(address, token string) string { return address + "/sign-in#first=" + token }

// takeFirst says whether token is the one that makes the first admin. It is good until
// used returns nil.
func (s *Server) takeFirst(token string, use func() error) error {
	s.first.Lock()
	defer s.first.Unlock()
	if s.first.token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.first.token)) != 1 {
		return errFirst
	}
	if err := use(); err != nil {
		return err
	}
	s.first.token = ""
	return nil
}

var errFirst = errors.New("this is not the token that 'rxedge central serve' has printed, or it was used")

// Run the page until ctx ends. ready is told its address.
func (s *Server) Run(ctx context.Context, ready func(address string)) error {
	l, err := net.Listen("tcp", s.opt.Listen)
	if err != nil {
		return fmt.Errorf("the page can't listen on %s: %w", s.opt.Listen, err)
	}
	defer l.Close()
	defer s.closeDesk()
	scheme := "http"
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	if s.secure {
		scheme = "https"
		c := &certificate{cert: s.opt.Certificate, key: s.opt.Key}
		leaf, err := c.read()
		if err != nil {
			return misuse("--tls-cert, --tls-key: %v", err)
		}
		for _, n := range leaf.DNSNames {
			s.hosts[strings.ToLower(n)] = true
		}
		for _, ip := range leaf.IPAddresses {
			s.hosts[ip.String()] = true
		}
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	failed := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.live.Run(ctx); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { s.views.run(ctx, s.live) })
	wg.Go(func() {
		var err error
		if s.secure {
			err = srv.ServeTLS(l, "", "")
		} else {
			err = srv.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	if ready != nil {
		ready(scheme + "://" + l.Addr().String())
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop()
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if serr := srv.Shutdown(end); serr != nil {
		_ = srv.Close()
	}
	wg.Wait()
	return err
}

// certificate that is read again when its file changes: it is renewed now and then.
type certificate struct {
	cert, key string
	mu        sync.Mutex
	at        time.Time // of the file that was read
	looked    time.Time
	have      *tls.Certificate
}

func (c *certificate) read() (*x509.Certificate, error) {
	st, err := os.Stat(c.cert)
	if err != nil {
		return nil, err
	}
	got, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, err
	}
	c.have, c.at = &got, st.ModTime()
	return got.Leaf, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > time.Minute {
		c.looked = time.Now()
		if st, err := os.Stat(c.cert); err == nil && !st.ModTime().Equal(c.at) {
			_, _ = c.read() // half of a new pair: the old one goes on until it is whole
		}
	}
	return c.have, nil
}

// known says whether a request's Host is a name of this page: another is how a rebound
// DNS name reaches a service of one's own.
func (s *Server) known(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return isLoopback(host) || s.hosts[host]
}
