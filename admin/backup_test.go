package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rxedge/daemon/api"
	"rxedge/daemon/backup"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

// killBackupAt is the step at which the tool ends, as a child of TestKilledBackup.
const killBackupAt = "RXEDGE_TEST_KILL_BACKUP_AT"

func killedBackup(at int) {
	writes := 0
	backupStep = func(what string) {
		if what == "write" {
			if writes++; writes > 2 {
				return
			}
		}
		if at--; at < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// served is a box whose daemon is this test.
func served(t *testing.T) (data string) {
	t.Helper()
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "var")
	zero := 0
	cfg.Index.DiskFloorMB = &zero
	b, err := box.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	public := api.New(api.Deps{Answers: b.Answers, Index: b.Index, Models: b.Models, Feedback: b.Feedback, Health: b.Health, Station: b.Station, Metrics: b.Metrics(), Log: slog.New(slog.DiscardHandler)})
	srv := &http.Server{Handler: control.Handler(b, api.Trusted(public), nil)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return cfg.Data
}

// Killed at any step there is no file, or one that is whole; the next backup to the same
// name is not hindered by what is left.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	data := served(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "box.rxbackup")
	whole := func(when string) bool {
		t.Helper()
		es, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for _, e := range es {
			switch e.Name() {
			case "box.rxbackup":
				there = true
			case "box.rxbackup.partial":
			default:
				t.Errorf("%s: %s is there", when, e.Name())
			}
		}
		if there {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, _, err := backup.Read(t.Context(), f, nil, nil); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			if fi, _ := f.Stat(); fi.Mode().Perm() != 0o600 {
				t.Errorf("%s: its mode is %v", when, fi.Mode())
			}
		}
		return there
	}
	without, with := 0, 0
	for at := 0; ; at++ {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), os.Args[0], "--data", data, "backup", file)
		c.Env = append(os.Environ(), fmt.Sprint(killBackupAt, "=", at), "GORACE=atexit_sleep_ms=0")
		out, err := c.CombinedOutput()
		if whole(fmt.Sprintf("killed at step %d", at)) {
			with++
		} else {
			without++
		}
		if err == nil {
			break
		}
		if st, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v: %s", at, err, out)
		}
	}
	if _, err := os.Stat(file + ".partial"); err == nil || without < 4 || with < 2 {
		t.Errorf("%d kills left no file, %d one, and what is partial is there: %v", without, with, err == nil)
	}
	t.Logf("%d kills left no file, %d a whole one", without, with)
}

// Stopped or without room, it says so and leaves nothing.
func TestBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	data := served(t)
	dir := t.TempDir()
	var out, errs bytes.Buffer
	// A full disk. The file is a link to one, as nothing smaller can be filled here.
	if err := os.Symlink("/dev/full", filepath.Join(dir, "full.rxbackup.partial")); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"--data", data, "backup", filepath.Join(dir, "full.rxbackup")}, strings.NewReader(""), &out, &errs); code != exitFailed {
		t.Errorf("a link in its place: %d %s", code, &errs)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	errs.Reset()
	if code := run(t.Context(), []string{"--data", data, "backup", "-"}, strings.NewReader(""), full, &errs); code != exitRefused || !strings.Contains(errs.String(), "disk is full") {
		t.Errorf("a full disk: %d %s", code, &errs)
	}
	// Ctrl-C.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs.Reset()
	if code := run(ctx, []string{"--data", data, "backup", filepath.Join(dir, "a.rxbackup")}, strings.NewReader(""), &out, &errs); code != exitFailed {
		t.Errorf("stopped: %d %s", code, &errs)
	}
	if es, _ := os.ReadDir(dir); len(es) != 1 {
		t.Errorf("it left %v", es)
	}
	// A running daemon.
	errs.Reset()
	if code := run(t.Context(), []string{"--data", data, "restore", "/dev/null"}, strings.NewReader(""), &out, &errs); code != exitUsage {
		t.Errorf("a device: %d %s", code, &errs)
	}
	file := filepath.Join(dir, "b.rxbackup")
	if code := run(t.Context(), []string{"--data", data, "backup", file}, strings.NewReader(""), &out, &errs); code != exitDone {
		t.Fatalf("%d %s", code, &errs)
	}
	errs.Reset()
	if code := run(t.Context(), []string{"--data", data, "restore", file, "--replace"}, strings.NewReader(""), &out, &errs); code != exitRefused || !strings.Contains(errs.String(), "systemctl stop rxedged") {
		t.Errorf("a running daemon: %d %s", code, &errs)
	}
	// A path that is refused leaves the folder as it is.
	if es, err := os.ReadDir(data); err != nil || len(es) < 5 {
		t.Error(es, err)
	}
}
