package main

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/daemon/clients"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/infobutton"
)

func (s *station) send(t *testing.T, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// Where tokens are called for, programs bring one; the page, the socket, health
// and metrics need none.
func TestTokensRequired(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "till")
	if err := os.WriteFile(file, []byte("0123456789abcdefXYZ\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startDaemon(t, func(c *config.Config) {
		c.API.RequireToken = true
		c.API.Clients = []config.Client{{Name: "till", TokenFile: file}}
	})
	token, err := clients.Add(s.data, "ehr")
	if err != nil {
		t.Fatal(err)
	}
	const ask, chat = `{"question": "warfarin dose"}`, `{"messages": [{"role": "user", "content": "warfarin dose"}]}`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		says                     string
	}{
		{"none", "POST", "/v1/ask", ask, nil, 401, `"code":"token_required"`},
		{"wrong", "POST", "/v1/ask", ask, []string{"Authorization", "Bearer rxe_x"}, 401, `"code":"bad_token"`},
		{"basic", "POST", "/v1/ask", ask, []string{"Authorization", "Basic eDp5"}, 401, `"code":"token_required"`},
		{"OpenAI's form", "POST", "/v1/chat/completions", chat, nil, 401, `{"error":{`},
		{"cards", "GET", "/cds-services", "", nil, 401, "token_required"},
		{"knowledge", "GET", "/infobutton?mainSearchCriteria.v.dn=x", "", nil, 401, "token_required"},
		{"of a file", "POST", "/v1/ask", ask, []string{"Authorization", "Bearer 0123456789abcdefXYZ"}, 200, "claims"},
		{"added", "POST", "/v1/ask", ask, []string{"Authorization", "bearer " + token}, 200, "claims"},
		{"the page", "POST", "/v1/ask", ask, []string{"Origin", s.url, "Sec-Fetch-Site", "same-origin"}, 200, "claims"},
		{"page itself", "GET", "/", "", nil, 200, "<html"},
		{"health", "GET", "/healthz", "", nil, 200, "ok"},
		{"metrics", "GET", "/metrics", "", nil, 200, "rxedge_answers_total"},
		{"description", "GET", "/openapi.json", "", nil, 200, "openapi"},
	} {
		status, h, b := s.send(t, c.method, c.path, c.body, c.headers...)
		if status != c.status || !strings.Contains(b, c.says) || status == 401 && h.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %.200s", c.name, status, b)
		}
	}
	c, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the socket: %v", err)
	}
}

// Who asks too fast is told when to ask again; others are not held up.
func TestRate(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, func(c *config.Config) { c.API.Rate, c.API.Burst = 0.01, 3 })
	token, err := clients.Add(s.data, "ehr")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		status, h, b := s.send(t, "POST", "/v1/search", `{"query": "warfarin"}`)
		if i < 3 && status != 200 || i == 3 && (status != 429 || h.Get("Retry-After") == "" || !strings.Contains(b, "too_many_requests")) {
			t.Errorf("request %d: %d %q %.200s", i, status, h.Get("Retry-After"), b)
		}
	}
	if status, _, b := s.send(t, "POST", "/v1/embeddings", `{"input": "x"}`); status != 429 || !strings.Contains(b, `"type":"rate_limit_error"`) {
		t.Errorf("in OpenAI's form: %d %s", status, b)
	}
	if status, _, b := s.send(t, "POST", "/v1/search", `{"query": "warfarin"}`, "Authorization", "Bearer "+token); status != 200 {
		t.Errorf("another client: %d %s", status, b)
	}
}

// Errors of OpenAI's paths are in OpenAI's form, whoever finds them.
func TestOpenAIErrors(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	for _, c := range []struct{ path, body, says string }{
		{"/v1/embeddings", `{"input": []}`, "invalid_request"},
		{"/v1/embeddings", `{"input": 5}`, "invalid_request"},
		{"/v1/embeddings", `{`, "invalid_request"},
		{"/v1/embeddings", `{"input": "x", "model": "wonder"}`, "model_not_found"},
		{"/v1/rerank", `{"query": "x"}`, "invalid_request"},
		{"/v1/rerank", `{"query": "x", "documents": ["y"], "model": "wonder"}`, "model_not_found"},
		{"/v1/chat/completions", `{}`, "invalid_request"},
	} {
		status, h, b := s.send(t, "POST", c.path, c.body)
		if status < 400 || status > 422 || !strings.HasPrefix(b, `{"error":{`) || !strings.Contains(b, c.says) || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
			t.Errorf("%s %s: %d %s %s", c.path, c.body, status, h.Get("Content-Type"), b)
		}
	}
}

// A feed has the sections that tell of the medicine, with sentences of them.
func TestInfobutton(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	get := func(q url.Values) (int, http.Header, string) { return s.send(t, "GET", "/infobutton?"+q.Encode(), "") }
	q := url.Values{"mainSearchCriteria.v.dn": {"warfarin"}, "subTopic.v.c": {"Q000744"}, "knowledgeResponseType": {"application/json"}, "holder.assignedEntity.n": {"x"}}
	status, _, b := get(q)
	if status != 200 || !strings.Contains(b, "Warfarin sodium tablets: Contraindications") || !strings.Contains(b, "contraindicated in pregnancy") || !strings.Contains(b, s.url+"/#doc=sample-warfarin") {
		t.Errorf("%d %s", status, b)
	}
	q.Set("knowledgeResponseType", "application/atom+xml")
	status, h, b := get(q)
	var f infobutton.Feed
	if err := xml.Unmarshal([]byte(b), &f); err != nil || status != 200 || len(f.Entries) != 1 || !strings.HasPrefix(h.Get("Content-Type"), "application/atom+xml") {
		t.Errorf("%d %v %s", status, err, b)
	}
	// By a code that is known by its name alone, and without a topic: several.
	status, _, b = get(url.Values{"mainSearchCriteria.v.c": {"11289"}, "mainSearchCriteria.v.cs": {"2.16.840.1.113883.6.88"}, "mainSearchCriteria.v.dn": {"Warfarin"}, "taskContext.c.c": {"MEDOE"}})
	if err := xml.Unmarshal([]byte(b), &f); err != nil || status != 200 || strings.Count(b, "<entry>") < 3 {
		t.Errorf("%d %v %s", status, err, b)
	}
	if status, _, b = get(url.Values{"mainSearchCriteria.v.dn": {"wondermab"}}); status != 200 || strings.Contains(b, "<entry>") {
		t.Errorf("an unknown medicine: %d %s", status, b)
	}
	if status, _, b = get(url.Values{}); status != 400 || !strings.Contains(b, "invalid_request") {
		t.Errorf("nothing asked: %d %s", status, b)
	}
}
