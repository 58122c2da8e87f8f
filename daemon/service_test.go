package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
)

// A daemon under a manager says that it is ready once it can be asked, feeds the
// watchdog, misses it while it hangs, and leaves a marker when it is killed, of which
// the next start tells.
func TestUnderManager(t *testing.T) {
	t.Parallel()
	data, sock := filepath.Join(t.TempDir(), "var"), filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func(within time.Duration) []string {
		b := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(within))
		n, err := c.Read(b)
		if err != nil {
			return nil
		}
		return strings.Split(string(b[:n]), "\n")
	}
	until := func(what string) {
		t.Helper()
		for {
			switch m := read(time.Minute); {
			case m == nil:
				t.Fatalf("%s was never told", what)
			case slices.Contains(m, what):
				return
			}
		}
	}
	var errOut bytes.Buffer
	start := func() *exec.Cmd {
		t.Helper()
		errOut.Reset()
		cmd := exec.Command(os.Args[0], "--data", data, "--listen", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), asDaemon+"=1", "NOTIFY_SOCKET="+sock, "WATCHDOG_USEC=900000", "WATCHDOG_PID=")
		cmd.Stderr = &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		until("READY=1")
		return cmd
	}
	status := func() api.Health {
		t.Helper()
		k, err := control.Dial(data)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		h, err := k.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := start()
	if err := control.Probe(data)(t.Context(), box.Version); err != nil {
		t.Fatalf("it said READY and can't be asked: %v", err)
	}
	if h := status(); h.Unclean != "" {
		t.Fatal("a first start after", h.Unclean)
	}
	until("WATCHDOG=1")
	// The whole process hangs: nothing feeds the watchdog.
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for read(time.Second) != nil { // what lay in the socket
	}
	if m := read(1500 * time.Millisecond); m != nil {
		t.Fatalf("a daemon that hangs told %q", m)
	}
	// As the manager does: SIGABRT, and the log has the goroutines, without a question.
	_ = first.Process.Signal(syscall.SIGABRT)
	_ = first.Process.Signal(syscall.SIGCONT)
	_ = first.Wait()
	if !strings.Contains(errOut.String(), "SIGABRT") || !strings.Contains(errOut.String(), "goroutine ") {
		t.Errorf("the log does not show where it hung: %.300s", errOut.String())
	}
	second := start()
	if h := status(); !strings.Contains(h.Unclean, "was killed or crashed") || h.ProfileWhy == "" && h.Profile != "" {
		t.Errorf("unclean %q, profile %q because %q", h.Unclean, h.Profile, h.ProfileWhy)
	}
	_ = second.Process.Signal(syscall.SIGTERM)
	until("STOPPING=1")
	if err := second.Wait(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(errOut.String(), "the last stop was not clean") || !strings.Contains(errOut.String(), "mended=") {
		t.Errorf("the log does not tell of the unclean stop: %s", errOut.String())
	}
	third := start()
	if h := status(); h.Unclean != "" {
		t.Error("after a clean stop:", h.Unclean)
	}
	_ = third.Process.Signal(syscall.SIGTERM)
	if err := third.Wait(); err != nil {
		t.Fatal(err)
	}
}

// The self-probe does not feed the watchdog where the socket takes a call and never
// answers, as it is with a lock that nobody gives back.
func TestSelfProbeOfDeadlock(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	l, err := control.Listen(data)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		var taken []net.Conn // one that nobody holds is closed by the collector
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range taken {
					_ = c.Close()
				}
				return
			}
			taken = append(taken, c)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if text, err := selfProbe(data, "", func() api.Health { return api.Health{} })(ctx); err == nil || ctx.Err() == nil {
		t.Fatalf("%q, %v", text, err)
	}
}
