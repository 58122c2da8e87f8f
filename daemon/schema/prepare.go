package schema

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Store of the folder, and the format that this program reads and writes.
type Store struct {
	Path   string // in the data folder
	Format int
}

// Migration brings a folder to a version from the one before.
type Migration struct {
	To   int
	What string // it does, for people
	// Parts of the folder that it may change, by their paths.
	Parts []string
	// Needed says whether there is anything to do in the folder. Nil: always.
	Needed func(dir string) (bool, error)
	// Build writes under to what the parts are afterwards, from what they are in dir,
	// of which it changes nothing. Killed, it is begun anew in an empty to.
	Build func(ctx context.Context, dir, to string) error
}

// Options of Prepare.
type Options struct {
	Program string           // version of this program
	Stores  map[string]Store // those that there are
	// Free says how many bytes are free where the folder lies; nil: they are enough.
	Free func(dir string) uint64
	Log  *slog.Logger
	Now  func() time.Time // nil: time.Now

	migrations []Migration // of a test
	version    int         // of a test; 0: Version
}

// roomBeyond what a change is expected to take.
const roomBeyond = 64 << 20

// ErrNoRoom: what is changed does not fit on the disk beside what there is.
var ErrNoRoom = errors.New("the disk has too little room for it")

// Schema is that of an open data folder, of which the caller holds the lock. Not safe
// for concurrent use.
type Schema struct {
	f   folder
	opt Options
	// took says what was done when the folder was prepared; "": nothing.
	took string
	// bytes of the originals of changes, by their number.
	bytes map[int]int64
}

// Prepare makes a data folder one that this program can open: it ends what was
// interrupted, takes back what a later release did that was given up, and brings an
// earlier layout to this one, with the originals kept. The error is a *NewerError where
// the folder is of a later version that can't be taken back, and a *MigrationError where
// it could not be changed; it is as it was then.
func Prepare(ctx context.Context, dir string, opt Options) (*Schema, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.migrations == nil {
		opt.migrations = migrations
	}
	if opt.version == 0 {
		opt.version = Version
	}
	state, err := Read(dir)
	if err != nil {
		return nil, err
	}
	s := &Schema{f: folder{dir: dir, state: state, now: opt.Now}, opt: opt, bytes: map[int]int64{}}
	if s.f.state.Version == 0 && len(s.f.state.Changes) == 0 && s.empty() {
		s.f.state.set(s.mine())
		return s, s.f.store()
	}
	if err := s.f.recover(); err != nil {
		return nil, fmt.Errorf("ending a change of the data folder that was interrupted: %w", err)
	}
	if err := s.takeBack(); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// mine is the layout of this program.
func (s *Schema) mine() Layout {
	l := Layout{s.opt.version, s.opt.Program, map[string]int{}}
	for n, st := range s.opt.Stores {
		l.Stores[n] = st.Format
	}
	return l
}

// empty says that nothing was ever kept here.
func (s *Schema) empty() bool {
	entries, err := os.ReadDir(s.f.dir)
	return err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.IsDir() })
}

// takeBack what a later release changed that was never confirmed, where this one can
// read what was before.
func (s *Schema) takeBack() error {
	st := s.f.state
	what := newer(st.layout(), s.opt.version, s.opt.Stores)
	if what == "" {
		return nil
	}
	refused := &NewerError{Dir: s.f.dir, What: what, Needs: st.Program, Program: s.opt.Program}
	reads := slices.IndexFunc(st.Changes, func(c Change) bool { return newer(c.Before, s.opt.version, s.opt.Stores) == "" })
	if reads < 0 {
		return refused
	}
	for _, c := range st.Changes[reads:] {
		if c.Phase != Kept && c.Phase != Returning || !c.Confirmed.IsZero() {
			return refused
		}
	}
	by := st.Program
	for len(st.Changes) > reads {
		if err := s.f.takeBack(); err != nil {
			return fmt.Errorf("taking back what rxedge %s changed: %w", by, err)
		}
	}
	s.took = fmt.Sprintf("what rxedge %s had changed was taken back, as that release was given up; what it left lies in %s", by, takenBack)
	s.opt.Log.Warn("the data folder was changed by a release that was given up, and is taken back", "by", by, "version", st.Version)
	return nil
}

