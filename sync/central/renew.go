package central

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"rxedge/sync/enroll"
)

// answerRenewal gives a site a new certificate and JWT. The hub let nobody publish
// there but who holds the site's key.
func (f *Folder) answerRenewal(m *nats.Msg, log *slog.Logger) {
	site := strings.TrimPrefix(m.Subject, "renew.")
	r := f.renew(site, m.Data)
	if r.Code != "" {
		log.Warn("a renewal was refused", "site", site, "code", r.Code, "reason", r.Reason)
	} else {
		log.Info("a site has a new certificate", "site", site)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	if err := m.Respond(b); err != nil {
		log.Warn("a renewal could not be answered; the site will ask again", "site", site, "error", err)
	}
}

func (f *Folder) renew(id string, data []byte) enroll.Reply {
	refuse := func(code, reason string) enroll.Reply { return enroll.Reply{Code: code, Reason: reason} }
	var q enroll.Request
	if len(data) > 16<<10 || json.Unmarshal(data, &q) != nil || !nkeys.IsValidPublicUserKey(q.PublicKey) {
		return refuse(enroll.CodeBadRequest, "the request can't be read")
	}
	unlock, err := f.lock()
	if err != nil {
		return refuse(enroll.CodeInternal, "the centre's folder is not to be had")
	}
	defer unlock()
	s, err := f.site(id)
	switch {
	case err != nil:
		return refuse(enroll.CodeClaimUnknown, "the centre knows no such site")
	case s.Revoked != nil:
		return refuse(enroll.CodeClaimUnknown, "the site was revoked")
	case s.Public != q.PublicKey:
		return refuse(enroll.CodeClaimUsed, "another box is this site")
	}
	cert, err := f.issueCSR(q.CSR, "site-"+id)
	if err != nil {
		return refuse(enroll.CodeBadRequest, "the certificate request can't be used")
	}
	token, err := f.userJWT(q.PublicKey, id, keyRoleSite, f.now().Add(leafValid))
	if err != nil {
		return refuse(enroll.CodeInternal, "the centre can't issue")
	}
	s.Certificate, s.JWT = cert, token
	if err := f.saveSite(s); err != nil {
		return refuse(enroll.CodeInternal, "the centre can't write")
	}
	return enroll.Reply{JWT: token, Certificate: cert}
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
