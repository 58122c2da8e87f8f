package generation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// space is the records of one unit: the base of a generation, or one of its
// live updates.
type space struct {
	db     *badger.DB
	prefix []byte // of its keys
	// pinned is a transaction that lasts as long as a read-only store is open,
	// so that large values are used where they lie in the mapped files; nil
	// where they are copied.
	pinned *badger.Txn
}

func (s space) key(k []byte) []byte {
	if len(s.prefix) == 0 {
		return k
	}
	return append(s.prefix[:len(s.prefix):len(s.prefix)], k...)
}

// get reads a record into a copy. errNoRecord where there is none.
func (s space) get(k []byte) (body []byte, err error) {
	err = s.db.View(func(txn *badger.Txn) (err error) {
		body, err = read(txn, s.key(k), true, true)
		return err
	})
	return body, err
}

// blob reads a large record, unchecked where its own format has checksums. What
// comes back is not to be changed, and not to be used once the store is closed.
func (s space) blob(k []byte, check bool) (body []byte, err error) {
	if s.pinned != nil {
		body, err = read(s.pinned, s.key(k), false, check)
	} else {
		body, err = s.get(k)
	}
	return body, missing(err, s.key(k))
}

// read decodes a record, ErrNotFound where there is none.
func (s space) read(k []byte, into any) error {
	body, err := s.get(k)
	if errors.Is(err, errNoRecord) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	return decode(s.key(k), body, into)
}

// must is read of what has to be there.
func (s space) must(k []byte, into any) error {
	body, err := s.get(k)
	if err != nil {
		return missing(err, s.key(k))
	}
	return decode(s.key(k), body, into)
}

func read(txn *badger.Txn, k []byte, clone, check bool) (body []byte, err error) {
	defer guard(&err, func() string { return describe(k) })
	item, err := txn.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, errNoRecord
	}
	if err != nil {
		return nil, damaged(describe(k), err.Error())
	}
	if clone {
		return itemBody(item)
	}
	var v []byte
	if err := item.Value(func(b []byte) error { v = b; return nil }); err != nil {
		return nil, damaged(describe(k), err.Error())
	}
	if len(v) < pinnedFrom { // it may lie in a buffer that is used again
		v = append([]byte(nil), v...)
	}
	if !check && len(v) >= 8 {
		return v[:len(v)-8], nil
	}
	return openValue(k, v)
}

func itemBody(item *badger.Item) ([]byte, error) {
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, damaged(describe(item.Key()), err.Error())
	}
	return openValue(item.Key(), v)
}

// missing makes a record that must be there and is not an error with its name.
func missing(err error, k []byte) error {
	if errors.Is(err, errNoRecord) {
		return damaged(describe(k), "it is missing")
	}
	return err
}

func decode(k, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return damaged(describe(k), "it does not parse")
	}
	return nil
}

// each calls fn with each record of a kind in order of the keys, which are given
// without the prefix.
func (s space) each(ctx context.Context, kind byte, fn func(k, body []byte) error) error {
	prefix := s.key([]byte{kind, '/'})
	return s.db.View(func(txn *badger.Txn) (err error) {
		at := prefix
		defer guard(&err, func() string { return "the record after " + describe(at) })
		opt := badger.DefaultIteratorOptions
		opt.Prefix = prefix
		opt.PrefetchValues = false // ahead of a slow fn they would only fill memory
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			at = item.KeyCopy(nil)
			body, err := itemBody(item)
			if err != nil {
				return err
			}
			if err := fn(at[len(s.prefix):], body); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s space) eachDocument(ctx context.Context, fn func(Header) error) error {
	return s.each(ctx, kindDocument, func(k, body []byte) error {
		var h Header
		if err := decode(s.key(k), body, &h); err != nil {
			return err
		}
		return fn(h)
	})
}

// pinnedFrom bytes values lie in the value log, which is mapped while the store
// is open.
const pinnedFrom = valueThreshold + 64

var errNoRecord = errors.New("no such record")

// guard turns a panic of the store over damaged files into an error.
func guard(err *error, where func() string) {
	if p := recover(); p != nil {
		*err = damaged(where(), fmt.Sprintf("the store could not read it (%v)", p))
	}
}
