package feedback

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"rxedge/daemon/store"
)

// Bounds of a store.
const (
	maxRecords = 100_000
	maxAnswers = 200_000 // ids remembered
	maxPending = 4096    // of them not yet on disk
	remembered = 90 * 24 * time.Hour
	writeEvery = 250 * time.Millisecond
)

// Format of what a store holds. An earlier release can't read a later one.
const Format = 1

// keys: a/ID an answer given, i/ID hash and number of an item, r/NUMBER a record.
const (
	answers = "a/"
	items   = "i/"
	records = "r/"
)

// Options of a store; the zero value is what a box uses.
type Options struct {
	MaxRecords, MaxAnswers int
	// Key of the store on disk; nil: it is not encrypted.
	Key []byte
	Now func() time.Time
	Log *slog.Logger
	// Said is called with each item that was added. May be nil.
	Said func(Item)
}

// Store is the folder of feedback. Safe for concurrent use.
//
// An item is on disk when Add returns. Ids of answers are written four times a
// second, so that an answer waits for no disk: a power cut forgets the ids of
// the last moment, and feedback on those is refused as unknown.
type Store struct {
	db   *store.DB
	opt  Options
	note string

	flushing sync.Mutex // before mu

	mu      sync.Mutex // orders items
	next    uint64
	count   int
	pending map[string]Given
	given   int // ids on disk
	due     chan struct{}
	done    chan struct{}
	ended   chan struct{}
}

// Open opens or makes the store in dir. A damaged one is set aside beside it,
// and Note says so.
func Open(dir string, opt Options) (*Store, error) {
	if opt.MaxRecords == 0 {
		opt.MaxRecords = maxRecords
	}
	if opt.MaxAnswers == 0 {
		opt.MaxAnswers = maxAnswers
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opt: opt, next: 1, pending: map[string]Given{}, due: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
	var err error
	s.db, err = store.Open(dir, true, opt.Key)
	var damaged *store.DamagedError
	if errors.As(err, &damaged) {
		aside := fmt.Sprintf("%s.damaged-%s", dir, opt.Now().UTC().Format("20060102T150405"))
		if err := os.Rename(dir, aside); err != nil {
			return nil, fmt.Errorf("setting damaged feedback aside: %w", err)
		}
		s.note = "the store of feedback was damaged and lies in " + aside + "; a new one was begun"
		s.db, err = store.Open(dir, true, opt.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store of feedback: %w", err)
	}
	if err := s.survey(); err != nil {
		_ = s.db.Close()
		return nil, fmt.Errorf("reading the store of feedback: %w", err)
	}
	go s.write()
	return s, nil
}

// Kept says how many items there are, and how many it takes.
func (s *Store) Kept() (items, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.opt.MaxRecords
}

// Note says what was wrong when it was opened; "": nothing.
func (s *Store) Note() string { return s.note }

// survey counts what is there.
func (s *Store) survey() error {
	return s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			switch k := it.Item().Key(); string(k[:2]) {
			case answers:
				s.given++
			case records:
				s.count++
				s.next = max(s.next, binary.BigEndian.Uint64(k[2:])+1)
			}
		}
		return nil
	})
}

// Close writes what is pending.
func (s *Store) Close() error {
	close(s.done)
	<-s.ended
	return s.db.Close()
}

// Gave remembers an answer.
func (s *Store) Gave(g Given) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxPending {
		return // the disk does not keep up; feedback on this one is refused
	}
	s.pending[g.ID] = g
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// write brings ids to disk until Close.
func (s *Store) write() {
	defer close(s.ended)
	for {
		select {
		case <-s.done:
			s.flush()
			return
		case <-s.due:
		}
		select {
		case <-s.done:
		case <-time.After(writeEvery):
		}
		s.flush()
	}
}

func (s *Store) flush() {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	batch := make([]Given, 0, len(s.pending))
	for _, g := range s.pending {
		batch = append(batch, g)
	}
	s.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	if err := s.trim(len(batch)); err != nil {
		s.opt.Log.Warn("old ids of answers could not be forgotten", "error", err)
	}
	if err := s.db.Room(); err != nil {
		s.opt.Log.Debug("ids of answers wait for room on the disk", "error", err)
		return // they stay pending
	}
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	err := func() error {
		for _, g := range batch {
			b, err := json.Marshal(g)
			if err != nil {
				return err
			}
			e := badger.NewEntry([]byte(answers+g.ID), b)
			e.ExpiresAt = uint64(g.At.Add(remembered).Unix())
			if err := wb.SetEntry(e); err != nil {
				return err
			}
		}
		return wb.Flush()
	}()
	if err != nil {
		s.opt.Log.Warn("ids of answers could not be kept; feedback on them will be refused after a restart", "error", err)
		return // they stay pending, and are tried with the next
	}
	s.mu.Lock()
	for _, g := range batch {
		delete(s.pending, g.ID)
	}
	s.given += len(batch)
	s.mu.Unlock()
}

