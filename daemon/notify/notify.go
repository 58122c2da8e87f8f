// Package notify tells the service manager how the daemon is, by systemd's
// protocol (sd_notify(3)). Where no service manager asked for it, all of it does
// nothing.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// ErrNotReady is what a Probe's error wraps where the daemon works and has nothing to
// answer from, which no restart mends.
var ErrNotReady = errors.New("not ready")

// Probe asks the daemon for what it is there for, by the way its users take. status
// is one line for a technician. An error other than ErrNotReady, or none before ctx
// ends, is a daemon that hangs.
type Probe func(ctx context.Context) (status string, err error)

// defaultEvery is how often the probe is asked where no watchdog is set.
const defaultEvery = 10 * time.Second

// Each wish for more time asks for extension, and is repeated at half of it.
const extension = 40 * time.Second

// Manager is the service manager's end of the line. Use New.
type Manager struct {
	// Patient: starting may take longer than the manager allows, since no other
	// release waits to take this one's place.
	Patient bool

	send  func(state string) error // nil: there is no manager
	every time.Duration            // between two probes
	guard bool                     // a watchdog waits for us
	log   *slog.Logger
	last  string // status that was sent
}

// New reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func New(log *slog.Logger) *Manager {
	m := &Manager{log: log, every: defaultEvery}
	if sent, err := daemon.SdNotify(false, "STATUS=starting"); err != nil || !sent {
		if err != nil {
			log.Warn("the service manager can't be told how the daemon is", "error", err)
		}
		return m
	}
	m.send = func(state string) error { _, err := daemon.SdNotify(false, state); return err }
	switch d, err := daemon.SdWatchdogEnabled(false); {
	case err != nil:
		log.Warn("the watchdog's setting can't be read", "error", err)
	case d > 0:
		m.guard, m.every = true, d/3
	}
	return m
}

// Enabled says whether a service manager listens.
func (m *Manager) Enabled() bool { return m.send != nil }

func (m *Manager) tell(lines ...string) {
	if m.send == nil {
		return
	}
	if err := m.send(strings.Join(lines, "\n")); err != nil {
		m.log.Warn("the service manager was not told", "error", err)
	}
}

func status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ") // one line
}

// Starting says what is being done, and asks for more time while it is, within at
// most, where the manager is to be patient. done ends it.
func (m *Manager) Starting(text string, within time.Duration) (done func()) {
	if m.send == nil {
		return func() {}
	}
	m.tell(status(text))
	ctx, cancel := context.WithTimeout(context.Background(), within)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(extension / 2)
		defer t.Stop()
		for m.extend(); ; m.extend() {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func (m *Manager) extend() {
	if m.Patient {
		m.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extension.Microseconds()))
	}
}

// Watch asks the probe until ctx ends: READY=1 goes out with the first answer that
// is one, WATCHDOG=1 with each. A probe that fails or hangs sends neither, so that
// the manager starts the daemon again. One that is ErrNotReady keeps a patient
// manager waiting, and the watchdog quiet.
func (m *Manager) Watch(ctx context.Context, probe Probe) {
	if m.send == nil {
		return
	}
	ready := false
	t := time.NewTicker(m.every)
	defer t.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, m.every)
		text, err := ask(try, probe)
		cancel()
		if ctx.Err() != nil {
			return
		}
		var say []string
		switch {
		case err == nil && !ready:
			ready = true
			say = append(say, "READY=1")
		case err != nil && !errors.Is(err, ErrNotReady):
			m.log.Error("the daemon does not answer itself", "error", err)
			text = "does not answer: " + err.Error()
		case err != nil:
			text = err.Error()
			if !ready {
				m.extend()
			}
		}
		if m.guard && (err == nil || errors.Is(err, ErrNotReady)) {
			say = append(say, "WATCHDOG=1")
		}
		if s := status(text); s != m.last {
			m.last = s
			say = append(say, s)
		}
		if len(say) > 0 {
			m.tell(say...)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// ask gives up on a probe that does not heed its context.
func ask(ctx context.Context, probe Probe) (string, error) {
	type result struct {
		text string
		err  error
	}
	came := make(chan result, 1)
	go func() {
		text, err := probe(ctx)
		came <- result{text, err}
	}()
	select {
	case r := <-came:
		return r.text, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("it was asked and said nothing: %w", ctx.Err())
	}
}

// Stopping says that the daemon ends, and lets those under way finish.
func (m *Manager) Stopping() {
	m.tell("STOPPING=1", status("stopping: questions under way are answered, new ones are refused"))
}
