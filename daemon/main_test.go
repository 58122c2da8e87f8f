package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/logfile"
	layout "rxedge/daemon/schema"
	"rxedge/index/document"
)

// asDaemon makes the test binary a rxedged, so that a test can kill one.
const asDaemon = "RXEDGE_TEST_DAEMON"

// asVersion is what it says it is.
const asVersion = "RXEDGE_TEST_VERSION"

func TestMain(m *testing.M) {
	if conf := os.Getenv(asHub); conf != "" {
		os.Exit(hubNode(conf))
	}
	if f := os.Getenv(clockFile); f != "" {
		box.SyncClock = func() time.Time { return shifted(f) }
	}
	if v := os.Getenv(asVersion); v != "" {
		box.Version = v
	}
	if exe := os.Getenv(asProgram); exe != "" {
		executable = func() (string, error) { return exe, nil }
	}
	if n, err := strconv.Atoi(os.Getenv(asFormat)); err == nil {
		box.Stores["feedback"] = layout.Store{Path: "feedback", Format: n}
	}
	fakeClock()
	armCut()
	box.RolloutJudge = judgeStories
	if playing() {
		return
	}
	if os.Getenv(asDaemon) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	code := m.Run()
	if toolDir != "" {
		_ = os.RemoveAll(toolDir)
	}
	os.Exit(code)
}

// asProgram is where a release lies of which the test binary is the program, and asFormat
// the format that it gives feedback.
const (
	asProgram = "RXEDGE_TEST_PROGRAM"
	asFormat  = "RXEDGE_TEST_FORMAT"
)

// station is a daemon that runs inside the test.
type station struct {
	url  string
	data string
	log  *buffer
	stop func() error
}

// buffer is written by the daemon and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startDaemon runs a daemon on a free port until the test ends.
func startDaemon(t testing.TB, change func(*config.Config)) *station {
	t.Helper()
	cfg := config.Default()
	cfg.Listen, cfg.Data = "127.0.0.1:0", t.TempDir()
	if change != nil {
		change(&cfg)
	}
	s := &station{data: cfg.Data, log: &buffer{}}
	// As where no journal takes the log, so that what looks into the folder sees it.
	kept := logfile.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.LevelDebug, 1<<20)
	t.Cleanup(func() { _ = kept.Close() })
	log := slog.New(kept)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- run(ctx, cfg, log, s.log, func(addr string) { ready <- addr }) }()
	var once sync.Once
	var result error
	s.stop = func() error {
		once.Do(func() { cancel(); result = <-done })
		return result
	}
	select {
	case addr := <-ready:
		s.url = "http://" + addr
	case err := <-done:
		t.Fatalf("the daemon did not start: %v\n%s", err, s.log)
	case <-time.After(60 * time.Second):
		t.Fatalf("the daemon was not ready in time\n%s", s.log)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	return s
}

func (s *station) do(t *testing.T, method, path string, body any, into any) *http.Response {
	t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s %s: %v in %.300s", method, path, err, b)
		}
	}
	return resp
}

func (s *station) ask(t *testing.T, text string) answer.Answer {
	t.Helper()
	var a answer.Answer
	if resp := s.do(t, "POST", "/v1/ask", map[string]string{"question": text}, &a); resp.StatusCode != http.StatusOK {
		t.Fatalf("asking: %s", resp.Status)
	}
	return a
}

// A fresh box answers from the sample, and each citation reads again byte for
// byte in the document that it names.
func TestFreshBoxAnswers(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	a := s.ask(t, "Can metformin be started with an eGFR of 40?")
	if a.Status != answer.StatusAnswered || len(a.Claims) == 0 {
		t.Fatalf("not answered: %+v", a)
	}
	if first := a.Claims[0]; !strings.Contains(first.Text, "between 30 and 45") || first.Citations[0].SectionID != "sample-metformin#88828-9" {
		t.Errorf("the first claim is %q from %s", first.Text, first.Citations[0].SectionID)
	}
	if len(a.Notices) == 0 || !strings.Contains(a.Notices[0], "not for clinical use") {
		t.Errorf("the sample's notice is missing: %q", a.Notices)
	}
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			var d document.Document
			s.do(t, "GET", "/v1/documents/"+ci.SetID, nil, &d)
			if got := sectionText(&d, ci.SectionID); ci.End > len(got) || got[ci.Start:ci.End] != ci.Quote {
				t.Errorf("%s bytes %d-%d are not the quote", ci.SectionID, ci.Start, ci.End)
			}
		}
	}
	if b := s.ask(t, "Which wine goes with roast duck?"); b.Status != answer.StatusAbstained || b.Reason != answer.ReasonNoEvidence || len(b.Claims) > 0 {
		t.Errorf("should abstain: %+v", b)
	}
}

