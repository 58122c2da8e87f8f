// Package schema knows how a data folder is laid out: its version, how a folder of an
// earlier version becomes one of this, and the way back. See DESIGN.md.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rxedge/sync/durable"
)

// Version of the layout that this program reads and writes. A folder from before there
// was a version has 0.
const Version = 1

// fileName of the pair of files that hold a State.
const fileName = "schema"

// State of a data folder's layout.
type State struct {
	Version int `json:"version"`
	// Program that wrote the folder last in this layout: what it takes to read it.
	Program string `json:"program"`
	// Stores by name: the format of what they hold.
	Stores map[string]int `json:"stores"`
	// History of versions, the latest last.
	History []Entry `json:"history,omitempty"`
	// Changes that are under way, or of which the originals are kept, in order.
	Changes []Change `json:"changes,omitempty"`
}

// Entry of the history.
type Entry struct {
	At      time.Time `json:"at"`
	Version int       `json:"version"`
	Program string    `json:"program"`
	What    string    `json:"what"`
}

// Phases of a change. Killed in any of them, the next start goes on from there:
//
//	building ──► swapping ──► kept ──► (originals removed)
//	   │                       │
//	   └─ removed              └──► returning ──► (as it was)
//
// While building, what is there is not touched, and what was built is thrown away. From
// swapping on it goes forward; kept originals are put back by returning.
const (
	Building  = "building"
	Swapping  = "swapping"
	Kept      = "kept"
	Returning = "returning"
	Removing  = "removing"
)

// Change of a folder: parts of it that are built anew beside what is there, and then
// change places with it.
type Change struct {
	// Number names its folder.
	Number  int       `json:"number"`
	What    string    `json:"what"`
	Phase   string    `json:"phase"`
	Parts   []Part    `json:"parts"`
	Began   time.Time `json:"began"`
	Program string    `json:"program"` // that made it
	// Before and After it.
	Before Layout `json:"before"`
	After  Layout `json:"after"`
	// Confirmed: the release that made it serves, and it is not taken back any more.
	Confirmed time.Time `json:"confirmed,omitzero"`
	// Once is of a change whose originals go at once: they are not to be read again.
	Once bool `json:"once,omitempty"`
}

// Layout is what a State says of the folder.
type Layout struct {
	Version int            `json:"version"`
	Program string         `json:"program"`
	Stores  map[string]int `json:"stores"`
}

// Part of the folder: a file or a folder, by its path in there.
type Part struct {
	Path string `json:"path"`
	Had  bool   `json:"had"` // it was there before
	Has  bool   `json:"has"` // it is there after
}

// NewerError says that a data folder is of a later version than this program reads.
type NewerError struct {
	Dir  string
	What string // what is newer
	// Needs is the program that wrote it.
	Needs, Program string
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the data folder %s was written by rxedge %s: %s; this is rxedge %s. Nothing was touched. Start rxedge %s or a later one ('rxedge service use %s'), or restore a backup from before into another folder",
		e.Dir, e.Needs, e.What, e.Program, e.Needs, e.Needs)
}

// MigrationError says that a folder of an earlier version could not be brought to this
// one. It is as it was.
type MigrationError struct {
	What string
	Err  error
}

func (e *MigrationError) Error() string {
	return fmt.Sprintf("bringing the data folder to version %d (%s): %v; it is as it was, and the release before still reads it", Version, e.What, e.Err)
}

func (e *MigrationError) Unwrap() error { return e.Err }

// ErrDamaged: neither copy of the state can be read.
var ErrDamaged = errors.New("both copies of the data folder's version are damaged; restore them from a backup")

func pair(dir string) *durable.Pair { return &durable.Pair{Path: filepath.Join(dir, fileName)} }

// Read the state of a folder. One that has none is of version 0.
func Read(dir string) (*State, error) {
	s := &State{Stores: map[string]int{}}
	b, damaged, err := pair(dir).Load()
	switch {
	case errors.Is(err, durable.ErrNone) && damaged:
		return nil, fmt.Errorf("%s: %w", dir, ErrDamaged)
	case errors.Is(err, durable.ErrNone):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("reading the version of the data folder: %w", err)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, ErrDamaged)
	}
	if s.Stores == nil {
		s.Stores = map[string]int{}
	}
	for _, c := range s.Changes {
		for _, p := range c.Parts {
			if !filepath.IsLocal(p.Path) || strings.HasPrefix(p.Path, changesDir) {
				return nil, fmt.Errorf("%s: %w", dir, ErrDamaged)
			}
		}
	}
	return s, nil
}

// Put is the state of a folder that was made of something else, such as a backup.
func Put(dir string, s *State) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := pair(dir).Store(b); err != nil {
		return fmt.Errorf("writing the version of the data folder: %w", err)
	}
	return nil
}

func (s *State) layout() Layout { return Layout{s.Version, s.Program, s.Stores} }

func (s *State) set(l Layout) { s.Version, s.Program, s.Stores = l.Version, l.Program, l.Stores }

// newer says what of a layout this program does not read; "": nothing.
func newer(l Layout, version int, known map[string]Store) string {
	if l.Version > version {
		return fmt.Sprintf("its layout is version %d and this program reads up to %d", l.Version, version)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Stores)) {
		// A store that is not known is not read.
		if k, ok := known[name]; ok && l.Stores[name] > k.Format {
			return fmt.Sprintf("its store of %s is of format %d and this program reads up to %d", name, l.Stores[name], k.Format)
		}
	}
	return ""
}
