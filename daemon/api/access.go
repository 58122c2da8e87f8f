package api

import (
	"context"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"rxedge/inference"
)

// Tokens tell clients.
type Tokens interface {
	Client(token string) (name string, ok bool)
}

// Access says who may ask, and how much.
type Access struct {
	// Required: programs other than the page bring a token.
	Required bool
	Tokens   Tokens // nil: there are none
	// Rate is the requests a second that one client may send for long, Burst
	// those at once; 0: as many as it likes.
	Rate  float64
	Burst int

	mu     sync.Mutex
	limits map[string]*rate.Limiter
}

type trustedKey struct{}

// Trusted marks requests that came by the unix socket: its peer is root or the
// daemon's own user.
func Trusted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), trustedKey{}, true)))
	})
}

// Clients without a name of their own.
const (
	clientPage  = "(page)"
	clientLocal = "(local)"
)

// check lets a request through to next or answers it. Pages, health and metrics
// are for anybody on this machine.
func (a *Access) check(next http.Handler) http.Handler {
	if a == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if trusted, _ := r.Context().Value(trustedKey{}).(bool); trusted || !guarded(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		name := clientLocal
		token, given := bearer(r)
		known := false
		if given && a.Tokens != nil {
			if n, ok := a.Tokens.Client(token); ok {
				name, known = n, true
			}
		}
		if !known && fromPage(r) {
			name, known = clientPage, true
		}
		// OpenAI's clients always send some key: where none is called for, any will do.
		if !known && a.Required {
			w.Header().Set("WWW-Authenticate", `Bearer realm="rxedge"`)
			p := &Problem{Title: "Unauthorized", Status: http.StatusUnauthorized, Code: "token_required", Detail: "send a token as 'Authorization: Bearer …'; 'rxedge service token add NAME' makes one"}
			if given {
				p.Code, p.Detail = "bad_token", "this token is not known; 'rxedge service token list' shows the clients that have one"
			}
			refuse(w, r, p)
			return
		}
		if wait := a.wait(name); wait > 0 {
			refuse(w, r, &Problem{Title: "Too Many Requests", Status: http.StatusTooManyRequests, Code: "too_many_requests", Detail: "this client asks faster than it may; wait and ask again", retryAfter: wait})
			return
		}
		// A client is told by its token; without one each connection is a caller of its own:
		// none waits for all of another's.
		key := name
		if name == clientLocal {
			key = r.RemoteAddr
		}
		next.ServeHTTP(w, r.WithContext(inference.WithCaller(r.Context(), inference.Caller{Key: key})))
	})
}

// caller is the request's context, with who asks.
func caller(r *http.Request) context.Context {
	if inference.CallerOf(r.Context()).Key != "" {
		return r.Context()
	}
	return inference.WithCaller(r.Context(), inference.Caller{Key: r.RemoteAddr})
}

// wait is how long the client has to; 0: not at all.
func (a *Access) wait(name string) time.Duration {
	if a.Rate <= 0 {
		return 0
	}
	a.mu.Lock()
	if a.limits == nil {
		a.limits = map[string]*rate.Limiter{}
	}
	l := a.limits[name] // of clients that have a token: they are few
	if l == nil {
		l = rate.NewLimiter(rate.Limit(a.Rate), max(1, a.Burst))
		a.limits[name] = l
	}
	a.mu.Unlock()
	res := l.Reserve()
	wait := res.Delay()
	if wait > 0 {
		res.Cancel()
		return time.Duration(math.Ceil(wait.Seconds())) * time.Second
	}
	return 0
}

func guarded(path string) bool {
	return strings.HasPrefix(path, "/v1/") || path == "/cds-services" || strings.HasPrefix(path, "/cds-services/") || path == "/infobutton"
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// fromPage says that a browser sent it for our own page: no script can set these
// headers. A program can; what is kept off by a token are clients that were not
// let in, not a user of this machine who means harm.
func fromPage(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

// openAIPath says whether a path's clients read errors as OpenAI writes them.
func openAIPath(path string) bool {
	switch path {
	case "/v1/chat/completions", "/v1/embeddings", "/v1/rerank", "/v1/models":
		return true
	}
	return false
}

// refuse answers with a problem in the form that the path's clients read.
func refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.openAI = openAIPath(r.URL.Path)
	writeProblem(w, p)
}

// Drain ends service gracefully: what is under way is finished, what comes then
// is told that the service is stopping.
type Drain struct {
	mu       sync.Mutex
	running  int
	stopping atomic.Bool
	idle     chan struct{} // closed when nothing runs after Stop
	once     sync.Once
}

// Stop refuses new requests from now on and waits until none runs or ctx ends.
func (d *Drain) Stop(ctx context.Context) error {
	d.mu.Lock()
	d.stopping.Store(true)
	if d.idle == nil {
		d.idle = make(chan struct{})
		if d.running == 0 {
			d.once.Do(func() { close(d.idle) })
		}
	}
	idle := d.idle
	d.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Drain) serve(next http.Handler) http.Handler {
	if d == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		if d.stopping.Load() && r.URL.Path != "/healthz" {
			d.mu.Unlock()
			w.Header().Set("Connection", "close")
			refuse(w, r, &Problem{Title: "Service Unavailable", Status: http.StatusServiceUnavailable, Code: "stopping", Detail: "the service is stopping; ask again when it is back", retryAfter: 5 * time.Second})
			return
		}
		d.running++
		d.mu.Unlock()
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.running--; d.running == 0 && d.idle != nil {
				d.once.Do(func() { close(d.idle) })
			}
		}()
		next.ServeHTTP(w, r)
	})
}
