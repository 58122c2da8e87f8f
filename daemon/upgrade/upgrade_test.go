package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write a release whose program is a script.
func write(t testing.TB, version, script string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\ncase \"$1\" in\n--version) echo rxedged %s; exit 0;;\n--self-test) exit 0;;\nesac\n%s\n", version, script)
	if err := os.WriteFile(filepath.Join(dir, Program), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "llama"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "llama", "lib.so.1"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("lib.so.1", filepath.Join(dir, "llama", "lib.so")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func install(t testing.TB, r *Root, version, script string) {
	t.Helper()
	if v, err := r.Install(t.Context(), write(t, version, script), false); err != nil || v != version {
		t.Fatal(v, err)
	}
}

func current(t testing.TB, r *Root) string {
	t.Helper()
	l, err := os.Readlink(r.path(currentLink))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.path(currentLink, Program)); err != nil {
		t.Fatal("what is started is not there", err)
	}
	return filepath.Base(l)
}

const serves = "exec sleep 1000"

// first makes a root on which 1.0.0 is confirmed.
func first(t testing.TB) *Root {
	t.Helper()
	r := &Root{Dir: filepath.Join(t.TempDir(), "root")}
	install(t, r, "1.0.0", serves)
	if err := r.Use("1.0.0", false); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Guard(); err != nil || s != (Start{Version: "1.0.0", Pending: true}) {
		t.Fatal(s, err)
	}
	if err := r.Confirm("1.0.0"); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUseConfirmAndBack(t *testing.T) {
	t.Parallel()
	r := first(t)
	if _, err := r.Guard(); err != nil || current(t, r) != "1.0.0" {
		t.Fatal(err)
	}
	if err := r.Use("1.0.0", false); !errors.Is(err, ErrRuns) {
		t.Fatal(err)
	}
	for _, v := range []string{"9.9.9", "../x", ""} {
		if err := r.Use(v, false); !errors.Is(err, ErrNoRelease) {
			t.Fatal(v, err)
		}
	}
	install(t, r, "1.1.0", serves)
	if _, err := r.Install(t.Context(), write(t, "1.1.0", serves), false); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(r.Path("1.1.0"), "llama", "lib.so")); err != nil || string(b) != "x" {
		t.Fatal(string(b), err)
	}
	if current(t, r) != "1.0.0" {
		t.Fatal("an installation changes nothing for what runs")
	}
	if err := r.Use("1.1.0", false); err != nil || current(t, r) != "1.1.0" {
		t.Fatal(err)
	}
	if err := r.Fail("1.1.0", "it fell over"); err != nil || current(t, r) != "1.0.0" {
		t.Fatal(err)
	}
	if err := r.Use("1.1.0", false); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), "it fell over") {
		t.Fatal(err)
	}
	if err := r.Fail("1.0.0", "x"); err != nil || current(t, r) != "1.0.0" {
		t.Fatal("a confirmed one was given up", err)
	}
	if err := r.Use("1.1.0", true); err != nil {
		t.Fatal(err)
	}
	if err := r.Use("1.0.0", false); err != nil || current(t, r) != "1.0.0" { // thought better of
		t.Fatal(err)
	}
	if s, err := r.Guard(); err != nil || s.Pending {
		t.Fatal(s, err)
	}
	if err := r.Use("1.1.0", false); err != nil {
		t.Fatal(err)
	}
	if err := r.Confirm("1.1.0"); err != nil {
		t.Fatal(err)
	}
	// The one before the last two goes.
	install(t, r, "1.2.0", serves)
	if err := errors.Join(r.Use("1.2.0", false), r.Confirm("1.2.0"), r.Confirm("1.2.0")); err != nil {
		t.Fatal(err)
	}
	all, err := r.Releases()
	if err != nil || len(all) != 2 || !all[0].Previous || all[0].Version != "1.1.0" || !all[1].Confirmed {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := r.Confirm("1.1.0"); err == nil {
		t.Fatal("confirmed without being pending")
	}
}

