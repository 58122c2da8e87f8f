package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"rxedge/centre/page/access"
)

// route is one thing that can be asked of the page, and who may.
type route struct {
	pattern string      // of http.ServeMux
	needs   access.Role // least role; anyone: also who has not signed in
	serve   http.HandlerFunc
}

// anyone may, without having signed in.
const anyone access.Role = "anyone"

// routes are all there are: nothing is served that is not in this table.
func (s *Server) routes() []route {
	pages := http.HandlerFunc(assets().ServeHTTP)
	return []route{
		{"GET /sign-in", anyone, pages},
		{"GET /assets/", anyone, pages},
		{"GET /{$}", anyone, s.home},
		{"GET /v1/session", anyone, s.session},
		{"POST /v1/session", anyone, s.signIn},
		{"POST /v1/first", anyone, s.makeFirst},
		{"GET /oidc/start", anyone, s.oidcStart},
		{"GET " + access.CallbackPath, anyone, s.oidcCallback},
		{"DELETE /v1/session", access.Viewer, s.signOut},
		{"POST /v1/password", access.Viewer, s.changePassword},
		{"GET /v1/events", access.Viewer, s.events},
		{"GET /v1/sections/{section}", access.Viewer, s.section},
		{"GET /v1/sites/{site}", access.Viewer, s.site},
		{"GET /v1/accounts", access.Admin, s.listAccounts},
		{"GET /v1/documents", access.Viewer, s.documents},
		{"GET /v1/version", access.Viewer, s.version},
		{"POST /v1/versions/{what}", access.Reviewer, s.decideVersion},
		{"POST /v1/refused/{key}/discard", access.Reviewer, s.discardRefused},
		{"POST /v1/runs/{run}/approve", access.Reviewer, s.approveRun},
		{"POST /v1/requests/{id}/{decision}", access.Reviewer, s.decide},
		{"POST /v1/rollouts/{channel}/{bundle}/{step}", access.Operator, s.stepRollout},
	}
}

// Handler of the page.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.guarded(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "not_found", "there is nothing at this address; the page is at /")
	})
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				s.log.Error("a request failed in the code", "path", r.URL.Path, "kind", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				problem(w, http.StatusInternalServerError, "internal", "something went wrong at the centre; the log of 'rxedge central serve' says more")
			}
		}()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !s.known(r.Host) {
			problem(w, http.StatusMisdirectedRequest, "foreign_host", "this page is not reached by that name; 'rxedge central serve --host NAME' allows one")
			return
		}
		if err := cross.Check(r); err != nil {
			problem(w, http.StatusForbidden, "cross_site", "pages of other sites may not ask this one for anything")
			return
		}
		if o := r.Header.Get("Origin"); o != "" && o != s.scheme()+"://"+r.Host {
			problem(w, http.StatusForbidden, "foreign_origin", "pages of other sites may not ask this one for anything")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) scheme() string {
	if s.secure {
		return "https"
	}
	return "http"
}

// requestHeader has to be on whatever changes something: no form of another site can
// send it, and no script without being asked first.
const requestHeader = "Rxedge-Request"

// backgroundHeader marks what the page asks by itself: a session is not kept alive by it.
const backgroundHeader = "Rxedge-Background"

type personKey struct{}

// person who asks.
func person(r *http.Request) access.Person {
	p, _ := r.Context().Value(personKey{}).(access.Person)
	return p
}

func (s *Server) guarded(x route) http.Handler {
	changes := !strings.HasPrefix(x.pattern, "GET ")
	if x.needs != anyone && !access.Admin.May(x.needs) {
		panic("the route " + x.pattern + " does not say who may")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if changes && r.Header.Get(requestHeader) != "1" {
			problem(w, http.StatusForbidden, "no_header", "a change is asked for with the header "+requestHeader+": 1")
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			w.Header().Set("Cache-Control", "no-store")
		}
		p, ok := s.sessions.Who(s.token(r), r.Header.Get(backgroundHeader) == "" && r.URL.Path != "/v1/events")
		if ok {
			r = r.WithContext(context.WithValue(r.Context(), personKey{}, p))
		}
		switch {
		case x.needs == anyone:
		case !ok:
			problem(w, http.StatusUnauthorized, "signed_out", "you are not signed in, or your session is over")
			return
		case !p.Role.May(x.needs):
			problem(w, http.StatusForbidden, "role", fmt.Sprintf("you are %s; this wants %s", p.Role, x.needs))
			return
		}
		x.serve(w, r)
	})
}

// cookie of the session. The prefix __Host- is the browser's word that no other host and
// no plain HTTP has set it; browsers want TLS for it.
func (s *Server) cookie() string {
	if s.secure {
		return "__Host-rxedge"
	}
	return "rxedge-centre"
}

func (s *Server) token(r *http.Request) string {
	c, err := r.Cookie(s.cookie())
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *Server) setCookie(w http.ResponseWriter, name, value string, same http.SameSite, seconds int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: same, MaxAge: seconds})
}

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{http.StatusText(status), status, code, detail})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// asked reads the body of a request, strictly.
func asked(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("something follows it")
	}
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			problem(w, http.StatusRequestEntityTooLarge, "too_large", "the request is larger than it may be")
			return false
		}
		problem(w, http.StatusBadRequest, "bad_request", "the request can't be read: it is to be JSON with the fields that the page sends")
		return false
	}
	return true
}

// address of who asks, without the port.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
