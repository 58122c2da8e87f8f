package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
)

// A daemon that is started while a command has the data folder waits for it, and says so.
func TestWaitsForTheFolder(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Data = t.TempDir()
	command, err := box.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() { done <- command.Close() })
	s := startDaemon(t, func(c *config.Config) { c.Data = cfg.Data })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.log.String(), "waiting for the data folder"); n != 1 {
		t.Errorf("said %d times that it waits, want once\n%s", n, s.log)
	}
}
