package generation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"rxedge/index/document"
)

// Earlier formats served otherwise, but wrote documents as they are written now, in
// records 'd' and 's' and under a prefix in live updates; sections were JSON then.

// Outdated says that a generation is whole, and in a format of an earlier version.
func Outdated(dir string) (format int, outdated bool) {
	m, err := anyManifest(dir)
	return m.Format, err == nil && m.Format > 0 && m.Format < Format
}

// Older calls fn with each document of a generation in an earlier format, in the order
// in which it was written: one that replaces another comes after it. removed is called
// with the ids that an update removed. Nothing in dir is changed; scratch is a folder
// that is not there yet, and is gone in the end.
func Older(ctx context.Context, dir, scratch string, put func(*document.Document) error, removed func(id string) error) (err error) {
	m, err := anyManifest(dir)
	if err != nil {
		return err
	}
	defer guard(&err, func() string { return dir })
	db, err := badger.Open(storeOptions(dir).WithReadOnly(true))
	if err != nil {
		return damaged(dir, err.Error())
	}
	defer db.Close()
	n := 0
	whole := func(s space) error {
		return s.eachDocument(ctx, func(h Header) error {
			d := h.Document
			d.Sections = make([]document.Section, h.Count)
			for i := range d.Sections {
				if err := s.must(sectionKey(h.ID, i), &d.Sections[i]); err != nil {
					return err
				}
			}
			n++
			return put(&d)
		})
	}
	if err := whole(space{db: db}); err != nil {
		return err
	}
	if n != m.Documents {
		return damaged(dir, fmt.Sprintf("it holds %d documents instead of %d", n, m.Documents))
	}
	on, _, _, err := readLog(filepath.Join(dir, liveLog))
	if err != nil {
		return err
	}
	if len(on) == 0 {
		return nil
	}
	// To be read it has to be opened for writing, where a kill left something.
	defer os.RemoveAll(scratch)
	if err := os.CopyFS(scratch, os.DirFS(filepath.Join(dir, liveDir))); err != nil {
		return fmt.Errorf("copying the updates of %s: %w", m.Name, err)
	}
	if _, err := removeEmptyLogs(scratch); err != nil {
		return err
	}
	live, err := badger.Open(liveOptions(scratch).WithBypassLockGuard(true))
	if err != nil {
		return damaged(filepath.Join(dir, liveDir), err.Error())
	}
	defer func() { err = errors.Join(err, live.Close()) }()
	for _, number := range on {
		s := space{db: live, prefix: updatePrefix(number)}
		var u updateInfo
		if err := s.must(key(kindUnit, ""), &u); err != nil {
			return err
		}
		for _, id := range u.Removed {
			if err := removed(id); err != nil {
				return err
			}
		}
		n = 0
		if err := whole(s); err != nil {
			return err
		}
		if n != u.Documents {
			return damaged(fmt.Sprintf("update %d of %s", number, m.Name), fmt.Sprintf("it holds %d documents instead of %d", n, u.Documents))
		}
	}
	return nil
}
