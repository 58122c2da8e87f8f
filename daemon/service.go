package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/notify"
	"rxedge/daemon/upgrade"
)

// openWithin is how long a box that is not on trial may take to open, beyond what
// its unit allows: an index that a power cut left is read again.
const openWithin = 15 * time.Minute

var executable = os.Executable // a test says that it lies elsewhere

// onTrial says whether this program is of a release that is not confirmed yet. Such
// a one gets no more time than its unit gives, so that the one before comes back.
func onTrial() bool {
	exe, err := executable()
	return err == nil && upgrade.OnTrial(exe)
}

// confirmSchema once this release answers and is not on trial: until then a release
// before it takes back what this one changed of the data folder.
func confirmSchema(ctx context.Context, b *box.Box, log *slog.Logger) {
	t := time.NewTicker(confirmEvery)
	defer t.Stop()
	for onTrial() || !b.Health().Ready {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
	if err := b.ConfirmSchema(); err != nil {
		log.Error("the change of the data folder could not be confirmed; it is tried at the next start", "error", err)
	}
}

const confirmEvery = time.Second

// selfProbe asks the daemon over its own socket, as rxedge does: a status, and a
// search. An index that hangs, a lock that is never given back and a listener that
// accepts no one all keep it from answering.
func selfProbe(data, addr string, health func() api.Health) notify.Probe {
	probe := control.Probe(data)
	return func(ctx context.Context) (string, error) {
		err := probe(ctx, box.Version)
		if errors.Is(err, control.ErrNotReady) {
			return "", fmt.Errorf("%w: %s", notify.ErrNotReady, strings.Join(health().Degraded, "; "))
		}
		if err != nil {
			return "", err
		}
		h := health()
		text := fmt.Sprintf("answers on %s from %d documents", addr, h.Documents)
		if n := len(h.Degraded); n > 0 {
			text += fmt.Sprintf("; not all is well (%d), see 'rxedge status'", n)
		}
		return text, nil
	}
}
