package setup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kardianos/service"
)

const unitText = "[Service]\nType=notify\nExecStart=/usr/lib/rxedge/current/rxedged\n"

// fakeManager is kardianos/service where there is no systemd; the real one is used in
// 'make package-test'.
type fakeManager struct {
	unit    string
	text    string
	fail    string // of which call
	started int
}

func (m *fakeManager) do(name string) error {
	if m.fail == name {
		return errors.New("no " + name)
	}
	return nil
}

// Install leaves an empty unit where it fails, as the real one does.
func (m *fakeManager) Install() error {
	text := m.text
	if m.fail == "template" {
		text = ""
	}
	if err := os.MkdirAll(filepath.Dir(m.unit), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(m.unit, []byte(text), 0o644); err != nil {
		return err
	}
	return m.do("install")
}
func (m *fakeManager) Uninstall() error                { return os.Remove(m.unit) }
func (m *fakeManager) Start() error                    { return m.do("start") }
func (m *fakeManager) Stop() error                     { return m.do("stop") }
func (m *fakeManager) Restart() error                  { m.started++; return m.do("restart") }
func (m *fakeManager) Status() (service.Status, error) { return service.StatusRunning, nil }

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// tarball of a version, with the files under root/ that are named.
func tarball(t *testing.T, version string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, inUnit), unitText, 0o644)
	write(t, filepath.Join(dir, inSettings), "# new\n", 0o644)
	write(t, filepath.Join(dir, inRelease, "rxedged"), "#!/bin/sh\ncase \"$1\" in --version) echo rxedged "+version+";; esac\n", 0o755)
	for _, f := range files {
		write(t, filepath.Join(dir, inRoot, f), version, 0o644)
	}
	return dir
}

func machine(t *testing.T) (*System, *fakeManager) {
	t.Helper()
	prefix := t.TempDir()
	for _, d := range []string{systemd, "/usr/bin", "/usr/share/man/man1"} {
		if err := os.MkdirAll(filepath.Join(prefix, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := &fakeManager{unit: filepath.Join(prefix, unit)}
	return &System{Prefix: prefix, Run: func(context.Context, string, ...string) error { return nil }, Manager: func(text string) (Manager, error) { m.text = text; return m, nil }}, m
}

func tree(t *testing.T, prefix string) (out []string) {
	t.Helper()
	if err := filepath.WalkDir(prefix, func(path string, _ os.DirEntry, err error) error {
		out = append(out, strings.TrimPrefix(path, prefix))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// Installed, upgraded to a version that brings other files, taken away: settings stay,
// no file of before does, and in the end all is as it was.
func TestLife(t *testing.T) {
	s, m := machine(t)
	before := tree(t, s.Prefix)
	page, other := "usr/share/man/man1/rxedge.1.gz", "usr/share/rxedge/firmware-profiles/x.toml"
	did, err := s.Install(t.Context(), tarball(t, "0.1.0", page, other), true)
	if err != nil || !did.First || did.Version != "0.1.0" || did.Settings != "new" || m.started != 1 {
		t.Fatal(did, err)
	}
	write(t, s.path(settings), "# mine\n", 0o644)
	next := "usr/share/fish/completions/rxedge.fish"
	if did, err = s.Install(t.Context(), tarball(t, "0.2.0", page, next), true); err != nil || did.First || did.Version != "0.2.0" || did.Settings != "kept" {
		t.Fatal(did, err)
	}
	for path, want := range map[string]string{settings: "# mine\n", "/" + page: "0.2.0", "/" + next: "0.2.0", unit: unitText, "/" + other: ""} {
		b, err := os.ReadFile(s.path(path))
		if string(b) != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q %v, want %q", path, b, err, want)
		}
	}
	if st, err := s.State(); err != nil || st.Installed != "tarball" || !st.Running {
		t.Error(st, err)
	}
	for range 2 {
		if err := s.Uninstall(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(s.path(settings)); err != nil || string(b) != "# mine\n" {
		t.Error("the settings went:", err)
	}
	if err := s.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, path := range tree(t, s.Prefix) {
		if !slices.Contains(before, path) && path != "/etc" && path != "/etc/systemd" && path != "/etc/systemd/system" && path != "/usr/lib" {
			t.Error("left:", path)
		}
	}
}

// A machine that can't have it is told why and what would help, and is not touched.
func TestRefuses(t *testing.T) {
	good := tarball(t, "0.1.0", "usr/share/man/man1/rxedge.1.gz")
	for _, c := range []struct {
		name, says string
		make       func(*System)
		from       string
	}{
		{"not root", "sudo", func(s *System) { s.UID = 1000 }, good},
		{"no systemd", "rxedge service run", func(s *System) { _ = os.RemoveAll(s.path(systemd)) }, good},
		{"the package is there", "dpkg -r rxedge", func(s *System) { write(t, s.path(ofPackage), "", 0o644) }, good},
		{"another rxedge", "move it away", func(s *System) { write(t, s.path(tool), "other", 0o755) }, good},
		{"not all of systemd", "systemd-sysusers", func(s *System) {
			s.Run = func(_ context.Context, program string, _ ...string) error {
				if program == "systemd-sysusers" {
					return errors.New("not found")
				}
				return nil
			}
		}, good},
		{"no tarball", "tar -xzf", func(*System) {}, t.TempDir()},
	} {
		s, m := machine(t)
		c.make(s)
		before := tree(t, s.Prefix)
		_, err := s.Install(t.Context(), c.from, true)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || m.started > 0 {
			t.Errorf("%s: %v", c.name, err)
		}
		if after := tree(t, s.Prefix); !slices.Equal(before, after) {
			t.Errorf("%s: it left %v", c.name, after)
		}
	}
}

// What fails under way leaves no half unit, and the next install mends it.
func TestFailsUnderWay(t *testing.T) {
	from := tarball(t, "0.1.0", "usr/share/man/man1/rxedge.1.gz")
	for _, fail := range []string{"template", "install"} {
		s, m := machine(t)
		m.fail = fail
		if _, err := s.Install(t.Context(), from, true); err == nil || m.started > 0 {
			t.Errorf("%s: %v", fail, err)
		}
		if exists(s.path(unit)) {
			t.Errorf("%s: a unit was left", fail)
		}
		m.fail = ""
		if did, err := s.Install(t.Context(), from, true); err != nil || !did.Running {
			t.Errorf("%s: again: %v", fail, err)
		}
	}
	s, m := machine(t)
	m.fail = "restart"
	if _, err := s.Install(t.Context(), from, true); err == nil || !strings.Contains(err.Error(), "systemctl status") {
		t.Error(err)
	}
}

// Neither a tarball nor a list that somebody wrote makes it touch what is not rxedge's.
func TestTouchesItsOwnAlone(t *testing.T) {
	s, _ := machine(t)
	if _, err := s.Install(t.Context(), tarball(t, "0.1.0", "etc/passwd"), true); err == nil || exists(s.path("/etc/passwd")) {
		t.Error("a tarball put a file into /etc:", err)
	}
	write(t, s.path("/usr/bin/true"), "", 0o755)
	write(t, s.path("/etc/shadow"), "", 0o600)
	write(t, s.path(list), "/usr/bin/true\n/etc/shadow\n/usr/share/../bin/rxedge-x/../true\n/usr/\n", 0o600)
	if err := s.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if !exists(s.path("/usr/bin/true")) || !exists(s.path("/etc/shadow")) {
		t.Error("it took away what is not its own")
	}
}
