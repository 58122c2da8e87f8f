package telemetry

import (
	"errors"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"rxedge/daemon/store"
)

// Forget the cohorts that are not known: they are counted as Other, and nothing tells
// any more which they were. It says whether there were any.
func (w *Window) Forget(known []string) bool {
	return w.forget(func(v string) bool { return slices.Contains(known, v) })
}

// ForgetNames of cohorts that no box tells apart, whatever its list: those that are no
// short words. It says whether there were any.
func (w *Window) ForgetNames() bool { return w.forget(plain.MatchString) }

func (w *Window) forget(known func(string) bool) bool {
	const d = Cohort
	found := false
	for v, s := range w.Slices[d] {
		if v == None || v == Other || known(v) {
			continue
		}
		delete(w.Slices[d], v)
		o := w.Slices[d][Other]
		if o == nil {
			o = &Slice{}
			w.Slices[d][Other] = o
		}
		o.merge(s)
		found = true
	}
	for v, whats := range w.Explained {
		if v == None || v == Other || known(v) {
			continue
		}
		delete(w.Explained, v)
		for what, r := range whats {
			w.Explained.of(Other, what).merge(r)
		}
		found = true
	}
	return found
}

// forget cohorts that are told apart no more, in all that was written: by an rxedge
// that took any name, or when the list was longer. Their names go from the disk.
func (r *Recorder) forget() error {
	if r.opt.Cohorts == nil {
		return nil
	}
	changed := map[string]*Window{}
	for _, span := range []byte{spanHour, spanDay, spanOut, spanWaiting} {
		if err := r.each(span, time.Time{}, func(k string, w *Window) error {
			if w.Forget(r.opt.Cohorts) {
				changed[k] = w
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return nil
	}
	r.opt.Log.Info("cohorts that are not in telemetry.cohorts are forgotten", "windows", len(changed))
	for k, w := range changed {
		if err := r.db.Update(func(txn *badger.Txn) error { return put(txn, k, w) }); err != nil {
			return err
		}
	}
	return r.rewrite()
}

// rewrite the store's tables, so that nothing is left of what was replaced: what is in
// memory becomes a table as the store is closed, and all tables are made one, which has
// one version of each key. Flatten does so only where there are more than the store
// takes for a few, hence the one that is allowed meanwhile.
func (r *Recorder) rewrite() (err error) {
	opt := r.db.Opts()
	if err := r.db.Close(); err != nil {
		return err
	}
	db, err := badger.Open(opt.WithNumLevelZeroTables(1))
	if err != nil {
		return err
	}
	// Badger learns in the background, after it was opened, which versions nobody reads
	// any more, and a compaction before that keeps them all. It is told by a queue of 100:
	// when so many reads have gone through it, it knows.
	for range 128 {
		if err := db.View(func(*badger.Txn) error { return nil }); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	if err := errors.Join(db.Flatten(1), db.Close()); err != nil {
		return err
	}
	r.db, err = store.Open(opt.Dir, true, r.opt.Key)
	return err
}
