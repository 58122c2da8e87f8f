package flow

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"rxedge/sync/durable"
)

// Of the bus's certificates: years that they are good for.
const (
	busCAYears   = 10
	busLeafYears = 3
)

// busCA signs for the servers of a bus, the command and the workers. It is another than
// the fleet's: a site has a certificate of that one, and no business here.
type busCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// openBusCA reads it from dir, and makes it where there is none, or anew.
func openBusCA(dir string, anew bool) (*busCA, error) {
	crt, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	cb, cerr := os.ReadFile(crt)
	kb, kerr := os.ReadFile(key)
	if !anew && cerr == nil && kerr == nil {
		c, k := pemBlock(cb), pemBlock(kb)
		cert, err := x509.ParseCertificate(c)
		if err == nil {
			var p any
			if p, err = x509.ParsePKCS8PrivateKey(k); err == nil {
				if ec, ok := p.(*ecdsa.PrivateKey); ok && ec.PublicKey.Equal(cert.PublicKey) && time.Now().AddDate(busLeafYears, 0, 0).Before(cert.NotAfter) {
					return &busCA{cert, ec}, nil
				}
				err = errors.New("they do not go together, or run out")
			}
		}
		return nil, fmt.Errorf("%s and %s: %w; --anew makes others, and then everybody's files", crt, key, err)
	}
	for _, err := range []error{cerr, kerr} {
		if !anew && err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	k, _, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: "rxedge ingest bus"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(busCAYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	if err != nil {
		return nil, err
	}
	if t, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	c := &busCA{t, k}
	p, err := privatePEM(k)
	if err != nil {
		return nil, err
	}
	if err := durable.Write(key, []byte(p)); err != nil {
		return nil, err
	}
	return c, durable.Write(crt, []byte(c.pem()))
}

func pemBlock(b []byte) []byte {
	if p, _ := pem.Decode(b); p != nil {
		return p.Bytes
	}
	return nil
}

func (c *busCA) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
}

func (c *busCA) leafEnds() time.Time { return time.Now().AddDate(busLeafYears, 0, 0).UTC() }

// issue a certificate: of a server, where there are hosts, else of a client.
func (c *busCA) issue(k *ecdsa.PrivateKey, cn string, hosts []string) (cert, key string, err error) {
	t := &x509.Certificate{SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: c.leafEnds(),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if hosts != nil {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		t.DNSNames = []string{busServerName}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.cert, &k.PublicKey, c.key)
	if err != nil {
		return "", "", err
	}
	key, err = privatePEM(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), key, err
}

// newKey makes one; pin is how it is told from others.
func newKey() (k *ecdsa.PrivateKey, pin string, err error) {
	if k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	sum := sha256.Sum256(der)
	return k, hex.EncodeToString(sum[:]), err
}

func privatePEM(k *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

func serialNumber() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		panic(err) // the system has no randomness
	}
	return n
}