func sectionText(d *document.Document, id string) string {
	for _, s := range d.Sections {
		if s.ID == id {
			return s.Text
		}
	}
	return ""
}

func TestInterface(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		{"GET", "/healthz", nil, 200, ""},
		{"GET", "/readyz", nil, 200, ""},
		{"GET", "/v1/models", nil, 200, ""},
		{"GET", "/openapi.json", nil, 200, ""},
		{"POST", "/v1/search", map[string]any{"query": "warfarin", "k": 3}, 200, ""},
		{"POST", "/v1/search", map[string]any{"query": "warf", "prefix": true}, 200, ""},
		{"POST", "/v1/search", map[string]any{"query": "warfarin", "mode": "dense"}, 200, ""},
		{"GET", "/v1/suggest?q=warf&k=3", nil, 200, ""},
		{"GET", "/v1/suggest?q=", nil, 200, ""},
		{"POST", "/v1/ask", map[string]any{"question": "   "}, 400, "invalid_request"},
		{"POST", "/v1/ask", map[string]any{"question": strings.Repeat("a", 3000)}, 400, "invalid_request"},
		{"POST", "/v1/ask", map[string]any{"question": "x", "qestion": "y"}, 422, "invalid_request"},
		{"POST", "/v1/ask", []string{"not", "an", "object"}, 422, "invalid_request"},
		{"GET", "/v1/documents/none", nil, 404, "not_found"},
	} {
		var p struct{ Code string }
		resp := s.do(t, c.method, c.path, c.body, &p)
		if resp.StatusCode != c.status || p.Code != c.code {
			t.Errorf("%s %s %v: %d %q, want %d %q", c.method, c.path, c.body, resp.StatusCode, p.Code, c.status, c.code)
		}
	}
	words := startDaemon(t, func(c *config.Config) { c.Model.Embedder = config.None })
	var p struct{ Code string }
	if resp := words.do(t, "POST", "/v1/search", map[string]any{"query": "warfarin", "mode": "dense"}, &p); resp.StatusCode != 400 || p.Code != "no_vectors" {
		t.Errorf("without an embedder: %d %q", resp.StatusCode, p.Code)
	}
}

// Another machine's name for this one, and another site's page, are refused.
func TestForeignersRefused(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	for _, c := range []struct{ name, host, origin, site string }{
		{"rebound name", "attacker.example", "", ""},
		{"another origin", "", "http://attacker.example", ""},
		{"another port's page", "", "http://127.0.0.1:1", ""},
		{"null origin", "", "null", ""},
		{"cross-site fetch", "", "", "cross-site"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/ask", strings.NewReader(`{"question":"warfarin"}`))
		req.Header.Set("Content-Type", "application/json")
		if c.host != "" {
			req.Host = c.host
		}
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			req.Header.Set("Sec-Fetch-Site", c.site)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", c.name, resp.Status)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/ask", strings.NewReader(`{"question":"warfarin"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", s.url)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("its own page: %s", resp.Status)
	}
}

// The events of a streamed answer come in order, and the last is the whole.
func TestStream(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/ask", strings.NewReader(`{"question":"What is the maximum daily dose of gabapentin?"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, block := range strings.Split(strings.TrimSpace(string(b)), "\n\n") {
		name, data, ok := strings.Cut(block, "\n")
		if !ok || !json.Valid([]byte(strings.TrimPrefix(data, "data: "))) {
			t.Fatalf("not an event: %.200q", block)
		}
		order = append(order, strings.TrimPrefix(name, "event: "))
	}
	if len(order) < 3 || order[0] != "retrieved" || order[1] != "claim" || order[len(order)-1] != "done" {
		t.Errorf("events came as %v", order)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--version"}, 0, "rxedged"},
		{[]string{"--help"}, 0, "Example:"},
		{[]string{"--no-such"}, exitUsage, "flag provided but not defined"},
		{[]string{"extra"}, exitUsage, "there is no argument"},
		{[]string{"--listen", "0.0.0.0:80"}, exitUsage, "not a loopback address"},
		{[]string{"--config", "/nonexistent.toml"}, exitUsage, "no such file"},
	} {
		var out bytes.Buffer
		if code := start(t.Context(), c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: exit %d, %q; want %d and %q", c.args, code, out.String(), c.code, c.says)
		}
	}
}

// A second daemon over the same folder is told who has it.
func TestFolderIsHeld(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	cfg := config.Default()
	cfg.Listen, cfg.Data = "127.0.0.1:0", s.data
	err := run(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard, nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("held by process %d", os.Getpid())) {
		t.Errorf("got %v", err)
	}
}
