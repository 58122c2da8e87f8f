package store

import (
	"crypto/rand"
	"encoding/binary"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// What is written goes among the rest though Badger has no compactors of its own:
// tables do not pile up, nothing is lost, and what was deleted gives its room back.
func TestCompacts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	const n, size = 640, 64 << 10 // five tables, or four and some in memory
	value := make([]byte, size)
	_, _ = rand.Read(value)
	key := func(i int) []byte { return binary.BigEndian.AppendUint32([]byte("k"), uint32(i)) }
	wb := db.NewWriteBatch()
	for i := range n {
		if err := wb.Set(key(i), append(value[:size:size], key(i)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := wb.Flush(); err != nil {
		t.Fatal(err)
	}
	// Tables come as the logs in memory are full, a moment after the writes.
	for end := time.Now().Add(30 * time.Second); db.Levels()[6].NumTables == 0 || db.Levels()[0].NumTables >= compactFrom; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d tables lie about, and %d are among the rest", db.Levels()[0].NumTables, db.Levels()[6].NumTables)
		}
	}
	if err := db.View(func(txn *badger.Txn) error {
		for i := range n {
			it, err := txn.Get(key(i))
			if err != nil {
				t.Fatalf("key %d: %v", i, err)
			}
			if it.ValueSize() != size+5 {
				t.Fatalf("key %d has %d bytes", i, it.ValueSize())
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // also while it is at work
		t.Fatal(err)
	}
	if db, err = Open(dir, true, nil); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(txn *badger.Txn) error { _, err := txn.Get(key(n - 1)); return err }); err != nil {
		t.Fatal(err)
	}
}
