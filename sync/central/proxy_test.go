package central_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/link"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// A site behind a proxy: it is enrolled, fetches, reports, and comes back when
// the proxy cuts it off. What the proxy sees is TLS 1.3 alone.
func TestThroughProxy(t *testing.T) {
	t.Parallel()
	f := synctest.NewWebSocketFleet(t)
	for name, hub := range map[string]string{"tls": f.Address, "websocket": f.WebSocket} {
		for _, user := range []string{"", "box"} {
			t.Run(fmt.Sprintf("%s user=%q", name, user), func(t *testing.T) {
				t.Parallel()
				site := "site-" + name + user
				p := (&synctest.Proxy{User: user, Password: "open sesame"}).Serve(t)
				address := "http://" + p.Address
				if user != "" {
					address = "http://" + user + ":open%20sesame@" + p.Address
				}
				file, err := f.AddSite(site, site, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				file.Hubs = []string{hub}
				dir := filepath.Join(t.TempDir(), "sync")
				id, err := enroll.Claim(t.Context(), dir, file, enroll.Options{Proxy: address})
				if err != nil {
					t.Fatal(err)
				}
				f.Release(t, central.Release{Channel: site, Documents: docs(map[string]string{"a": "first"})})
				sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer sp.Close()
				r, err := bundle.Open(filepath.Join(dir, "bundles"), bundle.Config{Channel: site, Root: id.Root, Least: id.Floor, Issued: id.Issued})
				if err != nil {
					t.Fatal(err)
				}
				u, err := uplink.Start(uplink.Options{Identity: id, Spool: sp, Proxy: address, Now: r.Now})
				if err != nil {
					t.Fatal(err)
				}
				defer u.Close()
				connected := func() bool { return u.Status(t.Context()).Connected }
				eventually(t, "it is connected", connected)
				if res, err := r.Pull(t.Context(), u.Source()); err != nil || res.Staged != 1 {
					t.Fatal(res, err)
				}
				const n = 60
				for i := range n {
					if _, err := sp.Put(t.Context(), spool.Normal, "k", fmt.Appendf(nil, "%d", i)); err != nil {
						t.Fatal(err)
					}
					if i%20 == 10 {
						p.Cut()
					}
				}
				// A proxy that refuses for a while is named, and it goes on after it.
				p.Refuse(true)
				eventually(t, "the refusal is told", func() bool {
					p.Cut() // one that was let through just before, too
					s := u.Status(t.Context())
					return !s.Connected && s.Code == "proxy" && strings.Contains(s.Why, "403")
				})
				p.Refuse(false)
				eventually(t, "it is connected again", connected)
				eventually(t, "all is delivered", func() bool { w, err := sp.Waiting(t.Context()); return err == nil && w.Messages == 0 })
				seen := map[string]int{}
				if err := f.Collect(t.Context(), nil, 0, func(m central.Report) error {
					if m.Site == site {
						seen[string(m.Data)]++
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if seen[fmt.Sprint(i)] != 1 {
						t.Errorf("message %d is at the centre %d times", i, seen[fmt.Sprint(i)])
					}
				}
				if through, denied := p.Tunnels(); through < 3 || denied == 0 {
					t.Errorf("%d tunnels, %d denied", through, denied)
				}
				for _, b := range p.First() {
					if len(b) == 0 {
						continue // cut before a byte
					}
					if err := helloOf13(b); err != nil {
						t.Errorf("a tunnel began otherwise than with TLS 1.3: %v", err)
					}
					for _, secret := range []string{site, "sesame", "_INBOX", "CONNECT {", "tel."} {
						if bytes.Contains(b, []byte(secret)) {
							t.Errorf("the proxy could read %q", secret)
						}
					}
				}
			})
		}
	}
}

// helloOf13 wants a TLS handshake record with a ClientHello that offers TLS 1.3
// and nothing older.
func helloOf13(b []byte) error {
	if b[0] != 22 {
		return fmt.Errorf("a record of type %d", b[0])
	}
	var offered []uint16
	srv := tls.Server(&replay{r: bytes.NewReader(b)}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = h.SupportedVersions
		return nil, errors.New("seen")
	}})
	_ = srv.Handshake()
	for _, v := range offered {
		if v == tls.VersionTLS13 && len(offered) == 1 {
			return nil
		}
	}
	return fmt.Errorf("it offers %x", offered)
}

// Proxies with which there is no connection: each is named, with what to do.
func TestProxyThatDoesNot(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	id := f.Grant(t, "site-1")
	pretend := selfSigned(t)
	for name, c := range map[string]struct {
		proxy     *synctest.Proxy
		user      string
		code, why string
	}{
		"no name given":        {&synctest.Proxy{User: "box", Password: "secret-1"}, "", "proxy", "sync.proxy"},
		"a wrong password":     {&synctest.Proxy{User: "box", Password: "secret-1"}, "box:secret-2@", "proxy", "does not take"},
		"it pretends":          {&synctest.Proxy{Pretend: pretend}, "", "certificate", "certificate"},
		"nobody listens":       {nil, "", "proxy", "not reached"},
		"it answers nothing":   {&synctest.Proxy{}, "", "proxy", "no answer"},
		"the hub is not there": {&synctest.Proxy{}, "", "proxy", "502"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := "http://" + c.user
			if c.proxy != nil {
				address += c.proxy.Serve(t).Address
				c.proxy.Silent(name == "it answers nothing")
			} else {
				address += synctest.FreePort(t)
			}
			mine := *id
			if name == "the hub is not there" {
				mine.Hubs = []string{synctest.FreePort(t)}
			}
			u, err := uplink.Start(uplink.Options{Identity: &mine, Proxy: address})
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			var s uplink.Status
			eventually(t, "it is told", func() bool {
				s = u.Status(t.Context())
				return s.Code != "" && s.Code != "starting" && s.Attempts > 0 || s.Connected
			})
			if s.Connected || s.Code != c.code || !strings.Contains(s.Why, c.why) {
				t.Errorf("%+v", s)
			}
			if strings.Contains(s.Why, "secret") {
				t.Errorf("it tells a password: %s", s.Why)
			}
			// The claim of a new box is told the same.
			if _, err := link.Connect(link.Config{Name: mine.Site, Hubs: mine.Hubs, CA: mine.CA, Credentials: mine.Credentials, Proxy: address}, false); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: link.ServerName}, DNSNames: []string{link.ServerName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// replay is a connection of which the other side has said all.
type replay struct {
	net.Conn
	r *bytes.Reader
}

func (c *replay) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c *replay) Write(p []byte) (int, error)     { return len(p), nil }
func (c *replay) Close() error                    { return nil }
func (c *replay) SetDeadline(time.Time) error     { return nil }
func (c *replay) SetReadDeadline(time.Time) error { return nil }
