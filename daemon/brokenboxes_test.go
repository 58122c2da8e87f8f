package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/health"
	"rxedge/inference/gpu"
	"rxedge/sync/synctest"
)

// Hooks for faults that a machine can't be made to have: a driver that is gone.
const (
	cardFile = "RXEDGE_TEST_CARD"  // a file; where it says "gone" the driver is
	holds    = "RXEDGE_TEST_HOLDS" // an address; the test binary listens there and does nothing else
	hungry   = "RXEDGE_TEST_HUNGRY"
)

// playing what a broken box needs beside it; false: this process is none of that.
func playing() bool {
	if f := os.Getenv(cardFile); f != "" {
		open := box.OpenCards
		box.OpenCards = func(ctx context.Context) (gpu.Source, error) {
			if b, _ := os.ReadFile(f); string(b) == "gone" {
				return nil, &gpu.NoGPUError{Reason: gpu.NoLibrary, OnBus: 1}
			}
			return open(ctx)
		}
	}
	switch {
	case os.Getenv(holds) != "":
		l, err := net.Listen("tcp", os.Getenv(holds))
		if err != nil {
			return true
		}
		defer l.Close()
		time.Sleep(time.Hour)
	case os.Getenv(hungry) != "":
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
		var all [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			_ = all
		}
	default:
		return false
	}
	return true
}

// sick is a box that is healthy at first, then broken, then mended by what doctor says.
type sick struct {
	name string
	fast bool // in 'make test' too
	root bool // only root can break or mend it so
	// config of the box, and what it is made of beside documents.
	config string
	before func(w *ward)
	// breaks it; the daemon runs before it, and it says itself how it goes on.
	breaks func(w *ward)
	// first is the code that doctor must name first, says what its sentence must hold.
	first, says string
	// also are codes that doctor must name, because of the first.
	also []string
	// runs are the commands that are run of those that the fix names, in this order; a
	// word in capitals in them is what with says.
	runs []string
	with map[string]string
	// act is what a person does besides, where the fix says acts.
	act  func(w *ward)
	acts string
}

// ward is where a box lies.
type ward struct {
	*testing.T
	data, conf string
	listen     string
	env        []string
	wrap       []string // a command that starts the daemon
	cmd        *exec.Cmd
	ended      chan struct{}
	log        *buffer
	fleet      *synctest.Fleet
	fix        string // that doctor names
	path       string // of a thing that the box is broken with
	tool       string
	public     string // a folder that every user may read; "": none
}

// chmodAll lets every user read a folder.
func chmodAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
}

func (w *ward) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// start the daemon and wait until it answers or ends.
func (w *ward) start() {
	w.Helper()
	args := append(slices.Clone(w.wrap), os.Args[0], "--data", w.data)
	w.cmd = exec.Command(args[0], args[1:]...)
	w.cmd.Env = append(append(os.Environ(), asDaemon+"=1", "GORACE=atexit_sleep_ms=0"), w.env...)
	w.log = &buffer{}
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	w.must(w.cmd.Start())
	w.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(w.cmd, w.ended)
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-w.ended:
			return
		default:
		}
		if c, err := net.Dial("unix", filepath.Join(w.data, "rxedged.sock")); err == nil {
			_ = c.Close()
			return
		}
	}
	w.Fatalf("the daemon neither answers nor ends:\n%s", w.log)
}

func (w *ward) stop() { w.end(syscall.SIGTERM) }

func (w *ward) end(sig syscall.Signal) {
	w.Helper()
	if w.cmd == nil {
		return
	}
	_ = w.cmd.Process.Signal(sig)
	select {
	case <-w.ended:
	case <-time.After(60 * time.Second):
		w.Fatalf("the daemon does not end:\n%s", w.log)
	}
	w.cmd = nil
}

func (w *ward) restart() { w.stop(); w.start() }

// set the configuration.
func (w *ward) set(text string) {
	w.Helper()
	if !strings.Contains(text, "floor_mb") {
		text = "[disk]\nfloor_mb = 0\n" + text
	}
	w.must(os.WriteFile(w.conf, []byte("listen = \""+w.listen+"\"\n"+text), 0o600))
}

// rxedge runs the tool as a technician would.
func (w *ward) rxedge(args ...string) ([]byte, error) {
	return w.sh(w.tool, args...)
}

func (w *ward) sh(name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(w.Context(), 90*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "RXEDGE_DATA="+w.data, "PATH="+filepath.Dir(w.tool)+":"+os.Getenv("PATH"))
	c.Stdin = strings.NewReader(strings.Repeat("y\n", 20))
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, errs.Bytes())
	}
	return out, err
}

type found struct {
	Code, Outcome, Finding, Fix, Because string
	Severity                             health.Severity
}

// doctor's findings that are more than a notice, in its order.
func (w *ward) doctor() (all []found) {
	w.Helper()
	out, err := w.rxedge("doctor", "--json")
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 4) {
		w.Fatal(err)
	}
	w.must(json.Unmarshal(out, &all))
	failed := slices.ContainsFunc(all, func(f found) bool { return f.Outcome == "fail" })
	if failed != (err != nil) {
		w.Errorf("doctor exits with %v and %v", err, all[0])
	}
	return slices.DeleteFunc(all, func(f found) bool { return f.Outcome != "fail" && f.Outcome != "warn" })
}

