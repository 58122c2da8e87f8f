package central

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"rxedge/sync/durable"
	"rxedge/sync/link"
)

// Validities of certificates.
const (
	caYears      = 20
	issuingYears = 10
	leafYears    = 3
	leafValid    = leafYears * 365 * 24 * time.Hour
	backdate     = time.Hour // for clocks that are a little behind
)

type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// makeCA makes a root, which goes offline, and the CA that issues.
func (f *Folder) makeCA() error {
	if err := os.MkdirAll(f.path("ca/offline"), 0o700); err != nil {
		return err
	}
	root, err := f.newCA(nil, "rxedge fleet root", caYears)
	if err != nil {
		return err
	}
	issuing, err := f.newCA(root, "rxedge fleet issuing CA", issuingYears)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name string
		s    *signer
	}{{"ca/offline/ca", root}, {"ca/issuing", issuing}} {
		k, err := keyPEM(w.s.key)
		if err != nil {
			return err
		}
		if err := durable.Write(f.path(w.name+".key"), k); err != nil {
			return err
		}
	}
	if err := durable.Write(f.path("ca/issuing.crt"), certPEM(issuing.cert.Raw)); err != nil {
		return err
	}
	return durable.Write(f.path("ca/ca.crt"), certPEM(root.cert.Raw))
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		panic(err) // the system has no randomness
	}
	return n
}

func (f *Folder) newCA(parent *signer, cn string, years int) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := f.now()
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: cn, Organization: []string{f.Name}}, NotBefore: now.Add(-backdate), NotAfter: now.AddDate(years, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	by := &signer{t, key}
	if parent != nil {
		by, t.MaxPathLenZero = parent, true
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	return &signer{c, key}, err
}

func (f *Folder) issuing() (*signer, error) {
	cb, err := os.ReadFile(f.path("ca/issuing.crt"))
	if err != nil {
		return nil, err
	}
	kb, err := os.ReadFile(f.path("ca/issuing.key"))
	if err != nil {
		return nil, err
	}
	c, _ := pem.Decode(cb)
	k, _ := pem.Decode(kb)
	if c == nil || k == nil {
		return nil, errors.New("the issuing CA's files are damaged")
	}
	cert, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the issuing CA's key is of another kind")
	}
	return &signer{cert, ec}, nil
}

// CA is the certificate that sites trust, PEM.
func (f *Folder) CA() (string, error) {
	b, err := os.ReadFile(f.path("ca/ca.crt"))
	return string(b), err
}

// issue a certificate for a public key; the issuing CA's follows it.
func (f *Folder) issue(pub any, cn string, validity time.Duration, hub bool) (string, error) {
	by, err := f.issuing()
	if err != nil {
		return "", fmt.Errorf("issuing a certificate: %w", err)
	}
	now := f.now()
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: cn}, NotBefore: now.Add(-backdate), NotAfter: now.Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if hub {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		t.DNSNames = []string{link.ServerName}
		for _, h := range f.Hubs {
			host := hostOf(h)
			if ip := net.ParseIP(host); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else {
				t.DNSNames = append(t.DNSNames, host)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, pub, by.key)
	if err != nil {
		return "", fmt.Errorf("issuing a certificate: %w", err)
	}
	return string(certPEM(der)) + string(certPEM(by.cert.Raw)), nil
}

// issueWithKey makes the key as well.
func (f *Folder) issueWithKey(cn string, validity time.Duration, hub bool) (cert, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	if cert, err = f.issue(&k.PublicKey, cn, validity, hub); err != nil {
		return "", "", err
	}
	kb, err := keyPEM(k)
	return cert, string(kb), err
}

// issueCSR signs the key of a request, and nothing else of it.
func (f *Folder) issueCSR(csr, cn string) (string, error) {
	b, _ := pem.Decode([]byte(csr))
	if b == nil {
		return "", errors.New("the certificate request can't be read")
	}
	r, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil || r.CheckSignature() != nil {
		return "", errors.New("the certificate request can't be read")
	}
	if k, ok := r.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return "", errors.New("the certificate request's key is not of P-256")
	}
	return f.issue(r.PublicKey, cn, leafValid, false)
}

func hostOf(hub string) string {
	if u, err := url.Parse(hub); err == nil && strings.Contains(hub, "://") {
		return u.Hostname()
	}
	host, _, err := net.SplitHostPort(hub)
	if err != nil {
		return hub
	}
	return host
}

func checkAddress(hub string) error {
	addr := hub
	if scheme, rest, ok := strings.Cut(hub, "://"); ok {
		if scheme != "tls" && scheme != "wss" {
			return fmt.Errorf("%q: an address begins with tls://, wss://, or is host:port alone", hub)
		}
		addr = rest
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" || strings.ContainsAny(host, "/@?# ") {
		return fmt.Errorf("%q is no address such as hub.example:4222", hub)
	}
	return nil
}
