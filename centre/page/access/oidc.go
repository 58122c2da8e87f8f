package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is how people sign in at an OpenID provider, in the settings file of the page.
type OIDC struct {
	Issuer   string `toml:"issuer"`
	ClientID string `toml:"client_id"`
	// SecretFile holds the client's secret, mode 0600; "": a public client, by PKCE alone.
	SecretFile string `toml:"client_secret_file"`
	// Redirect is this page's address with /oidc/callback, as the provider knows it.
	Redirect  string   `toml:"redirect"`
	Scopes    []string `toml:"scopes"`
	NameClaim string   `toml:"name_claim"`
	RoleClaim string   `toml:"role_claim"`
	// Roles by values of the role claim; who has several has the highest.
	Roles map[string]Role `toml:"roles"`
	// DefaultRole of who has none of them; "": they are refused.
	DefaultRole Role `toml:"default_role"`
}

// CallbackPath of the redirect.
const CallbackPath = "/oidc/callback"

// Check the settings.
func (o *OIDC) Check() error {
	iss, err := url.Parse(o.Issuer)
	if err != nil || iss.Scheme != "https" && !(iss.Scheme == "http" && loopback(iss.Hostname())) || iss.Host == "" {
		return fmt.Errorf("oidc.issuer: %q is no https address of an OpenID provider", o.Issuer)
	}
	red, err := url.Parse(o.Redirect)
	switch {
	case err != nil || red.Path != CallbackPath || red.Host == "" || red.Scheme != "https" && !(red.Scheme == "http" && loopback(red.Hostname())):
		return fmt.Errorf("oidc.redirect: %q is not this page's address with %s, such as https://fleet.example:8740%s", o.Redirect, CallbackPath, CallbackPath)
	case o.ClientID == "":
		return errors.New("oidc.client_id: name the client that the provider knows this page by")
	case len(o.Roles) == 0 && o.DefaultRole == "":
		return errors.New("oidc.roles: say which value of the role claim is which role, such as [oidc.roles] fleet-admins = \"admin\"; or name oidc.default_role")
	case len(o.Roles) > 0 && o.RoleClaim == "":
		return errors.New("oidc.role_claim: name the claim that oidc.roles are values of, such as groups")
	}
	for v, r := range o.Roles {
		if _, err := ParseRole(string(r)); err != nil {
			return fmt.Errorf("oidc.roles: %s: %w", v, err)
		}
	}
	if o.DefaultRole != "" {
		if _, err := ParseRole(string(o.DefaultRole)); err != nil {
			return fmt.Errorf("oidc.default_role: %w", err)
		}
	}
	return nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Provider at which people sign in. It is asked for its configuration when it is first
// needed, so that a page starts where the provider is off.
type Provider struct {
	set    OIDC
	secret string
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
	flows    map[string]flow // by state
}

// flow that was begun: what its end has to show.
type flow struct {
	verifier, nonce string
	until           time.Time
}

const (
	flowLife  = 10 * time.Minute
	mostFlows = 1000
)

// ErrSignIn: the provider, or what it says of a person, does not let them in.
var ErrSignIn = errors.New("signing in at the provider has failed")

// NewProvider of settings; the secret is read.
func NewProvider(set OIDC) (*Provider, error) {
	if err := set.Check(); err != nil {
		return nil, err
	}
	p := &Provider{set: set, client: &http.Client{Timeout: 15 * time.Second}, flows: map[string]flow{}}
	if set.SecretFile != "" {
		st, err := os.Stat(set.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("oidc.client_secret_file: %w", err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("oidc.client_secret_file: %s can be read by others (mode %04o); 'chmod 600' it", set.SecretFile, st.Mode().Perm())
		}
		b, err := os.ReadFile(set.SecretFile)
		if err != nil {
			return nil, err
		}
		p.secret = strings.TrimSpace(string(b))
	}
	return p, nil
}

// Name of the provider, for the page: its host.
func (p *Provider) Name() string {
	u, _ := url.Parse(p.set.Issuer)
	return u.Host
}

// Host under which the provider sends people back.
func (p *Provider) Host() string {
	u, _ := url.Parse(p.set.Redirect)
	return u.Hostname()
}

func (p *Provider) get(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.provider == nil {
		got, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.set.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s does not answer as an OpenID provider", ErrSignIn, p.Name())
		}
		p.provider = got
	}
	return p.provider, &oauth2.Config{ClientID: p.set.ClientID, ClientSecret: p.secret, Endpoint: p.provider.Endpoint(), RedirectURL: p.set.Redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.set.Scopes...)}, nil
}

