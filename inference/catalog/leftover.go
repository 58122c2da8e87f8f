package catalog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Leftover is a file or a folder that no entry needs: of an import, a conversion or a
// pull that did not come to its end.
type Leftover struct {
	Name  string    `json:"name"` // below the catalog's folder
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"` // when it was last written
}

// Leftovers of the catalog. While something is imported there are none.
func (c *Catalog) Leftovers() ([]Leftover, error) {
	unlock, err := c.tryLock()
	if unlock == nil || err != nil {
		return nil, err
	}
	defer unlock()
	return c.leftovers()
}

// RemoveLeftover removes one that Leftovers named, where it is one still.
func (c *Catalog) RemoveLeftover(name string) error {
	unlock, err := c.tryLock()
	if unlock == nil || err != nil {
		return err
	}
	defer unlock()
	all, err := c.leftovers()
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Name == name {
			if pull, ok := strings.CutPrefix(name, "pull"+string(filepath.Separator)); ok {
				unlock, err := lockPull(filepath.Join(c.pulls(), pull))
				if err != nil {
					return nil // it is gone on with
				}
				defer unlock()
			}
			return os.RemoveAll(filepath.Join(c.dir, name))
		}
	}
	return nil
}

// Used remembers that a model is: it is not among those that nothing needs.
func (c *Catalog) Used(e Entry) {
	path := c.entryPath(e.Name)
	if fi, err := os.Stat(path); err == nil && c.now().Sub(fi.ModTime()).Abs() > time.Hour {
		_ = os.Chtimes(path, c.now(), c.now())
	}
}

// LastUsed is when the model was imported or used last, to an hour.
func (c *Catalog) LastUsed(e Entry) time.Time {
	if fi, err := os.Stat(c.entryPath(e.Name)); err == nil && fi.ModTime().After(e.ImportedAt) {
		return fi.ModTime()
	}
	return e.ImportedAt
}

// tryLock does not wait; unlock is nil where somebody else has the lock.
func (c *Catalog) tryLock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// leftovers with the lock held.
func (c *Catalog) leftovers() ([]Leftover, error) {
	entries, unreadable := c.List()
	used := map[string]bool{}
	for _, e := range entries {
		used[filepath.Base(c.Path(e))] = true
	}
	var out []Leftover
	see := func(dir string, left func(name string) bool) error {
		files, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, f := range files {
			if !left(f.Name()) {
				continue
			}
			path := filepath.Join(dir, f.Name())
			rel, err := filepath.Rel(c.dir, path)
			if err != nil {
				return err
			}
			l := Leftover{Name: rel}
			_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
				if err != nil {
					return nil
				}
				if fi, err := d.Info(); err == nil {
					if !d.IsDir() {
						l.Bytes += fi.Size()
					}
					if fi.ModTime().After(l.At) {
						l.At = fi.ModTime()
					}
				}
				return nil
			})
			out = append(out, l)
		}
		return nil
	}
	temporary := func(name string) bool { return strings.HasPrefix(name, temporaryPrefix) }
	return out, errors.Join(
		see(c.entries(), temporary),
		see(c.blobs(), func(name string) bool {
			// Beside an entry that can't be read any blob may be its own.
			return temporary(name) || unreadable == nil && strings.HasSuffix(name, ".gguf") && !used[name]
		}),
		see(c.conversions(), func(string) bool { return true }),
		see(c.pulls(), func(name string) bool { return !strings.HasSuffix(name, ".lock") && !c.pulling(name) }),
	)
}

func (c *Catalog) pulls() string { return filepath.Join(c.dir, "pull") }

// pulling says whether somebody has the folder of a pull.
func (c *Catalog) pulling(name string) bool {
	unlock, err := lockPull(filepath.Join(c.pulls(), name))
	if err != nil {
		return true
	}
	unlock()
	return false
}
