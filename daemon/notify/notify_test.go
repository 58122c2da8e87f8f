package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is the other end: a datagram socket, as systemd's is.
func manager(t *testing.T, watchdog time.Duration) (m *Manager, next func() []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "")
	if watchdog > 0 {
		t.Setenv("WATCHDOG_USEC", strconv.FormatInt(watchdog.Microseconds(), 10))
	}
	next = func() []string {
		t.Helper()
		b := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("nothing was told: %v", err)
		}
		return strings.Split(string(b[:n]), "\n")
	}
	m = New(slog.New(slog.DiscardHandler))
	if got := next(); !slices.Equal(got, []string{"STATUS=starting"}) {
		t.Fatal(got)
	}
	return m, next
}

func watch(t *testing.T, m *Manager, p Probe) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Watch(ctx, p) }()
	t.Cleanup(func() { cancel(); <-done })
}

// READY goes out with the first answer, not before, and WATCHDOG with each.
func TestReady(t *testing.T) {
	m, next := manager(t, 60*time.Millisecond)
	m.Patient = true
	tries := 0
	watch(t, m, func(context.Context) (string, error) {
		if tries++; tries <= 2 {
			return "", fmt.Errorf("%w: no documents", ErrNotReady)
		}
		return "answers\nfrom 16 documents", nil
	})
	extend := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extension.Microseconds())
	for i, want := range [][]string{
		{extend}, {"WATCHDOG=1", "STATUS=not ready: no documents"},
		{extend}, {"WATCHDOG=1"},
		{"READY=1", "WATCHDOG=1", "STATUS=answers from 16 documents"},
		{"WATCHDOG=1"}, {"WATCHDOG=1"},
	} {
		if got := next(); !slices.Equal(got, want) {
			t.Fatalf("message %d is %q, want %q", i, got, want)
		}
	}
}

// A probe that hangs, heeding its context or not, and one that fails: the watchdog is
// not fed, and what is wrong is said once.
func TestHang(t *testing.T) {
	for name, bad := range map[string]Probe{
		"hangs":       func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() },
		"heeds none":  func(context.Context) (string, error) { select {} },
		"fails":       func(context.Context) (string, error) { return "", errors.New("closed") },
		"late to end": func(ctx context.Context) (string, error) { <-ctx.Done(); return "well", nil },
	} {
		t.Run(name, func(t *testing.T) {
			m, next := manager(t, 60*time.Millisecond)
			good, back := make(chan struct{}), make(chan struct{})
			asked := make(chan struct{}, 100)
			watch(t, m, func(ctx context.Context) (string, error) {
				select {
				case <-back:
					return "well again", nil
				case <-good:
					asked <- struct{}{}
					return bad(ctx)
				default:
					return "well", nil
				}
			})
			if got := next(); !slices.Equal(got, []string{"READY=1", "WATCHDOG=1", "STATUS=well"}) {
				t.Fatal(got)
			}
			close(good)
			for range 3 { // three periods: longer than the watchdog waits
				<-asked
			}
			close(back)
			// What was told meanwhile: feeds of before, one status, no feed after it.
			said := false
			for {
				got := next()
				if slices.Contains(got, "STATUS=well again") {
					break
				}
				if strings.HasPrefix(got[0], "STATUS=does not answer") {
					said = true
				} else if said || !slices.Equal(got, []string{"WATCHDOG=1"}) {
					t.Fatalf("%q", got)
				}
			}
			if !said {
				t.Fatal("it was not said that the daemon does not answer")
			}
		})
	}
}

// Patience is for those that nothing waits to replace.
func TestPatience(t *testing.T) {
	for _, patient := range []bool{true, false} {
		m, next := manager(t, 0)
		m.Patient = patient
		done := m.Starting("opening", time.Minute)
		if got := next(); !slices.Equal(got, []string{"STATUS=opening"}) {
			t.Fatal(got)
		}
		done()
		m.Stopping()
		got := next()
		if is := strings.HasPrefix(got[0], "EXTEND_TIMEOUT_USEC="); is != patient {
			t.Fatalf("patient %v: %q", patient, got)
		}
		if patient {
			got = next()
		}
		if got[0] != "STOPPING=1" {
			t.Fatalf("%q", got)
		}
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := New(slog.New(slog.DiscardHandler))
	if m.Enabled() {
		t.Fatal("there is no manager")
	}
	m.Starting("opening", time.Minute)()
	m.Watch(t.Context(), func(context.Context) (string, error) { t.Error("asked"); return "", nil })
	m.Stopping()
}
