// Package setup installs rxedge from its tarball where there is no dpkg: the release,
// the manual, the user, the settings, and our unit, each in the place that the .deb has
// for it (systemd/DESIGN.md). It takes them away again, and leaves what the box knows.
package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kardianos/service"
	"golang.org/x/sys/unix"

	"rxedge/daemon/upgrade"
	"rxedge/sync/durable"
)

// Places on a box.
const (
	releases    = "/usr/lib/rxedge"
	list        = "/usr/lib/rxedge/installed" // what was put elsewhere, a path a line
	tool        = "/usr/bin/rxedge"
	toolTarget  = "/usr/lib/rxedge/current/rxedge"
	settings    = "/etc/rxedge/rxedge.toml"
	credentials = "/etc/rxedge/credentials"
	unit        = "/etc/systemd/system/rxedged.service" // where kardianos/service puts one
	dropIns     = "/etc/systemd/system/rxedged.service.d"
	ofPackage   = "/var/lib/dpkg/info/rxedge.list"
	systemd     = "/run/systemd/system"
)

// Name of the service.
const Name = "rxedged"

// What lies in the folder of a tarball; systemd/package.sh makes it.
const (
	inRelease  = "release"
	inUnit     = "rxedged.service"
	inSettings = "rxedge.toml"
	inRoot     = "root" // what goes to the same place under /
)

// RefusedError says why this machine is not touched, and what would help.
type RefusedError struct{ Why, Fix string }

func (e *RefusedError) Error() string { return e.Why + ": " + e.Fix }

// Manager is the part of service.Service that is used.
type Manager interface {
	Install() error
	Uninstall() error
	Start() error
	Stop() error
	Restart() error
	Status() (service.Status, error)
}

// System is the machine that is installed on.
type System struct {
	// Prefix stands before each path; "": none.
	Prefix string
	// Run a program to its end; its output is in the error of one that fails.
	Run func(ctx context.Context, program string, args ...string) error
	// Manager of the service whose unit is text; Install is given it.
	Manager func(text string) (Manager, error)
	// UID that does it.
	UID int
	// Step is told what is being done; nil: nobody is.
	Step func(what string)
}

// This machine.
func This() *System {
	return &System{UID: os.Geteuid(), Manager: manager, Run: func(ctx context.Context, program string, args ...string) error {
		out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %s: %w: %.500s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}}
}

type none struct{}

func (none) Start(service.Service) error { return nil }
func (none) Stop(service.Service) error  { return nil }

func manager(text string) (Manager, error) {
	return service.New(none{}, &service.Config{Name: Name, Executable: upgradeProgram, Option: service.KeyValue{"SystemdScript": text}})
}

const upgradeProgram = "/usr/lib/rxedge/current/" + upgrade.Program

func (s *System) path(p string) string { return filepath.Join("/", s.Prefix, p) }

