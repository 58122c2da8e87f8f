package central

import (
	"crypto/x509"
	"encoding/pem"
	"os"

	"rxedge/sync/enroll"
)

// renew gives a site a new certificate and JWT. The hub let nobody publish there
// but who holds the site's key.
func (f *Folder) renew(id string, data []byte) enroll.Reply {
	return f.admit(id, data, func(s *Site, q enroll.Request) *enroll.Reply {
		if s.Public != q.PublicKey {
			return refused(enroll.CodeClaimUsed, "another box is this site")
		}
		return nil
	})
}

// hubCertificateDue says whether a node's certificate is not there or has less
// than a third of its time left.
func (f *Folder) hubCertificateDue(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return true
	}
	p, _ := pem.Decode(b)
	if p == nil {
		return true
	}
	c, err := x509.ParseCertificate(p.Bytes)
	return err != nil || c.NotAfter.Sub(f.now()) < c.NotAfter.Sub(c.NotBefore)/3
}