// Begin a sign-in: the address to send the browser to, and the state to keep in a cookie
// of that browser.
func (p *Provider) Begin(ctx context.Context) (address, state string, err error) {
	_, conf, err := p.get(ctx)
	if err != nil {
		return "", "", err
	}
	f := flow{verifier: oauth2.GenerateVerifier(), nonce: Token(), until: time.Now().Add(flowLife)}
	state = Token()
	p.mu.Lock()
	for s, x := range p.flows {
		if time.Now().After(x.until) {
			delete(p.flows, s)
		}
	}
	if len(p.flows) >= mostFlows {
		p.mu.Unlock()
		return "", "", fmt.Errorf("%w: too many are signing in; try again in a few minutes", ErrSignIn)
	}
	p.flows[state] = f
	p.mu.Unlock()
	return conf.AuthCodeURL(state, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)), state, nil
}

// End a sign-in by what the provider has sent the browser back with, and the state of
// the browser's cookie.
func (p *Provider) End(ctx context.Context, query url.Values, cookie string) (Person, error) {
	state := query.Get("state")
	p.mu.Lock()
	f, ok := p.flows[state]
	delete(p.flows, state) // once
	p.mu.Unlock()
	switch {
	case !ok || time.Now().After(f.until) || subtle.ConstantTimeCompare([]byte(state), []byte(cookie)) != 1:
		return Person{}, fmt.Errorf("%w: this sign-in was not begun in this browser, or is over; begin again", ErrSignIn)
	case query.Get("error") != "":
		return Person{}, fmt.Errorf("%w: %s refused it", ErrSignIn, p.Name())
	}
	provider, conf, err := p.get(ctx)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := conf.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(f.verifier))
	if err != nil {
		return Person{}, fmt.Errorf("%w: the code of %s was not taken", ErrSignIn, p.Name())
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: p.set.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Person{}, fmt.Errorf("%w: what %s says of you is not signed as it should be", ErrSignIn, p.Name())
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) != 1 {
		return Person{}, fmt.Errorf("%w: what %s says is of another sign-in", ErrSignIn, p.Name())
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("%w: what %s says of you can't be read", ErrSignIn, p.Name())
	}
	return p.person(id.Subject, claims)
}

// person of claims. Who is recorded as NAME (PROVIDER), which no local account can be
// called; without a name claim by the subject.
func (p *Provider) person(subject string, claims map[string]any) (Person, error) {
	name := subject
	if c := p.set.NameClaim; c != "" {
		name, _ = claims[c].(string)
	}
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	if name == "" || len(name) > 60 {
		return Person{}, fmt.Errorf("%w: %s gave no name, or one of more than 60 bytes, in the claim %q", ErrSignIn, p.Name(), p.set.NameClaim)
	}
	role := p.set.DefaultRole
	for _, v := range values(claims[p.set.RoleClaim]) {
		if r, ok := p.set.Roles[v]; ok && ranks[r] > ranks[role] {
			role = r
		}
	}
	if role == "" {
		return Person{}, fmt.Errorf("%w: %s has no role here; oidc.roles in the page's settings say who has one", ErrSignIn, name)
	}
	host := p.Name()
	return Person{Name: name + " (" + host[:min(len(host), 30)] + ")", Role: role}, nil
}

// values of a claim: a word, or a list of words.
func values(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		slices.Sort(out)
		return out
	}
	return nil
}