func (s *System) step(format string, a ...any) {
	if s.Step != nil {
		s.Step(fmt.Sprintf(format, a...))
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// allowed says why not.
func (s *System) allowed() error {
	switch {
	case s.UID != 0:
		return &RefusedError{"only root may do this", "put 'sudo' before it"}
	case !exists(s.path(systemd)):
		return &RefusedError{"this machine does not run systemd", "let its own supervisor start 'rxedge service run', which looks after releases too"}
	case exists(s.path(ofPackage)):
		return &RefusedError{"rxedge is installed here as a Debian package", "upgrade it with 'dpkg -i', or take it away first with 'dpkg -r rxedge': what the box knows stays"}
	}
	return nil
}

// Installed says what Install did.
type Installed struct {
	Version  string `json:"version"`
	First    bool   `json:"first"`    // there was none before
	Settings string `json:"settings"` // "kept" or "new"
	Running  bool   `json:"running"`
}

// Install what lies in the folder of a tarball, in the place of what is here, and
// start it. Cut off anywhere, it may be called again. The errors of a machine that
// can't have it are *RefusedError, and nothing was touched then.
func (s *System) Install(ctx context.Context, from string, start bool) (out Installed, err error) {
	if err := s.allowed(); err != nil {
		return out, err
	}
	text, err := os.ReadFile(filepath.Join(from, inUnit))
	if err != nil || len(text) == 0 || !exists(filepath.Join(from, inRelease, upgrade.Program)) {
		return out, &RefusedError{fmt.Sprintf("%s is not the folder of an rxedge tarball", from), "unpack it with 'tar -xzf', and run the 'rxedge' that lies in it, or name the folder"}
	}
	if is, err := os.Readlink(s.path(tool)); exists(s.path(tool)) && (err != nil || is != toolTarget) {
		return out, &RefusedError{tool + " is another program", "move it away"}
	}
	for _, program := range []string{"systemctl", "systemd-sysusers", "systemd-tmpfiles"} {
		if err := s.Run(ctx, program, "--version"); err != nil {
			return out, &RefusedError{program + " does not run here", "install all of systemd: " + err.Error()}
		}
	}
	out.First = !exists(s.path(unit))
	// What is made here is read by the service's user, whatever root's shell is set to.
	defer unix.Umask(unix.Umask(0o022))
	if err := s.writable(); err != nil {
		return out, err
	}

	s.step("putting files in their places")
	if err := s.putFiles(from); err != nil {
		return out, err
	}
	s.step("making the user and the folders")
	if err := s.Run(ctx, "systemd-sysusers", "rxedge.conf"); err != nil {
		return out, err
	}
	if err := s.Run(ctx, "systemd-tmpfiles", "--create", "rxedge.conf"); err != nil {
		return out, err
	}
	if err := os.MkdirAll(filepath.Dir(s.path(credentials)), 0o755); err != nil {
		return out, err
	}
	if err := os.MkdirAll(s.path(credentials), 0o700); err != nil {
		return out, err
	}
	out.Settings = "kept"
	if !exists(s.path(settings)) {
		out.Settings = "new"
		if err := s.put(filepath.Join(from, inSettings), settings, 0o644); err != nil {
			return out, err
		}
	}
	s.step("trying the release")
	root := &upgrade.Root{Dir: s.path(releases)}
	if out.Version, err = root.Install(ctx, filepath.Join(from, inRelease), true); err != nil {
		return out, err
	}
	if err := root.Use(out.Version, true); err != nil && !errors.Is(err, upgrade.ErrRuns) {
		return out, err
	}
	if err := s.linkTool(); err != nil {
		return out, err
	}
	s.step("putting in the unit")
	m, err := s.Manager(string(text))
	if err != nil {
		return out, err
	}
	if err := s.putUnit(ctx, m, text); err != nil {
		return out, err
	}
	if !start {
		return out, nil
	}
	s.step("starting release %s; it answers once it has passed its own check", out.Version)
	if err := m.Restart(); err != nil {
		return out, fmt.Errorf("the service did not come up; 'systemctl status rxedged' and 'rxedge doctor' say why: %w", err)
	}
	out.Running = true
	return out, nil
}

// writable says whether programs can be put here: some systems have /usr read-only.
func (s *System) writable() error {
	if err := os.MkdirAll(s.path(releases), 0o755); err != nil {
		return &RefusedError{fmt.Sprintf("%s can't be made (%v)", releases, err), "where /usr is read-only, unlock it, or bind a writable folder there"}
	}
	return nil
}

// putUnit lets kardianos/service put in the first one and enable it. It would leave an
// empty unit where something failed under way, and put in none where there is one.
func (s *System) putUnit(ctx context.Context, m Manager, text []byte) error {
	have, err := os.ReadFile(s.path(unit))
	switch {
	case err == nil && bytes.Equal(have, text):
		return s.Run(ctx, "systemctl", "daemon-reload")
	case err == nil:
		if err := durable.Write(s.path(unit), text); err != nil {
			return err
		}
		if err := os.Chmod(s.path(unit), 0o644); err != nil {
			return err
		}
		return s.Run(ctx, "systemctl", "daemon-reload")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	err = m.Install()
	have, rerr := os.ReadFile(s.path(unit))
	if err == nil && (rerr != nil || !bytes.Equal(have, text)) {
		err = errors.New("it is not what was put in")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the unit: %w", err), os.RemoveAll(s.path(unit)))
	}
	return nil
}

func (s *System) linkTool() error {
	if exists(s.path(tool)) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path(tool)), 0o755); err != nil {
		return err
	}
	return os.Symlink(toolTarget, s.path(tool))
}

// putFiles puts what lies under root/ in its places. What is put is written down
// before, so that it can be taken away whatever happens.
func (s *System) putFiles(from string) error {
	base := filepath.Join(from, inRoot)
	type file struct {
		path string
		mode fs.FileMode
	}
	var files []file
	var now []string
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		to := "/" + strings.TrimPrefix(strings.TrimPrefix(path, base), "/")
		if !ours(to) {
			return fmt.Errorf("%s belongs nowhere on a box", path)
		}
		files, now = append(files, file{to, fi.Mode().Perm() & 0o755}), append(now, to)
		return nil
	})
	if err != nil {
		return err
	}
	// Folders that are made for them go with them.
	for _, f := range files {
		for dir := filepath.Dir(f.path); !exists(s.path(dir)); dir = filepath.Dir(dir) {
			now = append(now, dir+"/")
		}
	}
	before := s.listed()
	for _, old := range before {
		if strings.HasSuffix(old, "/") { // made by an earlier one
			now = append(now, old)
		}
	}
	if err := s.writeList(append(slices.Clone(before), now...)); err != nil {
		return err
	}
	for _, f := range files {
		if err := s.put(filepath.Join(base, f.path), f.path, f.mode); err != nil {
			return err
		}
	}
	var gone []string
	for _, old := range before {
		if !slices.Contains(now, old) {
			gone = append(gone, old)
		}
	}
	if err := s.remove(gone); err != nil {
		return err
	}
	return s.writeList(now)
}

// ours says whether a path is a file that a tarball may bring, or with a slash at its
// end a folder that was made for one.
func ours(path string) bool {
	dir := strings.HasSuffix(path, "/")
	path = strings.TrimSuffix(path, "/")
	return path == filepath.Clean(path) && strings.HasPrefix(path, "/usr/") && (dir || strings.Contains(path, "rxedge"))
}

// listed is what was put in.
func (s *System) listed() (out []string) {
	b, _ := os.ReadFile(s.path(list))
	for _, l := range strings.Split(string(b), "\n") {
		if ours(l) {
			out = append(out, l)
		}
	}
	return out
}

func (s *System) writeList(paths []string) error {
	slices.Sort(paths)
	return durable.Write(s.path(list), []byte(strings.Join(slices.Compact(paths), "\n")+"\n"))
}

// put a file in its place, whole or not at all.
func (s *System) put(from, to string, mode fs.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path(to)), 0o755); err != nil {
		return err
	}
	if err := durable.Write(s.path(to), b); err != nil {
		return err
	}
	return os.Chmod(s.path(to), mode)
}

// remove files that were put in, then the folders of the list that are empty.
func (s *System) remove(paths []string) error {
	paths = slices.Clone(paths)
	slices.Sort(paths)
	slices.Reverse(paths) // what lies in a folder before it
	for _, path := range paths {
		err := os.Remove(s.path(path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(path, "/") {
			return err
		}
	}
	return nil
}
