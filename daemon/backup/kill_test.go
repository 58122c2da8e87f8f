package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rxedge/daemon/backup"
)

// killAt is the step at which this process ends, as a child of TestKilledRestore.
const killAt, killDir, killFile, killDo = "RXEDGE_TEST_KILL_AT", "RXEDGE_TEST_KILL_DIR", "RXEDGE_TEST_KILL_FILE", "RXEDGE_TEST_KILL_DO"

func TestMain(m *testing.M) {
	backup.WorkFactor = 10
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		os.Exit(m.Run())
	}
	backup.Step = func(string) {
		if at--; at < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	dir := os.Getenv(killDir)
	switch os.Getenv(killDo) {
	case "restore":
		var b []byte
		if b, err = os.ReadFile(os.Getenv(killFile)); err == nil {
			to := target(dir)
			to.Replace = true
			_, err = backup.Restore(context.Background(), bytes.NewReader(b), to)
		}
	case "undo":
		err = backup.Undo(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Killed at any step, and again while the next start mends it, the folder has its old
// state or the new one, whole, and nothing else.
func TestKilledRestore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "backup")
	whole := made(t, "")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	fill := func(dir string) {
		t.Helper()
		for _, rel := range []string{"index/CURRENT", "feedback/old", "rxedge.toml", "lock"} {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(rel)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, rel), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	old := []string{"feedback/old", "index/CURRENT", "lock", "rxedge.toml"}
	restored := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, backup.InfoName))
		return err == nil
	}
	// state after a start, and whether it is the new one.
	state := func(dir, when string) bool {
		t.Helper()
		if _, err := backup.Finish(dir); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := os.Stat(filepath.Join(dir, ".restore")); err == nil {
			t.Errorf("%s: something is left of the restore", when)
		}
		got := listing(t, dir)
		if !restored(dir) {
			if !slices.Equal(got, old) {
				t.Errorf("%s: the old state is not whole: %v", when, got)
			}
			return false
		}
		current, err := os.ReadFile(filepath.Join(dir, "index/CURRENT"))
		if err != nil || string(current) != "gen-000001\n" || !slices.Contains(got, "models/blobs/large.gguf") || !slices.Contains(got, "rollout/journal") || slices.Contains(got, "feedback/old") || slices.Contains(got, "rxedge.toml") {
			t.Errorf("%s: the new state is not whole: %v", when, got)
		}
		for _, rel := range old {
			if b, err := os.ReadFile(filepath.Join(dir, backup.AsideName, rel)); rel != "lock" && (err != nil || string(b) != "old") {
				t.Errorf("%s: of the old state %s is not kept: %v", when, rel, err)
			}
		}
		return true
	}
	kill := func(do, dir string, at int) (ended bool) {
		t.Helper()
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), fmt.Sprint(killAt, "=", at), killDir+"="+dir, killFile+"="+file, killDo+"="+do, "GORACE=atexit_sleep_ms=0")
		var said strings.Builder
		c.Stderr = &said
		err := c.Run()
		if err == nil {
			return true
		}
		if st, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
			t.Fatalf("%s, killed at step %d: %v: %s", do, at, err, &said)
		}
		return false
	}
	before, after, steps := 0, 0, 0
	for at := 0; ; at++ {
		dir := t.TempDir()
		fill(dir)
		ended := kill("restore", dir, at)
		if state(dir, fmt.Sprintf("killed at step %d", at)) {
			after++
		} else {
			before++
		}
		if ended {
			steps = at
			break
		}
	}
	if before < 10 || after < 5 {
		t.Errorf("%d kills ended with the old state and %d with the new one: too few to tell", before, after)
	}
	for at := 0; ; at++ {
		dir := t.TempDir()
		fill(dir)
		to := target(dir)
		to.Replace = true
		if _, err := backup.Restore(t.Context(), bytes.NewReader(whole), to); err != nil {
			t.Fatal(err)
		}
		ended := kill("undo", dir, at)
		state(dir, fmt.Sprintf("undo killed at step %d", at))
		if ended {
			break
		}
	}
	t.Logf("%d steps; killed there %d times with the old state and %d times with the new one", steps, before, after)
}
