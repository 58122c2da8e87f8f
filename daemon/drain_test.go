package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/control"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
)

// SIGTERM comes to a real process while a model writes and others ask: what is
// under way is finished, no answer is cut, what comes then is refused, and the
// process ends in good order.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	dir := testdata(t)
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0], "--data", t.TempDir(), "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	log := &buffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	url := ""
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); {
		if _, addr, ok := strings.Cut(lines.Text(), "answers on "); ok {
			url = strings.TrimSpace(addr)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	c, err := control.Dial(cmd.Args[2])
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if _, err := c.ImportModel(t.Context(), filepath.Join(dir, "models", "stories260K"), catalog.ImportOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()

	post := func(path, body string) (*http.Response, error) {
		return http.Post(url+path, "application/json", strings.NewReader(body))
	}
	story, err := post("/v1/chat/completions", `{"model": "stories260K", "stream": true, "max_tokens": 60, "temperature": 0, "messages": [{"role": "user", "content": "Once upon a time"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	defer story.Body.Close()
	pieces := bufio.NewReader(story.Body)
	if _, err := pieces.ReadString('\n'); err != nil { // it writes
		t.Fatal(err)
	}
	var answered, refused, gone atomic.Int32
	var askers sync.WaitGroup
	stopped := make(chan struct{})
	for range 4 {
		askers.Go(func() {
			for after := 0; after < 3; {
				select {
				case <-stopped:
					after++
				default:
				}
				resp, err := post("/v1/ask", `{"question": "Can metformin be started with an eGFR of 40?"}`)
				// net/http has no name for the last: a kept connection was closed as it was taken.
				if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) ||
					err != nil && strings.HasSuffix(err.Error(), "http: server closed idle connection") {
					gone.Add(1) // nothing was begun: the listener is closed
					continue
				}
				if err != nil {
					t.Errorf("asking: %v", err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				var a struct {
					Status any
					Code   string
				}
				switch bad := json.Unmarshal(b, &a); {
				case err != nil || bad != nil:
					t.Errorf("an answer was cut: %v %v %q", err, bad, b)
				case resp.StatusCode == http.StatusOK && a.Status == "answered":
					answered.Add(1)
				case resp.StatusCode == http.StatusServiceUnavailable && a.Code == "stopping" && resp.Header.Get("Retry-After") != "":
					refused.Add(1)
				default:
					t.Errorf("%s %s", resp.Status, b)
				}
			}
		})
	}
	for answered.Load() < 8 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	before := answered.Load()
	told := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	close(stopped)
	rest, err := io.ReadAll(pieces)
	if err != nil || !strings.Contains(string(rest), "data: [DONE]") {
		t.Errorf("what a model was writing was cut: %v, …%q", err, rest[max(0, len(rest)-80):])
	}
	askers.Wait()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, log)
	}
	if refused.Load()+gone.Load() == 0 {
		t.Error("questions that came after it were taken")
	}
	t.Logf("%d answered before the signal and %d after it, %d refused, %d found nobody; the story went on for %d bytes; it ended after %v",
		before, answered.Load()-before, refused.Load(), gone.Load(), len(rest), time.Since(told).Round(time.Millisecond))
}