// trim forgets the oldest tenth of the ids where n more would be too many.
func (s *Store) trim(n int) error {
	s.mu.Lock()
	given := s.given
	s.mu.Unlock()
	if given+n <= s.opt.MaxAnswers {
		return nil
	}
	type aged struct {
		key []byte
		at  uint64
	}
	var all []aged
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(answers)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			all = append(all, aged{it.Item().KeyCopy(nil), it.Item().ExpiresAt()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	keep := max(0, s.opt.MaxAnswers*9/10-n)
	drop := max(0, len(all)-keep)
	slices.SortFunc(all, func(a, b aged) int { return cmp.Compare(a.at, b.at) })
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	for _, a := range all[:drop] {
		if err := wb.Delete(a.key); err != nil {
			return err
		}
	}
	if err := wb.Flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = len(all) - drop
	return nil
}

// Add keeps an item. It is on disk when Add returns. again says that the same
// item was there before. Errors: *InvalidError, ErrUnknownAnswer, ErrConflict,
// ErrFull, or one of the disk.
func (s *Store) Add(item Item) (r Record, again bool, err error) {
	if err := item.Check(); err != nil {
		return r, false, err
	}
	if item.ID == "" {
		item.ID = NewID()
	}
	body, err := json.Marshal(item)
	if err != nil {
		return r, false, err
	}
	sum := sha256.Sum256(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		r, again, err = s.add(item, sum)
		if !errors.Is(err, badger.ErrConflict) { // with ids that were being written
			break
		}
	}
	if err != nil {
		return Record{}, false, err
	}
	if !again {
		s.next++
		s.count++
		if s.opt.Said != nil {
			s.opt.Said(item)
		}
	}
	return r, again, nil
}

func (s *Store) add(item Item, sum [sha256.Size]byte) (r Record, again bool, err error) {
	err = s.db.Update(func(txn *badger.Txn) error {
		switch before, err := get[kept](txn, items+item.ID); {
		case err == nil && before.Sum != sum:
			return ErrConflict
		case err == nil:
			again = true
			r, err = get[Record](txn, recordKey(before.Number))
			if errors.Is(err, badger.ErrKeyNotFound) { // removed by a technician
				r, err = Record{Item: item, Number: before.Number}, nil
			}
			return err
		case !errors.Is(err, badger.ErrKeyNotFound):
			return err
		}
		g, ok := s.pending[item.AnswerID]
		if !ok {
			var err error
			g, err = get[Given](txn, answers+item.AnswerID)
			if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, badger.ErrEmptyKey) {
				return ErrUnknownAnswer
			}
			if err != nil {
				return err
			}
		}
		if s.count >= s.opt.MaxRecords {
			return ErrFull
		}
		r = Record{Item: item, Number: s.next, At: s.opt.Now().UTC(), Answer: g}
		if err := put(txn, recordKey(r.Number), r); err != nil {
			return err
		}
		return put(txn, items+item.ID, kept{sum, r.Number})
	})
	return r, again, err
}

// kept is what an item's id stands for.
type kept struct {
	Sum    [sha256.Size]byte
	Number uint64
}

// Records in the order they came; the caller decides what of them is shown.
func (s *Store) Records() ([]Record, error) {
	out := []Record{}
	err := s.db.View(func(txn *badger.Txn) error {
		opt := badger.DefaultIteratorOptions
		opt.Prefix = []byte(records)
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			var r Record
			if err := it.Item().Value(func(b []byte) error { return json.Unmarshal(b, &r) }); err != nil {
				return fmt.Errorf("a record of feedback can't be read: %w", err)
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// Summary counts them.
func (s *Store) Summary() (Summary, error) {
	rs, err := s.Records()
	if err != nil {
		return Summary{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return summarise(rs, s.given+len(s.pending)), nil
}

// Counts of records and of answers that are remembered.
func (s *Store) Counts() (kept, given int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.given + len(s.pending)
}

// Remove takes out the records from before a time and says how many. Their ids
// stay known, so that what is sent again is not taken for new.
func (s *Store) Remove(before time.Time) (int, error) {
	rs, err := s.Records()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	n := 0
	for _, r := range rs {
		if !r.At.Before(before) {
			continue
		}
		if err := wb.Delete([]byte(recordKey(r.Number))); err != nil {
			return 0, err
		}
		n++
	}
	if err := wb.Flush(); err != nil {
		return 0, err
	}
	s.count -= n
	return n, nil
}

func recordKey(n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(records), n))
}

func get[T any](txn *badger.Txn, key string) (v T, err error) {
	item, err := txn.Get([]byte(key))
	if err != nil {
		return v, err
	}
	return v, item.Value(func(b []byte) error { return json.Unmarshal(b, &v) })
}

func put(txn *badger.Txn, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return txn.Set([]byte(key), b)
}

// Snapshot is all that was acknowledged, and the ids of the answers given until now.
func (s *Store) Snapshot() *store.Snapshot {
	s.flush()
	return store.Snap(s.db)
}

// Collect gives back what was replaced or removed and still takes room on disk.
func (s *Store) Collect() error { return s.db.Collect() }
