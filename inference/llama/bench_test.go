package llama

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/inference/gguf"
)

// benchThreads are given to everyone alike.
var benchThreads = runtime.NumCPU()

// benchModel is a model of random weights, kept between runs.
func benchModel(b *testing.B, name string, write func(path string)) string {
	b.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "rxedge", "bench")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	part := path + ".part"
	write(part)
	if err := os.Rename(part, path); err != nil {
		b.Fatal(err)
	}
	return path
}

// oneBillion is TinyLlama-1.1B's shape.
func oneBillion(b *testing.B) string {
	return benchModel(b, "1b-chat-q4_0.gguf", func(path string) {
		randomLlama(b, path, llamaShape{layers: 22, dim: 2048, ff: 5632, heads: 32, kvHeads: 4, context: 2048, weights: gguf.Q4_0})
	})
}

// llamaBench runs one test of llama-bench, as anyone would or in a child's
// environment, and returns its tokens a second.
func llamaBench(b *testing.B, model string, env []string, args ...string) float64 {
	b.Helper()
	engine := engineOrSkip(b)
	cmd := exec.Command(filepath.Join(engine.Dir, "llama-bench"), append([]string{"-m", model, "-r", "1", "-o", "json", "-t", strconv.Itoa(benchThreads)}, args...)...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("llama-bench (make engine-tools builds it): %v", err)
	}
	var tests []struct {
		Speed float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(out, &tests); err != nil || len(tests) != 1 {
		b.Fatalf("llama-bench said %q", out)
	}
	return tests[0].Speed
}

// direct completes a prompt at the child's socket, with nothing of ours.
func direct(b *testing.B, s *Server, prompt any, n int) (took time.Duration) {
	b.Helper()
	began := time.Now()
	err := s.with(context.Background(), func(k *call) error {
		resp, err := k.send("/completion", map[string]any{"prompt": prompt, "n_predict": n, "stream": true, "cache_prompt": true,
			"temperature": 0, "top_k": 1, "samplers": []string{"top_k"}})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// wordsOf is a text of about n tokens that no cache knows.
func wordsOf(r *rand.Rand, n int) string {
	var text strings.Builder
	for range n {
		text.WriteString([]string{" dose", " take", " with", " food", " daily", " water", " may", " cause"}[r.IntN(8)])
	}
	return text.String()
}
