package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/control"
	"rxedge/daemon/upgrade"
)

// releaseOf makes a folder with a release: a real rxedged of a version, or what
// stands in the place of its start.
func releaseOf(t *testing.T, version, instead string) string {
	t.Helper()
	dir := t.TempDir()
	real := fmt.Sprintf("exec env %s=1 %s=%s %q \"$@\"", asDaemon, asVersion, version, os.Args[0])
	text := "#!/bin/sh\n"
	if instead != "" {
		text += fmt.Sprintf("case \"$1\" in\n--version|--self-test) %s;;\nesac\n", real)
		real = strings.ReplaceAll(instead, "REAL", real)
	}
	if err := os.WriteFile(filepath.Join(dir, upgrade.Program), []byte(text+real+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A daemon of real processes is upgraded while its box answers; releases that do
// not come up, each in its way, give way to the one before by themselves.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	root := &upgrade.Root{Dir: filepath.Join(t.TempDir(), "root")}
	data := filepath.Join(t.TempDir(), "var")
	log := &buffer{}
	within := upgrade.Within
	var stop context.CancelFunc
	var ended chan error
	start := func() {
		var ctx context.Context
		ctx, stop = context.WithCancel(context.Background())
		ended = make(chan error, 1)
		go func() {
			ended <- root.Run(ctx, upgrade.RunOptions{Args: []string{"--data", data, "--listen", "127.0.0.1:0"}, Within: within,
				Probe: control.Probe(data), Out: log, Log: slog.New(slog.NewTextHandler(log, nil))})
		}()
	}
	end := func() {
		t.Helper()
		stop()
		if err := <-ended; err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
	}
	// serves waits until the box answers from a release.
	serves := func(version string) {
		t.Helper()
		for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if control.Probe(data)(t.Context(), version) == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not serve\n%s", version, log)
			}
		}
		k, err := control.Dial(data)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if a, err := k.Ask(t.Context(), answer.Question{Text: selfTestQuestion}, answer.Events{}); err != nil || a.Status != answer.StatusAnswered {
			t.Fatal(a, err)
		}
	}
	// settled waits until no release is pending.
	settled := func() (why string) {
		t.Helper()
		for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			all, err := root.Releases()
			if err != nil {
				t.Fatal(err)
			}
			pending := false
			why = ""
			for _, r := range all {
				pending, why = pending || r.Pending, why+" "+r.Bad
			}
			if !pending {
				return why
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v\n%s", all, log)
			}
		}
	}
	put := func(version, instead string) {
		t.Helper()
		if v, err := root.Install(t.Context(), releaseOf(t, version, instead), false); err != nil || v != version {
			t.Fatal(v, err)
		}
		if err := root.Use(version, false); err != nil {
			t.Fatal(err)
		}
	}
	put("0.1.0", "")
	start()
	serves("0.1.0")
	settled()
	// A binary that does not run is never switched to.
	half := t.TempDir()
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, upgrade.Program), b[:len(b)/2], 0o755); err != nil {
		t.Fatal(err)
	}
	if v, err := root.Install(t.Context(), half, false); err == nil {
		t.Fatal("half a binary was installed as", v)
	}
	for version, c := range map[string]struct{ instead, why string }{
		"0.2.0": {"exec false", "ended before it was ready"},
		"0.2.1": {"REAL --no-such-flag", "ended before it was ready"},
		"0.2.2": {fmt.Sprintf("exec env %s=1 %s=9.9.9 %q \"$@\"", asDaemon, asVersion, os.Args[0]), "version 9.9.9"},
	} {
		put(version, c.instead)
		end() // the service is started again
		if within = upgrade.Within; version == "0.2.2" {
			within = 2 * time.Second // never is what it says it is
		}
		began := time.Now()
		start()
		why := settled()
		serves("0.1.0")
		if !strings.Contains(why, c.why) {
			t.Errorf("%s: %s", version, why)
		}
		t.Logf("%s was given up and 0.1.0 answers again after %v: %s", version, time.Since(began).Round(10*time.Millisecond), why[:min(len(why), 120)])
	}
	within = upgrade.Within
	put("0.3.0", "")
	end()
	start()
	serves("0.3.0")
	settled()
	if all, err := root.Releases(); err != nil || len(all) != 2 || !all[0].Previous || !all[1].Confirmed {
		t.Fatalf("%+v, %v", all, err)
	}
	end()
}
