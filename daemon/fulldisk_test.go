package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/disk"
	"rxedge/daemon/feedback"
	"rxedge/daemon/store"
	"rxedge/index"
)

// smallDisk is a real file system of that size.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		t.Skip("a file system of its own can't be mounted:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fillTo leaves so many bytes of a disk free, by a file of another program.
func fillTo(t *testing.T, dir string, free int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "somebody-elses"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	n := fi.Size() + int64(st.Bavail)*st.Bsize - free
	if err := errors.Join(f.Truncate(0), unix.Fallocate(int(f.Fd()), 0, 0, n)); err != nil {
		t.Fatal(err)
	}
}

// The disk becomes full under a daemon that serves, by another program, to the last
// byte: it does not end, questions are answered, what can't be kept is refused and said,
// and all goes on as there is room again. Killed and started while it is full, it says so
// or serves, and what was acknowledged is there in the end.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 640<<20)
	data := filepath.Join(dir, "var")
	if err := errors.Join(os.Mkdir(data, 0o700), os.WriteFile(filepath.Join(data, "rxedge.toml"), []byte("[disk]\nfloor_mb = 0\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	label := func(n int) string {
		p := filepath.Join(t.TempDir(), "label.md")
		if err := os.WriteFile(p, fmt.Appendf(nil, "# Examplol\n\n## Dosage and Administration\n\nThe recommended dose of examplol is %d mg once daily.\n", n+5), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	cmd, c := child(t, data)
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	asked := 0
	ask := func() *answer.Answer {
		t.Helper()
		asked++
		q := []string{"What is the dose of examplol?", "What is the recommended dose of examplol?", "How many mg of examplol once daily?"}[asked%3]
		a, err := c.Ask(t.Context(), answer.Question{Text: q}, answer.Events{})
		if err != nil || a.Status != answer.StatusAnswered {
			t.Fatalf("a question is not answered: %v %+v", err, a)
		}
		return a
	}
	kept := 0
	say := func() error {
		t.Helper()
		_, err := c.AddFeedback(t.Context(), feedback.Item{AnswerID: ask().ID, Thumb: "up"})
		if err == nil {
			kept++
		}
		return err
	}
	codes := func() string {
		t.Helper()
		h, err := c.Status(t.Context())
		if err != nil || !h.Ready {
			t.Fatalf("%v %+v", err, h)
		}
		var s []string
		for _, f := range h.Conditions {
			s = append(s, f.Code)
		}
		return strings.Join(s, " ")
	}
	if _, err := c.Ingest(t.Context(), []string{label(0)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := say(); err != nil {
		t.Fatal(err)
	}
	for round, free := range []int64{0, 1 << 20, 20 << 20, 40 << 20} {
		fillTo(t, dir, free)
		for range 8 {
			ask()
			if err := say(); !errors.Is(err, store.ErrNoRoom) {
				t.Fatalf("with %d MB feedback is taken: %v", free>>20, err)
			}
		}
		if _, err := c.Ingest(t.Context(), []string{label(round + 1)}, nil); !errors.Is(err, index.ErrNoRoom) {
			t.Fatalf("with %d MB documents are taken: %v", free>>20, err)
		}
		if _, err := c.Compact(t.Context(), nil); !errors.Is(err, index.ErrNoRoom) {
			t.Fatalf("with %d MB the index is built: %v", free>>20, err)
		}
		if s := codes(); !strings.Contains(s, "disk-full") {
			t.Errorf("with %d MB: %s", free>>20, s)
		}
		if err := os.Remove(filepath.Join(dir, "somebody-elses")); err != nil {
			t.Fatal(err)
		}
		if err := say(); err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		if _, err := c.Ingest(t.Context(), []string{label(round + 1)}, nil); err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		if s := codes(); strings.Contains(s, "disk-full") {
			t.Error(s)
		}
	}

	// Stopped and started where nothing is free.
	fillTo(t, dir, 0)
	ask()
	_ = c.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if strings.Contains(fmt.Sprint(cmd.Stderr), "fatal error") {
		t.Fatal(cmd.Stderr)
	}
	out := run1(t, data)
	if strings.Contains(out, "fatal error") || !strings.Contains(out, "no space left on device") && !strings.Contains(out, "the disk is full") {
		t.Fatal("started on a full disk:\n", out)
	}
	// With the reserve that a box makes while there is room, it serves.
	if err := os.Remove(filepath.Join(dir, "somebody-elses")); err != nil {
		t.Fatal(err)
	}
	reserve, err := os.Create(filepath.Join(data, disk.ReserveName))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Fallocate(int(reserve.Fd()), 0, 0, 128<<20), reserve.Close()); err != nil {
		t.Fatal(err)
	}
	fillTo(t, dir, 0)
	cmd, c = child(t, data)
	for range 5 {
		ask()
	}
	if err := os.Remove(filepath.Join(dir, "somebody-elses")); err != nil {
		t.Fatal(err)
	}
	if err := say(); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	if s, err := c.FeedbackSummary(t.Context()); err != nil || s.Records != kept {
		t.Errorf("%d of %d items of feedback, %v", s.Records, kept, err)
	}
	rep, err := c.Verify(t.Context(), nil)
	if err != nil || !rep.OK() {
		t.Error(rep, err)
	}
	_ = c.Close()
}

// run1 starts a daemon that is to end by itself, and gives what it wrote.
func run1(t *testing.T, data string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return daemonOutput(ctx, data)
}

// Killed while it collects what nothing needs, at any moment: nothing of what was
// acknowledged is lost, and the next time goes on.
func TestKilledCollect(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "var")
	cmd, c := child(t, data)
	a, err := c.Ask(t.Context(), answer.Question{Text: "Can metformin be started with an eGFR of 40?"}, answer.Events{})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	say := func(c *control.Client, id string) {
		t.Helper()
		for range 20 {
			if _, err := c.AddFeedback(t.Context(), feedback.Item{AnswerID: id, Thumb: "up"}); err != nil {
				t.Fatal(err)
			}
			kept++
		}
	}
	say(c, a.ID)
	for round := range 4 {
		for n := range 30 { // what goes
			dir := filepath.Join(data, fmt.Sprintf("telemetry.damaged-202601%02dT000000", n+1))
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "x"), make([]byte, 1000), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		began := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			close(began)
			_, err := c.CollectDisk(context.Background(), box.CollectRequest{Urgent: round%2 == 0})
			ended <- err
		}()
		<-began
		time.Sleep(time.Duration(rand.Int64N(int64(25 * time.Millisecond))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-ended
		_ = c.Close()
		cmd, c = child(t, data)
		a, err := c.Ask(t.Context(), answer.Question{Text: "Can metformin be started with an eGFR of 40?"}, answer.Events{})
		if err != nil || a.Status != answer.StatusAnswered {
			t.Fatal(a, err)
		}
		if s, err := c.FeedbackSummary(t.Context()); err != nil || s.Records != kept {
			t.Fatalf("round %d: %d of %d items of feedback, %v", round, s.Records, kept, err)
		}
		say(c, a.ID)
	}
	if rep, err := c.CollectDisk(t.Context(), box.CollectRequest{}); err != nil {
		t.Error(rep, err)
	}
	left, _ := filepath.Glob(filepath.Join(data, "telemetry.damaged-*"))
	if len(left) > 2 {
		t.Errorf("%d copies are left", len(left))
	}
	if rep, err := c.Verify(t.Context(), nil); err != nil || !rep.OK() {
		t.Error(rep, err)
	}
	_ = c.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func daemonOutput(ctx context.Context, data string) string {
	cmd := exec.CommandContext(ctx, os.Args[0], "--data", data, "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asDaemon+"=1")
	out, _ := cmd.CombinedOutput()
	return string(out)
}
