// Package upgrade changes the daemon's own release, and goes back by itself where
// the new one does not come up. See DESIGN.md.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/sync/durable"
)

// Root is a folder of releases. Safe for concurrent use, by processes too.
type Root struct {
	Dir string
	Now func() time.Time // nil: time.Now
}

// Within is how long a new release has to be ready and pass the self-test.
const Within = time.Minute

// Names in the folder.
const (
	releasesDir = "releases"
	currentLink = "current"
	steadyLink  = "steady"
	stateFile   = "state"
	lockFile    = "lock"
)

// Program of a release.
const Program = "rxedged"

var (
	// ErrNoRelease: there is no such release in the folder.
	ErrNoRelease = errors.New("there is no such release here; 'rxedge service releases' shows those there are")
	// ErrExists: it is there already.
	ErrExists = errors.New("that release is here already; 'rxedge service use' starts it")
	// ErrNothing: no release to go back to.
	ErrNothing = errors.New("there is no release that was confirmed, so none to go back to")
	// ErrBad: it did not come up before.
	ErrBad = errors.New("that release did not come up before")
	// ErrRuns: it is what runs.
	ErrRuns = errors.New("that release is the one that runs")
)

var validVersion = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6}){1,3}([-+][0-9A-Za-z.-]{1,40})?$`)

// step is where a test ends the process.
var step = func(string) {}

func (r *Root) now() time.Time {
	if r.Now != nil {
		return r.Now().UTC()
	}
	return time.Now().UTC()
}

func (r *Root) path(parts ...string) string {
	return filepath.Join(append([]string{r.Dir}, parts...)...)
}

// Path of a release's folder.
func (r *Root) Path(version string) string { return r.path(releasesDir, version) }

func (r *Root) lock() (func(), error) {
	if err := os.MkdirAll(r.path(releasesDir), 0o755); err != nil {
		return nil, err
	}
	l, err := os.OpenFile(r.path(lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX); err != nil {
		_ = l.Close()
		return nil, err
	}
	return func() { _ = l.Close() }, nil
}

// Install copies a folder that holds a release (rxedged, rxedge, llama/) to
// where releases lie, and runs its self-test there. Nothing is changed for what
// runs. It returns the release's version, as its rxedged says. replace: one of that
// version that is here already gives way to it.
func (r *Root) Install(ctx context.Context, from string, replace bool) (version string, err error) {
	unlock, err := r.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := r.sweep(); err != nil {
		return "", err
	}
	step("before the copy")
	tmp, err := os.MkdirTemp(r.path(releasesDir), ".new-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := copyTree(from, tmp); err != nil {
		return "", fmt.Errorf("copying the release: %w", err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	program := filepath.Join(tmp, Program)
	out, err := output(ctx, 20*time.Second, program, "--version")
	if err != nil {
		return "", fmt.Errorf("the release's %s does not run: %w", Program, err)
	}
	version = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(out), Program))
	if !validVersion.MatchString(version) {
		return "", fmt.Errorf("the release's %s says that it is of version %.60q, which is none", Program, version)
	}
	_, err = os.Stat(r.Path(version))
	here := err == nil
	if here && !replace {
		return version, fmt.Errorf("%s: %w", version, ErrExists)
	}
	if out, err := output(ctx, Within, program, "--self-test"); err != nil {
		return version, fmt.Errorf("the self-test of release %s failed; nothing was changed: %w: %.500s", version, err, strings.TrimSpace(out))
	}
	step("before the release")
	if here {
		// They change places at once; what was here goes with the temporary folder.
		err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, r.Path(version), unix.RENAME_EXCHANGE)
	} else {
		err = os.Rename(tmp, r.Path(version))
	}
	if err != nil {
		return version, err
	}
	step("after the release")
	return version, durable.SyncDir(r.path(releasesDir))
}

func output(ctx context.Context, within time.Duration, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	b, err := []byte(nil), error(syscall.ETXTBSY)
	// Another process that is just starting a child may hold what was written open.
	for try := 0; errors.Is(err, syscall.ETXTBSY) && try < 50; try++ {
		c := exec.CommandContext(ctx, program, args...)
		c.WaitDelay = 5 * time.Second
		if b, err = c.CombinedOutput(); errors.Is(err, syscall.ETXTBSY) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("it did not end within %v", within)
	}
	return string(b), err
}

// sweep removes what was left half copied.
func (r *Root) sweep() error {
	es, err := os.ReadDir(r.path(releasesDir))
	if err != nil {
		return err
	}
	for _, e := range es {
		if strings.HasPrefix(e.Name(), ".") {
			step("before what was half copied is removed")
			if err := os.RemoveAll(r.Path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTree copies folders, files and links that stay inside, all synced.
func copyTree(from, to string) error {
	if fi, err := os.Stat(filepath.Join(from, Program)); err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o100 == 0 {
		return fmt.Errorf("%s holds no program %s", from, Program)
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		dst := filepath.Join(to, rel)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.Mkdir(dst, 0o755)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if !filepath.IsLocal(filepath.Join(filepath.Dir(rel), target)) || filepath.IsAbs(target) {
				return fmt.Errorf("%s leads out of the release", rel)
			}
			step("before a link of the release")
			return os.Symlink(target, dst)
		case d.Type().IsRegular():
			return copyFile(path, dst, fi.Mode().Perm()&0o755)
		}
		return fmt.Errorf("%s is no file", rel)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	step("before a file")
	_, err = io.Copy(out, in)
	if err == nil {
		step("before a file's sync")
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// Release in the folder.
type Release struct {
	Version   string `json:"version"`
	Confirmed bool   `json:"confirmed,omitempty"` // what is started
	Pending   bool   `json:"pending,omitempty"`   // is started, and not confirmed yet
	Previous  bool   `json:"previous,omitempty"`  // was confirmed before
	Bad       string `json:"bad,omitempty"`       // why it did not come up
}

// Releases in the folder, by name.
func (r *Root) Releases() ([]Release, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	out := []Release{}
	for _, n := range names {
		out = append(out, Release{Version: n, Confirmed: n == s.Confirmed, Pending: s.Pending != nil && n == s.Pending.Version, Previous: n == s.Previous, Bad: s.Bad[n].Reason})
	}
	return out, nil
}

func (r *Root) names() ([]string, error) {
	es, err := os.ReadDir(r.path(releasesDir))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range es {
		if e.IsDir() && validVersion.MatchString(e.Name()) {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}
