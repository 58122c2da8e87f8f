package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rxedge/sync/durable"
)

// MaxStarts of a release that is not confirmed. A start that fails is told of by
// Fail and takes it back at once; these are starts of which nobody told how they
// ended, such as those that a power cut ended.
const MaxStarts = 3

// state decides; the link 'current' follows it.
//
//	Use        pending = VERSION                 link → VERSION
//	Guard      pending.starts + 1                link → what is wanted
//	Confirm    confirmed = VERSION, no pending
//	Fail       bad, no pending                   link → confirmed
type state struct {
	Confirmed string         `json:"confirmed,omitempty"`
	Previous  string         `json:"previous,omitempty"` // confirmed before it
	Pending   *pending       `json:"pending,omitempty"`
	Bad       map[string]bad `json:"bad,omitempty"`
}

type pending struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Starts  int       `json:"starts"`
}

type bad struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

func (s *state) wanted() string {
	if s.Pending != nil {
		return s.Pending.Version
	}
	return s.Confirmed
}

func (r *Root) pair() *durable.Pair { return &durable.Pair{Path: r.path(stateFile)} }

func (r *Root) load() (*state, error) {
	s := &state{}
	b, _, err := r.pair().Load()
	if errors.Is(err, durable.ErrNone) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		return nil, fmt.Errorf("the state of releases in %s: %w", r.Dir, err)
	}
	return s, nil
}

func (r *Root) store(s *state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	step("before the state")
	if err := r.pair().Store(b); err != nil {
		return fmt.Errorf("the state of releases in %s: %w", r.Dir, err)
	}
	step("after the state")
	return nil
}

// locked does what needs the state, with nobody else at it.
func (r *Root) locked(do func(*state) error) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := r.load()
	if err != nil {
		return err
	}
	return do(s)
}

// links follow the state: 'current' is what is started, 'steady' what was
// confirmed, of which guard and confirm are called.
func (r *Root) links(s *state) error {
	if err := r.link(currentLink, s.wanted()); err != nil {
		return err
	}
	steady := s.Confirmed
	if steady == "" {
		steady = s.wanted()
	}
	return r.link(steadyLink, steady)
}

// link to a release: a link beside it, renamed over it.
func (r *Root) link(name, version string) error {
	want := filepath.Join(releasesDir, version)
	if have, err := os.Readlink(r.path(name)); err == nil && have == want {
		return nil
	}
	tmp := r.path(".new-" + name)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	step("before the new link")
	if err := os.Symlink(want, tmp); err != nil {
		return err
	}
	step("before the link")
	if err := os.Rename(tmp, r.path(name)); err != nil {
		return err
	}
	step("after the link")
	return durable.SyncDir(r.Dir)
}

func (r *Root) there(version string) error {
	if !validVersion.MatchString(version) {
		return fmt.Errorf("%q: %w", version, ErrNoRelease)
	}
	if _, err := os.Stat(filepath.Join(r.Path(version), Program)); err != nil {
		return fmt.Errorf("%s: %w", version, ErrNoRelease)
	}
	return nil
}

// Use a release from the next start on. It is pending then: it has Within to be
// ready and pass the self-test, else the one that was confirmed takes its place
// again. again lets one that did not come up be tried once more.
func (r *Root) Use(version string, again bool) error {
	return r.locked(func(s *state) error {
		if err := r.there(version); err != nil {
			return err
		}
		if b, is := s.Bad[version]; is && !again {
			return fmt.Errorf("%s: %w: %s", version, ErrBad, b.Reason)
		}
		if s.Pending == nil && s.Confirmed == version {
			return fmt.Errorf("%s: %w", version, ErrRuns)
		}
		delete(s.Bad, version)
		s.Pending = &pending{Version: version, Since: r.now()}
		if s.Confirmed == version {
			s.Pending = nil // back to it, before the other was confirmed
		}
		if err := r.store(s); err != nil {
			return err
		}
		return r.links(s)
	})
}

// Start is what is to be started now.
type Start struct {
	Version string `json:"version"`
	Pending bool   `json:"pending"` // it is to be confirmed
	// FellBack says why a release was given up just now.
	FellBack string `json:"fell_back,omitempty"`
}

// Program that is started.
func (r *Root) Program(s Start) string { return filepath.Join(r.Path(s.Version), Program) }

// Guard goes before each start: it counts those of a release that is not
// confirmed, gives it up where there were too many, and makes 'current' what is
// to be started, whatever a crash has left.
func (r *Root) Guard() (out Start, err error) {
	err = r.locked(func(s *state) error {
		if p := s.Pending; p != nil {
			switch gone := r.there(p.Version); {
			case gone != nil && s.Confirmed != "":
				out.FellBack = "its files are gone"
			case p.Starts >= MaxStarts && s.Confirmed != "":
				out.FellBack = fmt.Sprintf("it was started %d times and never came up", p.Starts)
			default:
				p.Starts++
			}
			if out.FellBack != "" {
				s.giveUp(out.FellBack, r.now())
			}
			if err := r.store(s); err != nil {
				return err
			}
		}
		out.Version, out.Pending = s.wanted(), s.Pending != nil
		if out.Version == "" {
			return ErrNoRelease
		}
		if err := r.there(out.Version); err != nil {
			return err
		}
		return r.links(s)
	})
	return out, err
}

func (s *state) giveUp(reason string, now time.Time) {
	if s.Bad == nil {
		s.Bad = map[string]bad{}
	}
	s.Bad[s.Pending.Version] = bad{now, reason[:min(len(reason), 500)]}
	s.Pending = nil
}

// Confirm a release that has come up. Releases other than it and the one that
// was confirmed before are removed.
func (r *Root) Confirm(version string) error {
	return r.locked(func(s *state) error {
		if s.Pending == nil && s.Confirmed == version {
			return nil
		}
		if s.Pending == nil || s.Pending.Version != version {
			return fmt.Errorf("%s is not pending: %w", version, ErrNoRelease)
		}
		s.Previous, s.Confirmed, s.Pending = s.Confirmed, version, nil
		if err := r.store(s); err != nil {
			return err
		}
		if err := r.links(s); err != nil {
			return err
		}
		names, err := r.names()
		if err != nil {
			return err
		}
		for _, n := range names {
			if n != s.Confirmed && n != s.Previous {
				step("before a removal")
				if err := os.RemoveAll(r.Path(n)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Fail says that a pending release did not come up: the one that was confirmed
// takes its place. It does nothing where the release is not pending. The error is
// ErrNothing where none was ever confirmed; it stays pending then.
func (r *Root) Fail(version, reason string) error {
	return r.locked(func(s *state) error {
		if s.Pending == nil || s.Pending.Version != version {
			return nil
		}
		if s.Confirmed == "" {
			return ErrNothing
		}
		s.giveUp(reason, r.now())
		if err := r.store(s); err != nil {
			return err
		}
		return r.links(s)
	})
}

// OnTrial says whether the program at exe lies in a folder of releases and is of one
// that is not confirmed yet. It reads the links alone, which anybody may.
func OnTrial(exe string) bool {
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	release := filepath.Dir(exe)
	dir := filepath.Dir(filepath.Dir(release))
	of := func(name string) string {
		target, _ := os.Readlink(filepath.Join(dir, name))
		return filepath.Base(target)
	}
	steady := of(steadyLink)
	return filepath.Base(filepath.Dir(release)) == releasesDir && of(currentLink) == filepath.Base(release) && steady != filepath.Base(release)
}
