package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/validate"
	"rxedge/index/generation"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
)

const (
	cutAt    = "RXEDGE_TEST_CUT"      // the step at which this process kills itself, 0: none; "5h": with half a write done
	cutSteps = "RXEDGE_TEST_CUTSTEPS" // file to which each step is written
)

// armCut makes a daemon end by SIGKILL at a step of the journal or of a swap.
func armCut() {
	env, set := os.LookupEnv(cutAt)
	if !set {
		return
	}
	digits, half := strings.CutSuffix(env, "h")
	at, _ := strconv.ParseInt(digits, 10, 64)
	var log *os.File
	if name := os.Getenv(cutSteps); name != "" {
		log, _ = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	}
	var n atomic.Int64
	step := func(what string, some func()) {
		if log != nil {
			fmt.Fprintln(log, what)
		}
		if n.Add(1) == at {
			if half && some != nil {
				some()
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	box.RolloutStep = func(what string) { step(what, nil) }
	box.RolloutFS = killing{step: step}
	generation.Step = step
}

// killing is the real file system of a process that is killed.
type killing struct {
	rollout.Disk
	step func(string, func())
}

func (k killing) Append(name string) (rollout.Handle, error) {
	h, err := k.Disk.Append(name)
	return killed{h, k.step}, err
}

func (k killing) SyncDir(dir string) error { k.step("syncdir", nil); return k.Disk.SyncDir(dir) }

type killed struct {
	rollout.Handle
	step func(string, func())
}

func (k killed) Write(b []byte) (int, error) {
	k.step("write", func() { _, _ = k.Handle.Write(b[:len(b)/2]) })
	return k.Handle.Write(b)
}

func (k killed) Sync() error { k.step("sync", nil); return k.Handle.Sync() }

// judgeStories judges as a box does, but for what the models "a" and "b" write alone:
// they are trained on stories for children, and are rightly found to say the same
// whatever is asked.
func judgeStories(ctx context.Context, cfg validate.Config, serving, candidate validate.Side) (validate.Verdict, error) {
	if g := cfg.Generator; g != nil && (g.Model() == "a" || g.Model() == "b") {
		cfg.Generator = nil
	}
	return validate.Run(ctx, cfg, serving, candidate)
}

// twoVersions makes a data folder with two generations of the same labels, of
// version 0 and 1 (more than a live update takes), and two names of a language model where there is an engine. The
// first generation and model "a" are confirmed.
func twoVersions(t testing.TB, labels int, toml string) (data string, models bool) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "var")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "rxedge.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startDaemon(t, func(c *config.Config) {
		noFloor(c)
		c.Data, c.Sample, c.Model.Embedder, c.Rollout.Warm = data, false, config.None, 0
	})
	k, err := control.Dial(data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../shared/data"
	}
	stories, err := filepath.Abs(filepath.Join(dir, "models", "stories260K"))
	if _, found := llama.Find(); found == nil && err == nil {
		if _, err := os.Stat(stories); err == nil {
			models = true
		}
	}
	do := func(what string, f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	file := filepath.Join(t.TempDir(), "labels.jsonl")
	for v := range 2 {
		writeLabels(t.(*testing.T), file, labels, v)
		do("ingest", func() error { _, err := k.Ingest(t.Context(), []string{file}, nil); return err })
	}
	gs, err := k.Generations(t.Context())
	if err != nil || len(gs) < 2 {
		t.Fatal(gs, err)
	}
	if models {
		for _, name := range []string{"a", "b"} {
			do("import", func() error {
				_, err := k.ImportModel(t.Context(), stories, catalog.ImportOptions{Name: name}, nil)
				return err
			})
		}
		do("promote", func() error {
			_, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutPromoteModel, Name: "b"})
			return err
		})
	}
	do("stop", s.stop)
	return data, models
}

// version that an answer is of, by its text.
func versionOfAnswer(a *answer.Answer) (int, bool) {
	for _, c := range a.Claims {
		for v := range 2 {
			if strings.Contains(c.Text, fmt.Sprintf("with %d tablets every 4 hours", v)) {
				return v, true
			}
		}
	}
	return 0, false
}

const asksVersion = "What is the Dosage and Administration of medicine3 number 0?"

