package llama

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rxedge/inference"
)

// foundWithin is how soon a fault is to be noticed: 15 s, which a run by
// RXEDGE_FAULTS holds it to. A machine that other tests keep busy gives a child
// too little time to tell slow from stuck, so they only ask that it is found.
var foundWithin = func() time.Duration {
	if os.Getenv("RXEDGE_FAULTS") != "" {
		return 15 * time.Second
	}
	return time.Minute
}()

// fault harms a child that answers.
type fault struct {
	name string
	// harm returns what ends the harm. errCannotHarm: not on this machine.
	harm func(s *Server, pid int) (mend func(), err error)
}

var errCannotHarm = errors.New("this fault cannot be made here")

func signal(sig syscall.Signal) func(*Server, int) (func(), error) {
	return func(_ *Server, pid int) (func(), error) { return func() {}, syscall.Kill(pid, sig) }
}

var (
	killed     = fault{name: "killed", harm: signal(syscall.SIGKILL)}
	stopped    = fault{name: "stopped", harm: signal(syscall.SIGSTOP)}
	hangs      = fault{name: "a thread hangs", harm: hangThread}
	silent     = fault{name: "socket silent", harm: silentSocket}
	socketGone = fault{name: "socket gone", harm: func(s *Server, _ int) (func(), error) {
		return func() {}, os.Remove(s.dir.socket())
	}}
	truncated = fault{name: "model truncated", harm: func(s *Server, _ int) (func(), error) {
		whole, err := os.ReadFile(s.o.Model)
		if err != nil {
			return nil, err
		}
		return func() { os.WriteFile(s.o.Model, whole, 0o600) }, os.Truncate(s.o.Model, int64(len(whole)/3))
	}}
	aborts = fault{name: "aborts in ggml", harm: func(s *Server, _ int) (func(), error) {
		return lethal(s, map[string]any{"grammar": "%llguidance"})
	}}
	overflows = fault{name: "stack overflows", harm: func(s *Server, _ int) (func(), error) {
		const n = 50_000 // its parser calls itself for each
		return lethal(s, map[string]any{"grammar": "root ::= " + strings.Repeat("(", n) + `"a"` + strings.Repeat(")", n)})
	}}

	languageFaults = []fault{killed, stopped, aborts, hangs, silent, truncated, socketGone, overflows}
	encoderFaults  = []fault{killed, stopped, hangs, silent}
)