// Starts of which nobody told how they ended.
func TestCountedStarts(t *testing.T) {
	t.Parallel()
	r := first(t)
	install(t, r, "1.1.0", serves)
	if err := r.Use("1.1.0", false); err != nil {
		t.Fatal(err)
	}
	for range MaxStarts {
		if s, err := r.Guard(); err != nil || s.Version != "1.1.0" || !s.Pending {
			t.Fatal(s, err)
		}
	}
	if s, err := r.Guard(); err != nil || s.Version != "1.0.0" || s.Pending || s.FellBack == "" || current(t, r) != "1.0.0" {
		t.Fatal(s, err)
	}
	// Its files are gone: not started even once.
	if err := r.Use("1.1.0", true); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.Path("1.1.0")); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Guard(); err != nil || s.Version != "1.0.0" || s.FellBack == "" {
		t.Fatal(s, err)
	}
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	r := first(t)
	bad := func(name string, change func(dir string)) {
		t.Helper()
		dir := write(t, "2.0.0", serves)
		change(dir)
		if v, err := r.Install(t.Context(), dir, false); err == nil {
			t.Errorf("%s: %s was installed", name, v)
		}
		if es, _ := os.ReadDir(r.path(releasesDir)); len(es) != 1 {
			t.Errorf("%s: something was left: %v", name, es)
		}
	}
	program := func(text string) func(string) {
		return func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, Program), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	bad("no program", func(dir string) { _ = os.Remove(filepath.Join(dir, Program)) })
	bad("not to be executed", func(dir string) { _ = os.Chmod(filepath.Join(dir, Program), 0o644) })
	bad("half a program", program("\x7fELF\x02\x01\x01"))
	bad("an odd version", program("#!/bin/sh\necho rxedged ../../x\n"))
	bad("no self-test", program("#!/bin/sh\n[ \"$1\" = --version ] && echo rxedged 2.0.0 && exit 0\necho no index; exit 1\n"))
	bad("a link that leads out", func(dir string) { _ = os.Symlink("../../../etc/passwd", filepath.Join(dir, "llama", "x")) })
	bad("an absolute link", func(dir string) { _ = os.Symlink("/etc/passwd", filepath.Join(dir, "x")) })
}

// Run without a service manager: what does not come up is given up, and the one
// that was confirmed is started at once.
func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		probe  func(dir string, version string) error
		want   string
		why    string
	}{
		"comes up":       {serves, func(string, string) error { return nil }, "1.1.0", ""},
		"ends at once":   {"exit 3", nil, "1.0.0", "exit status 3"},
		"never is ready": {serves, nil, "1.0.0", "not ready within"},
		"ends with 0":    {"exit 0", nil, "1.0.0", "exit code 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := first(t)
			install(t, r, "1.1.0", c.script)
			if err := r.Use("1.1.0", false); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- r.Run(ctx, RunOptions{Within: 300 * time.Millisecond, Probe: func(_ context.Context, version string) error {
					if c.probe == nil {
						return errors.New("no socket")
					}
					return c.probe(r.Dir, version)
				}})
			}()
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				all, err := r.Releases()
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(all, func(x Release) bool { return x.Version == "1.1.0" })
				if all[i].Confirmed || all[i].Bad != "" {
					if all[i].Confirmed != (c.want == "1.1.0") || !strings.Contains(all[i].Bad, c.why) {
						t.Fatalf("%+v", all)
					}
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%+v", all)
				}
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if current(t, r) != c.want {
				t.Fatal(current(t, r))
			}
		})
	}
	// Nothing to go back to: it says so.
	r := &Root{Dir: t.TempDir()}
	install(t, r, "1.0.0", "exit 3")
	if err := r.Use("1.0.0", false); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), RunOptions{Probe: func(context.Context, string) error { return errors.New("x") }}); !errors.Is(err, ErrNothing) {
		t.Fatal(err)
	}
}

