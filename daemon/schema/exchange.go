package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"rxedge/sync/durable"
)

// changesDir holds a folder for each change, with what was built (new), what was there
// before (old), and what was there when the change was taken back (gone).
const changesDir = "changes"

// Step is called before and after each step of a change. A test that ends the process
// there sets it before anything is changed.
var Step = func(string) {}

// folder is an open data folder of which the caller holds the lock.
type folder struct {
	dir   string
	state *State
	now   func() time.Time
}

func (f *folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

func (f *folder) change(c *Change, parts ...string) string {
	return f.path(append([]string{changesDir, strconv.Itoa(c.Number)}, parts...)...)
}

// store the state: it decides, and what lies in the folder follows it.
func (f *folder) store() error {
	b, err := json.Marshal(f.state)
	if err != nil {
		return err
	}
	Step("before the state")
	if err := pair(f.dir).Store(b); err != nil {
		return fmt.Errorf("writing down the version of the data folder: %w", err)
	}
	Step("after the state")
	return nil
}

// exchange builds parts of the folder anew and puts them in the place of what is there.
// build writes each part that is there afterwards under to; what it does not write is
// removed. Killed before the swap everything is as it was, after it everything is new.
func (f *folder) exchange(c Change, parts []string, build func(to string) error) error {
	c.Phase, c.Began, c.Before = Building, f.now().UTC(), f.state.layout()
	for _, p := range parts {
		c.Parts = append(c.Parts, Part{Path: p, Had: exists(f.path(p))})
	}
	f.state.Changes = append(f.state.Changes, c)
	at := &f.state.Changes[len(f.state.Changes)-1]
	undo := func(err error) error {
		f.state.Changes = f.state.Changes[:len(f.state.Changes)-1]
		return errors.Join(err, f.store(), f.sweep())
	}
	if err := f.store(); err != nil {
		return undo(err)
	}
	if err := os.RemoveAll(f.change(at)); err != nil {
		return undo(err)
	}
	to := f.change(at, "new")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return undo(err)
	}
	Step("before it is built")
	if err := build(to); err != nil {
		return undo(err)
	}
	Step("after it is built")
	for i := range at.Parts {
		at.Parts[i].Has = exists(filepath.Join(to, at.Parts[i].Path))
	}
	if err := syncTree(to); err != nil {
		return undo(err)
	}
	if err := durable.SyncDir(f.path(changesDir)); err != nil {
		return undo(err)
	}
	at.Phase = Swapping
	if err := f.store(); err != nil {
		at.Phase = Building
		return undo(err)
	}
	return f.swap(at)
}

// swap goes on from wherever it was.
func (f *folder) swap(c *Change) error {
	for _, p := range c.Parts {
		here, was, will := f.path(p.Path), f.change(c, "old", p.Path), f.change(c, "new", p.Path)
		// What is new is still to come, or nothing is to come and the old is still there.
		if pending := exists(will) || !p.Has && p.Had && !exists(was); !pending {
			continue
		}
		if p.Had && !exists(was) {
			if err := move(here, was); err != nil {
				return err
			}
		}
		if p.Has {
			if err := move(will, here); err != nil {
				return err
			}
		}
	}
	c.Phase = Kept
	if c.Once {
		c.Phase = Removing
	}
	f.state.set(c.After)
	f.state.History = append(f.state.History, Entry{f.now().UTC(), c.After.Version, c.After.Program, c.What})
	if n := len(f.state.History); n > historyKept {
		f.state.History = f.state.History[n-historyKept:]
	}
	return f.store()
}

// historyKept is how many steps a folder remembers.
const historyKept = 100

