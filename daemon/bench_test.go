package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/bench/contest"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/inference/catalog"
)

// BenchmarkThrough compares what a client of rxedged gets over HTTP from a
// language model and an encoder with the same children called directly at their
// sockets. The models are those of the engine's own benchmarks, which write them.
func BenchmarkThrough(b *testing.B) {
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Skip(err)
	}
	models := map[string]string{"generator": "1b-chat-q4_0.gguf", "embedder": "minilm-q8_0.gguf"}
	for name, file := range models {
		models[name] = filepath.Join(cache, "rxedge", "bench", file)
		if _, err := os.Stat(models[name]); err != nil {
			b.Skipf("%v; the benchmarks of inference/llama write it", err)
		}
	}
	s := startDaemon(b, func(c *config.Config) {
		c.Model.Slots = 1
	})
	d, err := control.Dial(s.data)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for name, path := range models {
		if _, err := d.ImportModel(b.Context(), path, catalog.ImportOptions{Name: name}, nil); err != nil {
			b.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	ask := func(prompt string, n int) (tokens usage, took float64) {
		began := time.Now()
		resp := send(b, http.DefaultClient, s.url+"/v1/chat/completions", map[string]any{
			"model": "generator", "messages": []any{map[string]string{"role": "user", "content": prompt}},
			"max_tokens": n, "temperature": 0, "stream": true, "stream_options": map[string]bool{"include_usage": true}})
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: {")
			var chunk struct{ Usage *usage }
			if ok && json.Unmarshal([]byte("{"+data), &chunk) == nil && chunk.Usage != nil {
				tokens = *chunk.Usage
			}
		}
		if tokens.Completion != n {
			b.Fatalf("%d tokens written, not %d: %v", tokens.Completion, n, lines.Err())
		}
		return tokens, time.Since(began).Seconds()
	}
	ask("x", 1) // loads it
	child := childOf(b, "--jinja")
	direct := func(prompt string, n int) float64 {
		began := time.Now()
		resp := send(b, child, "http://engine/completion", map[string]any{"prompt": prompt, "n_predict": n, "stream": true,
			"cache_prompt": true, "temperature": 0, "top_k": 1, "samplers": []string{"top_k"}})
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		return time.Since(began).Seconds()
	}
	const promptWords, written = 256, 64
	b.Run("prompt", func(b *testing.B) {
		perWord := 0.0 // tokens, so that both are counted alike
		all := []contest.Contender{
			{Name: "rxedged", Run: func() float64 {
				got, took := ask(words(r, promptWords), 1)
				perWord = float64(got.Prompt) / promptWords
				return float64(got.Prompt) / took
			}},
			{Name: "direct", Run: func() float64 {
				took := direct(words(r, promptWords), 1)
				return perWord * promptWords / took
			}},
		}
		contest.Run(b, all...).Report(b, "tok/s", all...)
	})
	b.Run("writing", func(b *testing.B) {
		all := []contest.Contender{
			{Name: "rxedged", Run: func() float64 { _, took := ask("x", written); return written / took }},
			{Name: "direct", Run: func() float64 { return written / direct("x", written) }},
		}
		contest.Run(b, all...).Report(b, "tok/s", all...)
	})
	b.Run("embeddings", func(b *testing.B) {
		const texts, length = 64, 126
		list := func() (out []string) {
			for range texts {
				out = append(out, strings.TrimSpace(words(r, length)))
			}
			return out
		}
		embed := func(client *http.Client, url string, body map[string]any) float64 {
			began := time.Now()
			resp := send(b, client, url, body)
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			return texts / time.Since(began).Seconds()
		}
		embed(http.DefaultClient, s.url+"/v1/embeddings", map[string]any{"model": "embedder", "input": list()})
		child := childOf(b, "--embeddings")
		all := []contest.Contender{
			{Name: "rxedged", Run: func() float64 {
				return embed(http.DefaultClient, s.url+"/v1/embeddings", map[string]any{"model": "embedder", "input": list()})
			}},
			{Name: "direct", Run: func() float64 {
				return embed(child, "http://engine/embedding", map[string]any{"content": list()})
			}},
		}
		contest.Run(b, all...).Report(b, "texts/s", all...)
	})
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

// words that no cache knows.
func words(r *rand.Rand, n int) string {
	var text strings.Builder
	for range n {
		text.WriteString([]string{" dose", " take", " with", " food", " daily", " water", " may", " cause"}[r.IntN(8)])
	}
	return text.String()
}

func send(b *testing.B, client *http.Client, url string, body any) *http.Response {
	b.Helper()
	j, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := client.Post(url, "application/json", bytes.NewReader(j))
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		b.Fatalf("%s: %s: %s", url, resp.Status, text)
	}
	return resp
}

// childOf finds the socket of the engine that was started with an option, among
// this process's children, as nothing of ours gives it away.
func childOf(b *testing.B, option string) *http.Client {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Skip("children are looked for in /proc")
	}
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		line, _ := os.ReadFile(path)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) < 2 || f[1] != strconv.Itoa(os.Getpid()) || !strings.Contains(string(line), option) {
			continue
		}
		args := strings.Split(string(line), "\x00")
		for i, a := range args[:len(args)-1] {
			if a == "--host" {
				socket := args[i+1]
				if !filepath.IsAbs(socket) {
					cwd, _ := os.Readlink(filepath.Join(filepath.Dir(path), "cwd"))
					socket = filepath.Join(cwd, socket)
				}
				environ, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
				_, key, _ := strings.Cut("\x00"+string(environ), "\x00LLAMA_API_KEY=")
				key, _, _ = strings.Cut(key, "\x00")
				return &http.Client{Transport: keyed{key, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "unix", socket)
				}}}}
			}
		}
	}
	b.Fatalf("no child runs with %s", option)
	return nil
}

// keyed sends the child's key along.
type keyed struct {
	key string
	http.RoundTripper
}

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k.key)
	return k.RoundTripper.RoundTrip(r)
}
