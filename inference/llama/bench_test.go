package llama

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

var benchRounds = flag.Int("rounds", 3, "rounds of the benchmarks against peers, which take turns in each")

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
	return benchModel(b, "1b-q4_0.gguf", func(path string) {
		randomLlama(b, path, llamaShape{layers: 22, dim: 2048, ff: 5632, heads: 32, kvHeads: 4, context: 2048, weights: gguf.Q4_0})
	})
}

// series are the figures of one contender, a round each.
type series map[string][]float64

func (s series) add(name string, v float64) { s[name] = append(s[name], v) }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratio is the median over the rounds of one to the other: what else the machine
// does meanwhile slows both of a round.
func (s series) ratio(b *testing.B, one, other string) {
	var r []float64
	for i := range min(len(s[one]), len(s[other])) {
		r = append(r, s[one][i]/s[other][i])
	}
	if len(r) > 0 {
		b.ReportMetric(median(r), one+"/"+other)
	}
}

func (s series) report(b *testing.B, unit string) {
	for name, v := range s {
		b.ReportMetric(median(v), name+"-"+unit)
	}
	b.ReportMetric(0, "ns/op")
}

// llamaBench runs llama-bench and returns the tokens a second of each test, by
// the tokens of its prompt.
func llamaBench(b *testing.B, model string, args ...string) []float64 {
	b.Helper()
	engine := engineOrSkip(b)
	bin := filepath.Join(engine.Dir, "llama-bench")
	if _, err := os.Stat(bin); err != nil {
		b.Log("llama-bench is not built (make engine-tools): compared without it")
		return nil
	}
	cmd := exec.Command(bin, append([]string{"-m", model, "-r", "1", "-o", "json", "-t", strconv.Itoa(benchThreads)}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("llama-bench: %v", err)
	}
	var tests []struct {
		Speed float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(out, &tests); err != nil {
		b.Fatal(err)
	}
	var speeds []float64
	for _, t := range tests {
		speeds = append(speeds, t.Speed)
	}
	return speeds
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

// BenchmarkGenerate compares a Server with the same child called directly and
// with llama-bench, in turns, with the same threads.
func BenchmarkGenerate(b *testing.B) {
	const promptTokens, written = 512, 64
	model := oneBillion(b)
	s := ready(b, Options{Model: model, Kind: Generate, Context: 1024, Threads: benchThreads})
	r := rand.New(rand.NewPCG(1, 1))
	prompt, writing := series{}, series{}
	ask := func(text string, n int) (inference.GenerateResult, time.Duration) {
		began := time.Now()
		got, err := s.Generate(b.Context(), inference.GenerateRequest{Prompt: text, MaxTokens: n}, nil)
		if err != nil {
			b.Fatal(err)
		}
		return got, time.Since(began)
	}
	for range b.N {
		for range *benchRounds {
			text := wordsOf(r, promptTokens)
			got, took := ask(text, 1)
			prompt.add("ours", float64(got.PromptTokens)/took.Seconds())
			took = direct(b, s, wordsOf(r, promptTokens), 1)
			prompt.add("direct", float64(got.PromptTokens)/took.Seconds())

			got, took = ask("x", written)
			writing.add("ours", float64(got.CompletionTokens)/took.Seconds())
			took = direct(b, s, "x", written)
			writing.add("direct", written/took.Seconds())

			if speeds := llamaBench(b, model, "-p", strconv.Itoa(promptTokens), "-n", strconv.Itoa(written)); len(speeds) == 2 {
				prompt.add("llama-bench", speeds[0])
				writing.add("llama-bench", speeds[1])
			}
		}
	}
	b.Run("prompt", func(b *testing.B) {
		prompt.report(b, "tok/s")
		prompt.ratio(b, "ours", "direct")
		prompt.ratio(b, "ours", "llama-bench")
	})
	b.Run("writing", func(b *testing.B) {
		writing.report(b, "tok/s")
		writing.ratio(b, "ours", "direct")
		writing.ratio(b, "ours", "llama-bench")
	})
}

// BenchmarkEmbed does so with encoders of MiniLM-L6's shape and texts of 128
// tokens.
func BenchmarkEmbed(b *testing.B) {
	const length, texts = 128, 32
	for _, kind := range []gguf.Type{gguf.Q8_0, gguf.F16} {
		b.Run(kind.String(), func(b *testing.B) {
			shape := bertShape{layers: 6, dim: 384, ff: 1536, heads: 12, positions: 512}
			model := benchModel(b, "minilm-"+strings.ToLower(kind.String())+".gguf", func(path string) {
				m, tensors := bertOf(b, shape, kind)
				writeRandom(b, path, m, tensors)
			})
			s := ready(b, Options{Model: model, Kind: Embed, Context: 256, Threads: benchThreads})
			r := rand.New(rand.NewPCG(2, 2))
			speed := series{}
			for range b.N {
				for range *benchRounds {
					list := make([]string, texts)
					batch := make([][]int, texts)
					for i := range list {
						list[i] = strings.TrimSpace(wordsOf(r, length-2))
						if err := s.with(b.Context(), func(k *call) (err error) { batch[i], err = k.tokenize(list[i], true, false); return err }); err != nil {
							b.Fatal(err)
						}
					}
					began := time.Now()
					if _, err := s.Embed(b.Context(), list); err != nil {
						b.Fatal(err)
					}
					speed.add("ours", texts/time.Since(began).Seconds())
					began = time.Now()
					err := s.with(b.Context(), func(k *call) error { _, err := k.embed(batch, 384); return err })
					if err != nil {
						b.Fatal(err)
					}
					speed.add("direct", texts/time.Since(began).Seconds())
					if speeds := llamaBench(b, model, "-p", strconv.Itoa(length), "-n", "0", "-embd", "1", "-r", strconv.Itoa(texts)); len(speeds) == 1 {
						speed.add("llama-bench", speeds[0]/length)
					}
				}
			}
			speed.report(b, "texts/s")
			speed.ratio(b, "ours", "direct")
			speed.ratio(b, "ours", "llama-bench")
		})
	}
}

// BenchmarkCallers: eight callers at once together get at least what one gets,
// and each gets its part.
func BenchmarkCallers(b *testing.B) {
	const callers, written = 8, 32
	for _, slots := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			s := ready(b, Options{Model: oneBillion(b), Kind: Generate, Context: 512, Slots: slots, Threads: benchThreads})
			speed := series{}
			var slowest float64
			for range b.N {
				for range *benchRounds {
					began := time.Now()
					got, err := s.Generate(b.Context(), inference.GenerateRequest{Prompt: "x", MaxTokens: written}, nil)
					if err != nil {
						b.Fatal(err)
					}
					speed.add("one", float64(got.CompletionTokens)/time.Since(began).Seconds())
					var wg sync.WaitGroup
					took := make([]float64, callers)
					tokens := make([]int, callers)
					began = time.Now()
					for i := range callers {
						wg.Go(func() {
							ctx := inference.WithCaller(b.Context(), inference.Caller{Key: fmt.Sprint(i)})
							got, err := s.Generate(ctx, inference.GenerateRequest{Prompt: "x", MaxTokens: written, Temperature: 1, Seed: int64(i)}, nil)
							if err != nil {
								b.Error(err)
							}
							took[i], tokens[i] = time.Since(began).Seconds(), got.CompletionTokens
						})
					}
					wg.Wait()
					all := 0
					for _, n := range tokens {
						all += n
					}
					speed.add("eight", float64(all)/time.Since(began).Seconds())
					slowest = max(slowest, slices.Max(took)/(float64(callers*written)/median(speed["one"])))
				}
			}
			speed.report(b, "tok/s")
			speed.ratio(b, "eight", "one")
			// 1: as if all were served one after the other.
			b.ReportMetric(slowest, "slowest/fair")
		})
	}
}

// BenchmarkPrefix: the time to the first piece where a beginning of 1,000 tokens
// is known.
func BenchmarkPrefix(b *testing.B) {
	s := ready(b, Options{Model: oneBillion(b), Kind: Generate, Context: 2048, Threads: benchThreads})
	r := rand.New(rand.NewPCG(3, 3))
	first := series{}
	for range b.N {
		for range *benchRounds {
			prefix := wordsOf(r, 1000)
			for _, what := range []string{"new", "known"} {
				got, err := s.Generate(b.Context(), inference.GenerateRequest{Prompt: prefix + wordsOf(r, 20), MaxTokens: 1}, nil)
				if err != nil {
					b.Fatal(err)
				}
				if what == "known" && got.CachedTokens < 1000 {
					b.Errorf("%d tokens were known", got.CachedTokens)
				}
				first.add(what, got.TimeToFirst.Seconds()*1000)
			}
		}
	}
	first.report(b, "ms")
	first.ratio(b, "new", "known")
}
