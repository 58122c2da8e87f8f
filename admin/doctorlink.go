package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	"rxedge/sync/enroll"
)

// The link to the centre. Where the service runs it has looked itself; where not, it is
// looked whether the hub could be reached.
var linkLooks = []look{
	{name: "certificate", of: []*health.Condition{health.CertificateForeign, health.CertificateExpired, health.CertificateExpiring}, run: lookCertificate},
	{name: "hub", of: []*health.Condition{health.HubName, health.HubProxy, health.HubUnreachable}, run: lookHub},
}

const hubTime = 5 * time.Second // to reach one

// identity of the site; nil: it is none, or s says why it is not known.
func (p *patient) identity(s *seen) *enroll.Identity {
	if s.skip = p.stranger(); s.skip != "" {
		return nil
	}
	id, err := box.Site(p.cfg)
	switch {
	case errors.Is(err, keyring.ErrNoKey), errors.Is(err, keyring.ErrWrongKey), errors.Is(err, keyring.ErrDamaged):
		s.skip = err.Error() // which the box's own line says with its mend
		return nil
	case errors.Is(err, enroll.ErrNotEnrolled):
		s.ok = "this box is no site of a centre"
		return nil
	case err != nil:
		s.find(health.CertificateForeign.Found("%v", err))
		return nil
	}
	return id
}

func lookCertificate(_ context.Context, p *patient, s *seen) {
	id := p.identity(s)
	if id == nil || p.status != nil && p.svc.client != nil { // by the service's clock, which has a floor
		return
	}
	s.found = box.IdentityConditions(id, box.SyncClock())
	if _, until, err := id.Expires(); err == nil {
		s.ok = "site " + id.Site + ", admitted until " + until.UTC().Format(time.DateOnly)
	}
}

func lookHub(ctx context.Context, p *patient, s *seen) {
	id := p.identity(s)
	s.found = nil // the look at the certificate says it
	if id == nil {
		return
	}
	if p.service(ctx).client != nil {
		s.ok = "'rxedge sync status' says more"
		return
	}
	targets, c := id.Hubs, health.HubUnreachable
	if p.cfg.Sync.Proxy != "" {
		targets, c = []string{p.cfg.Sync.Proxy}, health.HubProxy
	}
	var last error
	for _, t := range targets {
		if last = reach(ctx, t); last == nil {
			s.ok = "can be reached"
			return
		}
	}
	var dns *net.DNSError
	if errors.As(last, &dns) {
		c = health.HubName
	}
	s.find(c.Found("%v", last))
}

// reach a hub or a proxy: a connection is made and ended.
func reach(ctx context.Context, address string) error {
	if strings.Contains(address, "://") {
		if u, err := url.Parse(address); err == nil {
			address = u.Host
		}
	}
	d := net.Dialer{Timeout: hubTime}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}
