package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestChatRequestRefused(t *testing.T) {
	t.Parallel()
	s := &server{}
	for _, c := range []struct{ body, says string }{
		{`{`, "the JSON ends in the middle"},
		{`{]`, "bad JSON at byte"},
		{`{"messages": 5}`, `field \"messages\" at byte`},
		{`{"model":"rxedge","messages":[]}`, "messages: send at least one"},
		{`{"messages":[{"role":"wizard","content":"x"}]}`, "messages[0].role"},
		{`{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, `content of type \"image_url\" can't be read`},
		{`{"messages":[{"role":"user","content":"x"}],"n":2}`, "n: one choice"},
		{`{"messages":[{"role":"user","content":"x"}],"temperature":9}`, "temperature: must be between"},
		{`{"messages":[{"role":"user","content":"x"}],"max_tokens":-1}`, "must not be negative"},
	} {
		w := httptest.NewRecorder()
		s.chat(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(c.body)))
		if w.Code != 400 || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want %q", c.body, w.Code, w.Body, c.says)
		}
	}
}

func TestLocalHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8731": true, "127.0.0.1:8731": true, "127.8.8.8": true, "[::1]:8731": true, "[::1]": true,
		"rxedge": true, "": false, "example.com": false, "localhost.example.com": false, "10.0.0.1:8731": false, "127.0.0.1.example.com": false, "[::2]:1": false,
	} {
		if localHost(host) != want {
			t.Errorf("%q: want %v", host, want)
		}
	}
}

// The description names every call that the mux answers.
func TestSpec(t *testing.T) {
	t.Parallel()
	spec := Spec()
	for _, path := range []string{"/v1/ask", "/v1/search", "/v1/suggest", "/v1/documents/{id}", "/v1/models", "/v1/chat/completions", "/v1/feedback", "/v1/embeddings", "/v1/rerank", "/cds-services", "/cds-services/{id}", "/cds-services/{id}/feedback", "/infobutton", "/v1/status", "/healthz", "/readyz"} {
		if spec.Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
	b, err := json.Marshal(spec)
	if err != nil || bytes.Contains(b, []byte("$schema")) || bytes.Contains(b, []byte("http://")) {
		t.Errorf("%v; the description should name no other place", err)
	}
}

func FuzzChatRequest(f *testing.F) {
	f.Add(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stop":["a"],"stream":true}`)
	f.Add(`{"messages":[{"role":"user","content":null}],"stop":"x"}`)
	f.Fuzz(func(t *testing.T, body string) {
		var r ChatRequest
		if json.Unmarshal([]byte(body), &r) == nil {
			_ = r.check()
		}
	})
}