// The daemon kills itself at a step of the journal or of a swap, whole or with half
// a write done. Each time it starts with the last confirmed pair; no answer, before
// or after, is of another version than its generation and model say. RXEDGE_CUTS=all
// takes every step, RXEDGE_SEED repeats a run.
func TestKilledSwap(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many daemons")
	}
	t.Parallel()
	data, models := twoVersions(t, 70, "sample = false\n[index]\ndisk_floor_mb = 0\n[model]\nembedder = \"none\"\n[answer]\nmax_tokens = 8\nshort_path = false\n[cache]\nenabled = false\n[rollout]\nquestions = 4\nwatch = \"1h\"\ndefer = \"0s\"\n")
	// What serves now is version 1 with model b; the other pair is gen-0 with a.
	other := ""
	pairs := map[string]int{}
	var mu atomic.Int64
	asked := func(a *answer.Answer) {
		v, ok := versionOfAnswer(a)
		if !ok {
			t.Errorf("an answer of no version: %+v", a)
			return
		}
		want, known := pairs[a.Generation]
		if !known || want != v {
			t.Errorf("%s answered with version %d", a.Generation, v)
		}
		if models && a.Verification != nil && a.Verification.Model != string(rune('a'+v)) {
			t.Errorf("version %d was written by model %s", v, a.Verification.Model)
		}
		mu.Add(1)
	}
	start := func(cut, steps string) (*exec.Cmd, *control.Client) {
		cmd := exec.Command(os.Args[0], "--data", data, "--listen", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), asDaemon+"=1", cutAt+"="+cut, cutSteps+"="+steps)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		log := &buffer{}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		died := make(chan struct{})
		go func() { _ = cmd.Wait(); close(died) }()
		for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if c, err := control.Dial(data); err == nil {
				return cmd, c
			}
			select {
			case <-died:
				return nil, nil
			default:
			}
		}
		t.Fatalf("the daemon did not start:\n%s", log)
		return nil, nil
	}
	end := func(cmd *exec.Cmd, c *control.Client) {
		_ = c.Close()
		_ = cmd.Process.Kill()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if syscall.Kill(cmd.Process.Pid, 0) != nil {
				return
			}
		}
		t.Fatal("a daemon does not end")
	}
	// life: to version 0 with model a, confirmed; back; there again, back while it is
	// watched. sure is the version that was confirmed last.
	life := func(k *control.Client) (sure, maybe int, err error) {
		ask, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			// With pauses: judging gives way to questions.
			for ; ask.Err() == nil; time.Sleep(50 * time.Millisecond) {
				if a, err := k.Ask(ask, answer.Question{Text: asksVersion}, answer.Events{}); err == nil {
					asked(a)
				} else if errors.Is(err, control.ErrUnreachable) {
					return
				}
			}
		}()
		defer func() { stop(); <-done }()
		promote := box.RolloutRequest{Action: box.RolloutPromoteIndex, Name: other}
		if models {
			promote.Model = "a"
		}
		sure, maybe = 1, 1
		do := func(q box.RolloutRequest, to int) bool {
			maybe = to
			_, err = k.RolloutDo(t.Context(), q)
			if err == nil {
				sure = to
			}
			return err == nil
		}
		_ = do(promote, 1) && do(box.RolloutRequest{Action: box.RolloutApprove}, 0) && do(box.RolloutRequest{Action: box.RolloutBack}, 1) &&
			do(promote, 1) && do(box.RolloutRequest{Action: box.RolloutBack}, 1)
		return sure, maybe, err
	}

	cmd, k := start("0", "")
	gs, err := k.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gs {
		if g.Documents == 0 {
			continue
		}
		if g.Current {
			pairs[g.Label()] = 1
		} else if other == "" && g.Documents == 70 {
			other = g.Label()
		}
	}
	end(cmd, k)
	pairs[other] = 0
	keep := data + ".keep"
	for _, part := range []string{"index", "rollout"} {
		if err := os.CopyFS(filepath.Join(keep, part), os.DirFS(filepath.Join(data, part))); err != nil {
			t.Fatal(err)
		}
	}
	fresh := func() {
		t.Helper()
		for _, part := range []string{"index", "rollout"} {
			if err := os.RemoveAll(filepath.Join(data, part)); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join(data, part), os.DirFS(filepath.Join(keep, part))); err != nil {
				t.Fatal(err)
			}
		}
	}
	steps := filepath.Join(t.TempDir(), "steps")
	fresh()
	cmd, k = start("0", steps)
	if sure, _, err := life(k); err != nil || sure != 1 {
		t.Fatal(sure, err)
	}
	end(cmd, k)
	all, err := os.ReadFile(steps)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(strings.TrimSpace(string(all)), "\n")
	var cuts []string
	for n, name := range names {
		cuts = append(cuts, strconv.Itoa(n+1))
		if strings.HasPrefix(name, "write") {
			cuts = append(cuts, strconv.Itoa(n+1)+"h")
		}
	}
	total := len(cuts)
	if os.Getenv("RXEDGE_CUTS") != "all" {
		seed := uint64(time.Now().UnixNano())
		if n, err := strconv.ParseUint(os.Getenv("RXEDGE_SEED"), 10, 64); err == nil {
			seed = n
		}
		t.Logf("RXEDGE_SEED=%d", seed)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
		cuts = cuts[:2]
	}
	for _, cut := range cuts {
		fresh()
		sure, maybe := 1, 1
		if cmd, k := start(cut, ""); cmd != nil { // else it died while it started
			if sure, maybe, err = life(k); err == nil {
				t.Errorf("cut %s: it went on", cut)
			}
			end(cmd, k)
		}
		cmd, k := start("0", "")
		if cmd == nil {
			t.Fatalf("cut %s: it does not start again", cut)
		}
		st, err := k.RolloutStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, err := k.Ask(t.Context(), answer.Question{Text: asksVersion}, answer.Events{})
		if err != nil {
			t.Fatal(err)
		}
		asked(a)
		v, _ := versionOfAnswer(a)
		want := ""
		if models {
			want = string(rune('a' + v))
		}
		current, err := os.ReadFile(filepath.Join(data, "index", "CURRENT"))
		if (v != sure && v != maybe) || st.Serving.Slot != rollout.Confirmed || st.Candidate != nil || st.Unsettled || st.Serving.Generation != a.Generation ||
			st.Serving.Model != want || st.Serving.Pair != st.Confirmed.ID || err != nil || !bytes.HasPrefix(current, []byte(a.Generation)) {
			t.Errorf("cut %s: version %d answers, sure was %d, on its way %d; CURRENT %s, %+v %+v", cut, v, sure, maybe, current, st.Serving, st.Confirmed)
		}
		end(cmd, k)
	}
	t.Logf("%d steps of the journal and of the swaps, %d ways to die there; died in %d of them (%s); %d answers, each of its own version", len(names), total, len(cuts), strings.Join(slices.Compact(cuts), " "), mu.Load())
}
