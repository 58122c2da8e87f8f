package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// selfSigned certificate and key, PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: ServerName}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}))
}

// A hub that hangs up in the handshake is tried again and again, and none of the
// connections that came to nothing stays open.
func TestFailedAttemptsAreClosed(t *testing.T) {
	// It would close them in the end.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var began, open atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			began.Add(1)
			open.Add(1)
			go func() {
				_, _ = io.WriteString(c, "this is no TLS\r\n")
				_, _ = io.Copy(io.Discard, c) // until the other side closes
				open.Add(-1)
				_ = c.Close()
			}()
		}
	}()
	cert, key := selfSigned(t)
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := kp.Seed()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := Connect(Config{Name: "site-1", Hubs: []string{l.Addr().String()}, CA: cert, Credentials: Credentials{JWT: "none", Seed: string(seed), Certificate: cert, Key: key},
		Delay: func(int) time.Duration { return time.Millisecond }}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for end := time.Now().Add(20 * time.Second); began.Load() < 30; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d attempts", began.Load())
		}
	}
	for end := time.Now().Add(5 * time.Second); open.Load() > 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("of %d connections %d are open", began.Load(), open.Load())
		}
	}
}
