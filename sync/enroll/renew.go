package enroll

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
)

// RenewSubject is where a site asks for a new certificate and JWT.
func RenewSubject(site string) string { return "renew." + site }

// Expires says when the site is no longer admitted: when its certificate or its
// JWT runs out.
func (id *Identity) Expires() (from, until time.Time, err error) {
	b, _ := pem.Decode([]byte(id.Certificate))
	if b == nil {
		return from, until, errors.New("the site's certificate can't be read")
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return from, until, errors.New("the site's certificate can't be read")
	}
	from, until = c.NotBefore, c.NotAfter
	u, err := jwt.DecodeUserClaims(id.JWT)
	if err != nil {
		return from, until, errors.New("the site's JWT can't be read")
	}
	if u.Expires > 0 && time.Unix(u.Expires, 0).Before(until) {
		until = time.Unix(u.Expires, 0)
	}
	return from, until, nil
}

// Due says whether less than a third of the time is left, so that it is to be
// renewed.
func (id *Identity) Due(now time.Time) (bool, error) {
	from, until, err := id.Expires()
	return err == nil && until.Sub(now) < until.Sub(from)/3, err
}

// RenewRequest is what the site sends to RenewSubject: its keys stay.
func (id *Identity) RenewRequest() ([]byte, error) {
	k := &keys{Site: id.Site, Seed: id.Seed, Key: id.Key}
	pub, err := k.public()
	if err != nil {
		return nil, err
	}
	csr, err := k.csr(id.Site)
	if err != nil {
		return nil, err
	}
	return json.Marshal(Request{PublicKey: pub, CSR: csr})
}

// Renewed is the identity with what the centre has replied. The reply came by the
// hub, so it is believed only where the fleet's CA has signed the certificate for
// this site's own key, the JWT is for its key and name, and both last longer.
func (id *Identity) Renewed(reply []byte, now time.Time) (*Identity, error) {
	var r Reply
	if len(reply) > maxFile || json.Unmarshal(reply, &r) != nil {
		return nil, errors.New("the centre's reply can't be read")
	}
	if r.Code != "" {
		return nil, &RefusedError{r.Code, r.Reason}
	}
	n := *id
	n.JWT, n.Certificate = r.JWT, r.Certificate
	pair, err := tls.X509KeyPair([]byte(n.Certificate), []byte(n.Key))
	if err != nil {
		return nil, fmt.Errorf("the new certificate is not for this site's key: %w", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(id.CA))
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, errors.New("the new certificate can't be read")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return nil, fmt.Errorf("the new certificate is not of this fleet: %w", err)
	}
	u, err := jwt.DecodeUserClaims(n.JWT)
	if err != nil {
		return nil, errors.New("the new JWT can't be read")
	}
	old, err := jwt.DecodeUserClaims(id.JWT)
	if err != nil {
		return nil, errors.New("the site's JWT can't be read")
	}
	if u.Subject != old.Subject || u.Name != id.Site || u.IssuerAccount != old.IssuerAccount {
		return nil, errors.New("the new JWT is another's")
	}
	_, was, err := id.Expires()
	if err != nil {
		return nil, err
	}
	if _, until, err := n.Expires(); err != nil || !until.After(was) {
		return nil, errors.New("what the centre gave lasts no longer than what there is")
	}
	if bytes.Equal([]byte(n.Certificate), []byte(id.Certificate)) {
		return nil, errors.New("the centre gave the same certificate again")
	}
	return &n, nil
}
