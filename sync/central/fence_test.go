package central_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rxedge/sync/enroll"
	"rxedge/sync/link"
	"rxedge/sync/synctest"
)

// What a site may not do at the hub, whatever program it runs.
func TestFencing(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	one := f.Enroll(t, filepath.Join(t.TempDir(), "one"), "site-1", "stable")
	two := f.Enroll(t, filepath.Join(t.TempDir(), "two"), "site-2", "stable")
	denied := make(chan error, 100)
	connect := func(id *enroll.Identity, more ...nats.Option) (*nats.Conn, error) {
		return link.Connect(link.Config{Name: id.Site, Hubs: []string{f.Address}, CA: id.CA, Credentials: id.Credentials}, false,
			append([]nats.Option{nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })}, more...)...)
	}
	nc, err := connect(one)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	refused := func(what string, try func() error) {
		t.Helper()
		for len(denied) > 0 {
			<-denied
		}
		if err := try(); err != nil {
			t.Fatal(what, err)
		}
		_ = nc.Flush()
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) && !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s was let through", what)
		}
	}
	for _, subject := range []string{
		"tel.site-2.high.bundle", "tel.site-1.high", "tel.site-1.high.a.b", "state.site-2", "upd.tuf.timestamp", "upd.man.x", "art.x", "enroll.site-1", "enroll.site-2",
		"$JS.API.STREAM.PURGE.TELEM", "$JS.API.STREAM.DELETE.UPDATES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.TELEM", "$JS.API.STREAM.UPDATE.TELEM",
		"$JS.API.CONSUMER.CREATE.TELEM", "$JS.API.CONSUMER.CREATE.UPDATES.x", "$JS.API.STREAM.MSG.GET.TELEM", "$JS.API.DIRECT.GET.TELEM", "$JS.API.DIRECT.GET.STATE.state.site-2",
		"$JS.API.DIRECT.GET.ART", "$JS.API.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "_INBOX_site-2.x", "_INBOX_central.x",
	} {
		refused("publishing to "+subject, func() error { return nc.Publish(subject, []byte("x")) })
	}
	for _, subject := range []string{">", "tel.>", "tel.site-2.>", "state.*", "upd.>", "art.*", "enroll.*", "_INBOX_site-2.>", "_INBOX_central.>", "$SYS.>", "$JS.>"} {
		refused("listening on "+subject, func() error { _, err := nc.SubscribeSync(subject); return err })
	}
	// The hub admits nobody without all three: a certificate of this fleet, a JWT of
	// this fleet, the JWT's key.
	other := synctest.NewFleet(t)
	stranger := other.Enroll(t, filepath.Join(t.TempDir(), "x"), "site-1", "stable")
	mix := func(jwt, seed, cert *enroll.Identity) *enroll.Identity {
		id := *one
		id.JWT, id.Seed, id.Certificate, id.Key = jwt.JWT, seed.Seed, cert.Certificate, cert.Key
		return &id
	}
	for what, id := range map[string]*enroll.Identity{"a certificate of another fleet": mix(one, one, stranger), "a JWT of another fleet": mix(stranger, stranger, one), "another's key for a JWT": mix(two, one, one)} {
		if c, err := connect(id); err == nil {
			c.Close()
			t.Errorf("%s was admitted", what)
		}
	}
	// And a site admits no hub of another fleet.
	if c, err := link.Connect(link.Config{Name: "site-1", Hubs: []string{other.Address}, CA: one.CA, Credentials: one.Credentials}, false); err == nil {
		c.Close()
		t.Error("a hub of another fleet was believed")
	}
	// An id that would widen the template is never issued.
	for _, id := range []string{"*", ">", "a.b", "A1", "", "-a", "a-", "a b", "site-1.>", strings.Repeat("a", 64), "ä"} {
		if _, err := f.AddSite(id, "stable", time.Hour); err == nil {
			t.Errorf("the id %q was issued", id)
		}
	}
	// The id of a message that another site may send soon can't be taken: both
	// are stored. (The window is one for the stream; the ids are 128 random bits.)
	if _, err := f.AddSite("site-1", "stable", time.Hour); err == nil {
		t.Error("a site that is enrolled was given away again")
	}
}

func TestEnrolment(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	code := func(err error) string {
		var r *enroll.RefusedError
		if errors.As(err, &r) {
			return r.Code
		}
		return ""
	}
	file, err := f.AddSite("box", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "a")
	first, err := enroll.Claim(t.Context(), dir, file, enroll.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enroll.Claim(t.Context(), filepath.Join(t.TempDir(), "b"), file, enroll.Options{}); code(err) != enroll.CodeClaimUsed {
		t.Errorf("a second box: %v", err)
	}
	if _, err := enroll.Claim(t.Context(), filepath.Join(t.TempDir(), "c"), file, enroll.Options{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}); code(err) != enroll.CodeClaimExpired {
		t.Errorf("an old file: %v", err)
	}
	// The claim speaks for its own site alone.
	claim, err := f.AddSite("other", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	swapped := *file
	swapped.Claim = claim.Claim
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := enroll.Claim(ctx, filepath.Join(t.TempDir(), "d"), &swapped, enroll.Options{}); err == nil {
		t.Error("the claim of one site was taken for another")
	}
	// Revoked while it waits: the file is dead.
	if _, err := f.Revoke(t.Context(), "other", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := enroll.Claim(t.Context(), filepath.Join(t.TempDir(), "e"), claim, enroll.Options{}); err == nil {
		t.Error("a revoked claim was taken")
	}
	// A revoked site can be given to a new box, and the old one stays out.
	if _, err := f.Revoke(t.Context(), "box", nil); err != nil {
		t.Fatal(err)
	}
	again := f.Enroll(t, filepath.Join(t.TempDir(), "f"), "box", "stable")
	if again.JWT == first.JWT {
		t.Error("the old JWT was given out again")
	}
	if c, err := link.Connect(link.Config{Name: "box", Hubs: first.Hubs, CA: first.CA, Credentials: first.Credentials}, false); err == nil {
		c.Close()
		t.Error("the revoked box was admitted")
	}
	if c, err := link.Connect(link.Config{Name: "box", Hubs: again.Hubs, CA: again.CA, Credentials: again.Credentials}, false); err != nil {
		t.Error("the new box", err)
	} else {
		c.Close()
	}
	// A hub that starts anew knows who was revoked.
	f.StopHub()
	f.StartHub(t)
	if c, err := link.Connect(link.Config{Name: "box", Hubs: first.Hubs, CA: first.CA, Credentials: first.Credentials}, false); err == nil {
		c.Close()
		t.Error("the revoked box was admitted after a restart of the hub")
	}
}
