package store

import "time"

// Badger's own compactors look whether there is something to do twenty times a
// second each, and it wants two: of three stores that is one percent of a core of a
// box that does nothing. So it has none, and the store is looked at now and then.
const (
	compactEvery = time.Second
	// compactFrom so many tables of what came last, of 8 MB each, they are put
	// among the others. A writer waits where there are sixteen.
	compactFrom = 3
)

// compact until the store is closed.
func (db *DB) compact() {
	defer close(db.done)
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-db.stop:
			return
		case <-tick.C:
		}
		levels, all := db.Levels(), int64(0)
		for _, l := range levels {
			all += l.Size
		}
		if levels[0].NumTables < compactFrom || room(db.dir, Reserve+all) != nil {
			continue // where there is no room little more is written either
		}
		// One that fails is tried again. A store that it can't be done in says so
		// where it is read.
		_ = db.flatten()
	}
}

// flatten puts all tables into one level, one at a time.
func (db *DB) flatten() error {
	db.flattening.Lock()
	defer db.flattening.Unlock()
	return db.Flatten(1)
}

// Close the store, once what is being compacted is done. On a full disk what is in memory
// can't become a table: it stays in its log, which the next start reads.
func (db *DB) Close() error {
	db.closing.Do(func() { close(db.stop) })
	<-db.done
	if room(db.dir, openRoom) != nil {
		return db.Sync()
	}
	return db.DB.Close()
}
