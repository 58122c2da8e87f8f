package page

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"rxedge/centre/page/access"
)

// home is the page itself for who has signed in; others are sent to sign in.
func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	if person(r).Role == "" {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return
	}
	assets().ServeHTTP(w, r)
}

// Session is what the page is told of who looks at it.
type Session struct {
	SignedIn bool        `json:"signed_in"`
	Name     string      `json:"name,omitempty"`
	Role     access.Role `json:"role,omitempty"`
	Local    bool        `json:"local,omitempty"`
	Provider string      `json:"provider,omitempty"` // at which one may sign in
	Accounts bool        `json:"accounts"`           // there are local ones
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	p := person(r)
	out := Session{SignedIn: p.Role != "", Name: p.Name, Role: p.Role, Local: p.Local}
	if s.provider != nil {
		out.Provider = s.provider.Name()
	}
	all, err := s.accounts.List()
	if err != nil {
		s.log.Error("the accounts can't be read", "error", err)
	}
	out.Accounts = len(all) > 0
	reply(w, out)
}

// errSignIn is all that is said of a sign-in that failed.
const errSignIn = "the name or the password is wrong"

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if !asked(w, r, &q) {
		return
	}
	acc, ok := s.checked(w, r, q.Name, q.Password)
	if !ok {
		return
	}
	s.begin(w, r, access.Person{Name: acc.Name, Role: acc.Role, Local: true}, &acc)
	reply(w, Session{SignedIn: true, Name: acc.Name, Role: acc.Role, Local: true, Accounts: true})
}

// checked is the account of a name and password; where it is not, it was answered.
func (s *Server) checked(w http.ResponseWriter, r *http.Request, name, password string) (acc access.Account, ok bool) {
	keys := access.Keys(name[:min(len(name), 64)], address(r))
	if wait := s.tries.Wait(keys...); wait > 0 {
		tooMany(w, wait)
		return acc, false
	}
	s.tries.Failed(keys...) // until it has succeeded
	acc, ok, err := s.accounts.Check(name, password)
	switch {
	case err != nil:
		s.log.Error("the accounts can't be read", "error", err)
		problem(w, http.StatusInternalServerError, "accounts", "the accounts can't be read; the log of 'rxedge central serve' says why")
		return acc, false
	case !ok:
		s.log.Warn("a sign-in was refused", "address", address(r))
		problem(w, http.StatusUnauthorized, "refused", errSignIn)
		return acc, false
	}
	s.tries.Succeeded(keys...)
	return acc, true
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	problem(w, http.StatusTooManyRequests, "too_many", fmt.Sprintf("too many sign-ins have failed; try again in %d seconds", seconds))
}

// begin a session of a person; one that the browser had before ends.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, p access.Person, acc *access.Account) {
	s.sessions.End(s.token(r))
	s.setCookie(w, s.cookie(), s.sessions.Begin(p, acc), http.SameSiteStrictMode, 0)
	s.log.Info("signed in", "who", p.Name, "role", p.Role, "address", address(r))
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	s.sessions.End(s.token(r))
	s.setCookie(w, s.cookie(), "", http.SameSiteStrictMode, -1)
	reply(w, Session{})
}

// makeFirst makes the first admin, by the token that was printed.
func (s *Server) makeFirst(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Token    string `json:"token"`
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if !asked(w, r, &q) {
		return
	}
	keys := access.Keys("", address(r))[1:]
	if wait := s.tries.Wait(keys...); wait > 0 {
		tooMany(w, wait)
		return
	}
	s.tries.Failed(keys...)
	err := s.takeFirst(q.Token, func() error { return s.accounts.AddFirst(q.Name, q.Password) })
	var invalid *access.InvalidError
	switch {
	case errors.Is(err, errFirst):
		problem(w, http.StatusForbidden, "refused", errFirst.Error())
		return
	case errors.As(err, &invalid):
		s.tries.Succeeded(keys...) // the token was right
		problem(w, http.StatusBadRequest, "invalid", err.Error())
		return
	case errors.Is(err, access.ErrAccount):
		problem(w, http.StatusConflict, "exists", "there is an account already; sign in with it")
		return
	case err != nil:
		s.log.Error("the first account could not be made", "error", err)
		problem(w, http.StatusInternalServerError, "accounts", "the account could not be written; the log of 'rxedge central serve' says why")
		return
	}
	s.tries.Succeeded(keys...)
	acc, err := s.accounts.Get(q.Name)
	if err != nil {
		problem(w, http.StatusInternalServerError, "accounts", "the account can't be read")
		return
	}
	s.recordAccess(q.Name, "the first account, an admin, by the token that was printed")
	s.begin(w, r, access.Person{Name: acc.Name, Role: acc.Role, Local: true}, &acc)
	reply(w, Session{SignedIn: true, Name: acc.Name, Role: acc.Role, Local: true, Accounts: true})
}

