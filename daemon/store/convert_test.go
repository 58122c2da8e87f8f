package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

var testKey = bytes.Repeat([]byte{9}, 32)

// What is in a store is in the one that is made of it, with its time to live; a store of
// a key is no damaged one without it.
func TestConvert(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain, sealed, back := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	db, err := Open(plain, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	expires := uint64(time.Now().Add(time.Hour).Unix())
	for i := range 300 {
		if err := db.Update(func(txn *badger.Txn) error {
			e := badger.NewEntry(fmt.Appendf(nil, "key %d", i), bytes.Repeat([]byte("canary "), i)).WithMeta(byte(i))
			e.ExpiresAt = expires
			return txn.SetEntry(e)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte("key 7")) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Convert(t.Context(), plain, sealed, nil, testKey); err != nil || n != 299 {
		t.Fatal(n, err)
	}
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{8}, 32)} {
		var damaged *DamagedError
		if _, err := Open(sealed, true, key); !errors.Is(err, ErrKey) || errors.As(err, &damaged) {
			t.Errorf("with another key: %v", err)
		}
	}
	if _, err := Open(plain, true, testKey); !errors.Is(err, ErrKey) {
		t.Errorf("in the clear, with a key: %v", err)
	}
	if n, err := Convert(t.Context(), sealed, back, testKey, nil); err != nil || n != 299 {
		t.Fatal(n, err)
	}
	if db, err = Open(back, true, nil); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(txn *badger.Txn) error {
		it, err := txn.Get([]byte("key 299"))
		if err == nil && (it.ExpiresAt() != expires || it.UserMeta() != 299&0xff) {
			err = errors.New("another time to live, or mark")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// A store with a key beside one without: records of a kilobyte, written synced one by
// one as feedback is, in batches as ids of answers are, and read.
func BenchmarkKey(b *testing.B) {
	for _, key := range [][]byte{nil, testKey} {
		name := "clear"
		if key != nil {
			name = "key"
		}
		value := bytes.Repeat([]byte("0123456789abcdef"), 64)
		number := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
		b.Run("synced/"+name, func(b *testing.B) {
			db, err := Open(b.TempDir(), true, key)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			for i := 0; b.Loop(); i++ {
				if err := db.Update(func(txn *badger.Txn) error { return txn.Set(number(i), value) }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("batch/"+name, func(b *testing.B) {
			db, err := Open(b.TempDir(), false, key)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			w := db.NewWriteBatch()
			for i := 0; b.Loop(); i++ {
				if err := w.Set(number(i), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		})
		b.Run("read/"+name, func(b *testing.B) {
			dir := b.TempDir()
			db, err := Open(dir, false, key)
			if err != nil {
				b.Fatal(err)
			}
			w := db.NewWriteBatch()
			const n = 50_000
			for i := range n {
				if err := w.Set(number(i), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := errors.Join(w.Flush(), db.Close()); err != nil { // so that it is read from the disk
				b.Fatal(err)
			}
			if db, err = Open(dir, false, key); err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			for i := 0; b.Loop(); i++ {
				if err := db.View(func(txn *badger.Txn) error {
					it, err := txn.Get(number(i * 7919 % n))
					if err != nil {
						return err
					}
					return it.Value(func([]byte) error { return nil })
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
