package central_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/link"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// A site whose certificate has a third of its time left gets a new one over its
// own connection and goes on with it; one that has run out is not let in, one that
// was revoked gets none, and nobody gets another's.
func TestRenewal(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	now := time.Now()
	id := f.GrantAt(t, "site-1", now.AddDate(-2, -2, 0)) // of three years
	if due, err := id.Due(now.AddDate(-1, -2, 0)); due || err != nil {
		t.Fatal("due after one year", err)
	}
	if due, err := id.Due(now); !due || err != nil {
		t.Fatal("not due after two years and two months", err)
	}
	u, err := uplink.Start(uplink.Options{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	eventually(t, "it is connected", func() bool { return u.Status(t.Context()).Connected })
	ask := func(site string, q []byte) ([]byte, error) { return u.Ask(t.Context(), enroll.RenewSubject(site), q) }
	q, err := id.RenewRequest()
	if err != nil {
		t.Fatal(err)
	}
	reply, err := ask("site-1", q)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := id.Renewed(reply, now)
	if err != nil {
		t.Fatal(err)
	}
	if due, err := fresh.Due(now); due || err != nil {
		t.Fatal("the new one is due", err)
	}
	if _, until, err := fresh.Expires(); err != nil || until.Before(now.AddDate(2, 11, 0)) {
		t.Fatal(until, err)
	}
	c, err := link.Connect(link.Config{Name: fresh.Site, Hubs: fresh.Hubs, CA: fresh.CA, Credentials: fresh.Credentials}, false)
	if err != nil {
		t.Fatal("with the new certificate:", err)
	}
	c.Close()
	// What a hub could give instead is not taken.
	other := f.GrantAt(t, "site-2", now)
	stranger := synctest.NewFleet(t).GrantAt(t, "site-1", now)
	for what, r := range map[string]string{
		"another site's":  `{"jwt":"` + other.JWT + `","certificate":` + quoted(other.Certificate) + `}`,
		"another fleet's": `{"jwt":"` + stranger.JWT + `","certificate":` + quoted(stranger.Certificate) + `}`,
		"what there is":   `{"jwt":"` + id.JWT + `","certificate":` + quoted(id.Certificate) + `}`,
		"another's JWT":   `{"jwt":"` + other.JWT + `","certificate":` + quoted(fresh.Certificate) + `}`,
		"nothing":         `{}`,
		"half a reply":    string(reply[:len(reply)/2]),
		"no reply at all": ``,
		"a refusal":       `{"code":"claim_unknown","reason":"revoked"}`,
	} {
		if _, err := id.Renewed([]byte(r), now); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	// Nobody asks in another's name: the hub lets no such request through.
	short := func(site string) error {
		u2, err := uplink.Start(uplink.Options{Identity: other})
		if err != nil {
			t.Fatal(err)
		}
		defer u2.Close()
		eventually(t, "site-2 is connected", func() bool { return u2.Status(t.Context()).Connected })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = u2.Ask(ctx, enroll.RenewSubject(site), q)
		return err
	}
	if err := short("site-1"); err == nil {
		t.Error("site-2 was answered in the name of site-1")
	}
	q2, err := other.RenewRequest()
	if err != nil {
		t.Fatal(err)
	}
	reply, err = ask("site-1", q2)
	if err != nil {
		t.Fatal(err)
	}
	var refused *enroll.RefusedError
	if _, err := id.Renewed(reply, now); !errors.As(err, &refused) || refused.Code != enroll.CodeClaimUsed {
		t.Errorf("a request with another's key: %v", err)
	}
	// Run out: out.
	old := f.GrantAt(t, "site-3", now.AddDate(-4, 0, 0))
	if c, err := link.Connect(link.Config{Name: old.Site, Hubs: old.Hubs, CA: old.CA, Credentials: old.Credentials}, false); err == nil {
		c.Close()
		t.Error("a certificate that has run out was let in")
	}
}

func quoted(pem string) string { return `"` + strings.ReplaceAll(pem, "\n", `\n`) + `"` }

// The root is renewed by two of three; sites follow the chain, also one that slept
// over two roots; a key that was replaced counts for nothing.
func TestRootRotation(t *testing.T) {
	t.Parallel()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	root, least := f.Anchor(t)
	site := func(dir string) *bundle.Receiver {
		r, err := bundle.Open(filepath.Join(dir, "site"), bundle.Config{Channel: "stable", Root: root, Least: least, Issued: now, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	publish := func(text string) {
		t.Helper()
		if _, err := f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": text})}); err != nil {
			t.Fatal(err)
		}
	}
	take := func(r *bundle.Receiver, n int64) {
		t.Helper()
		if res, err := r.Pull(t.Context(), hubOf(t, f)); err != nil || res.Staged != n {
			t.Fatalf("bundle %d: %+v, %v", n, res, err)
		}
		if err := r.Activate(n); err != nil {
			t.Fatal(err)
		}
	}
	awake, sleepy := t.TempDir(), t.TempDir()
	publish("one")
	take(site(awake), 1)
	take(site(sleepy), 1)

	// Ten months later: before the root runs out, with new keys for all roles.
	now = now.AddDate(0, 10, 0)
	f.At(now)
	before := f.Copy(t) // what a thief of the old keys has
	next, err := f.NextRoot(central.RootChange{Rotate: []string{"targets", "snapshot", "timestamp"}})
	if err != nil {
		t.Fatal(err)
	}
	keys := f.RootKeys(t)
	if _, err := f.PublishRoot(next); !errors.Is(err, central.ErrRoot) {
		t.Fatalf("a root that nobody has signed: %v", err)
	}
	if next, err = central.SignRoot(next, keys[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := f.PublishRoot(next); !errors.Is(err, central.ErrRoot) {
		t.Fatalf("a root that one has signed: %v", err)
	}
	if again, err := central.SignRoot(next, keys[0]); err != nil {
		t.Fatal(err)
	} else if _, err := f.PublishRoot(again); !errors.Is(err, central.ErrRoot) {
		t.Fatalf("a root that one has signed twice: %v", err)
	}
	if next, err = central.SignRoot(next, keys[2]); err != nil {
		t.Fatal(err)
	}
	facts, err := f.PublishRoot(next)
	if err != nil || facts.Version != 2 || len(facts.Signed) != 2 {
		t.Fatal(facts, err)
	}
	if _, err := f.PublishRoot(next); err != nil {
		t.Fatalf("the same once more, as after a crash: %v", err)
	}
	publish("two")
	take(site(awake), 2)
	// The thief goes on with the old keys: refused by who has seen the new root.
	before.At(now)
	if _, err := before.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": "evil"}), Note: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := site(awake).Pull(t.Context(), hubOf(t, before)); err == nil {
		t.Fatal("what the old keys sign was taken")
	}

	// Ten months later again; one root key was lost and is replaced.
	now = now.AddDate(0, 10, 0)
	f.At(now)
	private, public, err := central.MakeRootKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.NextRoot(central.RootChange{Drop: "nobody's", Add: string(public)}); !errors.Is(err, central.ErrRoot) {
		t.Fatalf("a key that is none: %v", err)
	}
	if next, err = f.NextRoot(central.RootChange{Drop: f.RootKeyID(t, keys[1]), Add: string(public)}); err != nil {
		t.Fatal(err)
	}
	for _, k := range [][]byte{keys[0], private} {
		if next, err = central.SignRoot(next, k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.PublishRoot(next); !errors.Is(err, central.ErrRoot) {
		t.Fatalf("one old key and the new one: %v", err)
	}
	if next, err = central.SignRoot(next, keys[2]); err != nil {
		t.Fatal(err)
	}
	if facts, err = f.PublishRoot(next); err != nil || facts.Version != 3 {
		t.Fatal(facts, err)
	}
	publish("three")
	take(site(awake), 3)
	take(site(sleepy), 3) // its root ran out eight months ago

	// Nobody renews it: what is active stays, nothing new is taken.
	now = now.AddDate(1, 1, 0)
	f.At(now)
	publish("four")
	r := site(awake)
	if _, err := r.Pull(t.Context(), hubOf(t, f)); bundle.CodeOf(err) != bundle.Expired {
		t.Fatalf("under a root that ran out: %v", err)
	}
	if st := r.Status(); st.Active == nil || st.Active.Number != 3 {
		t.Fatalf("%+v", st)
	}
}

// The services keep targets, snapshot and timestamp from running out.
func TestMetadataKeptFresh(t *testing.T) {
	t.Parallel()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": "one"})}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	root, least := f.Anchor(t)
	r, err := bundle.Open(filepath.Join(t.TempDir(), "site"), bundle.Config{Channel: "stable", Root: root, Least: least, Issued: now, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for day := range 360 {
		now = now.AddDate(0, 0, 1)
		if _, err := f.At(now).Renew(); err != nil {
			t.Fatal(day, err)
		}
		if day%7 == 0 {
			if _, err := r.Pull(t.Context(), hubOf(t, f)); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
		}
	}
}
