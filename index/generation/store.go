package generation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// ErrLocked: another process has the store open.
var ErrLocked = errors.New("another process has it open")

const (
	currentName    = "CURRENT"
	lockName       = "LOCK"
	buildingSuffix = ".building"
	removedSuffix  = ".removed"
	folderPrefix   = "gen-"
)

// Store is the folder of generations with its pointer to the one that serves.
type Store struct {
	dir  string
	lock *os.File
	now  func() time.Time
	// Room is asked during a build, whether it may go on; nil: it may.
	Room func() error
}

// OpenStore opens or makes the folder, locks it against other processes and
// removes what a crash left half-built. The error is ErrLocked where another
// process has it open.
func OpenStore(dir string, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for wait := 5 * time.Millisecond; errors.Is(err, unix.EWOULDBLOCK) && wait < 300*time.Millisecond; wait *= 2 {
		time.Sleep(wait) // a child that is being forked may hold a copy of one that was just given up
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	s := &Store{dir: dir, lock: lock, now: now}
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.Close()
		return nil, err
	}
	for _, e := range entries {
		n := e.Name()
		if strings.HasSuffix(n, buildingSuffix) || strings.HasSuffix(n, removedSuffix) || n == currentName+".tmp" {
			if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
				s.Close()
				return nil, err
			}
		}
	}
	return s, nil
}

// Close lets another process open the store.
func (s *Store) Close() error { return s.lock.Close() }

// Dir of a generation.
func (s *Store) Dir(name string) string { return filepath.Join(s.dir, name) }

func folderName(n uint64) string { return fmt.Sprintf("%s%06d", folderPrefix, n) }

func folderNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, folderPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && folderName(n) == name
}

// Names of the sealed generations, newest first.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		if n, ok := folderNumber(e.Name()); ok && e.IsDir() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	slices.Reverse(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = folderName(n)
	}
	return names, nil
}

func (s *Store) nextNumber() (uint64, error) {
	names, err := s.Names()
	if err != nil || len(names) == 0 {
		return 0, err
	}
	n, _ := folderNumber(names[0])
	return n + 1, nil
}

// Current is the generation that CURRENT names; "" where there is no CURRENT
// yet. A CURRENT that can't be trusted is a *DamageError.
func (s *Store) Current() (string, error) { return CurrentOf(s.dir) }

// CurrentOf is Current of a folder that need not be taken.
func CurrentOf(dir string) (string, error) {
	path := filepath.Join(dir, currentName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(strings.TrimSuffix(string(raw), "\n"), " ")
	if _, ok := folderNumber(name); !ok || string(raw) != currentLine(name) {
		return "", damaged(path, "it names no generation")
	}
	return name, nil
}

// currentLine guards the name by a checksum: one flipped digit would name
// another generation.
func currentLine(name string) string {
	return fmt.Sprintf("%s %016x\n", name, xxhash.Sum64String(name))
}

// SetCurrent lets another generation serve: the switch is whole or not at all,
// and on disk when it returns.
func (s *Store) SetCurrent(name string) error {
	return writeFileSynced(filepath.Join(s.dir, currentName), []byte(currentLine(name)))
}

// Infos of the sealed generations, newest first; one whose manifest can't be
// read has Fault set.
func (s *Store) Infos() ([]Info, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	current, err := s.Current()
	if err != nil {
		current = ""
	}
	out := make([]Info, 0, len(names))
	for _, name := range names {
		m, err := readManifest(s.Dir(name))
		if err != nil {
			n, _ := folderNumber(name)
			m.Info = Info{Number: n, Name: name, Bytes: dirSize(s.Dir(name)), Fault: err.Error()}
		} else if why := Marked(s.Dir(name)); why != "" {
			m.Fault = why
		}
		m.Current = name == current
		m.Candidate = !m.Current && s.IsCandidate(name)
		out = append(out, m.Info)
	}
	return out, nil
}

// Remove a generation from disk. It is renamed first, so that a crash leaves
// none half-removed under its name.
func (s *Store) Remove(name string) error {
	if _, ok := folderNumber(name); !ok {
		return fmt.Errorf("%q is no generation", name)
	}
	gone := s.Dir(name) + removedSuffix
	if err := os.Rename(s.Dir(name), gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// Prune removes what Rollback could not reach: it keeps the current generation
// and those it descends from, keep in all, and those that are busy.
func (s *Store) Prune(current string, keep int, busy func(name string) bool) (removed []string, err error) {
	names, err := s.Surplus(current, keep, busy)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := s.Remove(name); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// Used is what the store takes on disk, in bytes.
func (s *Store) Used() int64 { return diskSize(s.dir) }

// Surplus is what Prune would remove.
func (s *Store) Surplus(current string, keep int, busy func(name string) bool) (surplus []string, err error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{current: true}
	for name := current; len(kept) < keep; {
		m, err := readManifest(s.Dir(name))
		if err != nil || m.Parent == "" || kept[m.Parent] {
			break
		}
		name = m.Parent
		kept[name] = true
	}
	for _, name := range names {
		if !kept[name] && !busy(name) {
			surplus = append(surplus, name)
		}
	}
	return surplus, nil
}
