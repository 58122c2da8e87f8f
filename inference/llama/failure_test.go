package llama

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

// A model that ends its engine three times while it answers is set aside, by
// name and with the reason, until told otherwise; ends at rest don't count.
func TestSetAside(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Name: "tiny", Context: 4096, Wait: 20 * time.Second})
	crash := func(idle bool) {
		t.Helper()
		pid := s.State().PID
		if idle {
			syscall.Kill(pid, syscall.SIGKILL)
		} else {
			s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a"}, func(string) error {
				syscall.Kill(pid, syscall.SIGABRT)
				return nil
			})
		}
		eventually(t, 20*time.Second, "another state", func() bool {
			st := s.State()
			return st.Phase == Failed || st.Phase == Ready && st.PID != pid
		})
	}
	for i, idle := range []bool{true, false, true, false} {
		crash(idle)
		if st := s.State(); st.Phase != Ready {
			t.Fatalf("crash %d: %+v", i, st)
		}
	}
	crash(false)
	var failed *FailedError
	_, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a"}, nil)
	if !errors.As(err, &failed) || !errors.Is(err, ErrSetAside) || failed.Model != "tiny" || !strings.Contains(failed.Reason, "signal 6") {
		t.Fatalf("after three crashes: %v", err)
	}
	t.Log(err)
	s.Retry()
	if _, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 1}, nil); err != nil {
		t.Errorf("after Retry: %v", err)
	}
}

// Failed starts are told apart.
func TestLoadFailures(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	whole, err := os.ReadFile(tinyLlama(t))
	if err != nil {
		t.Fatal(err)
	}
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		o    Options
		want error
	}{
		// The keys and values of 4 M tokens take 128 MB.
		"out of memory":        {Options{Model: tinyLlama(t), Context: 4 << 20, Engine: poorEngine(t)}, ErrOutOfMemory},
		"truncated":            {Options{Model: file(whole[:len(whole)*2/3])}, ErrBrokenModel},
		"noise":                {Options{Model: file([]byte(strings.Repeat("noise", 1000)))}, ErrBrokenModel},
		"unknown architecture": {Options{Model: changed(t, "general.architecture", "lama")}, ErrUnsupportedModel},
		"aborts inside ggml":   {Options{Model: unevenHeads(t)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := test.o
			o.Kind = Generate
			s := start(t, o)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := s.WaitReady(ctx)
			var failed *FailedError
			if !errors.As(err, &failed) || failed.Cause != test.want {
				t.Fatalf("%v (%v), want %v", err, failed, test.want)
			}
			t.Logf("after %v: %v", time.Since(began), err)
		})
	}
}

// poorEngine is the engine with 400 MB of address space.
func poorEngine(t *testing.T) Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "poor")
	script := fmt.Sprintf("#!/bin/sh\nulimit -v 400000\nexec '%s' \"$@\"\n", engineOrSkip(t).Binary)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return Engine{Dir: filepath.Dir(path), Binary: path}
}

// changed is the tiny model with one key's value changed.
func changed(t *testing.T, key string, value any) string {
	t.Helper()
	return rewritten(t, tinyLlama(t), func(m *gguf.Metadata) { m.Set(key, value) })
}

// unevenHeads is a model whose file is in order and whose four heads cannot
// share three: ggml finds out when it computes, and aborts.
func unevenHeads(t *testing.T) string {
	t.Helper()
	source, err := gguf.Open(tinyLlama(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	m := source.Metadata
	m.Set("llama.attention.head_count", uint32(4))
	m.Set("llama.attention.head_count_kv", uint32(3))
	m.Set("llama.rope.dimension_count", uint32(2))
	tensors := append([]gguf.Tensor(nil), source.Tensors...)
	for i := range tensors {
		tensors[i].Type = gguf.F32
		if strings.HasSuffix(tensors[i].Name, "attn_k.weight") || strings.HasSuffix(tensors[i].Name, "attn_v.weight") {
			tensors[i].Shape = []uint64{8, 6}
		}
	}
	path := filepath.Join(t.TempDir(), "uneven.gguf")
	writeModel(t, path, &m, tensors, func(gguf.Tensor, int) float32 { return 0.01 })
	return path
}
