package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// When the service stops, what is under way is finished, and what comes then is
// told so.
func TestDrain(t *testing.T) {
	t.Parallel()
	d := &Drain{}
	entered, leave := make(chan struct{}), make(chan struct{})
	h := d.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/ask" {
			close(entered)
			<-leave
		}
		w.WriteHeader(http.StatusOK)
	}))
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	under := make(chan int)
	go func() { under <- get("/v1/ask").Code }()
	<-entered
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Stop(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped while a request runs: %v", err)
	}
	if w := get("/v1/search"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a new request: %d %v", w.Code, w.Header())
	}
	if w := get("/healthz"); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
	stopped := make(chan error)
	go func() { stopped <- d.Stop(t.Context()) }()
	close(leave)
	if code := <-under; code != 200 {
		t.Errorf("the request under way: %d", code)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := d.Stop(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}