// Ended at each step of what it writes, what is started is a release that is
// whole, and it ends where it would have: with the new one if that comes up, with
// the old one if not.
func TestCrashes(t *testing.T) {
	defer func() { step = func(string) {} }()
	type crash struct{}
	memory, err := os.MkdirTemp("/dev/shm", "rxedge-upgrade-*")
	if err != nil {
		memory = t.TempDir()
	}
	defer os.RemoveAll(memory)
	base := first(t)
	install(t, base, "0.9.0", serves) // to be removed in the end
	from := write(t, "1.1.0", serves)
	scenario := func(at int, good bool) (steps int) {
		r := &Root{Dir: filepath.Join(memory, fmt.Sprint(good, at))}
		if err := copyAll(base.Dir, r.Dir); err != nil {
			t.Fatal(err)
		}
		count := 0
		try := func(do func() error) {
			for {
				crashed := func() (c bool) {
					defer func() {
						if x := recover(); x != nil {
							if _, ours := x.(crash); !ours {
								panic(x)
							}
							c = true
						}
					}()
					step = func(string) {
						if count++; count == at {
							panic(crash{})
						}
					}
					if err := do(); err != nil {
						t.Fatalf("crash at %d: %v", at, err)
					}
					return false
				}()
				if current(t, r); !crashed { // it is whole at any time
					return
				}
			}
		}
		try(func() error {
			_, err := r.Install(t.Context(), from, false)
			if errors.Is(err, ErrExists) {
				err = nil // done before the crash
			}
			return err
		})
		try(func() error { return r.Use("1.1.0", false) })
		var s Start
		try(func() (err error) { s, err = r.Guard(); return err })
		if s.Version != "1.1.0" || !s.Pending {
			t.Fatalf("crash at %d: %+v", at, s)
		}
		want := "1.0.0"
		if good {
			want = "1.1.0"
			try(func() error { return r.Confirm("1.1.0") })
		} else {
			try(func() error { return r.Fail("1.1.0", "it fell over") })
		}
		try(func() (err error) { s, err = r.Guard(); return err })
		if s.Version != want || s.Pending || current(t, r) != want {
			t.Fatalf("crash at %d: %+v, %s", at, s, current(t, r))
		}
		return count
	}
	for _, good := range []bool{true, false} {
		all := scenario(0, good)
		for i := 1; i <= all; i++ {
			scenario(i, good)
		}
		t.Logf("%d steps, each of them crashed", all)
	}
}

func copyAll(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		dst := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(dst, 0o755)
		case d.Type() == os.ModeSymlink:
			l, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(l, dst)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(dst, b, fi.Mode().Perm())
	})
}

// A release knows whether it is on trial, from wherever it is started.
func TestOnTrial(t *testing.T) {
	t.Parallel()
	r := first(t)
	program := func(of string) string { return r.path(of, Program) }
	if OnTrial(program(currentLink)) || OnTrial(program(steadyLink)) || OnTrial("/bin/true") {
		t.Fatal("nothing is on trial")
	}
	install(t, r, "1.1.0", serves)
	if err := r.Use("1.1.0", false); err != nil {
		t.Fatal(err)
	}
	if !OnTrial(program(currentLink)) || !OnTrial(filepath.Join(r.Path("1.1.0"), Program)) || OnTrial(program(steadyLink)) {
		t.Fatal("1.1.0 is on trial, and 1.0.0 is not")
	}
	if err := r.Confirm("1.1.0"); err != nil || OnTrial(program(currentLink)) {
		t.Fatal("1.1.0 is confirmed", err)
	}
}

// A release that is damaged is mended by the same one, in its place.
func TestReplace(t *testing.T) {
	t.Parallel()
	r := first(t)
	lib := filepath.Join(r.Path("1.0.0"), "llama", "lib.so.1")
	if err := os.WriteFile(lib, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err := r.Install(t.Context(), write(t, "1.0.0", serves), true); err != nil || v != "1.0.0" {
		t.Fatal(v, err)
	}
	if b, err := os.ReadFile(lib); err != nil || string(b) != "x" {
		t.Fatal(string(b), err)
	}
	if es, err := os.ReadDir(r.path(releasesDir)); err != nil || len(es) != 1 {
		t.Fatal(es, err)
	}
}
