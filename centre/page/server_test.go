package page

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"

	"rxedge/centre/page/access"
	"rxedge/daemon/web/webtest"
	"rxedge/sync/central"
)

func TestMain(m *testing.M) { webtest.Main(m) }

const word = "correct horse battery"

// quiet is a page over a folder of its own, without a hub.
func quiet(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "quiet", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Folder: f}
	if change != nil {
		change(&opt)
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call the page as its own script does; change may change the request.
func call(t *testing.T, s *Server, token, method, path, body string, change func(*http.Request)) *http.Response {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	if path == "/v1/events" {
		stop()
		ctx, stop = context.WithTimeout(t.Context(), 50*time.Millisecond)
	}
	defer stop()
	r := httptest.NewRequestWithContext(ctx, method, "http://127.0.0.1:8740"+path, strings.NewReader(body))
	r.Header.Set(requestHeader, "1")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if token != "" {
		r.AddCookie(&http.Cookie{Name: s.cookie(), Value: token})
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func said(t *testing.T, res *http.Response) (p Problem) {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(b, &p)
	return p
}

// Each role at each route, by the table alone: a route without a rule does not start,
// and one that is for anyone has to stand here by name.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := quiet(t, nil)
	tokens := map[access.Role]string{"": ""}
	for _, r := range access.Roles() {
		tokens[r] = s.sessions.Begin(access.Person{Name: "test", Role: r}, nil)
	}
	fill := strings.NewReplacer("{$}", "", "{section}", "fleet", "{site}", "site-1", "{id}", "retrain-1", "{decision}", "approve", "{channel}", "stable", "{bundle}", "1", "{step}", "pause", "{what}", "approve", "{key}", "1", "{run}", "run-1")
	var open []string
	for _, x := range s.routes() {
		method, path, _ := strings.Cut(fill.Replace(x.pattern), " ")
		if strings.Contains(path, "{") {
			t.Fatalf("%s: the test does not know how to ask for it", x.pattern)
		}
		if x.needs == anyone {
			open = append(open, x.pattern)
			continue
		}
		for role, token := range tokens {
			if x.pattern == "DELETE /v1/session" && token != "" {
				token = s.sessions.Begin(access.Person{Name: "test", Role: role}, nil)
			}
			res := call(t, s, token, method, path, `{"reason":"because of a test"}`, nil)
			p := said(t, res)
			switch may := role.May(x.needs); {
			case role == "" && (res.StatusCode != http.StatusUnauthorized || p.Code != "signed_out"):
				t.Errorf("%s, signed out: %d %q", x.pattern, res.StatusCode, p.Code)
			case role != "" && !may && (res.StatusCode != http.StatusForbidden || p.Code != "role"):
				t.Errorf("%s as %s: %d %q", x.pattern, role, res.StatusCode, p.Code)
			case role != "" && may && (res.StatusCode == http.StatusUnauthorized && p.Code == "signed_out" || res.StatusCode == http.StatusForbidden):
				t.Errorf("%s as %s: %d %q", x.pattern, role, res.StatusCode, p.Code)
			}
		}
		if method != http.MethodGet {
			res := call(t, s, tokens[access.Admin], method, path, `{"reason":"because of a test"}`, func(r *http.Request) { r.Header.Del(requestHeader) })
			if p := said(t, res); res.StatusCode != http.StatusForbidden || p.Code != "no_header" {
				t.Errorf("%s without the header: %d %q", x.pattern, res.StatusCode, p.Code)
			}
			res = call(t, s, tokens[access.Admin], method, path, `{"reason":"because of a test"}`, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
			if p := said(t, res); res.StatusCode != http.StatusForbidden || p.Code != "cross_site" {
				t.Errorf("%s from another site: %d %q", x.pattern, res.StatusCode, p.Code)
			}
		}
	}
	slices.Sort(open)
	if want := []string{"GET /assets/", "GET /oidc/callback", "GET /oidc/start", "GET /sign-in", "GET /v1/session", "GET /{$}", "POST /v1/first", "POST /v1/session"}; !slices.Equal(open, want) {
		t.Errorf("for anyone: %q", open)
	}
	defer func() {
		if recover() == nil {
			t.Error("a route without a rule is served")
		}
	}()
	s.guarded(route{pattern: "GET /v1/new"})
}

func TestForeign(t *testing.T) {
	t.Parallel()
	s := quiet(t, func(o *Options) { o.Hosts = []string{"Fleet.example"} })
	for _, c := range []struct {
		what, host, origin string
		status             int
	}{
		{"loopback", "127.0.0.1:8740", "", 200}, {"by name", "localhost:8740", "", 200}, {"IPv6", "[::1]:8740", "", 200}, {"allowed", "fleet.example", "", 200},
		{"rebound", "evil.example", "", 421}, {"a longer one", "fleet.example.evil.example", "", 421}, {"none", "", "", 421},
		{"its own origin", "localhost:8740", "http://localhost:8740", 200}, {"another port", "localhost:8740", "http://localhost:9999", 403}, {"of nowhere", "localhost:8740", "null", 403},
	} {
		res := call(t, s, "", "GET", "/v1/session", "", func(r *http.Request) {
			r.Host = c.host
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
		})
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.what, res.StatusCode, c.status)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", c.what, res.Header)
		}
	}
	if res := call(t, s, "", "GET", "/", "", nil); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sign-in" {
		t.Errorf("signed out: %d to %s", res.StatusCode, res.Header.Get("Location"))
	}
	if res := call(t, s, "", "GET", "/v1/nothing", "", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("nothing: %d", res.StatusCode)
	}
	if res := call(t, s, "", "GET", "/sign-in", "", nil); strings.Contains(res.Header.Get("Content-Security-Policy"), "unsafe") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "script-src 'self'") {
		t.Errorf("%v", res.Header)
	}
}