// lethal sends past our own checks a request that ends the engine.
func lethal(s *Server, body map[string]any) (func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	body["prompt"], body["n_predict"] = "a", 1
	err := s.with(ctx, func(k *call) error { return k.do("/completion", body, &struct{}{}) })
	if !errors.Is(err, inference.ErrEngineLost) {
		return nil, fmt.Errorf("the request that should end the engine: %w", err)
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
		return nil, fmt.Errorf("%w: holding a thread wants root or kernel.yama.ptrace_scope=0: %s", errCannotHarm, said)
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

// faultCount is how many faults TestFaults makes: RXEDGE_FAULTS, else one of each.
func faultCount(t *testing.T, kinds int) int {
	text := os.Getenv("RXEDGE_FAULTS")
	if text == "" {
		return kinds
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("RXEDGE_FAULTS=%s: it is a number of faults", text)
	}
	return n
}

// toll is what came of the faults of one kind.
type toll struct {
	made            int
	found           time.Duration // the longest until it was noticed
	again           time.Duration // the longest until a request was answered
	waited          time.Duration // the longest that a caller waited for an answer or an error
	answered, erred int           // requests meanwhile
}

func (a *toll) add(b toll) {
	a.made += b.made
	a.found, a.again, a.waited = max(a.found, b.found), max(a.again, b.again), max(a.waited, b.waited)
	a.answered, a.erred = a.answered+b.answered, a.erred+b.erred
}

// Whatever happens to an engine is found within 15 s, every caller gets an
// answer or a clear error, and nothing is left over; nor where the daemon
// itself is killed.
//
//	RXEDGE_FAULTS=100 go test ./inference/llama -run TestFaults -v
func TestFaults(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	const lanes = 10
	type situation struct {
		kind Kind // "": of the daemon itself
		fault
	}
	var situations []situation
	for _, f := range languageFaults {
		situations = append(situations, situation{Generate, f})
	}
	for _, f := range encoderFaults {
		situations = append(situations, situation{Embed, f})
	}
	situations = append(situations, situation{fault: fault{name: "killed"}})
	models := map[Kind]string{Generate: tinyLlama(t), Embed: randomBERT(t, smallBERT, false)}

	n := faultCount(t, len(situations))
	base := t.TempDir()
	var mu sync.Mutex
	tolls := map[string]*toll{}
	var pids []int // of every child that was harmed
	var next atomic.Int64
	// Most of the time is waiting: not as parallel subtests, of which there are
	// no more at once than processors.
	var all sync.WaitGroup
	for range min(lanes, n) {
		dir := t.TempDir()
		all.Go(func() {
			servers := map[Kind]*Server{}
			defer func() {
				for _, s := range servers {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			}()
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f := situations[i%len(situations)]
				name := map[Kind]string{Generate: "language model", Embed: "encoder", "": "daemon"}[f.kind] + ": " + f.name
				var got toll
				var harmed []int
				var err error
				if f.kind == "" {
					got, harmed, err = killDaemon(models, base, i/len(situations)%2 == 1)
				} else {
					s := servers[f.kind]
					if s == nil {
						if s, err = startLane(models[f.kind], dir, base, f.kind); err != nil {
							t.Error(err)
							return
						}
						servers[f.kind] = s
					}
					got, harmed, err = suffer(t.Context(), s, f.fault)
				}
				switch {
				case errors.Is(err, errCannotHarm):
					t.Log(err)
				case err != nil:
					t.Errorf("fault %d, %s: %v", i, name, err)
					return
				}
				mu.Lock()
				if tolls[name] == nil {
					tolls[name] = &toll{}
				}
				tolls[name].add(got)
				pids = append(pids, harmed...)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	// What the last killed daemons left goes when the next starts.
	if s, err := startLane(models[Generate], t.TempDir(), base, Generate); err != nil {
		t.Error(err)
	} else if err := s.Close(); err != nil {
		t.Error(err)
	}
	var sum toll
	t.Logf("%-32s %5s %10s %10s %10s %9s %6s", "fault", "made", "found", "again", "waited", "answered", "erred")
	for _, f := range situations {
		name := map[Kind]string{Generate: "language model", Embed: "encoder", "": "daemon"}[f.kind] + ": " + f.name
		if got := tolls[name]; got != nil {
			t.Log(got.line(name))
			sum.add(*got)
		}
	}
	processes, sockets, files := leftovers(t, base, pids)
	t.Log(sum.line("all, at the longest"))
	t.Logf("left over: %d processes, %d sockets, %d files", len(processes), len(sockets), len(files))
	if len(processes)+len(sockets)+len(files) > 0 {
		t.Errorf("left over: processes %v, sockets %v, files %v", processes, sockets, files)
	}
}

func (a *toll) line(name string) string {
	ms := func(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
	return fmt.Sprintf("%-32s %5d %10v %10v %10v %9d %6d", name, a.made, ms(a.found), ms(a.again), ms(a.waited), a.answered, a.erred)
}

func startLane(model, dir, base string, kind Kind) (*Server, error) {
	engine, err := Find()
	if err != nil {
		return nil, err
	}
	// A copy of its own, to be harmed.
	b, err := os.ReadFile(model)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, string(kind)+".gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	return Start(Options{Engine: engine, Model: path, Kind: kind, Context: 4096, Slots: 2, Threads: 1, Wait: 30 * time.Second, RunDir: base})
}

// ask has a model do what it is for, for some tenths of a second.
func ask(ctx context.Context, s *Server) error {
	if s.o.Kind == Embed {
		texts := make([]string, 200)
		for i := range texts {
			texts[i] = strings.Repeat("take with food ", 1+i%40)
		}
		_, err := s.Embed(ctx, texts)
		return err
	}
	_, err := s.Generate(ctx, inference.GenerateRequest{Prompt: "a", MaxTokens: 300, Temperature: 1}, nil)
	return err
}

// suffer makes one fault while several callers ask again and again.
func suffer(ctx context.Context, s *Server, f fault) (got toll, pids []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		return got, nil, err
	}
	pid := s.State().PID

	const callers = 4 // at two slots
	var mu sync.Mutex
	var wg sync.WaitGroup
	var over atomic.Bool
	var surprise error
	for i := range callers {
		ctx := inference.WithCaller(ctx, inference.Caller{Key: fmt.Sprint(i)})
		wg.Go(func() {
			for !over.Load() {
				began := time.Now()
				err := ask(ctx, s)
				mu.Lock()
				got.waited = max(got.waited, time.Since(began))
				var failed *FailedError
				switch {
				case err == nil:
					got.answered++
				case errors.Is(err, inference.ErrEngineLost), errors.Is(err, inference.ErrEngineStarting), errors.As(err, &failed):
					got.erred++
				default:
					surprise = err
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer over.Store(true)
	if !within(20*time.Second, func() bool { return s.State().Running > 0 }) {
		return got, nil, errors.New("no request got to the engine")
	}
	struck := time.Now()
	mend, err := f.harm(s, pid)
	if err != nil {
		return toll{}, nil, err
	}
	found := within(foundWithin, func() bool { st := s.State(); return st.PID != pid || st.Phase == Failed })
	took := time.Since(struck)
	gone := within(5*time.Second, func() bool { return !alive(pid) })
	mend()
	over.Store(true)
	if !found || !gone {
		return got, nil, fmt.Errorf("found within %v: %v; the old child ended: %v", foundWithin, found, gone)
	}
	// The model may be set aside, which a person mends.
	again := within(40*time.Second, func() bool {
		if s.State().Phase == Failed {
			s.Retry()
		}
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if s.o.Kind == Embed {
			_, err = s.Embed(one, []string{"a"})
		} else {
			_, err = s.Generate(one, inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil)
		}
		return err == nil
	})
	got.made, got.found, got.again = 1, took, time.Since(struck)
	wg.Wait()
	switch {
	case !again:
		return got, nil, fmt.Errorf("not answered again: %w; %+v", err, s.State())
	case surprise != nil:
		return got, nil, fmt.Errorf("a caller was told %w", surprise)
	}
	return got, []int{pid, s.State().PID}, nil
}

// killDaemon kills a process that holds a pool with two busy children, or with
// two that load their models, and starts it anew.
func killDaemon(models map[Kind]string, base string, loading bool) (got toll, pids []int, err error) {
	until := "busy"
	if loading {
		until = "loading"
	}
	run := func(until string) (d *exec.Cmd, pids []int, err error) {
		d = exec.Command(os.Args[0])
		d.Env = append(os.Environ(), "RXEDGE_TEST_DAEMON="+models[Generate]+","+models[Embed], "RXEDGE_TEST_RUNDIR="+base)
		out, err := d.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		if err := d.Start(); err != nil {
			return nil, nil, err
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, numbers, _ := strings.Cut(lines.Text(), " ")
			if what == until {
				for _, n := range strings.Fields(numbers) {
					pid, _ := strconv.Atoi(n)
					pids = append(pids, pid)
				}
				return d, pids, nil
			}
		}
		d.Process.Kill()
		return nil, nil, fmt.Errorf("the daemon never was %s: %w", until, d.Wait())
	}
	d, pids, err := run(until)
	if err != nil {
		return got, nil, err
	}
	if len(pids) != 2 || !alive(pids[0]) || !alive(pids[1]) {
		err = fmt.Errorf("the daemon's children %v do not run", pids)
	}
	struck := time.Now()
	d.Process.Kill()
	d.Wait()
	if err != nil {
		return got, nil, err
	}
	if !within(foundWithin, func() bool { return !alive(pids[0]) && !alive(pids[1]) }) {
		return got, nil, errors.New("its children live on")
	}
	got.made, got.found = 1, time.Since(struck)
	d, more, err := run("busy")
	if err != nil {
		return got, nil, err
	}
	got.again = time.Since(struck)
	d.Process.Kill()
	d.Wait()
	within(foundWithin, func() bool { return !alive(more[0]) && !alive(more[1]) })
	return got, append(pids, more...), nil
}

// leftovers looks for what should be gone: processes, those that nobody has
// collected included, sockets, and files under base.
func leftovers(t *testing.T, base string, pids []int) (processes []int, sockets, files []string) {
	t.Helper()
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(stat), "rxedge-llama") {
			processes = append(processes, pid)
		}
	}
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range found {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), base) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			processes = append(processes, pid)
		}
	}
	if b, err := os.ReadFile("/proc/net/unix"); err == nil {
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, base) {
				sockets = append(sockets, line)
			}
		}
	}
	left, err := os.ReadDir(base)
	if err != nil {
		t.Error(err)
	}
	for _, e := range left {
		files = append(files, e.Name())
	}
	return processes, sockets, files
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
