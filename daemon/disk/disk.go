// Package disk says what takes room in the data folder, by kind, and how much each kind
// may take. It looks at files and knows nothing of what is in them; DESIGN.md says what
// gives way for what.
package disk

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind of what lies in the data folder.
type Kind string

// Kinds.
const (
	Index      Kind = "index"
	Models     Kind = "models"
	Bundles    Kind = "bundles" // what came from the centre, and is kept for the next
	Spool      Kind = "spool"
	Caches     Kind = "caches"
	Telemetry  Kind = "telemetry" // with the suite's runs
	Feedback   Kind = "feedback"
	Rollouts   Kind = "rollouts"   // the journal, adapters, profiles
	Quarantine Kind = "quarantine" // documents that could not be read
	Logs       Kind = "logs"
	Aside      Kind = "aside"   // copies of what was damaged
	Backups    Kind = "backups" // what a restore or another release took the place of, until it is confirmed
	Other      Kind = "other"
)

// Kinds in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{Index, Models, Bundles, Spool, Caches, Telemetry, Feedback, Rollouts, Quarantine, Logs, Aside, Backups, Other}
}

// Names of folders and files at the top of the data folder.
const (
	// ReserveName is the file that is given up where there is no room to start.
	ReserveName = "reserve"
	// AsideInfix is in the name of what was moved aside as damaged.
	AsideInfix = ".damaged-"
	// RestoredName is the folder of what a restore took the place of.
	RestoredName = "before-restore"
)

// folders at the top, by the kind of what is in them.
var folders = map[string]Kind{
	"index": Index, "models": Models, "cache": Caches, "telemetry": Telemetry, "suite": Telemetry, "feedback": Feedback,
	"rollout": Rollouts, "quarantine": Quarantine, "logs": Logs, RestoredName: Backups, ".restore": Backups, "changes": Backups, "taken-back": Backups,
	"sync/bundles": Bundles, "sync/spool": Spool,
}

// KindOf a path that is relative to the data folder, with slashes.
func KindOf(path string) Kind {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.Contains(p, AsideInfix) || i > 0 && strings.HasPrefix(p, "damaged-") && parts[0] == "sync" {
			return Aside
		}
	}
	if k, ok := folders[parts[0]]; ok {
		return k
	}
	if len(parts) > 1 {
		if k, ok := folders[parts[0]+"/"+parts[1]]; ok {
			return k
		}
	}
	return Other
}

// Usage in bytes on disk, by kind. A kind of which there is nothing is left out.
type Usage map[Kind]int64

// Sum of all kinds.
func (u Usage) Sum() (n int64) {
	for _, b := range u {
		n += b
	}
	return n
}

// Measure the data folder: what its files take on disk, which of a file that is longer
// than what was written into it is less than its length. pause is called now and then,
// so that it may stand back; nil: it does not. Files that go meanwhile are passed over.
func Measure(ctx context.Context, dir string, pause func()) (Usage, error) {
	u := Usage{}
	seen := map[[2]uint64]bool{} // files with several names
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			if d != nil && d.IsDir() && path != dir {
				return fs.SkipDir // of somebody else
			}
			return err
		}
		if n++; n%32 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if pause != nil {
				pause()
			}
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil || path == dir {
			return nil
		}
		if st.Nlink > 1 && !d.IsDir() {
			id := [2]uint64{uint64(st.Dev), st.Ino}
			if seen[id] {
				return nil
			}
			seen[id] = true
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		u[KindOf(filepath.ToSlash(rel))] += st.Blocks * 512
		return nil
	})
	return u, err
}

// Room of the disk that dir lies on, in bytes, for who is not root; ok: it is known.
func Room(dir string) (free, size int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, false
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, true
}

// Budgets in bytes by kind: what the configuration sets, else a part of what the disk
// has beside the floor. size and floor in bytes. A kind without a budget may take what
// there is.
func Budgets(size, floor int64, set map[Kind]int64) map[Kind]int64 {
	room := max(size-floor, 0)
	out := map[Kind]int64{}
	for k, part := range parts {
		out[k] = max(room/100*part.percent, part.least)
	}
	maps.Copy(out, set)
	return out
}

// parts of the disk, in hundredths, and what a kind may take on the smallest one. The
// index is there twice, and a third time while it is built.
var parts = map[Kind]struct{ percent, least int64 }{
	Index:      {40, 1 << 30},
	Models:     {35, 1 << 30},
	Bundles:    {10, 256 << 20},
	Telemetry:  {2, 256 << 20},
	Feedback:   {2, 256 << 20},
	Rollouts:   {2, 256 << 20},
	Quarantine: {1, 64 << 20},
	Logs:       {1, 64 << 20},
	Aside:      {2, 256 << 20},
	Backups:    {5, 1 << 30},
}

// NearPart of a budget is where it is told.
const NearPart = 0.9

// Line of a kind. Budget 0: there is none.
type Line struct {
	Kind   Kind  `json:"kind"`
	Bytes  int64 `json:"bytes"`
	Budget int64 `json:"budget_bytes,omitempty"`
}

// Over says whether more is taken than may be, and Near whether hardly less is.
func (l Line) Over() bool { return l.Budget > 0 && l.Bytes > l.Budget }

// Near the budget, and not over it.
func (l Line) Near() bool {
	return l.Budget > 0 && !l.Over() && float64(l.Bytes) >= NearPart*float64(l.Budget)
}

// Refuses says whether what is new of the kind is refused where it is over: of the others
// each has a bound of its own, and what it lets go of.
func (k Kind) Refuses() bool { return k == Index || k == Models || k == Bundles }

// Lines of all kinds that there is something of, or that have a budget.
func Lines(u Usage, budgets map[Kind]int64) []Line {
	var out []Line
	for _, k := range Kinds() {
		if u[k] > 0 || budgets[k] > 0 {
			out = append(out, Line{k, u[k], budgets[k]})
		}
	}
	return slices.Clip(out)
}
