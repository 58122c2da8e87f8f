package box

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rxedge/sync/durable"
)

// markerName is a file that lies in the data folder while a daemon serves from it.
// One that is there at a start tells that the last stop was none.
const markerName = "running"

// bootID is the kernel's name for the time since the machine came up.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

type marker struct {
	PID     int       `json:"pid"`
	Boot    string    `json:"boot,omitempty"`
	Started time.Time `json:"started"`
	Version string    `json:"version"`
}

func bootID() string {
	b, _ := os.ReadFile(bootIDFile)
	return strings.TrimSpace(string(b))
}

// readMarker says how the last stop was: "" where it was clean or there was none.
func readMarker(data, boot string) string {
	b, err := os.ReadFile(filepath.Join(data, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var m marker
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	switch {
	case err != nil:
		return "the daemon before did not stop cleanly; its marker can't be read"
	case m.Boot != "" && boot != "" && m.Boot != boot:
		return fmt.Sprintf("the machine went down under rxedged %s, which had run since %s: a power cut or a restart that did not wait", m.Version, m.Started.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("rxedged %s, which had run since %s, was killed or crashed", m.Version, m.Started.UTC().Format(time.RFC3339))
}

// MarkRunning leaves the marker, which Close takes away, tells in the log what a start
// after an unclean stop found, and removes the older of what was moved aside as damaged.
func (b *Box) MarkRunning() error {
	if b.unclean != "" {
		g := b.Index.Stats().Generation
		b.log.Warn("the last stop was not clean", "why", b.unclean, "generation", g.Label(), "documents", g.Documents, "mended", b.recovered())
	}
	text, err := json.Marshal(marker{PID: os.Getpid(), Boot: bootID(), Started: b.started, Version: Version})
	if err != nil {
		return err
	}
	if err := durable.Write(filepath.Join(b.Config.Data, markerName), text); err != nil {
		return fmt.Errorf("leaving the marker of a running daemon: %w", err)
	}
	b.marked = true
	b.tidyAside()
	return nil
}

// recovered says what opening the folder met and mended.
func (b *Box) recovered() string {
	notes := b.Index.Notes()
	for _, n := range []string{b.Feedback.Note(), b.telemetry.recorder.Note()} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	if b.cache != nil && b.cache.Note() != "" {
		notes = append(notes, b.cache.Note())
	}
	if len(notes) == 0 {
		return "nothing had to be: what was acknowledged is there"
	}
	return strings.Join(notes, "; ")
}

// unmark after all else was closed.
func (b *Box) unmark() error {
	if !b.marked {
		return nil
	}
	b.marked = false
	if err := os.Remove(filepath.Join(b.Config.Data, markerName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(b.Config.Data)
}