// The first admin is made by the token alone, once; the record says so; who guesses is
// held up; what is wrong says nothing of which of the two it was.
func TestFirstAndSignIn(t *testing.T) {
	t.Parallel()
	s := quiet(t, nil)
	first := s.FirstToken()
	if len(first) < 40 {
		t.Fatalf("token %q", first)
	}
	give := func(path, body string) (*http.Response, Problem) {
		res := call(t, s, "", "POST", path, body, nil)
		return res, said(t, res)
	}
	if res, p := give("/v1/first", `{"token":"guessed","name":"anna","password":"`+word+`"}`); res.StatusCode != 403 {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if res, p := give("/v1/first", `{"token":"`+first+`","name":"anna","password":"short"}`); res.StatusCode != 400 || !strings.Contains(p.Detail, "15 at least") {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	res, p := give("/v1/first", `{"token":"`+first+`","name":"anna","password":"`+word+`"}`)
	if res.StatusCode != 200 {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.Name != "rxedge-centre" {
		t.Errorf("%+v", c)
	}
	if res, _ := give("/v1/first", `{"token":"`+first+`","name":"eve","password":"`+word+`"}`); res.StatusCode != 403 || s.FirstToken() != "" {
		t.Errorf("a second time: %d", res.StatusCode)
	}
	all, err := s.f.FleetRecords()
	if err != nil || len(all) != 1 {
		t.Fatal(len(all), err)
	}
	if r, err := all[0].FleetRecord(); err != nil || r.Action != central.AccessChanged || r.Who != "anna" || r.Cause != "anna" {
		t.Errorf("%+v %v", r, err)
	}
	if ms, err := s.f.Matters(); err != nil || len(ms) != 0 {
		t.Errorf("it opened a matter: %v %v", ms, err)
	}

	_, wrong := give("/v1/session", `{"name":"anna","password":"not the password"}`)
	res, unknown := give("/v1/session", `{"name":"nobody","password":"not the password"}`)
	if wrong != unknown || res.StatusCode != 401 {
		t.Errorf("%+v and %+v", wrong, unknown)
	}
	res, _ = give("/v1/session", `{"name":"anna","password":"`+word+`"}`)
	if res.StatusCode != 200 || len(res.Cookies()) != 1 {
		t.Fatal(res.StatusCode)
	}
	token := res.Cookies()[0].Value
	var who Session
	if err := json.NewDecoder(call(t, s, token, "GET", "/v1/session", "", nil).Body).Decode(&who); err != nil || !who.SignedIn || who.Name != "anna" || who.Role != access.Admin {
		t.Errorf("%+v %v", who, err)
	}
	if res := call(t, s, token, "POST", "/v1/password", `{"password":"wrong","new":"another long password"}`, nil); res.StatusCode != 401 {
		t.Errorf("another password by a wrong one: %d", res.StatusCode)
	}
	res = call(t, s, token, "POST", "/v1/password", `{"password":"`+word+`","new":"another long password"}`, nil)
	if res.StatusCode != 200 || call(t, s, token, "GET", "/v1/accounts", "", nil).StatusCode != 401 {
		t.Errorf("%d; the session of before goes on", res.StatusCode)
	}
	token = res.Cookies()[0].Value
	if res := call(t, s, token, "DELETE", "/v1/session", "", nil); res.StatusCode != 200 || call(t, s, token, "GET", "/v1/accounts", "", nil).StatusCode != 401 {
		t.Errorf("signed out: %d", res.StatusCode)
	}
	last := 0
	for range 8 {
		res, _ := give("/v1/session", `{"name":"anna","password":"not the password"}`)
		last = res.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after many: %d", last)
	}
	if res, _ := give("/v1/session", `{"name":"anna","password":"another long password"}`); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("the right one meanwhile: %d", res.StatusCode)
	}
	for _, body := range []string{"", "[]", `{"name":"anna"} {}`, `{"name":"anna","admin":true}`, `{"name":"` + strings.Repeat("x", 70_000) + `"}`} {
		if res, p := give("/v1/session", body); res.StatusCode != 400 && res.StatusCode != 413 {
			t.Errorf("%.30s: %d %+v", body, res.StatusCode, p)
		}
	}
}

// By a real OpenID provider: from /oidc/start to a page that goes on to the fleet.
func TestOIDC(t *testing.T) {
	t.Parallel()
	m, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Shutdown() }()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(m.Config().ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "page.toml")
	text := "[oidc]\nissuer = \"" + m.Config().Issuer + "\"\nclient_id = \"" + m.Config().ClientID + "\"\nclient_secret_file = \"" + dir + "/secret\"\nredirect = \"http://127.0.0.1:8740/oidc/callback\"\nscopes = [\"groups\", \"profile\"]\nname_claim = \"preferred_username\"\nrole_claim = \"groups\"\n[oidc.roles]\nops = \"operator\"\n"
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := quiet(t, func(o *Options) { o.Settings = settings })
	if s.FirstToken() != "" {
		t.Error("there is a token for a first admin beside the provider")
	}
	signIn := func(groups ...string) *http.Response {
		m.QueueUser(&mockoidc.MockUser{Subject: "7", PreferredUsername: "rui", Groups: groups})
		res := call(t, s, "", "GET", "/oidc/start", "", nil)
		to, err := res.Location()
		if err != nil || len(res.Cookies()) != 1 || res.Cookies()[0].SameSite != http.SameSiteLaxMode || !res.Cookies()[0].HttpOnly {
			t.Fatal(err, res.Cookies())
		}
		c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		back, err := c.Get(to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer back.Body.Close()
		at, err := url.Parse(back.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return call(t, s, "", "GET", at.RequestURI(), "", func(r *http.Request) {
			r.AddCookie(res.Cookies()[0])
			r.Header.Set("Sec-Fetch-Site", "cross-site") // the provider has sent the browser
		})
	}
	res := signIn("ops")
	i := slices.IndexFunc(res.Cookies(), func(c *http.Cookie) bool { return c.Name == s.cookie() })
	if res.StatusCode != 200 || i < 0 {
		t.Fatal(res.StatusCode, res.Cookies())
	}
	if p, ok := s.sessions.Who(res.Cookies()[i].Value, true); !ok || p.Role != access.Operator || !strings.HasPrefix(p.Name, "rui (127.0.0.1:") || p.Local {
		t.Errorf("%+v %v", p, ok)
	}
	if res := signIn("others"); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sign-in#refused" {
		t.Errorf("without a role: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
}

// What a page may listen on, and settings that can't be used.
func TestOptions(t *testing.T) {
	t.Parallel()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "quiet", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	settings := func(text string) string {
		p := filepath.Join(t.TempDir(), "page.toml")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for says, opt := range map[string]Options{
		"--tls-cert":              {Listen: "0.0.0.0:0"},
		"nobody has an account":   {Listen: "0.0.0.0:0", Certificate: "a", Key: "b"},
		"is no host:port":         {Listen: "8740"},
		"there is no such settin": {Settings: settings("[oidc]\nissuers = \"x\"\n")},
		"page.toml:2:":            {Settings: settings("[oidc]\nissuer = \n")},
		"oidc.issuer":             {Settings: settings("[oidc]\nissuer = \"http://id.example\"\n")},
	} {
		opt.Folder, opt.Log = f, slog.New(slog.DiscardHandler)
		if _, err := New(opt); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func FuzzSettings(f *testing.F) {
	for _, s := range []string{"", "[oidc]\n", "[oidc]\nissuer = \"https://id.example\"\n[oidc.roles]\na = \"admin\"\n", "[oidc.roles]\n\"\" = 1\n", "x = 1"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(dir, "page.toml")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := ReadSettings(p); err == nil && s.OIDC != nil && s.OIDC.Check() != nil {
			t.Errorf("%+v", s.OIDC)
		}
	})
}