// takeBack puts what was before in the place of what came of the latest change. What is
// there now stays in its folder, for it may hold what was said since.
func (f *folder) takeBack() error {
	c := &f.state.Changes[len(f.state.Changes)-1]
	if c.Phase != Returning {
		c.Phase = Returning
		if err := f.store(); err != nil {
			return err
		}
	}
	for _, p := range c.Parts {
		here, was, gone := f.path(p.Path), f.change(c, "old", p.Path), f.change(c, "gone", p.Path)
		// What was not there before goes, though it came after the change.
		if pending := exists(was) || !p.Had && exists(here) && !exists(gone); !pending {
			continue
		}
		if exists(here) && !exists(gone) {
			if err := move(here, gone); err != nil {
				return err
			}
		}
		if p.Had {
			if err := move(was, here); err != nil {
				return err
			}
		}
	}
	// Under a name of its own, or the next change of that number would clear it.
	if gone := f.change(c, "gone"); exists(gone) {
		aside := f.path(takenBack, strconv.Itoa(c.Number))
		if err := os.RemoveAll(aside); err != nil {
			return err
		}
		if err := move(gone, aside); err != nil {
			return err
		}
	}
	f.state.set(c.Before)
	f.state.History = append(f.state.History, Entry{f.now().UTC(), c.Before.Version, c.Before.Program, "taken back: " + c.What})
	f.state.Changes = f.state.Changes[:len(f.state.Changes)-1]
	if err := f.store(); err != nil {
		return err
	}
	return f.sweep()
}

// takenBack is what a later release left that was given up.
const takenBack = "taken-back"

// recover ends what a kill or a power cut interrupted.
func (f *folder) recover() error {
	for n := len(f.state.Changes); n > 0; n-- {
		c := &f.state.Changes[n-1]
		var err error
		switch c.Phase {
		case Building:
			f.state.Changes = f.state.Changes[:n-1]
			err = f.store()
		case Swapping:
			err = f.swap(c)
		case Returning:
			err = f.takeBack()
		case Removing, Kept:
		default:
			err = fmt.Errorf("%s: %w", f.dir, ErrDamaged)
		}
		if err != nil {
			return err
		}
	}
	return f.drop(func(c *Change) bool { return c.Phase == Removing })
}

// drop the originals of changes. What is half removed is never taken for whole.
func (f *folder) drop(which func(*Change) bool) error {
	marked, removing := false, false
	for i := range f.state.Changes {
		if c := &f.state.Changes[i]; which(c) {
			removing = true
			if c.Phase != Removing {
				c.Phase, marked = Removing, true
			}
		}
	}
	if marked {
		if err := f.store(); err != nil {
			return err
		}
	}
	if !removing {
		return f.sweep()
	}
	for i := range f.state.Changes {
		if c := &f.state.Changes[i]; c.Phase == Removing {
			Step("before originals are removed")
			if err := os.RemoveAll(f.change(c)); err != nil {
				return err
			}
			Step("after originals are removed")
		}
	}
	f.state.Changes = slices.DeleteFunc(f.state.Changes, func(c Change) bool { return c.Phase == Removing })
	if err := f.store(); err != nil {
		return err
	}
	return f.sweep()
}

// sweep folders of changes that nothing names.
func (f *folder) sweep() error {
	entries, err := os.ReadDir(f.path(changesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, c := range f.state.Changes {
		known[strconv.Itoa(c.Number)] = true
	}
	for _, e := range entries {
		if known[e.Name()] {
			continue
		}
		Step("before a sweep")
		if err := os.RemoveAll(f.path(changesDir, e.Name())); err != nil {
			return err
		}
	}
	if len(known) == 0 {
		return os.Remove(f.path(changesDir))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// move a file or folder, on disk when it returns.
func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	Step("before a move")
	if err := os.Rename(from, to); err != nil {
		return err
	}
	Step("after a move")
	return errors.Join(durable.SyncDir(filepath.Dir(to)), durable.SyncDir(filepath.Dir(from)))
}

// syncTree brings all of a folder to the disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() && !d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// Copy a file or folder. Tables of a store never change once they are written, so they
// are linked; all else is copied. What is not there is not an error.
func Copy(from, to string) error {
	if !exists(from) {
		return nil
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(dst, info.Mode().Perm())
		case !d.Type().IsRegular():
			return nil // a socket, a link of somebody's
		case strings.HasSuffix(path, ".sst") && os.Link(path, dst) == nil:
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(dst), 0o700); err != nil {
			return err
		}
		Step("before a file")
		return copyFile(path, dst, info.Mode().Perm())
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
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Size in bytes on disk of files and folders, those that are missing left out.
func Size(paths ...string) (n int64) {
	for _, p := range paths {
		_ = filepath.WalkDir(p, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					n += info.Size()
				}
			}
			return nil
		})
	}
	return n
}
