package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"rxedge/inference"
	"rxedge/inference/llama"
)

const (
	promptTokens = 1500
	answerTokens = 128
	rounds       = 5
	callers      = 8
	textTokens   = 128 // of an embedded text, special tokens included
)

// serve starts an engine and waits for it.
func (c *check) serve(ctx context.Context, o llama.Options) (*llama.Server, error) {
	o.Engine = c.engine
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := llama.Start(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// prompt makes a text of about promptTokens; each number begins differently,
// so that none is answered from the prompt cache.
func prompt(ctx context.Context, s *llama.Server, number int) (string, error) {
	head, unit := fmt.Sprintf("%d", 7919*(number+1)), " metformin 500 mg twice daily;"
	one, err := s.Tokenize(ctx, unit)
	if err != nil || len(one) == 0 {
		return "", fmt.Errorf("counting tokens: %d, %w", len(one), err)
	}
	return head + strings.Repeat(unit, promptTokens/len(one)), nil
}

func (c *check) tokens(ctx context.Context) error {
	benchPrompt, benchGenerate, err := c.bench(ctx, c.model, "-p", fmt.Sprint(promptTokens), "-n", fmt.Sprint(answerTokens), "-fa", "1")
	if err != nil {
		return err
	}
	s, err := c.serve(ctx, llama.Options{Model: c.model, Kind: llama.Generate, Context: 2048})
	if err != nil {
		return err
	}
	watch := c.watchLoad(ctx)
	var reads, writes []float64
	for i := range rounds + 1 {
		text, err := prompt(ctx, s, i)
		if err != nil {
			return err
		}
		began := time.Now()
		r, err := s.Generate(ctx, inference.GenerateRequest{Prompt: text, MaxTokens: answerTokens}, func(string) error { return nil })
		if err != nil {
			return err
		}
		took := time.Since(began)
		if i == 0 {
			continue // the first is for warming up
		}
		first := r.TimeToFirst.Seconds()
		c.FirstToken = append(c.FirstToken, first)
		reads = append(reads, float64(r.PromptTokens)/first)
		// A random model may end early, or write tokens that are no text yet.
		if n := r.CompletionTokens - 1; n >= answerTokens/4 {
			writes = append(writes, float64(n)/(took.Seconds()-first))
		}
	}
	c.Prompt = c.compare("prompt tokens", median(reads), benchPrompt)
	if len(writes) == 0 {
		c.Failures = append(c.Failures, "the model ends its answers at once: generation could not be measured")
	} else {
		c.Generate = c.compare("generated tokens", median(writes), benchGenerate)
	}
	fmt.Printf("%-28s %10.3f s for %d prompt tokens (median of %d)\n", "first token", median(c.FirstToken), promptTokens, rounds)
	if err := s.Close(); err != nil {
		return err
	}
	if err := c.together(ctx); err != nil {
		return err
	}
	c.Load = watch()
	return nil
}

// together has several callers generate at once.
func (c *check) together(ctx context.Context) error {
	s, err := c.serve(ctx, llama.Options{Model: c.model, Kind: llama.Generate, Context: 2048, Slots: callers})
	if err != nil {
		return err
	}
	defer s.Close()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		tokens int
		failed error
	)
	began := time.Now()
	for i := range callers {
		wg.Go(func() {
			r, err := s.Generate(ctx, inference.GenerateRequest{Prompt: fmt.Sprintf("%d. Warfarin and", i), MaxTokens: answerTokens}, func(string) error { return nil })
			mu.Lock()
			defer mu.Unlock()
			tokens += r.CompletionTokens
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	c.Eight = float64(tokens) / time.Since(began).Seconds()
	fmt.Printf("%-28s %10.1f /s, %d callers at once\n", "generated tokens", c.Eight, callers)
	return failed
}

// embed measures texts of textTokens through an encoder of MiniLM-L6's shape.
func (c *check) embed(ctx context.Context) error {
	model, err := minilm(c.dir)
	if err != nil {
		return err
	}
	bench, _, err := c.bench(ctx, model, "-p", fmt.Sprint(textTokens), "-n", "0", "-embd", "1")
	if err != nil {
		return err
	}
	c.EmbedBench = bench / textTokens
	fmt.Printf("%-28s %10.1f /s by llama-bench, one at a time\n", "embeddings", c.EmbedBench)
	n := 4096
	if c.cpu {
		n = 32
	}
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for j := range textTokens - 2 {
			fmt.Fprintf(&b, "w%d ", 200+(i*131+j*17)%30000)
		}
		texts[i] = b.String()
	}
	best := 0.0
	for _, slots := range []int{1, 8, 32} {
		s, err := c.serve(ctx, llama.Options{Model: model, Kind: llama.Embed, Context: 512, Slots: slots})
		if err != nil {
			return err
		}
		if ids, err := s.Tokenize(ctx, texts[0]); err != nil || len(ids) != textTokens && len(ids) != textTokens-2 {
			return errors.Join(err, s.Close(), fmt.Errorf("a text has %d tokens instead of %d", len(ids), textTokens))
		}
		_, err = s.Embed(ctx, texts[:min(n, 64)]) // warm
		began := time.Now()
		if err == nil {
			_, err = s.Embed(ctx, texts)
		}
		took := time.Since(began).Seconds()
		if closed := s.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
		e := embeddings{Slots: slots, Rate: float64(n) / took}
		c.Embeddings = append(c.Embeddings, e)
		best = max(best, e.Rate)
		fmt.Printf("%-28s %10.1f /s with %d slots\n", "embeddings", e.Rate, slots)
	}
	if r := best / c.EmbedBench; !(r >= leastRatio) {
		c.Failures = append(c.Failures, fmt.Sprintf("embeddings: the best is %.3f of llama-bench's one at a time, below %.2f", r, leastRatio))
	}
	return nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
