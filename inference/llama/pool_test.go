package llama

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

// What is expected of a model's memory is what its child then takes, or a
// little more.
func TestEstimateMemory(t *testing.T) {
	t.Parallel()
	engine := engineOrSkip(t)
	middle := filepath.Join(t.TempDir(), "middle.gguf")
	randomLlama(t, middle, llamaShape{layers: 4, dim: 512, ff: 1536, heads: 8, kvHeads: 4, context: 4096, weights: gguf.Q4_0})
	for name, o := range map[string]Options{
		"one slot":        {Model: middle, Kind: Generate, Context: 1024},
		"a long context":  {Model: middle, Kind: Generate, Context: 4096, Slots: 4},
		"KV in q8_0":      {Model: middle, Kind: Generate, Context: 4096, Slots: 4, KV: KVQ8_0},
		"small batch":     {Model: middle, Kind: Generate, Context: 4096, MicroBatch: 64},
		"without flash":   {Model: middle, Kind: Generate, Context: 2048, Flash: FlashOff},
		"an encoder":      {Model: randomBERT(t, bertShape{layers: 4, dim: 128, ff: 512, heads: 4, positions: 512}, false), Kind: Embed, Context: 512},
		"the tiny one":    {Model: tinyLlama(t), Kind: Generate, Context: 512},
		"tiny, 64 places": {Model: tinyLlama(t), Kind: Generate, Context: 4096, Slots: 64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Engine = engine
			want, err := EstimateMemory(o)
			if err != nil {
				t.Fatal(err)
			}
			s := ready(t, o)
			if o.Kind == Generate { // touch the whole context of a slot
				tokens := make([]int, min(o.Context, 1024)-2)
				for i := range tokens {
					tokens[i] = 300
				}
				if err := s.with(t.Context(), func(k *call) error { _, err := k.try(tokens, nil, false); return err }); err != nil {
					t.Fatal(err)
				}
			}
			real, file, err := resident(s.State().PID)
			if err != nil {
				t.Skip(err)
			}
			t.Logf("expected %.1f MB %+v, took %.1f MB (%.1f of files)", float64(want.Host())/1e6, want, float64(real)/1e6, float64(file)/1e6)
			// The weights may be held twice: as the file has them, which can be
			// dropped, and in the processor's order.
			low := max(float64(real-file), float64(real)-float64(want.Weights)) * 0.95
			if high := float64(real)*1.3 + 45e6; float64(want.Host()) < low || float64(want.Host()) > high {
				t.Errorf("expected %.1f MB, took %.1f MB", float64(want.Host())/1e6, float64(real)/1e6)
			}
		})
	}
	// A part on the GPU is not asked of the machine.
	all, _ := EstimateMemory(Options{Model: middle, Kind: Generate, Context: 1024, GPULayers: AllLayers})
	half, _ := EstimateMemory(Options{Model: middle, Kind: Generate, Context: 1024, GPULayers: 2})
	if all.Host() != all.Process || half.Device <= 0 || half.Device >= all.Device {
		t.Errorf("on the GPU: all %+v, half %+v", all, half)
	}
}

// testPool has models "a" to "d", all the tiny one.
func testPool(t *testing.T, o PoolOptions) *Pool {
	t.Helper()
	engine := engineOrSkip(t)
	model, base := tinyLlama(t), t.TempDir()
	o.Load = func(name string) (Options, error) {
		if name < "a" || name > "d" {
			return Options{}, fmt.Errorf("%s: %w", name, inference.ErrModelNotFound)
		}
		return Options{Engine: engine, Model: model, Kind: Generate, Context: 512, Threads: 1, RunDir: base, Wait: 30 * time.Second}, nil
	}
	p, err := NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(base); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return p
}

func loaded(p *Pool) (names string) {
	for _, s := range p.States() {
		names += s.Model
	}
	return names
}

func TestPoolBudget(t *testing.T) {
	t.Parallel()
	one, err := EstimateMemory(Options{Engine: engineOrSkip(t), Model: tinyLlama(t), Kind: Generate, Context: 512})
	if err != nil {
		t.Fatal(err)
	}
	p := testPool(t, PoolOptions{Memory: one.Host()*2 + one.Host()/2})
	ctx := t.Context()
	acquire := func(name string) *Lease {
		t.Helper()
		l, err := p.Acquire(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b := acquire("a"), acquire("b")
	_, err = p.Acquire(ctx, "c")
	var over *MemoryError
	if !errors.As(err, &over) || !errors.Is(err, ErrOutOfMemory) || over.Model != "c" || over.Needed != one.Host() || over.Free <= 0 || over.Free >= over.Needed || over.Budget != one.Host()*5/2 {
		t.Fatalf("both in use: %v (%+v)", err, over)
	}
	t.Log(err)
	if got := loaded(p); got != "ab" {
		t.Errorf("loaded %s", got)
	}
	pid := func(name string) int {
		for _, s := range p.States() {
			if s.Model == name {
				return s.PID
			}
		}
		return 0
	}
	if err := a.Server().WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	old := pid("a")
	b.Release()
	a.Release()
	a.Release() // once is enough
	acquire("b").Release()
	c := acquire("c") // a was used least recently
	if got := loaded(p); got != "bc" {
		t.Errorf("loaded %s", got)
	}
	if old == 0 || alive(old) {
		t.Errorf("the child %d of an unloaded model runs", old)
	}
	if r, err := c.Server().Generate(ctx, inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil); err != nil || r.CompletionTokens != 2 {
		t.Errorf("%+v %v", r, err)
	}
	for _, s := range p.States() {
		if s.Model == "c" && (s.Uses != 1 || s.Resident < 1<<20 || s.Phase != Ready) {
			t.Errorf("state %+v", s)
		}
	}
	if p.Unload("c") || !p.Unload("b") || p.Unload("b") {
		t.Error("one in use is not unloaded, another is, once")
	}
	c.Release()
	if _, err := p.Acquire(ctx, "e"); !errors.Is(err, inference.ErrModelNotFound) {
		t.Errorf("no such model: %v", err)
	}
	// One that can never fit drives nobody out.
	small := testPool(t, PoolOptions{Memory: one.Host() - 1})
	if _, err := small.Acquire(ctx, "a"); !errors.As(err, &over) || over.Free != over.Budget {
		t.Errorf("larger than the budget: %v", err)
	}
}

func TestPoolIdle(t *testing.T) {
	t.Parallel()
	p := testPool(t, PoolOptions{Memory: 1 << 40, Idle: 100 * time.Millisecond})
	h := p.Handle("a")
	// Many at once load it once.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := h.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := loaded(p); got != "a" && got != "" {
		t.Errorf("loaded %s", got)
	}
	eventually(t, 10*time.Second, "unloaded", func() bool { return loaded(p) == "" })
	if info := h.Info(); info.Name != "a" || info.Dimension != 8 {
		t.Errorf("info of an unloaded model: %+v", info)
	}
	if tokens, err := h.Tokenize(t.Context(), "a"); err != nil || len(tokens) == 0 {
		t.Errorf("asked again: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Handle("b").Tokenize(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	p.Close()
	if _, err := h.Tokenize(t.Context(), "a"); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}
