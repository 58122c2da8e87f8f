package store

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// Snapshot is a store as it was at one moment, whatever is written since, until Release.
// Badger's own backup reads each range of keys in a transaction of its own and so at
// moments of its own; this is one transaction.
type Snapshot struct{ txn *badger.Txn }

// Snap takes a snapshot. What was committed before it is in it.
func Snap(db *DB) *Snapshot { return &Snapshot{db.NewTransaction(false)} }

// Release lets go.
func (s *Snapshot) Release() { s.txn.Discard() }

// Size is about how many bytes its records have.
func (s *Snapshot) Size() (n int64) {
	it := s.txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n += it.Item().EstimatedSize()
	}
	return n
}

// Parts gives all records in order of their keys, as parts of some size bytes each.
func (s *Snapshot) Parts(size int, part func([]byte) error) error {
	p := PartWriter{Size: size, Part: part}
	it := s.txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 16})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		if err := p.Add(item.KeyCopy(nil), v, item.UserMeta(), item.ExpiresAt()); err != nil {
			return err
		}
	}
	return p.Flush()
}

// PartWriter gathers records into parts, each a list as in Badger's backups.
type PartWriter struct {
	Size int // bytes after which a part is given
	Part func([]byte) error
	list pb.KVList
	n    int
}

// Add a record, which is kept until the part is given.
func (p *PartWriter) Add(key, value []byte, meta byte, expires uint64) error {
	p.list.Kv = append(p.list.Kv, &pb.KV{Key: key, Value: value, UserMeta: []byte{meta}, ExpiresAt: expires})
	if p.n += len(key) + len(value) + 16; p.n < p.Size {
		return nil
	}
	return p.Flush()
}

// Flush gives what is left.
func (p *PartWriter) Flush() error {
	if len(p.list.Kv) == 0 {
		return nil
	}
	b, err := proto.Marshal(&p.list)
	p.list.Kv, p.n = nil, 0
	if err != nil {
		return err
	}
	return p.Part(b)
}

// Load puts the records of a part into a store.
func Load(db *badger.DB, part []byte) error {
	var list pb.KVList
	if err := proto.Unmarshal(part, &list); err != nil {
		return fmt.Errorf("the records can't be read: %w", err)
	}
	wb := db.NewWriteBatch()
	defer wb.Cancel()
	for _, kv := range list.Kv {
		if kv == nil || len(kv.Key) == 0 {
			return fmt.Errorf("a record has no key")
		}
		e := badger.NewEntry(kv.Key, kv.Value)
		e.ExpiresAt = kv.ExpiresAt
		if len(kv.UserMeta) > 0 {
			e.UserMeta = kv.UserMeta[0]
		}
		if err := wb.SetEntry(e); err != nil {
			return err
		}
	}
	return wb.Flush()
}
