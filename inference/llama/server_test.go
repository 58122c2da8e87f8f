package llama

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rxedge/inference"
)

// alive tells whether a process runs; one that nobody has collected does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// eventually polls for what another process does.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func TestKilledWhileAnswering(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Context: 4096})
	for round := range 2 {
		pid := s.State().PID
		var killed time.Time
		_, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a"}, func(string) error {
			if killed.IsZero() {
				killed = time.Now()
				syscall.Kill(pid, syscall.SIGKILL)
			}
			return nil
		})
		if !errors.Is(err, inference.ErrEngineLost) {
			t.Fatalf("round %d: %v", round, err)
		}
		if d := time.Since(killed); d > time.Second {
			t.Errorf("the caller was told after %v", d)
		}
		if _, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil); err != nil {
			t.Fatalf("the next question: %v", err)
		}
		d := time.Since(killed)
		t.Logf("round %d: the next question was answered %v after the kill", round, d)
		if d > 5*time.Second {
			t.Errorf("the next question was answered after %v", d)
		}
		if st := s.State(); st.Phase != Ready || st.Restarts != round+1 || st.PID == pid || st.PID == 0 {
			t.Errorf("state %+v", st)
		}
	}
}

// An engine that lives but cannot be spoken to any more is replaced: a cleaner of
// temporary folders took its socket, or it hangs.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Wait: time.Minute, pulse: 200 * time.Millisecond})
	for what, harm := range map[string]func(pid int){
		"socket gone": func(int) { os.Remove(s.dir.socket()) },
		"hangs":       func(pid int) { syscall.Kill(pid, syscall.SIGSTOP) },
	} {
		pid := s.State().PID
		harm(pid)
		eventually(t, 20*time.Second, what+": replaced", func() bool { st := s.State(); return st.Phase == Ready && st.PID != pid })
		if alive(pid) {
			t.Errorf("%s: the old child still runs", what)
		}
		if _, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil); err != nil {
			t.Errorf("%s: the next question: %v", what, err)
		}
	}
}

// Requests that come while the engine starts wait, but not for ever.
func TestWaitForStart(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Model: tinyLlama(t), Kind: Generate})
	if _, err := s.Tokenize(t.Context(), "a"); err != nil {
		t.Errorf("asked while it starts: %v", err)
	}
	hurried := start(t, Options{Model: tinyLlama(t), Kind: Generate, Wait: time.Nanosecond})
	if _, err := hurried.Tokenize(t.Context(), "a"); !errors.Is(err, inference.ErrEngineStarting) {
		t.Errorf("with no time to wait: %v", err)
	}
}

func TestTwoServersAndClose(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	var servers []*Server
	for range 2 {
		servers = append(servers, ready(t, Options{Model: tinyLlama(t), Kind: Generate, RunDir: base}))
	}
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() {
			if _, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 8}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	pid := servers[0].State().PID
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || bytes.Contains(cmdline, []byte(servers[0].child.key)) {
		t.Errorf("the key is on the command line (%v)", err)
	}
	if st, err := os.Stat(servers[0].dir.path); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("socket folder: %v %v", st.Mode(), err)
	}
	if err := servers[0].Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the child outlived Close")
	}
	if st := servers[0].State(); st.Phase != Closed {
		t.Errorf("state %+v", st)
	}
	if _, err := servers[0].Tokenize(t.Context(), "a"); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := servers[1].Tokenize(t.Context(), "a"); err != nil {
		t.Errorf("the other server: %v", err)
	}
	servers[1].Close()
	if left, _ := os.ReadDir(base); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCloseDuringGeneration(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Context: 4096})
	closed := make(chan error, 1)
	var once sync.Once
	_, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a"}, func(string) error {
		once.Do(func() { go func() { closed <- s.Close() }() })
		return nil
	})
	if err == nil || errors.Is(err, inference.ErrEngineLost) {
		t.Errorf("a request under way at Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A file that cannot be loaded is told from an engine that crashed: it is given
// up after three starts, with the engine's reason.
func TestBrokenModel(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	whole, err := os.ReadFile(tinyLlama(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"noise":     []byte(strings.Repeat("not a model\n", 500)),
		"truncated": whole[:len(whole)/2],
		"empty":     {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "broken.gguf")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, Options{Model: path, Kind: Generate})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := s.WaitReady(ctx)
			var failed *FailedError
			if !errors.As(err, &failed) || len(failed.Reason) < 10 {
				t.Fatalf("got %v", err)
			}
			t.Log(err)
			st := s.State()
			if st.Phase != Failed || st.Restarts != giveUpAfter-1 || st.PID != 0 {
				t.Errorf("state %+v", st)
			}
			if _, err := s.Tokenize(t.Context(), "a"); !errors.As(err, &failed) {
				t.Errorf("a request to it: %v", err)
			}
			if name != "noise" {
				return
			}
			// Mended, it comes back when told to.
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			s.Retry()
			eventually(t, 30*time.Second, "ready after Retry", func() bool { return s.State().Phase == Ready })
		})
	}
	if _, err := Start(Options{Engine: Engine{Binary: "x"}, Model: "no/such/file", Kind: Generate}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := Start(Options{Model: "x", Kind: Generate}); !errors.Is(err, inference.ErrEngineMissing) {
		t.Errorf("no engine: %v", err)
	}
}

// What is asked and answered stays out of the log, whatever goes wrong.
func TestNoPromptInLog(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	const secret = "Zoledronat"
	got, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: secret, MaxTokens: 8}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The engine's own warnings quote what they could not read.
	c, err := s.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := c.begin(t.Context())
	defer k.cancel()
	if err = k.do("/completion", map[string]any{"prompt": secret, "n_predict": secret}, &struct{}{}); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a wrong request: %v", err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://engine/tokenize", strings.NewReader(`{"content":"`+secret))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	quoted, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !bytes.Contains(quoted, []byte(secret)) {
		t.Errorf("the engine no longer quotes a request: %s", quoted)
	}
	pid := s.State().PID
	syscall.Kill(pid, syscall.SIGKILL)
	eventually(t, 10*time.Second, "restarted", func() bool { st := s.State(); return st.Phase == Ready && st.PID != pid })
	text := log.String()
	if !strings.Contains(text, "model loaded") || !strings.Contains(text, "signal 9") {
		t.Errorf("the log lacks what it should have:\n%s", text)
	}
	if strings.Contains(text, secret) || strings.Contains(text, got.Text) {
		t.Errorf("the log holds text of a request:\n%s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
