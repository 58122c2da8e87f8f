package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"rxedge/sync/durable"
)

// Names in a data folder.
const (
	workName   = ".restore" // what is being restored; gone afterwards
	commitName = "commit"
	newName    = "new"
	oldName    = "old"
	// AsideName holds what a restore took the place of, until somebody confirms it.
	AsideName = "before-restore"
	// InfoName says which backup the folder was restored from.
	InfoName = "restored.json"
	// ConfigBeside is a configuration that did not lie in the data folder of the backup.
	ConfigBeside = "rxedge.toml.restored"
)

// stays is what belongs to the folder and not to its state.
var stays = []string{"lock", "rxedged.sock", workName, AsideName, "lost+found"}

// Step hears of each step of putting a state in place, before it is done. A test that
// ends the process there sets it before.
var Step = func(string) {}

// commit is a swap that was decided on: once it is on disk it is carried through,
// however often it is cut off.
type commit struct {
	From string   `json:"from"` // folder of the new state
	To   string   `json:"to"`   // folder for the old one
	Old  []string `json:"old"`
	New  []string `json:"new"`
}

// Contents of a data folder that belong to its state, by name.
func Contents(dir string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range es {
		if !slices.Contains(stays, e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, err
}

// swap lets what lies in from take the place of the folder's state, which goes to to.
func swap(dir, from, to string) error {
	old, err := Contents(dir)
	if err != nil {
		return err
	}
	es, err := os.ReadDir(filepath.Join(dir, from))
	if err != nil {
		return err
	}
	c := commit{From: from, To: to, Old: old}
	for _, e := range es {
		c.New = append(c.New, e.Name())
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	Step("commit")
	if err := durable.Write(filepath.Join(dir, workName, commitName), text); err != nil {
		return err
	}
	_, err = Finish(dir)
	return err
}

// Finish carries through a swap that was cut off, and removes what is left of a restore
// that was cut off before; done says whether there was a swap. The caller holds the
// folder.
func Finish(dir string) (done bool, err error) {
	work := filepath.Join(dir, workName)
	text, err := os.ReadFile(filepath.Join(work, commitName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, os.RemoveAll(work)
	}
	if err != nil {
		return false, fmt.Errorf("finishing a restore: %w", err)
	}
	var c commit
	if err := json.Unmarshal(text, &c); err != nil {
		return false, fmt.Errorf("finishing a restore: %s can't be read: %w", filepath.Join(work, commitName), err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("finishing a restore, which goes on with the next start: %w", err)
		}
	}()
	to, from := filepath.Join(dir, c.To), filepath.Join(dir, c.From)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return true, err
	}
	// What is in to by its name was moved before; what then lies in dir is new.
	for _, name := range c.Old {
		if err := move(filepath.Join(dir, name), filepath.Join(to, name)); err != nil {
			return true, err
		}
	}
	for _, name := range c.New {
		if err := move(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			return true, err
		}
	}
	for _, d := range []string{to, dir} {
		if err := durable.SyncDir(d); err != nil {
			return true, err
		}
	}
	if len(c.Old) == 0 {
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
	}
	if filepath.Dir(c.From) != workName { // it was moved from whole
		if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
	}
	Step("remove the commit")
	if err := os.Remove(filepath.Join(work, commitName)); err != nil {
		return true, err
	}
	if err := durable.SyncDir(work); err != nil {
		return true, err
	}
	Step("tidy up")
	return true, os.RemoveAll(work)
}

func move(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return nil // done before
	}
	Step("move " + filepath.Base(from))
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ErrNothingAside: no restore took the place of anything, or it was confirmed.
var ErrNothingAside = errors.New("no state of before a restore is kept here")

// Kept says whether the state of before a restore is kept.
func Kept(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, AsideName))
	return err == nil
}

// Confirm removes the state of before the restore.
func Confirm(dir string) error {
	if !Kept(dir) {
		return ErrNothingAside
	}
	work := filepath.Join(dir, workName)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	// Renamed first, so that none is half there under its name.
	if err := os.Rename(filepath.Join(dir, AsideName), filepath.Join(work, oldName)); err != nil {
		return err
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// Undo puts the state of before the restore back, and removes the restored one.
func Undo(dir string) error {
	if !Kept(dir) {
		return ErrNothingAside
	}
	work := filepath.Join(dir, workName)
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	return swap(dir, AsideName, filepath.Join(workName, oldName))
}
