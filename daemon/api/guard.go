package api

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
)

// guard refuses what did not come from this machine: a foreign Host is how a
// rebound DNS name reaches a local service, a foreign Origin is another site's
// page. It bounds the body and keeps a panic in one request from the others.
func guard(maxBody int64, log *slog.Logger, next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				if log != nil {
					// the path alone: a panic's value may quote a question
					log.Error("a request failed in the code", "path", r.URL.Path, "kind", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				}
				writeProblem(w, &Problem{Title: "Internal Server Error", Status: 500, Code: "internal", Detail: "something went wrong on this box; the service's log says more"})
			}
		}()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if !localHost(r.Host) {
			writeProblem(w, &Problem{Title: "Forbidden", Status: http.StatusForbidden, Code: "foreign_host", Detail: "this service is reached as localhost or 127.0.0.1 alone"})
			return
		}
		if o := r.Header.Get("Origin"); o != "" && !localOrigin(o, r.Host) {
			writeProblem(w, &Problem{Title: "Forbidden", Status: http.StatusForbidden, Code: "foreign_origin", Detail: "pages of other sites may not ask this service"})
			return
		}
		if err := cross.Check(r); err != nil {
			writeProblem(w, &Problem{Title: "Forbidden", Status: http.StatusForbidden, Code: "cross_site", Detail: "pages of other sites may not ask this service"})
			return
		}
		if maxBody > 0 && r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}

// localHost accepts the names of this machine's loopback. The unix socket's
// clients send "rxedge".
func localHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if host == "localhost" || host == socketHost {
		return true
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const socketHost = "rxedge"

// localOrigin accepts the page's own origin: the same host and port as asked.
func localOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host == host
}