// recordAccess puts a change of who may what into the signed record. Where the key that
// signs is not on this machine, the log has it.
func (s *Server) recordAccess(who, what string) {
	if err := access.Record(s.f, who, who, what); err != nil {
		s.log.Warn("a change of accounts is not in the signed record", "who", who, "what", what, "error", err)
	}
}

func (s *Server) changePassword(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Password string `json:"password"`
		New      string `json:"new"`
	}
	if !asked(w, r, &q) {
		return
	}
	p := person(r)
	if !p.Local {
		problem(w, http.StatusConflict, "elsewhere", "you have signed in elsewhere; your password is changed there")
		return
	}
	if _, ok := s.checked(w, r, p.Name, q.Password); !ok {
		return
	}
	var invalid *access.InvalidError
	if err := s.accounts.SetPassword(p.Name, q.New); errors.As(err, &invalid) {
		problem(w, http.StatusBadRequest, "invalid", err.Error())
		return
	} else if err != nil {
		s.log.Error("a password could not be changed", "error", err)
		problem(w, http.StatusInternalServerError, "accounts", "the password could not be written; the log of 'rxedge central serve' says why")
		return
	}
	s.recordAccess(p.Name, "another password, by the page")
	acc, err := s.accounts.Get(p.Name)
	if err != nil {
		problem(w, http.StatusInternalServerError, "accounts", "the account can't be read")
		return
	}
	s.begin(w, r, access.Person{Name: acc.Name, Role: acc.Role, Local: true}, &acc) // the others ended
	reply(w, Session{SignedIn: true, Name: acc.Name, Role: acc.Role, Local: true, Accounts: true})
}

func (s *Server) listAccounts(w http.ResponseWriter, _ *http.Request) {
	all, err := s.accounts.List()
	if err != nil {
		s.log.Error("the accounts can't be read", "error", err)
		problem(w, http.StatusInternalServerError, "accounts", "the accounts can't be read; the log of 'rxedge central serve' says why")
		return
	}
	type row struct {
		Name    string      `json:"name"`
		Role    access.Role `json:"role"`
		Created time.Time   `json:"created"`
		Changed time.Time   `json:"changed"`
	}
	out := []row{}
	for _, a := range all {
		out = append(out, row{a.Name, a.Role, a.Created, a.Changed})
	}
	reply(w, map[string]any{"accounts": out})
}

// flowCookie holds the state of a sign-in at the provider. It is Lax: the browser comes
// back from another site.
func (s *Server) flowCookie() string {
	if s.secure {
		return "__Host-rxedge-flow"
	}
	return "rxedge-centre-flow"
}

func (s *Server) oidcStart(w http.ResponseWriter, r *http.Request) {
	if s.provider == nil {
		problem(w, http.StatusNotFound, "not_found", "no OpenID provider is configured; docs say how")
		return
	}
	to, state, err := s.provider.Begin(r.Context())
	if err != nil {
		s.log.Warn("a sign-in could not be begun", "error", err)
		http.Redirect(w, r, "/sign-in#provider", http.StatusSeeOther)
		return
	}
	s.setCookie(w, s.flowCookie(), state, http.SameSiteLaxMode, 600)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Server) oidcCallback(w http.ResponseWriter, r *http.Request) {
	if s.provider == nil {
		problem(w, http.StatusNotFound, "not_found", "no OpenID provider is configured")
		return
	}
	state := ""
	if c, err := r.Cookie(s.flowCookie()); err == nil {
		state = c.Value
	}
	s.setCookie(w, s.flowCookie(), "", http.SameSiteLaxMode, -1)
	w.Header().Set("Cache-Control", "no-store")
	p, err := s.provider.End(r.Context(), r.URL.Query(), state)
	if err != nil {
		s.log.Warn("a sign-in at the provider was refused", "address", address(r), "error", err)
		http.Redirect(w, r, "/sign-in#refused", http.StatusSeeOther)
		return
	}
	s.begin(w, r, p, nil)
	// A redirect would still be the other site's doing, and the browser would keep the
	// Strict cookie back; this page goes on by itself.
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(`<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>Signed in – rxedge</title><p>You are signed in. <a href="/">To the fleet</a></p></html>`))
}
