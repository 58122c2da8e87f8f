package central

import (
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"rxedge/sync/enroll"
)

// respond answers a request on PREFIX.SITE; what is what was asked for, for the log.
func respond(m *nats.Msg, log *slog.Logger, what string, decide func(site string, data []byte) enroll.Reply) {
	_, site, _ := strings.Cut(m.Subject, ".")
	r := decide(site, m.Data)
	if r.Code != "" {
		log.Warn(what+" was refused", "site", site, "code", r.Code, "reason", r.Reason)
	} else {
		log.Info(what+" was granted", "site", site)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	if err := m.Respond(b); err != nil {
		log.Warn(what+" could not be answered; the box will ask again", "site", site, "error", err)
	}
}

func refused(code, reason string) *enroll.Reply { return &enroll.Reply{Code: code, Reason: reason} }

// admit gives a site a certificate and a JWT for the key of the request, where
// decide, which may change what is kept of the site, has nothing against it.
func (f *Folder) admit(id string, data []byte, decide func(s *Site, q enroll.Request) *enroll.Reply) enroll.Reply {
	var q enroll.Request
	if len(data) > 16<<10 || json.Unmarshal(data, &q) != nil || !nkeys.IsValidPublicUserKey(q.PublicKey) {
		return *refused(enroll.CodeBadRequest, "the request can't be read")
	}
	unlock, err := f.lock()
	if err != nil {
		return *refused(enroll.CodeInternal, "the centre's folder is not to be had")
	}
	defer unlock()
	s, err := f.site(id)
	switch {
	case err != nil:
		return *refused(enroll.CodeClaimUnknown, "the centre knows no such site")
	case s.Revoked != nil:
		return *refused(enroll.CodeClaimUnknown, "the site was revoked")
	}
	if r := decide(s, q); r != nil {
		return *r
	}
	if s.Certificate, err = f.issueCSR(q.CSR, "site-"+id); err != nil {
		return *refused(enroll.CodeBadRequest, "the certificate request can't be used")
	}
	if s.JWT, err = f.userJWT(q.PublicKey, id, keyRoleSite, f.now().Add(leafValid)); err != nil {
		return *refused(enroll.CodeInternal, "the centre can't issue")
	}
	if err := f.saveSite(s); err != nil {
		return *refused(enroll.CodeInternal, "the centre can't write")
	}
	return enroll.Reply{JWT: s.JWT, Certificate: s.Certificate}
}
