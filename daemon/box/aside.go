package box

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keptAside is how many damaged copies of one thing stay for a person to look at; a
// disk that goes on failing would fill itself with them.
const keptAside = 2

// pruneAside removes the older of what was moved aside as damaged in dir, and names it.
// An index stays: it may be all that is left of its documents.
func pruneAside(dir string) (removed []string, err error) {
	names, err := asideBeyond(dir, func(string) int { return keptAside })
	for _, name := range names {
		if rerr := os.RemoveAll(filepath.Join(dir, name)); rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		removed = append(removed, name)
	}
	slices.Sort(removed)
	return removed, err
}

// asideBeyond names what was moved aside in dir beyond so many of a kind, the oldest
// first; never an index.
func asideBeyond(dir string, keep func(kind string) int) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	of := map[string][]string{}
	for _, e := range entries {
		if kind, when, ok := strings.Cut(e.Name(), asideInfix); ok && when != "" && kind != "index" {
			of[kind] = append(of[kind], e.Name())
		}
	}
	for kind, all := range of {
		slices.Sort(all) // by their time
		names = append(names, all[:max(0, len(all)-keep(kind))]...)
	}
	slices.Sort(names)
	return names, nil
}

// tidyAside in the data folder and where the rollout's journal lies.
func (b *Box) tidyAside() {
	for _, dir := range []string{b.Config.Data, filepath.Join(b.Config.Data, "rollout")} {
		removed, err := pruneAside(dir)
		if err != nil && !os.IsNotExist(err) {
			b.log.Warn("what was moved aside as damaged can't be removed", "error", err)
		}
		if len(removed) > 0 {
			b.log.Info("older damaged copies were removed; the latest stay", "removed", removed, "kept_of_each", keptAside)
		}
	}
}
