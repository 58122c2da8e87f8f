package box

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"time"

	"rxedge/daemon/health"
	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
	"rxedge/sync/uplink"
)

const (
	// blip is how long a connection may be away before it is worth a word.
	blip = 10 * time.Second
	// A site renews its certificate when a third of its time is left; what has less
	// than this has not been renewed.
	expiring = 30 * 24 * time.Hour
	// unheard of the centre for so long is long: it signs anew every day.
	unheard = 14 * 24 * time.Hour
	// waitedLong is how long a report may wait.
	waitedLong = 24 * time.Hour
	// nearlyFull is the share of the spool from which it drops.
	nearlyFull = 0.85
	// askSpool is how long the spool may take to say what waits.
	askSpool = 300 * time.Millisecond
)

// signedTime is the latest time that the centre has signed; zero where there is none.
func (b *Box) signedTime() time.Time {
	r, _ := b.sync.parts()
	if r == nil {
		return time.Time{}
	}
	return r.Floor()
}

// syncConditions of a site; none where the box is no site.
func (b *Box) syncConditions() []health.Finding {
	b.sync.mu.Lock()
	note, id := b.sync.note, b.sync.id
	b.sync.mu.Unlock()
	var found []health.Finding
	if note != "" {
		found = append(found, health.LinkOff.Found("%s", note))
	}
	if id == nil {
		return found
	}
	now := SyncClock()
	found = append(found, IdentityConditions(id, now)...)
	ctx, cancel := context.WithTimeout(context.Background(), askSpool)
	defer cancel()
	r, u := b.sync.parts()
	if u != nil {
		found = append(found, uplinkConditions(u.Status(ctx), time.Now())...)
	}
	if r != nil {
		found = append(found, bundleConditions(r.Status(), id.Enrolled, now)...)
	}
	return found
}

// IdentityConditions of what a site shows to the hub.
func IdentityConditions(id *enroll.Identity, now time.Time) []health.Finding {
	if why := foreign(id); why != "" {
		return []health.Finding{health.CertificateForeign.Found("%s", why)}
	}
	from, until, err := id.Expires()
	switch {
	case err != nil:
		return []health.Finding{health.CertificateForeign.Found("%v", err)}
	case now.Add(clockSlack).Before(from):
		return []health.Finding{health.ClockWrong.Found("it says %s, and the site's certificate was made on %s", now.UTC().Format(time.DateTime), from.UTC().Format(time.DateTime))}
	case now.After(until):
		return []health.Finding{health.CertificateExpired.Found("site %s was admitted until %s", id.Site, until.UTC().Format(time.DateTime))}
	case until.Sub(now) < min(expiring, until.Sub(from)/4):
		return []health.Finding{health.CertificateExpiring.Found("site %s is admitted until %s", id.Site, until.UTC().Format(time.DateTime))}
	}
	return nil
}

// foreign says why a certificate is not the site's own; "": it is.
func foreign(id *enroll.Identity) string {
	if _, err := tls.X509KeyPair([]byte(id.Certificate), []byte(id.Key)); err != nil {
		return "it does not fit the site's key"
	}
	block, _ := pem.Decode([]byte(id.Certificate))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "it can't be read"
	}
	if c.Subject.CommonName != "site-"+id.Site {
		return "it is made out to another site than " + id.Site
	}
	// Signatures alone: times are another matter.
	for rest := []byte(id.Certificate + "\n" + id.CA); ; {
		if block, rest = pem.Decode(rest); block == nil {
			return "this fleet's authority has not signed it"
		}
		by, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !by.Equal(c) && c.CheckSignatureFrom(by) == nil {
			return ""
		}
	}
}

// uplinkConditions: the connection, and what waits for it.
func uplinkConditions(u uplink.Status, now time.Time) (found []health.Finding) {
	away := now.Sub(u.Since)
	if !u.Connected && u.Code != "starting" && (away > blip || u.Code == "not_admitted") {
		c := map[string]*health.Condition{"proxy": health.HubProxy, "not_admitted": health.HubRefused, "certificate": health.HubCertificate}[u.Code]
		if c == nil {
			c = health.HubUnreachable
			if strings.Contains(u.Why, "lookup ") {
				c = health.HubName
			}
		}
		found = append(found, c.Found("not connected since %s: %s", u.Since.UTC().Format(time.DateTime), u.Why))
	}
	w := u.Waiting
	for _, aside := range w.Set {
		if _, err := os.Stat(aside); err == nil {
			found = append(found, health.SpoolDamaged.Found("it lies in %s", aside))
			break
		}
	}
	if u.Spool != "" {
		found = append(found, health.SpoolDamaged.Found("what waits is not known: %s", u.Spool).Mend("make room where its disk is full; it is opened again by itself, else restart"))
	}
	dropped := uint64(0)
	for _, n := range w.Dropped {
		dropped += n
	}
	if w.MaxBytes > 0 && float64(w.Bytes) > nearlyFull*float64(w.MaxBytes) {
		found = append(found, health.SpoolFull.Found("%d messages take %d of %d kB; %d were dropped so far", w.Messages, w.Bytes>>10, w.MaxBytes>>10, dropped))
	}
	if !w.Oldest.IsZero() && now.Sub(w.Oldest) > waitedLong {
		found = append(found, health.SpoolWaiting.Found("%d messages, the oldest since %s", w.Messages, w.Oldest.UTC().Format(time.DateTime)))
	}
	return found
}

// bundleConditions: what came from the centre, and how long ago.
func bundleConditions(st bundle.Status, enrolled, now time.Time) (found []health.Finding) {
	if st.Refusal != nil && st.Refusal.Code == bundle.Expired {
		found = append(found, health.TrustExpired.Found("since %s: %s", st.Refusal.At.UTC().Format(time.DateTime), st.Refusal.Reason))
	}
	active := int64(0)
	if st.Active != nil {
		active = st.Active.Number
	}
	for _, q := range st.Quarantine {
		if q.Number > active {
			found = append(found, health.BundleQuarantined.Found("bundle %d (%s): %s", q.Number, q.Code, q.Reason))
			break
		}
	}
	heard := st.Refreshed
	if heard.IsZero() {
		heard = enrolled
	}
	if !heard.IsZero() && now.Sub(heard) > unheard {
		found = append(found, health.BundleStale.Found("since %s", heard.UTC().Format(time.DateOnly)))
	}
	return found
}
