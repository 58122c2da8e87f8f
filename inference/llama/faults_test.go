package llama

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

// go test ./inference/llama -run TestFaults -faults=100 -v
var faultCount = flag.Int("faults", 10, "how many faults TestFaults makes")

// foundWithin is how soon a fault is to be noticed.
const foundWithin = 15 * time.Second

// fault harms a child that answers; what it returns ends the harm.
type fault struct {
	name string
	harm func(s *Server, pid int) (mend func(), err error)
}

func signal(sig syscall.Signal) func(*Server, int) (func(), error) {
	return func(_ *Server, pid int) (func(), error) { return func() {}, syscall.Kill(pid, sig) }
}

var faults = []fault{
	{"killed", signal(syscall.SIGKILL)},
	{"stopped", signal(syscall.SIGSTOP)},
	{"aborts", signal(syscall.SIGABRT)}, // as ggml_abort ends it
	{"thread hangs", hangThread},
	{"socket gone", func(s *Server, _ int) (func(), error) { return func() {}, os.Remove(s.dir.socket()) }},
	{"socket silent", silentSocket},
	{"crafted request", craftedRequest},
	{"model truncated", func(s *Server, _ int) (func(), error) {
		whole, err := os.ReadFile(s.o.Model)
		if err != nil {
			return nil, err
		}
		return func() { os.WriteFile(s.o.Model, whole, 0o600) }, os.Truncate(s.o.Model, int64(len(whole)/3))
	}},
}

// craftedRequest sends past our own checks what llama.cpp's parser calls itself
// for until its stack ends.
func craftedRequest(s *Server, _ int) (func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const n = 50_000
	err := s.with(ctx, func(k *call) error {
		return k.do("/completion", map[string]any{"prompt": "a", "n_predict": 1,
			"grammar": "root ::= " + strings.Repeat("(", n) + `"a"` + strings.Repeat(")", n)}, &struct{}{})
	})
	if !errors.Is(err, inference.ErrEngineLost) {
		return nil, fmt.Errorf("the crafted request: %w", err)
	}
	return func() {}, nil
}

// hangThread holds the thread that computes, and no other: the engine's /health
// goes on saying that all is well.
func hangThread(_ *Server, pid int) (func(), error) {
	// Not from this process: as the parent it would take the hold for an end.
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "RXEDGE_TEST_HOLD="+strconv.Itoa(pid))
	out, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		return nil, err
	}
	if said, _ := bufio.NewReader(out).ReadString('\n'); said != "held\n" {
		holder.Process.Kill()
		holder.Wait()
		return nil, fmt.Errorf("a thread cannot be held here (as root, or with kernel.yama.ptrace_scope=0, it can): %s", said)
	}
	return func() {
		holder.Process.Kill()
		holder.Wait()
	}, nil
}

// hold holds a process's first thread until the process ends.
func hold(pid string) {
	runtime.LockOSThread()
	n, _ := strconv.Atoi(pid)
	if err := syscall.PtraceAttach(n); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for first := true; ; first = false {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(n, &status, 0x40000000, nil); err != nil || status.Exited() || status.Signaled() {
			os.Exit(0)
		}
		if first {
			fmt.Println("held")
		}
	}
}

// silentSocket puts a socket in the place of the engine's that takes every
// connection and says nothing.
func silentSocket(s *Server, _ int) (func(), error) {
	os.Remove(s.dir.socket())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.dir.socket(), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the next engine's is there by then
	var mu sync.Mutex
	var taken []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			taken = append(taken, c)
			mu.Unlock()
		}
	}()
	return func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range taken {
			c.Close()
		}
	}, nil
}

// Whatever happens to an engine is found within 15 s, every caller gets an
// answer or a clear error, and nothing is left over.
func TestFaults(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	const lanes = 10
	var mu sync.Mutex
	longest := map[string]time.Duration{}
	base := t.TempDir()
	// Most of the time is waiting: not as parallel subtests, of which there are
	// no more at once than processors.
	var all sync.WaitGroup
	for lane := range min(lanes, *faultCount) {
		s := start(t, Options{Model: copyOf(t, tinyLlama(t)), Kind: Generate, Context: 4096, Slots: 2, Wait: 30 * time.Second, RunDir: base})
		all.Go(func() {
			defer s.Close()
			for i := lane; i < *faultCount; i += lanes {
				f := faults[i%len(faults)]
				found, err := suffer(t, s, f)
				if err != nil {
					t.Errorf("fault %d, %s: %v", i, f.name, err)
					return
				}
				mu.Lock()
				longest[f.name] = max(longest[f.name], found)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for name, d := range longest {
		t.Logf("%-16s found within %v", name, d.Round(time.Millisecond))
	}
	if left, _ := os.ReadDir(base); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// suffer makes one fault and returns how soon it was found.
func suffer(t *testing.T, s *Server, f fault) (found time.Duration, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		return 0, err
	}
	pid := s.State().PID

	type outcome struct {
		err  error
		took time.Duration
	}
	const callers = 4 // at two slots
	outcomes := make(chan outcome, callers)
	writing := make(chan struct{}, callers)
	for i := range callers {
		go func() {
			began, told := time.Now(), false
			_, err := s.Generate(inference.WithCaller(ctx, inference.Caller{Key: fmt.Sprint(i)}),
				inference.GenerateRequest{Prompt: "a", MaxTokens: 500, Temperature: 1, Seed: int64(i)}, func(string) error {
					if !told {
						told = true
						writing <- struct{}{}
					}
					return nil
				})
			outcomes <- outcome{err, time.Since(began)}
		}()
	}
	<-writing
	struck := time.Now()
	mend, err := f.harm(s, pid)
	if err != nil {
		return 0, err
	}
	if !within(foundWithin, func() bool { st := s.State(); return st.PID != pid || st.Phase == Failed }) {
		return 0, fmt.Errorf("not found within %v", foundWithin)
	}
	found = time.Since(struck)
	if !within(5*time.Second, func() bool { return !alive(pid) }) {
		return 0, errors.New("the old child lives on")
	}
	mend()
	lost := 0
	for range callers {
		o := <-outcomes
		var failed *FailedError
		switch {
		case o.err == nil:
		case errors.Is(o.err, inference.ErrEngineLost), errors.Is(o.err, inference.ErrEngineStarting), errors.As(o.err, &failed):
			lost++
		default:
			return 0, fmt.Errorf("a caller was told %w", o.err)
		}
		if o.took > 40*time.Second {
			return 0, fmt.Errorf("a caller waited %v", o.took)
		}
		s.Retry() // the model may be set aside by now, or have been damaged
	}
	if lost == 0 && f.name != "socket gone" { // what was connected goes on
		return 0, errors.New("no caller noticed")
	}
	if !within(30*time.Second, func() bool { s.Retry(); return s.State().Phase == Ready }) {
		return 0, fmt.Errorf("not ready again: %+v", s.State())
	}
	_, err = s.Generate(ctx, inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil)
	return found, err
}

// within polls for what another process does.
func within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(out, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

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
