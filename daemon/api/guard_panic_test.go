package api

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A panic's value may quote a question: the log has its place in the code, the answer
// says that something went wrong.
func TestPanicIsLoggedWithoutItsValue(t *testing.T) {
	t.Parallel()
	const canary = "Zyxwvutina"
	for _, value := range []any{canary, errors.New(canary), struct{ Question string }{canary}} {
		var log bytes.Buffer
		h := guard(0, slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(value) }))
		req := httptest.NewRequest("GET", "http://127.0.0.1/v1/suggest?q="+canary, nil)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != http.StatusInternalServerError || !strings.Contains(log.String(), "guard_panic_test.go") {
			t.Errorf("status %d, the log: %s", rec.Code, log.String())
		}
		if strings.Contains(log.String()+rec.Body.String(), canary) {
			t.Errorf("the value is told: %s%s", log.String(), rec.Body)
		}
	}
}
