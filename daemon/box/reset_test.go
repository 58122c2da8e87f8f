package box

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rxedge/daemon/config"
	"rxedge/sync/durable"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// resettable is a data folder with something of everything, and a file outside that a link
// within leads to.
func resettable(t *testing.T) (data, outside string) {
	t.Helper()
	top := t.TempDir()
	data, outside = filepath.Join(top, "data"), filepath.Join(top, "outside")
	for _, name := range []string{"index/gen-000001/manifest.json", "index/CURRENT", "index.damaged-20260101/x", "cache/1", "cache.damaged-2/x", "telemetry/explain/x", "feedback/x",
		"rollout/journal", "quarantine/a", "sync/spool/x", "models/entries/a.json", "models/blobs/x", "clients/ehr.hash", "suite/x", "rxedge.toml", "mine.txt", "lock", "../outside/precious"} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("12345"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"cache/out", "index/out", "linked"} {
		if err := os.Symlink(outside, filepath.Join(data, link)); err != nil {
			t.Fatal(err)
		}
	}
	return data, outside
}

func names(t *testing.T, data string) []string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestReset(t *testing.T) {
	t.Parallel()
	for degree, gone := range map[ResetDegree][]string{
		ResetCache: {"cache", "cache.damaged-2"}, ResetTelemetry: {"telemetry"}, ResetFeedback: {"feedback"}, ResetSite: {"sync"},
		ResetIndex: {"cache", "cache.damaged-2", "index", "index.damaged-20260101", "quarantine", "rollout"},
		ResetAll:   {"cache", "cache.damaged-2", "clients", "feedback", "index", "index.damaged-20260101", "quarantine", "rollout", "rxedge.toml", "suite", "sync", "telemetry"},
	} {
		data, outside := resettable(t)
		before := names(t, data)
		keep := []string{}
		if degree == ResetAll {
			keep = []string{"models"}
		}
		p, err := PlanReset(data, degree, keep...)
		if err != nil {
			t.Fatal(err)
		}
		var planned []string
		for _, x := range p.Goes {
			planned = append(planned, filepath.Base(x.Path))
		}
		if !slices.Equal(planned, gone) {
			t.Errorf("%s: plans to take %v, want %v", degree, planned, gone)
		}
		if !slices.Equal(names(t, data), before) {
			t.Errorf("%s: planning changed the folder", degree)
		}
		if err := Reset(p, quiet()); err != nil {
			t.Fatal(degree, err)
		}
		want := slices.DeleteFunc(before, func(n string) bool { return slices.Contains(gone, n) })
		if got := names(t, data); !slices.Equal(got, want) {
			t.Errorf("%s: left %v, want %v", degree, got, want)
		}
		if b, err := os.ReadFile(filepath.Join(outside, "precious")); err != nil || string(b) != "12345" {
			t.Errorf("%s: what a link leads to: %q %v", degree, b, err)
		}
	}
	data, _ := resettable(t)
	p, err := PlanReset(data, ResetIndex)
	if err != nil || p.Goes[2].Holds != "1 generation" || p.Files != 9 || p.Bytes < 35 {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := PlanReset(t.TempDir(), ResetAll); !errors.Is(err, ErrNoBox) {
		t.Errorf("a folder of somebody else's: %v", err)
	}
	lock, err := hold(data)
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if err := Reset(p, quiet()); !errors.As(err, &held) {
		t.Errorf("a folder that is held: %v", err)
	}
	_ = lock.Close()
}

// TestResetKilled ends a reset by SIGKILL at each of its steps. What is opened afterwards is
// what was before, whole, or what comes after, whole.
func TestResetKilled(t *testing.T) {
	if step := os.Getenv("RXEDGE_TEST_RESET"); step != "" {
		durable.Step = func(s string) {
			if s == step {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
		p, err := PlanReset(os.Getenv("RXEDGE_TEST_DATA"), ResetIndex)
		if err == nil {
			err = Reset(p, quiet())
		}
		t.Fatal("the step was not reached", err)
	}
	t.Parallel()
	for step, after := range map[string]bool{"write": false, "sync": false, "rename": false, "sync the folder": true, "reset cache": true, "reset index": true,
		"reset quarantine": true, "reset rollout": true, "reset: sync": true, "reset: done": true} {
		data, _ := resettable(t)
		before := names(t, data)
		c := exec.Command(os.Args[0], "-test.run=^TestResetKilled$")
		c.Env = append(os.Environ(), "RXEDGE_TEST_RESET="+step, "RXEDGE_TEST_DATA="+data)
		out, err := c.CombinedOutput()
		if c.ProcessState == nil || c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: %v\n%s", step, err, out)
		}
		if err := finishReset(data, quiet()); err != nil {
			t.Fatal(step, err)
		}
		want := before
		if after {
			want = slices.DeleteFunc(slices.Clone(before), func(n string) bool {
				kind, _, _ := strings.Cut(n, asideInfix)
				return slices.Contains(resetGoes[ResetIndex], kind)
			})
		}
		got := slices.DeleteFunc(names(t, data), func(n string) bool { return strings.HasPrefix(n, ".new-") })
		if !slices.Equal(got, want) {
			t.Errorf("killed at %q: %v, want %v", step, got, want)
		}
	}
}

// A box that a reset was begun in finishes it before it opens anything.
func TestResetIsFinishedAtTheStart(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	b, err := Open(context.Background(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names(t, cfg.Data) {
		if kind := kindOf(n); whatIs[kind] == "" && kind != lockName {
			t.Errorf("%s is in a box's folder, and no reset knows what it is", n)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	plan := filepath.Join(cfg.Data, resetName)
	if err := os.WriteFile(plan, []byte(`{"form":1,"degree":"feedback","names":["feedback"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(cfg.Data, "feedback", "mark")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(context.Background(), cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{mark, plan} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	_ = b.Close()
	if err := os.WriteFile(plan, []byte(`{"form":1,"names":["../outside"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Open(context.Background(), cfg, quiet()); err == nil || !strings.Contains(err.Error(), "can't be read") {
		_ = b.Close()
		t.Errorf("a plan that leads out of the folder: %v", err)
	}
}

func FuzzParseReset(f *testing.F) {
	f.Add([]byte(`{"form":1,"degree":"all","names":["index","a.damaged-1"]}`))
	f.Add([]byte(`{"form":1,"names":["../x","/etc","lock"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseReset(b)
		if err != nil {
			return
		}
		for _, n := range p.Names {
			if filepath.Base(n) != n || !filepath.IsLocal(n) || n == "." || n == "lock" {
				t.Fatalf("%q", n)
			}
		}
	})
}
