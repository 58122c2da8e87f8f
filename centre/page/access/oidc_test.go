package access

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oauth2-proxy/mockoidc"
)

// provider is a real OpenID provider in this process, and settings for it.
func provider(t *testing.T, change func(*OIDC)) (*mockoidc.MockOIDC, *Provider) {
	t.Helper()
	m, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	c := m.Config()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(c.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := OIDC{Issuer: c.Issuer, ClientID: c.ClientID, SecretFile: secret, Redirect: "http://127.0.0.1:8740" + CallbackPath, Scopes: []string{"profile", "email", "groups"},
		NameClaim: "preferred_username", RoleClaim: "groups", Roles: map[string]Role{"fleet-ops": Operator, "pharmacists": Reviewer}}
	if change != nil {
		change(&set)
	}
	p, err := NewProvider(set)
	if err != nil {
		t.Fatal(err)
	}
	return m, p
}

// goThere is what the browser does: to the provider, and back with what it says.
func goThere(t *testing.T, address string) url.Values {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	back, err := res.Location()
	if err != nil {
		t.Fatalf("%s: %v", res.Status, err)
	}
	return back.Query()
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user   *mockoidc.MockUser
		change func(*OIDC)
		want   Person
		says   string
	}{
		"the highest role":  {user: &mockoidc.MockUser{Subject: "1", PreferredUsername: "rui", Groups: []string{"pharmacists", "fleet-ops", "others"}}, want: Person{Name: "rui", Role: Operator}},
		"no role":           {user: &mockoidc.MockUser{Subject: "2", PreferredUsername: "eve", Groups: []string{"others", "admin"}}, says: "eve has no role here"},
		"default role":      {user: &mockoidc.MockUser{Subject: "3", PreferredUsername: "eve", Groups: []string{"others"}}, change: func(o *OIDC) { o.DefaultRole = Viewer }, want: Person{Name: "eve", Role: Viewer}},
		"no name":           {user: &mockoidc.MockUser{Subject: "4", Groups: []string{"fleet-ops"}}, says: "gave no name"},
		"by the subject":    {user: &mockoidc.MockUser{Subject: "5", Groups: []string{"fleet-ops"}}, change: func(o *OIDC) { o.NameClaim = "" }, want: Person{Name: "5", Role: Operator}},
		"a name of escapes": {user: &mockoidc.MockUser{Subject: "6", PreferredUsername: "a\x1b[2Jb\n", Groups: []string{"fleet-ops"}}, want: Person{Name: "a[2Jb", Role: Operator}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, p := provider(t, c.change)
			m.QueueUser(c.user)
			address, state, err := p.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse(address)
			if q := u.Query(); q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || q.Get("state") != state || q.Get("response_type") != "code" {
				t.Errorf("%v", q)
			}
			back := goThere(t, address)
			got, err := p.End(t.Context(), back, state)
			if c.says != "" {
				if !errors.Is(err, ErrSignIn) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			c.want.Name += " (" + p.Name() + ")"
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			if _, err := p.End(t.Context(), back, state); !errors.Is(err, ErrSignIn) {
				t.Error("twice:", err)
			}
		})
	}
}

// What a sign-in ends with has to be of the one that was begun, in the same browser.
func TestHostileCallback(t *testing.T) {
	t.Parallel()
	m, p := provider(t, nil)
	m.QueueUser(&mockoidc.MockUser{Subject: "1", PreferredUsername: "rui", Groups: []string{"fleet-ops"}})
	begin := func() (url.Values, string) {
		address, state, err := p.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return goThere(t, address), state
	}
	refused := func(what string, q url.Values, cookie string) {
		t.Helper()
		if who, err := p.End(t.Context(), q, cookie); !errors.Is(err, ErrSignIn) || who != (Person{}) {
			t.Errorf("%s: %+v, %v", what, who, err)
		}
	}
	q, _ := begin()
	refused("without a cookie", q, "")
	q, _ = begin()
	refused("with the cookie of another browser", q, Token())
	q, state := begin()
	q.Set("state", state+"x")
	refused("with another state", q, state+"x")
	q, state = begin()
	q.Set("code", "guessed")
	refused("with a guessed code", q, state)
	// A code that was given for another sign-in: its nonce and verifier are others.
	mine, state := begin()
	theirs, _ := begin()
	mine.Set("code", theirs.Get("code"))
	refused("with the code of another sign-in", mine, state)
	q, state = begin()
	q.Set("error", "access_denied")
	refused("that the provider refused", q, state)
	// A provider that goes away is an error, and no panic.
	q, state = begin()
	_ = m.Shutdown()
	refused("with the provider gone", q, state)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	gone, err := NewProvider(p.set)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := gone.Begin(ctx); !errors.Is(err, ErrSignIn) {
		t.Error(err)
	}
}

func TestSettingsOfOIDC(t *testing.T) {
	t.Parallel()
	ok := OIDC{Issuer: "https://id.example", ClientID: "c", Redirect: "https://fleet.example/oidc/callback", RoleClaim: "groups", Roles: map[string]Role{"a": Admin}}
	if err := ok.Check(); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*OIDC){
		"oidc.issuer":       func(o *OIDC) { o.Issuer = "http://id.example" },
		"oidc.redirect":     func(o *OIDC) { o.Redirect = "https://fleet.example/" },
		"oidc.client_id":    func(o *OIDC) { o.ClientID = "" },
		"oidc.roles":        func(o *OIDC) { o.Roles = nil },
		"oidc.role_claim":   func(o *OIDC) { o.RoleClaim = "" },
		"oidc.roles: a":     func(o *OIDC) { o.Roles = map[string]Role{"a": "root"} },
		"oidc.default_role": func(o *OIDC) { o.DefaultRole = "root" },
	} {
		o := ok
		change(&o)
		if err := o.Check(); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	open := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(open, []byte("s"), 0o644); err != nil {
		t.Fatal(err)
	}
	ok.SecretFile = open
	if _, err := NewProvider(ok); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}