// migrate to this version, one step after the other, and copy stores whose format is
// another.
func (s *Schema) migrate(ctx context.Context) (err error) {
	st, began := s.f.state, len(s.f.state.Changes)
	what := ""
	defer func() {
		if err == nil {
			return
		}
		err = &MigrationError{what, err}
		for len(st.Changes) > began {
			if back := s.f.takeBack(); back != nil {
				err = errors.Join(err, back)
				return
			}
		}
	}()
	for _, m := range s.opt.migrations {
		if m.To <= st.Version {
			continue
		}
		what = m.What
		after := Layout{m.To, s.opt.Program, maps.Clone(st.Stores)}
		for n, store := range s.opt.Stores {
			if slices.Contains(m.Parts, store.Path) {
				after.Stores[n] = store.Format
			}
		}
		needed := true
		if m.Needed != nil {
			if needed, err = m.Needed(s.f.dir); err != nil {
				return err
			}
		}
		if !needed {
			st.set(after)
			continue // it is written down with what follows
		}
		if err := s.change(ctx, m.What, after, m.Parts, m.Build); err != nil {
			return err
		}
	}
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(s.opt.Stores)) {
		if was, ok := st.Stores[n]; ok && was < s.opt.Stores[n].Format {
			parts = append(parts, s.opt.Stores[n].Path)
		}
	}
	if len(parts) > 0 {
		what = "stores are written in another format: " + strings.Join(parts, ", ")
		if err := s.change(ctx, what, s.mine(), parts, func(_ context.Context, dir, to string) error {
			for _, p := range parts {
				if err := Copy(filepath.Join(dir, p), filepath.Join(to, p)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if mine := s.mine(); st.Version != mine.Version || st.Program != mine.Program || !maps.Equal(st.Stores, mine.Stores) {
		what = "writing down the version"
		st.set(mine)
		return s.f.store()
	}
	return nil
}

func (s *Schema) change(ctx context.Context, what string, after Layout, parts []string, build func(ctx context.Context, dir, to string) error) error {
	s.opt.Log.Info("the data folder is changed; what is there stays until the next start that is clean", "what", what, "to_version", after.Version)
	number := 1
	for _, c := range s.f.state.Changes {
		number = max(number, c.Number+1)
	}
	return s.exchange(ctx, Change{Number: number, What: what, Program: s.opt.Program, After: after}, parts, build)
}

func (s *Schema) exchange(ctx context.Context, c Change, parts []string, build func(ctx context.Context, dir, to string) error) error {
	began := time.Now()
	if s.opt.Free != nil {
		paths := make([]string, len(parts))
		for i, p := range parts {
			paths[i] = s.f.path(p)
		}
		need := uint64(Size(paths...)) + roomBeyond
		if free := s.opt.Free(s.f.dir); free < need {
			return fmt.Errorf("%w: %d MB are needed and %d MB are free", ErrNoRoom, need/1e6, free/1e6)
		}
	}
	err := s.f.exchange(c, parts, func(to string) error { return build(ctx, s.f.dir, to) })
	if err != nil {
		return err
	}
	s.opt.Log.Info("the data folder is changed", "what", c.What, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// Replace parts of the folder by what build makes of them, once and for all: what was
// there before is removed. It is refused while originals of a migration are kept that
// may still be taken back; others go.
func (s *Schema) Replace(ctx context.Context, what string, parts []string, build func(ctx context.Context, dir, to string) error) error {
	if slices.ContainsFunc(s.f.state.Changes, func(c Change) bool { return c.Confirmed.IsZero() }) {
		return ErrKept
	}
	if err := s.f.drop(func(*Change) bool { return true }); err != nil {
		return err
	}
	if err := s.exchange(ctx, Change{Number: 1, What: what, Program: s.opt.Program, After: s.f.state.layout(), Once: true}, parts, build); err != nil {
		return err
	}
	return s.f.drop(func(c *Change) bool { return c.Once })
}

// ErrKept: the folder was migrated by a release that is not confirmed yet.
var ErrKept = errors.New("the data folder was just changed by an upgrade, which may still be taken back: start the service once, and try again")

// Confirm says that this program serves and stays: what it changed is not taken back
// any more. clean: the stop before was a clean one, so that originals of changes that
// were confirmed before this start go.
func (s *Schema) Confirm(clean bool) error {
	if clean {
		if err := s.f.drop(func(c *Change) bool { return !c.Confirmed.IsZero() }); err != nil {
			return fmt.Errorf("removing the originals of what was changed: %w", err)
		}
	}
	now := s.opt.Now().UTC()
	confirmed := false
	for i := range s.f.state.Changes {
		if c := &s.f.state.Changes[i]; c.Confirmed.IsZero() {
			c.Confirmed, confirmed = now, true
		}
	}
	if !confirmed {
		return nil
	}
	return errors.Join(s.f.store(), os.RemoveAll(s.f.path(takenBack)))
}

// Report on a folder's layout, for people.
type Report struct {
	Version int            `json:"version"`
	Program string         `json:"program"`
	Stores  map[string]int `json:"stores"`
	// Kept originals of what was changed, and how many bytes they take.
	Kept []KeptChange `json:"kept,omitempty"`
	// Note says what was done at this start; "": nothing.
	Note string `json:"note,omitempty"`
}

// KeptChange is a change of which the originals lie in the folder.
type KeptChange struct {
	What      string    `json:"what"`
	At        time.Time `json:"at"`
	Bytes     int64     `json:"bytes"`
	Confirmed bool      `json:"confirmed"`
}

// Report of now.
func (s *Schema) Report() Report {
	st := s.f.state
	r := Report{Version: st.Version, Program: st.Program, Stores: st.Stores, Note: s.took}
	for i := range st.Changes {
		c := &st.Changes[i]
		n, known := s.bytes[c.Number]
		if !known { // they do not change
			n = Size(s.f.change(c, "old"))
			s.bytes[c.Number] = n
		}
		r.Kept = append(r.Kept, KeptChange{c.What, c.Began, n, !c.Confirmed.IsZero()})
	}
	return r
}