// status and what is wrong by it, notices left out.
func (w *ward) status() (green bool, wrong []string) {
	out, err := w.rxedge("status", "--json")
	var st struct {
		Daemon bool `json:"daemon"`
		api.Health
	}
	if err != nil {
		return false, []string{err.Error()}
	}
	w.must(json.Unmarshal(out, &st))
	for _, f := range st.Conditions {
		if f.Severity > health.Notice {
			wrong = append(wrong, f.Code+": "+f.Detail)
		}
	}
	if !st.Daemon {
		wrong = append(wrong, "the daemon does not run")
	}
	return st.Daemon && st.Ready && len(wrong) == 0, wrong
}

// green waits until nothing is wrong any more.
func (w *ward) green(when string) {
	w.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ok, wrong := w.status()
		if ok {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("%s, status is not green: %q\n%s", when, wrong, w.log)
		}
	}
}

var capitals = regexp.MustCompile(`\b[A-Z]{1,8}\b`)

// TestBrokenBoxes breaks boxes one by one and mends them by what doctor says. Some are
// broken in every run of the tests, all with RXEDGE_BROKEN_BOXES=1 ('make broken-boxes').
func TestBrokenBoxes(t *testing.T) {
	t.Parallel()
	all := os.Getenv("RXEDGE_BROKEN_BOXES") != ""
	var mu sync.Mutex
	rows := map[string]string{}
	t.Cleanup(func() {
		if all {
			fmt.Println("| box | first finding of doctor | what mends it | status after |\n|---|---|---|---|")
			for _, s := range boxes() {
				if r := rows[s.name]; r != "" {
					fmt.Println(r)
				}
			}
		}
	})
	for _, s := range boxes() {
		if !all && !s.fast {
			continue
		}
		t.Run(strings.ReplaceAll(s.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			if s.root && os.Geteuid() != 0 {
				t.Skip("only root can do this")
			}
			row := treat(t, s)
			mu.Lock()
			defer mu.Unlock()
			rows[s.name] = row
		})
	}
}

func treat(t *testing.T, s sick) (row string) {
	path, err := builtTool()
	if err != nil {
		t.Fatal(err)
	}
	w := &ward{T: t, data: filepath.Join(t.TempDir(), "var"), tool: path}
	w.must(os.MkdirAll(w.data, 0o750))
	w.conf = filepath.Join(w.data, "rxedge.toml")
	w.listen = synctest.FreePort(t)
	w.set(s.config)
	t.Cleanup(func() { w.end(syscall.SIGKILL) })
	if s.before != nil {
		s.before(w)
	}
	if _, err := os.Stat(filepath.Join(w.data, "index")); err != nil {
		docs := realLabels(t, "Keep it dry.")
		if w.public != "" { // the service's user may read there
			w.must(os.CopyFS(filepath.Join(w.public, "docs"), os.DirFS(docs)))
			docs = filepath.Join(w.public, "docs")
			w.must(chmodAll(docs))
		}
		_, err := w.rxedge("ingest", docs)
		w.must(err)
	}
	w.start()
	w.green("before it is broken")

	s.breaks(w)
	var seen []found
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		seen = w.doctor()
		if len(seen) > 0 && seen[0].Code == s.first && !slices.ContainsFunc(s.also, func(code string) bool {
			return !slices.ContainsFunc(seen, func(f found) bool { return f.Code == code && f.Because == s.first })
		}) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("doctor does not name %s first, and because of it %v, but %+v\n%s", s.first, s.also, seen, w.log)
		}
	}
	if !strings.Contains(seen[0].Finding, s.says) {
		t.Errorf("doctor says %q, without %q", seen[0].Finding, s.says)
	}
	w.fix = seen[0].Fix
	if s.acts != "" && !strings.Contains(w.fix, s.acts) {
		t.Errorf("what is done is not what the fix says: %q lacks %q", w.fix, s.acts)
	}
	for _, r := range s.runs {
		m := regexp.MustCompile(`'(` + r + `)'`).FindStringSubmatch(w.fix)
		if m == nil {
			t.Fatalf("the fix %q does not name '%s'", w.fix, r)
		}
		command := capitals.ReplaceAllStringFunc(m[1], func(word string) string {
			if v := s.with[word]; v != "" {
				return v
			}
			if word == "PATH" || word == "FILE" {
				return w.path
			}
			return word
		})
		if out, err := w.sh("sh", "-c", command); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if s.act != nil {
		s.act(w)
	}
	w.green("after the mend")
	t.Logf("%s: %s", seen[0].Code, seen[0].Finding)
	return fmt.Sprintf("| %s | `%s` %s | %s | green |", s.name, seen[0].Code, short(w, seen[0].Finding), short(w, w.fix))
}

// short is a sentence for the table, without this machine's folders.
func short(w *ward, s string) string {
	s = strings.NewReplacer(w.data, "DIR", filepath.Dir(w.data), "…", "|", "/", "\n", " ").Replace(s)
	if len(s) > 260 {
		s = s[:257] + "…"
	}
	return s
}
