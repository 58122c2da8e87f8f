package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Convert writes all that is in the store from into a new one at to, with another key, or
// none, and reads it there again. Both are closed afterwards; from is a copy of the
// caller's, as opening a store changes its files.
func Convert(ctx context.Context, from, to string, fromKey, toKey []byte) (records int, err error) {
	src, err := Open(from, false, fromKey)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := Open(to, false, toKey)
	if err != nil {
		return 0, err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, dst.Close())
		}
	}()
	batch := dst.NewWriteBatch()
	defer batch.Cancel()
	err = each(ctx, src, func(item *badger.Item) error {
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		e := badger.NewEntry(item.KeyCopy(nil), v).WithMeta(item.UserMeta())
		e.ExpiresAt = item.ExpiresAt()
		records++
		return batch.SetEntry(e)
	})
	if err == nil {
		err = batch.Flush()
	}
	if err != nil {
		return records, err
	}
	open = false
	if err := dst.Close(); err != nil {
		return records, err
	}
	return records, compare(ctx, src, to, toKey, records)
}

// compare the copy as it lies on disk with what it was made from.
func compare(ctx context.Context, src *DB, to string, key []byte, want int) (err error) {
	dst, err := Open(to, false, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	n := 0
	err = each(ctx, src, func(a *badger.Item) error {
		return dst.View(func(txn *badger.Txn) error {
			b, err := txn.Get(a.Key())
			if errors.Is(err, badger.ErrKeyNotFound) && a.IsDeletedOrExpired() {
				return nil // meanwhile
			}
			if err != nil {
				return fmt.Errorf("a record of the copy: %w", err)
			}
			n++
			return a.Value(func(x []byte) error {
				return b.Value(func(y []byte) error {
					if string(x) != string(y) || a.ExpiresAt() != b.ExpiresAt() || a.UserMeta() != b.UserMeta() {
						return errors.New("a record of the copy differs")
					}
					return nil
				})
			})
		})
	})
	if err == nil && n > want {
		err = errors.New("the copy holds other records")
	}
	return err
}

func each(ctx context.Context, db *DB, fn func(*badger.Item) error) error {
	return db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(it.Item()); err != nil {
				return err
			}
		}
		return nil
	})
}
