package central_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// makeOlder lets the role of sites lack what came with renewals, as in a fleet that
// was made before there were any.
func makeOlder(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "accounts", "SITES.jwt")
	token, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	lacks := 0
	for _, s := range acc.SigningKeys {
		if u, ok := s.(*jwt.UserScope); ok && u.Role == "site" {
			n := len(u.Template.Pub.Allow)
			u.Template.Pub.Allow = slices.DeleteFunc(u.Template.Pub.Allow, func(s string) bool { return strings.HasPrefix(s, "renew.") })
			lacks += n - len(u.Template.Pub.Allow)
		}
	}
	if lacks != 1 {
		t.Fatalf("%d subjects were taken out", lacks)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "keys", "operator-signing.nk"))
	if err != nil {
		t.Fatal(err)
	}
	kp, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	older, err := acc.Encode(kp)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
}

// In a fleet that was made before renewals a site can't ask for one. Once its roles
// are signed anew it can; revocations stay.
func TestRolesOfAnOlderFleet(t *testing.T) {
	t.Parallel()
	f := &synctest.Fleet{Address: synctest.FreePort(t)}
	var err error
	if f.Folder, err = central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "older", Hubs: []string{f.Address}}); err != nil {
		t.Fatal(err)
	}
	if old, err := f.OldRoles(); err != nil || len(old) > 0 {
		t.Fatal("of a new fleet:", old, err)
	}
	makeOlder(t, f.Dir)
	if old, err := f.OldRoles(); err != nil || !slices.Equal(old, []string{"site"}) {
		t.Fatal(old, err)
	}
	f.StartHub(t)
	t.Cleanup(f.StopHub)
	f.Serve(t)
	id := f.GrantAt(t, "site-1", time.Now().AddDate(-2, -2, 0))
	gone := f.GrantAt(t, "site-2", time.Now())
	if _, err := f.Revoke(t.Context(), "site-2", nil); err != nil {
		t.Fatal(err)
	}
	u, err := uplink.Start(uplink.Options{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	eventually(t, "it is connected", func() bool { return u.Status(t.Context()).Connected })
	q, err := id.RenewRequest()
	if err != nil {
		t.Fatal(err)
	}
	renew := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		reply, err := u.Ask(ctx, enroll.RenewSubject("site-1"), q)
		if err == nil {
			_, err = id.Renewed(reply, time.Now())
		}
		return err
	}
	if err := renew(time.Second); err == nil {
		t.Fatal("the older fleet's site was answered")
	}
	signed, reached, err := f.SignRoles(t.Context(), nil)
	if err != nil || !slices.Equal(signed, []string{"site"}) || reached != 1 {
		t.Fatal(signed, reached, err)
	}
	eventually(t, "it is connected again, and answered", func() bool {
		return renew(5*time.Second) == nil
	})
	if signed, _, err := f.SignRoles(t.Context(), nil); err != nil || len(signed) > 0 {
		t.Error("again:", signed, err)
	}
	u2, err := uplink.Start(uplink.Options{Identity: gone})
	if err != nil {
		t.Fatal(err)
	}
	defer u2.Close()
	eventually(t, "the revoked one is refused", func() bool { return u2.Status(t.Context()).Code == "not_admitted" })
}
