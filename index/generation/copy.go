package generation

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// Names of what a copy of a generation is made of, in its folder.
const (
	// LiveDir is the store of the live updates, and LiveLog what makes them count.
	LiveDir = liveDir
	LiveLog = liveLog
)

// Files of the sealed part, by their names in the folder, the manifest last. They
// never change while the generation is open.
func (v *View) Files() []string {
	var out []string
	for _, f := range v.g.manifest.Files {
		out = append(out, f.Name)
	}
	return append(out, manifestName)
}

// CopyUpdates gives the records of the view's live updates, and the log that makes
// them count; log is nil where there are none. What comes after the view is not among
// them. The generation has to stay open.
func (v *View) CopyUpdates(record func(key, value []byte) error) (log []byte, err error) {
	defer guard(&err, func() string { return v.g.dir })
	for _, u := range v.units[1:] {
		err := u.db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{Prefix: updatePrefix(u.number), PrefetchValues: true, PrefetchSize: 4})
			defer it.Close()
			n := 0
			for it.Rewind(); it.Valid(); it.Next() {
				n++
				k := it.Item().KeyCopy(nil)
				if err := it.Item().Value(func(b []byte) error { return record(k, b) }); err != nil {
					return err
				}
			}
			if n == 0 {
				return damaged(v.g.dir, fmt.Sprintf("update %d has no records", u.number))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		log = append(log, logLine(lineCommit, u.number)...)
	}
	return log, nil
}

// OpenCopy opens or makes the store of live updates below the folder of a generation,
// to put the records of a copy into it.
func OpenCopy(dir string) (*badger.DB, error) {
	store := filepath.Join(dir, liveDir)
	if err := os.MkdirAll(store, 0o750); err != nil {
		return nil, err
	}
	return badger.Open(liveOptions(store))
}

// CurrentFile is what CURRENT holds where it names a generation.
func CurrentFile(name string) []byte { return []byte(currentLine(name)) }

// CurrentName is the file that names the generation which a start opens.
const CurrentName = currentName
