package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/control"
	"rxedge/daemon/feedback"
	"rxedge/daemon/health"
	layout "rxedge/daemon/schema"
	"rxedge/daemon/upgrade"
)

// A release that writes feedback in a later format, and is given up, leaves nothing that
// the one before can't read: that one takes the store back as it was, and answers. One
// that is confirmed keeps it, and the one before refuses the folder from then on and
// gives way by itself.
func TestUpgradeOfData(t *testing.T) {
	t.Parallel()
	root := &upgrade.Root{Dir: filepath.Join(t.TempDir(), "root")}
	data := filepath.Join(t.TempDir(), "var")
	log := &buffer{}
	put := func(version, says, format string) {
		t.Helper()
		dir := t.TempDir()
		text := fmt.Sprintf("#!/bin/sh\nv=%s\ncase \"$1\" in --version) echo rxedged %s; exit;; --self-test) exit;; esac\nexec env %s=1 %s=$v %s=%s %s=\"$0\" %q \"$@\"\n",
			says, version, asDaemon, asVersion, asFormat, format, asProgram, os.Args[0])
		if err := os.WriteFile(filepath.Join(dir, upgrade.Program), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if v, err := root.Install(t.Context(), dir, false); err != nil || v != version {
			t.Fatal(v, err)
		}
	}
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: never\n%s", what, log)
			}
		}
	}
	// run a release until it serves, or until another does in its place.
	run := func(version, serves string, within time.Duration, look func(c *control.Client, h api.Health)) {
		t.Helper()
		if err := root.Use(version, false); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- root.Run(ctx, upgrade.RunOptions{Args: []string{"--data", data, "--listen", "127.0.0.1:0"}, Within: within,
				Probe: control.Probe(data), Out: log, Log: slog.New(slog.NewTextHandler(log, nil))})
		}()
		eventually(serves+" serves", func() bool { return control.Probe(data)(t.Context(), serves) == nil })
		eventually("nothing is pending", func() bool {
			all, err := root.Releases()
			return err == nil && !slices.ContainsFunc(all, func(r upgrade.Release) bool { return r.Pending })
		})
		c, err := control.Dial(data)
		if err != nil {
			t.Fatal(err)
		}
		// What a release that stays has changed is confirmed within a second.
		var h api.Health
		eventually("the layout is confirmed", func() bool {
			if h, err = c.Status(t.Context()); err != nil {
				t.Fatal(err)
			}
			return !slices.ContainsFunc(h.Layout.Kept, func(k layout.KeptChange) bool { return !k.Confirmed })
		})
		look(c, h)
		c.Close()
		stop()
		if err := <-ended; err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
	}
	said := func(c *control.Client) int {
		t.Helper()
		s, err := c.FeedbackSummary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Records
	}
	holds := func(h api.Health, want *health.Condition) bool {
		return slices.ContainsFunc(h.Conditions, func(f health.Finding) bool { return f.Code == want.Code })
	}
	put("1.0.0", "1.0.0", "1")
	run("1.0.0", "1.0.0", upgrade.Within, func(c *control.Client, _ api.Health) {
		a, err := c.Ask(t.Context(), answer.Question{Text: selfTestQuestion}, answer.Events{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.AddFeedback(t.Context(), feedback.Item{AnswerID: a.ID, Thumb: feedback.Up}); err != nil {
			t.Fatal(err)
		}
	})
	put("2.0.0", "2.0.0-never", "2")
	run("2.0.0", "1.0.0", 3*time.Second, func(c *control.Client, h api.Health) {
		if n := said(c); n != 1 || !holds(h, health.MigrationTakenBack) || h.Layout.Stores["feedback"] != 1 {
			t.Errorf("%d items, %+v, %+v", n, h.Layout, h.Conditions)
		}
	})
	if !strings.Contains(log.String(), "was changed by a release that was given up") {
		t.Error("the log does not say that it was taken back")
	}
	put("3.0.0", "3.0.0", "2")
	run("3.0.0", "3.0.0", upgrade.Within, func(c *control.Client, h api.Health) {
		if n := said(c); n != 1 || !holds(h, health.MigrationKept) || h.Layout.Stores["feedback"] != 2 {
			t.Errorf("%d items, %+v, %+v", n, h.Layout, h.Conditions)
		}
	})
	run("1.0.0", "3.0.0", upgrade.Within, func(c *control.Client, _ api.Health) {
		// That start was clean and is confirmed: the originals are gone.
		eventually("the originals are gone", func() bool {
			h, err := c.Status(t.Context())
			return err == nil && len(h.Layout.Kept) == 0
		})
		if n := said(c); n != 1 {
			t.Errorf("%d items", n)
		}
	})
	if !strings.Contains(log.String(), "Start rxedge 3.0.0 or a later one") {
		t.Errorf("the release before was not refused:\n%s", log)
	}
}
