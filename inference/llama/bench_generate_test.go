package llama

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"rxedge/bench/contest"
	"rxedge/inference"
)

// BenchmarkGenerate compares a Server with the same child called directly and
// with llama-bench, with the same threads. Ours does all that a caller waits
// for: the text is cut into tokens, a place is taken in the queue, each piece
// arrives. llama-bench computes without choosing tokens; "llama-bench-pages" is
// given huge pages as our children are.
func BenchmarkGenerate(b *testing.B) {
	const promptTokens, written = 256, 64
	model := oneBillion(b)
	s := ready(b, Options{Model: model, Kind: Generate, Context: 1024, Slots: 1, Threads: benchThreads})
	r := rand.New(rand.NewPCG(1, 1))
	ours := func(text string, n int) (got inference.GenerateResult, took float64) {
		began := time.Now()
		got, err := s.Generate(b.Context(), inference.GenerateRequest{Prompt: text, MaxTokens: n}, func(string) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		return got, time.Since(began).Seconds()
	}
	// Texts of as many words have about as many tokens.
	count := func(text string) float64 {
		tokens, err := s.Tokenize(b.Context(), text)
		if err != nil {
			b.Fatal(err)
		}
		return float64(len(tokens) + 1)
	}
	b.Run("prompt", func(b *testing.B) {
		n := strconv.Itoa(promptTokens)
		all := []contest.Contender{
			{Name: "ours", Run: func() float64 {
				got, took := ours(wordsOf(r, promptTokens), 1)
				return float64(got.PromptTokens) / took
			}},
			{Name: "direct", Run: func() float64 {
				text := wordsOf(r, promptTokens)
				n := count(text)
				return n / direct(b, s, text, 1).Seconds()
			}},
			{Name: "llama-bench", Run: func() float64 { return llamaBench(b, model, nil, "-p", n, "-n", "0") }},
			{Name: "llama-bench-pages", Run: func() float64 { return llamaBench(b, model, environment(), "-p", n, "-n", "0") }},
		}
		contest.Run(b, all...).Report(b, "tok/s", all...)
	})
	b.Run("writing", func(b *testing.B) {
		n := strconv.Itoa(written)
		all := []contest.Contender{
			{Name: "ours", Run: func() float64 {
				got, took := ours("x", written)
				return float64(got.CompletionTokens) / took
			}},
			{Name: "direct", Run: func() float64 { return written / direct(b, s, "x", written).Seconds() }},
			{Name: "llama-bench", Run: func() float64 { return llamaBench(b, model, nil, "-p", "0", "-n", n) }},
			{Name: "llama-bench-pages", Run: func() float64 { return llamaBench(b, model, environment(), "-p", "0", "-n", n) }},
		}
		contest.Run(b, all...).Report(b, "tok/s", all...)
	})
}

// BenchmarkCallers: eight callers at once together get at least what one gets,
// and nobody waits longer than if all were served one after the other.
func BenchmarkCallers(b *testing.B) {
	const callers, written = 8, 32
	for _, slots := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			s := ready(b, Options{Model: oneBillion(b), Kind: Generate, Context: 512, Slots: slots, Threads: benchThreads})
			ask := func(i int) int {
				ctx := inference.WithCaller(b.Context(), inference.Caller{Key: fmt.Sprint(i)})
				got, err := s.Generate(ctx, inference.GenerateRequest{Prompt: fmt.Sprint("x", i), MaxTokens: written}, nil)
				if err != nil {
					b.Error(err)
				}
				return got.CompletionTokens
			}
			var slowest []float64 // seconds until the last of eight had its answer
			all := []contest.Contender{
				{Name: "eight", Run: func() float64 {
					var wg sync.WaitGroup
					var took [callers]float64
					var tokens [callers]int
					began := time.Now()
					for i := range callers {
						wg.Go(func() {
							tokens[i] = ask(i)
							took[i] = time.Since(began).Seconds()
						})
					}
					wg.Wait()
					sum := 0
					for _, n := range tokens {
						sum += n
					}
					last := slices.Max(took[:])
					slowest = append(slowest, last)
					return float64(sum) / last
				}},
				{Name: "one", Run: func() float64 {
					began := time.Now()
					n := ask(100)
					return float64(n) / time.Since(began).Seconds()
				}},
			}
			f := contest.Run(b, all...)
			f.Report(b, "tok/s", all...)
			b.ReportMetric(contest.Median(slowest)/(callers*written/contest.Median(f["one"])), "slowest/in-turn")
		})
	}
}

// BenchmarkPrefix: the time to the first piece where a beginning of 1,000 tokens
// is known.
func BenchmarkPrefix(b *testing.B) {
	s := ready(b, Options{Model: oneBillion(b), Kind: Generate, Context: 2048, Slots: 1, Threads: benchThreads})
	r := rand.New(rand.NewPCG(3, 3))
	ask := func(prompt string) inference.GenerateResult {
		got, err := s.Generate(b.Context(), inference.GenerateRequest{Prompt: prompt, MaxTokens: 1}, nil)
		if err != nil {
			b.Fatal(err)
		}
		return got
	}
	var known, unknown []float64 // milliseconds
	for range *contest.Rounds {
		prefix := wordsOf(r, 1000)
		unknown = append(unknown, 1000*ask(prefix+wordsOf(r, 20)).TimeToFirst.Seconds())
		got := ask(prefix + wordsOf(r, 20))
		if got.CachedTokens < 1000 {
			b.Errorf("%d tokens were known", got.CachedTokens)
		}
		known = append(known, 1000*got.TimeToFirst.Seconds())
	}
	b.ReportMetric(contest.Median(unknown), "new-ms")
	b.ReportMetric(contest.Median(known), "known-ms")
	b.ReportMetric(contest.Median(unknown)/contest.Median(known), "new/known")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBatch: how long one who is given an answer waits between two pieces
// while a prompt of 1,000 tokens is read for another, by the tokens of it that
// are read in one step, and what that does to the reading.
func BenchmarkBatch(b *testing.B) {
	for _, batch := range []int{512, 256, 128, 64} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			s := ready(b, Options{Model: oneBillion(b), Kind: Generate, Context: 2048, Slots: 2, Batch: batch, Threads: benchThreads})
			r := rand.New(rand.NewPCG(4, 4))
			var speed, gaps []float64
			for range (*contest.Rounds + 1) / 2 {
				ctx, cancel := context.WithCancel(b.Context())
				writing, written := make(chan struct{}), make(chan struct{})
				var gap time.Duration
				go func() {
					defer close(written)
					var last time.Time
					s.Generate(ctx, inference.GenerateRequest{Prompt: "x"}, func(string) error {
						if last.IsZero() {
							close(writing)
						} else {
							gap = max(gap, time.Since(last))
						}
						last = time.Now()
						return nil
					})
				}()
				<-writing
				began := time.Now()
				got, err := s.Generate(b.Context(), inference.GenerateRequest{Prompt: wordsOf(r, 1000), MaxTokens: 1}, nil)
				if err != nil {
					b.Fatal(err)
				}
				speed = append(speed, float64(got.PromptTokens)/time.Since(began).Seconds())
				cancel()
				<-written
				gaps = append(gaps, 1000*gap.Seconds())
			}
			b.ReportMetric(contest.Median(gaps), "gap-ms")
			b.ReportMetric(contest.Median(speed), "prompt-tok/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
