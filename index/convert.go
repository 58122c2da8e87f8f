package index

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"rxedge/index/document"
	"rxedge/index/generation"
)

// Format of the generations that this version writes and serves.
const Format = generation.Format

// Outdated says whether the generation that serves from dir is whole and in a format of
// an earlier version, which Convert reads and Open does not.
func Outdated(dir string) (format int, outdated bool) {
	name, err := generation.CurrentOf(dir)
	if err != nil || name == "" {
		return 0, false
	}
	return generation.Outdated(filepath.Join(dir, name))
}

// Convert makes an index at to, which is not there yet, of the documents of an outdated
// one at from, which stays as it is. Vectors are not made: an embedder makes them later,
// while questions are answered. Cancelled or ended by an error it leaves what can be
// removed. progress may be nil.
func Convert(ctx context.Context, from, to string, progress func(Progress)) (documents int, err error) {
	name, err := generation.CurrentOf(from)
	if err != nil {
		return 0, err
	}
	// An update may replace or remove what is in the base: what stands is found first.
	type place struct{ seen, last int }
	places := map[string]*place{}
	scratch := to + ".updates"
	err = generation.Older(ctx, filepath.Join(from, name), scratch, func(d *document.Document) error {
		p := places[d.ID]
		if p == nil {
			p = &place{}
			places[d.ID] = p
		}
		p.seen++
		p.last = p.seen
		return nil
	}, func(id string) error {
		if p := places[id]; p != nil {
			p.last = 0
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	ix, err := Open(to, Options{})
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := ix.Close(); err == nil {
			err = cerr
		}
	}()
	for _, p := range places {
		p.seen = 0
		if p.last > 0 {
			documents++
		}
	}
	if documents == 0 {
		return 0, nil
	}
	put := func(yield func(*document.Document, error) bool) {
		stopped := errors.New("stopped")
		err := generation.Older(ctx, filepath.Join(from, name), scratch, func(d *document.Document) error {
			p := places[d.ID]
			if p.seen++; p.seen != p.last {
				return nil
			}
			if !yield(d, nil) {
				return stopped
			}
			return nil
		}, func(string) error { return nil })
		if err != nil && err != stopped {
			yield(nil, err)
		}
	}
	res, err := ix.Apply(ctx, Changes{Put: put}, progress)
	if err != nil {
		return 0, err
	}
	if res.Generation.Documents != documents {
		return 0, fmt.Errorf("%d documents were read and the new index holds %d", documents, res.Generation.Documents)
	}
	return documents, nil
}
