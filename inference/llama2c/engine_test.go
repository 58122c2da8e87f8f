package llama2c_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
	"rxedge/inference/llama2c"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real file %s is not on this machine (RXEDGE_TESTDATA names the folder)", name)
	}
	return path
}

func stories(t testing.TB) (checkpoint, tokenizer string) {
	return testdata(t, "models/stories260K/stories260K.bin"), testdata(t, "models/stories260K/tok512.bin")
}

// convert writes stories260K as GGUF into a temporary folder.
func convert(t testing.TB, as gguf.Type) string {
	t.Helper()
	checkpoint, tokenizer := stories(t)
	path := filepath.Join(t.TempDir(), "stories260K.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := llama2c.ConvertFiles(f, checkpoint, tokenizer, llama2c.Options{Name: "stories260K", Type: as}); err != nil {
		t.Fatal(err)
	}
	return path
}

// engine is the real server without the supervisor, so that tokens can go in
// and come out as numbers.
type engine struct{ http.Client }

func startEngine(t *testing.T, model string) *engine {
	t.Helper()
	found, err := llama.Find()
	if errors.Is(err, inference.ErrEngineMissing) {
		t.Skip("the llama.cpp engine is not built here (make build); the converted model was not run")
	} else if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "l2c") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "e.sock")
	var log bytes.Buffer
	cmd := exec.Command(found.Binary, "--model", model, "--host", socket, "--offline", "--no-ui", "--threads", "1", "--parallel", "1")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	e := &engine{http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}}
	deadline := time.After(time.Minute)
	for {
		if resp, err := e.Get("http://engine/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return e
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the engine refused the model: %v\n%s", err, log.Bytes())
		case <-deadline:
			t.Fatal("the engine was not ready within a minute")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *engine) post(t *testing.T, path string, in, out any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.Post("http://engine"+path, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}

// The proof that a converted model is the model: each token that the engine
// writes, greedily, is the likeliest of an independent forward pass over the
// checkpoint. Kernels of other processors add up in another order, so where two
// tokens are as good as equal either is right.
func TestEngineWritesWhatTheCheckpointSays(t *testing.T) {
	t.Parallel()
	checkpoint, tokenizer := stories(t)
	m := loadReference(t, checkpoint, tokenizer)
	e := startEngine(t, convert(t, gguf.F32))
	for _, prompt := range []string{"", "Once upon a time", "Lily's dog: “naïve” 7 €\n", "The old man  went"} {
		ids := m.encode(prompt)
		var tokens struct{ Tokens []int }
		e.post(t, "/tokenize", map[string]any{"content": prompt, "add_special": true}, &tokens)
		if !reflect.DeepEqual(tokens.Tokens, ids) {
			t.Errorf("%q: the engine reads tokens %v, llama2.c %v", prompt, tokens.Tokens, ids)
			continue
		}
		var got struct {
			Tokens  []int
			Content string
		}
		e.post(t, "/completion", map[string]any{"prompt": ids, "n_predict": 100, "temperature": 0, "return_tokens": true}, &got)
		if len(got.Tokens) != 100 {
			t.Errorf("%q: the engine ends after %d tokens", prompt, len(got.Tokens))
		}
		if short, at := m.follows(ids, got.Tokens); short > asGood {
			t.Errorf("%q: token %d of %v is %.4f below the reference's likeliest", prompt, at, got.Tokens, short)
		}
		if text := m.decode(got.Tokens); got.Content != text {
			t.Errorf("%q:\n   engine %q\nreference %q", prompt, got.Content, text)
		}
	}
}

// The engine must stop where llama2.c stops: at the beginning token.
func TestEngineStopsAtTheEndOfAStory(t *testing.T) {
	t.Parallel()
	checkpoint, tokenizer := stories(t)
	m := loadReference(t, checkpoint, tokenizer)
	ids := m.encode("")
	want := m.greedy(ids, 450)
	if len(want) == 450 {
		t.Skip("the story does not end within 450 tokens")
	}
	e := startEngine(t, convert(t, gguf.F32))
	var got struct {
		Tokens   []int
		StopType string `json:"stop_type"`
	}
	e.post(t, "/completion", map[string]any{"prompt": ids, "n_predict": 450, "temperature": 0, "return_tokens": true}, &got)
	if got.StopType != "eos" {
		t.Errorf("the engine stopped by %q after %d tokens, the reference ended after %d", got.StopType, len(got.Tokens), len(want))
	}
}

// The same text through the supervisor, as the daemon asks for it.
func TestSupervisedEngineWritesTheSame(t *testing.T) {
	t.Parallel()
	checkpoint, tokenizer := stories(t)
	found, err := llama.Find()
	if err != nil {
		t.Skip("the llama.cpp engine is not built here (make build)")
	}
	s, err := llama.Start(llama.Options{Engine: found, Model: convert(t, gguf.F32), Name: "stories260K", Kind: llama.Generate, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := loadReference(t, checkpoint, tokenizer)
	const prompt = "Once upon a time"
	var pieces bytes.Buffer
	got, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: prompt, MaxTokens: 100}, func(piece string) error {
		pieces.WriteString(piece)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := m.decode(m.greedy(m.encode(prompt), 100))
	if pieces.String() != want || got.Text != want || got.CompletionTokens != 100 || got.PromptTokens != len(m.encode(prompt)) {
		t.Errorf("%+v\nstreamed %q\n    want %q", got, pieces.String(), want)
	}
}
