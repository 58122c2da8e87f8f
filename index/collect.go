package index

import (
	"context"
	"slices"

	"rxedge/index/generation"
)

// Surplus is the generations that Collect would remove.
func (ix *Index) Surplus() ([]GenerationInfo, error) {
	if ix.stop.Err() != nil {
		return nil, ErrClosed
	}
	names, err := ix.surplus()
	if err != nil {
		return nil, err
	}
	all, err := ix.store.Infos()
	return slices.DeleteFunc(all, func(i GenerationInfo) bool { return !slices.Contains(names, i.Name) }), err
}

// surplus is what no rollback can reach, nobody reads and no candidate is. What is
// damaged stays until the next build, for a person to look at.
func (ix *Index) surplus() ([]string, error) {
	return ix.store.Surplus(ix.Named().Name, ix.opt.KeepGenerations, func(name string) bool {
		return ix.busy(name) || ix.store.IsCandidate(name) || generation.Marked(ix.store.Dir(name)) != ""
	})
}

// Collect removes generations that nobody can go back to. It waits for builds until ctx
// ends. Killed at any moment, what serves is whole.
func (ix *Index) Collect(ctx context.Context) (removed []string, err error) {
	if err := ix.take(ctx); err != nil {
		return nil, err
	}
	defer func() { <-ix.writing }()
	names, err := ix.surplus()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := ix.store.Remove(name); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	if len(removed) > 0 {
		ix.opt.Logger.Info("old generations of the index removed", "generations", removed)
	}
	return removed, nil
}
