package generation

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"rxedge/index/codes"
	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
	"rxedge/index/names"
	"rxedge/index/pace"
)

// A generation that serves takes small batches as live updates: their records
// go into a second store in its folder, live/, and when all of them are synced
// a line in live.log makes the update count. What has no line is not there.
const (
	liveDir = "live"
	liveLog = "live.log"
)

// live is the store of a generation's updates.
type live struct {
	dir  string // of the generation
	db   *badger.DB
	log  *os.File
	last int   // number of the latest update that has a line
	on   []int // updates that count, in order
}

// entries of the log.
const (
	lineCommit = "commit"
	lineUndo   = "undo"
)

func logLine(what string, n int) string {
	s := fmt.Sprintf("%s %d", what, n)
	return fmt.Sprintf("%s %016x\n", s, xxhash.Sum64String(s))
}

// readLog gives the updates that count, the highest number used, and where the
// good lines end. Half a line, or zeros, at the end are what a crash leaves of
// a line that nobody was told of.
func readLog(path string) (on []int, last int, end int64, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, 0, nil
	}
	if err != nil {
		return nil, 0, 0, err
	}
	for n := 1; len(b) > 0; n++ {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		f := strings.Fields(string(line))
		number := 0
		if len(f) == 3 {
			number, _ = strconv.Atoi(f[1])
		}
		if !whole || len(f) != 3 || string(line)+"\n" != logLine(f[0], number) {
			if len(bytes.Trim(rest, "\x00")) == 0 {
				return on, last, end, nil
			}
			return on, last, end, damaged(path, fmt.Sprintf("line %d can't be read", n))
		}
		switch f[0] {
		case lineCommit:
			on = append(on, number)
			last = max(last, number)
		case lineUndo:
			if len(on) == 0 || on[len(on)-1] != number {
				return on, last, end, damaged(path, fmt.Sprintf("line %d undoes update %d, which is not the latest", n, number))
			}
			on = on[:len(on)-1]
		}
		end += int64(len(line)) + 1
		b = rest
	}
	return on, last, end, nil
}

func liveOptions(dir string) badger.Options {
	// Two compactors, the fewest that Badger has: each looks for work twenty times a
	// second, all day.
	return storeOptions(dir).WithMemTableSize(8 << 20).WithValueLogFileSize(64 << 20).WithBypassLockGuard(false).WithNumCompactors(2)
}

// openLive opens the updates of the generation in dir; nil where there are
// none and none are to be made. Damage to the log is returned beside what could
// be read.
func openLive(dir string, make bool) (l *live, damage, err error) {
	path := filepath.Join(dir, liveLog)
	on, last, end, err := readLog(path)
	if !errors.As(err, new(*DamageError)) && err != nil {
		return nil, nil, err
	}
	damage = err
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !make {
		return nil, nil, nil
	}
	store := filepath.Join(dir, liveDir)
	if err := os.MkdirAll(store, 0o750); err != nil {
		return nil, nil, err
	}
	if _, err := removeEmptyLogs(store); err != nil {
		return nil, nil, err
	}
	l = &live{dir: dir, last: last, on: on}
	if l.log, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o640); err != nil {
		return nil, nil, err
	}
	if err := l.log.Truncate(end); err == nil {
		_, err = l.log.Seek(end, 0)
		if err == nil {
			err = syncDir(dir)
		}
		if err != nil {
			_ = l.log.Close()
			return nil, nil, err
		}
	}
	// A child that another goroutine forks holds a copy of the lock of a store
	// that was just closed, until it runs its own program.
	for wait := time.Millisecond; wait < time.Second; wait *= 2 {
		func() {
			defer guard(&err, func() string { return store })
			l.db, err = badger.Open(liveOptions(store))
		}()
		if err == nil || !strings.Contains(err.Error(), lockFault) {
			break
		}
		time.Sleep(wait)
	}
	if err != nil {
		_ = l.log.Close()
		if !environmental(err) {
			err = damaged(store, err.Error())
		}
		return nil, nil, fmt.Errorf("open the updates: %w", err)
	}
	return l, damage, nil
}

// environmental errors say nothing of the files themselves.
func environmental(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EDQUOT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return strings.Contains(err.Error(), lockFault)
}

// lockFault is how Badger words it.
const lockFault = "directory lock"

func (l *live) close() (err error) {
	if l == nil {
		return nil
	}
	defer guard(&err, func() string { return l.dir })
	if diskFull(l.dir) {
		// Closing writes a table, and that is a signal on a full disk. What was
		// acknowledged is in the store's log, which the next start reads.
		return errors.Join(l.db.Sync(), l.log.Close())
	}
	return errors.Join(l.db.Close(), l.log.Close())
}

// closeRoom is what closing a store of live updates may write.
const closeRoom = 24 << 20

func diskFull(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && int64(st.Bavail)*st.Bsize < closeRoom
}

// line is on disk when it returns.
func (l *live) line(what string, n int) error {
	at, err := l.log.Seek(0, 1)
	if err != nil {
		return err
	}
	if _, err = l.log.WriteString(logLine(what, n)); err == nil {
		err = l.log.Sync()
	}
	if err != nil { // a line in part must not come before another
		_ = l.log.Truncate(at)
		_, _ = l.log.Seek(at, 0)
	}
	return err
}

func (l *live) space(n int) space { return space{db: l.db, prefix: updatePrefix(n)} }

// load an update.
func (l *live) load(n int, first uint32, dim int) (*unit, error) {
	u := &unit{space: l.space(n), number: n, first: first, update: &updateInfo{}}
	if err := u.must(key(kindUnit, ""), u.update); err != nil {
		return nil, err
	}
	u.info = u.update.unitInfo
	return u, u.load(dim)
}

// Put is a document of a live update.
type Put struct {
	Document *document.Document
	Hash     string
	Cut      string // how its passages were cut
	Passages []Passage
	Vectors  [][]float32 // one for each passage, of unit length; nil: none
}

// write the records of an update and sync them; it does not count yet. Documents
// are in order of their ids.
func (l *live) write(ctx context.Context, u *updateInfo, a *lexical.Analyzer, dim int, puts []Put) error {
	work := pace.Begin()
	if err := l.clear(u.Number); err != nil {
		return err
	}
	work.Pause()
	w := &unitWriter{space: l.space(u.Number), batch: l.db.NewWriteBatch()}
	defer w.batch.Cancel()
	places := map[string]bool{}
	var aliases []place
	var t tableBuilder
	var facts factsBuilder
	var found codes.Builder
	var learned []names.Labelled
	builder := lexical.NewBuilder(a)
	blocks := dense.NewBlockWriter(dim, func(b []byte) error {
		u.VectorBlocks++
		return w.give(numberKey(kindVectors, u.VectorBlocks-1), b)
	})
	texts := passageWriter{put: func(b []byte) error {
		u.PassageBlocks++
		return w.give(numberKey(kindPassages, u.PassageBlocks-1), b)
	}}
	var rows [][]float32
	for _, p := range puts {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := p.Document
		if err := w.document(d, p.Hash); err != nil {
			return err
		}
		for i, s := range d.Sections {
			for j, id := range append([]string{s.ID}, s.Aliases...) {
				if id == "" || places[id] {
					continue
				}
				if j > 0 {
					aliases = append(aliases, place{id, d.ID, i})
					continue
				}
				places[id] = true
				if err := w.putJSON(lookupKey(id), place{id, d.ID, i}); err != nil {
					return err
				}
			}
		}
		for i := range p.Passages {
			if err := texts.add(&p.Passages[i]); err != nil {
				return err
			}
			if err := builder.AddPassage(p.Passages[i].indexed()); err != nil {
				return err
			}
			if i < len(p.Vectors) && p.Vectors[i] != nil {
				if err := blocks.Add(uint32(u.Passages), p.Vectors[i]); err != nil {
					return err
				}
				rows = append(rows, p.Vectors[i])
			}
			u.Passages++
			work.Pause()
		}
		found.AddDocument(uint32(len(t.ids)), d)
		learned = append(learned, labelled(d))
		facts.add(d.Effective, d.Kind, d.Source)
		t.document(d.ID, p.Passages)
		u.Documents++
		u.Sections += len(d.Sections)
		switch u.Cut {
		case "", p.Cut:
			u.Cut = p.Cut
		default:
			u.Cut = CutMixed
		}
	}
	for _, p := range aliases {
		if !places[p.ID] {
			places[p.ID] = true
			if err := w.putJSON(lookupKey(p.ID), p); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(texts.flush(), blocks.Flush()); err != nil {
		return err
	}
	if u.Vectors = len(rows); u.Vectors > 0 {
		s, err := dense.Build(ctx, dim, len(rows), func(i int) []float32 { return rows[i] }, dense.BuildOptions{Workers: 1})
		if err != nil {
			return err
		}
		if err := w.denseBlocks(s, &u.DenseBlocks); err != nil {
			return err
		}
	}
	if err := w.lexicalBlobs(ctx, builder, &u.LexicalBlobs); err != nil {
		return err
	}
	if err := errors.Join(w.put(key(kindTable, ""), t.encode()), w.put(key(kindFacts, ""), facts.encode()), w.codeBlobs(&found, &u.CodeBlobs), w.nameBlobs(learned, &u.NameBlobs)); err != nil {
		return err
	}
	if err := w.putJSON(key(kindUnit, ""), u); err != nil {
		return err
	}
	if err := w.batch.Flush(); err != nil {
		return err
	}
	return l.db.Sync()
}

// clear removes what an update of that number left that never counted.
func (l *live) clear(n int) error {
	var keys [][]byte
	err := l.db.View(func(txn *badger.Txn) error {
		opt := badger.DefaultIteratorOptions
		opt.Prefix, opt.PrefetchValues = updatePrefix(n), false
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			keys = append(keys, it.Item().KeyCopy(nil))
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	batch := l.db.NewWriteBatch()
	defer batch.Cancel()
	for _, k := range keys {
		if err := batch.Delete(k); err != nil {
			return err
		}
	}
	return batch.Flush()
}

// unitWriter puts the records of a unit into a batch.
type unitWriter struct {
	space
	batch *badger.WriteBatch
	// managed: the versions of records are given here, one after the other.
	managed bool
	version uint64
	size    int          // bytes of values in the batch
	room    func() error // nil: there is
	writing chan error   // gives what became of the batch before; nil: there is none
}

// batchBytes of values are written at once. Badger bounds a transaction by what it
// adds to its tables, not by values that lie in the value log: those of a build
// would all be kept in memory, and more than 4 GB be refused.
const batchBytes = 32 << 20

// roll lets the batch be written, and begins another.
func (w *unitWriter) roll() error {
	if err := w.wait(); err != nil {
		return err
	}
	if w.room != nil {
		if err := w.room(); err != nil {
			return err
		}
	}
	full, done := w.batch, make(chan error, 1)
	go func() { done <- full.Flush() }()
	w.batch, w.size, w.writing = w.db.NewManagedWriteBatch(), 0, done
	return nil
}

// wait for the batch before.
func (w *unitWriter) wait() error {
	if w.writing == nil {
		return nil
	}
	err := <-w.writing
	w.writing = nil
	return err
}

func (w *unitWriter) put(k, body []byte) error {
	return w.give(k, append(make([]byte, 0, len(body)+8), body...))
}

// give is put of a body that nobody else uses any more; the checksum goes behind it.
func (w *unitWriter) give(k, body []byte) error {
	k = w.key(k)
	v := binary.LittleEndian.AppendUint64(body, checksum(k, body))
	if !w.managed {
		return w.batch.Set(k, v)
	}
	if w.size += len(v); w.size > batchBytes {
		if err := w.roll(); err != nil {
			return err
		}
	}
	w.version++
	return w.batch.SetEntryAt(badger.NewEntry(k, v), w.version)
}

func (w *unitWriter) remove(k []byte) error {
	k = w.key(k)
	if !w.managed {
		return w.batch.Delete(k)
	}
	w.version++
	return w.batch.DeleteAt(k, w.version)
}

func (w *unitWriter) putJSON(k []byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.give(k, body)
}

func header(d *document.Document, hash string) Header {
	h := Header{Document: *d, Hash: hash, Count: len(d.Sections)}
	h.Sections = nil
	return h
}

func (w *unitWriter) document(d *document.Document, hash string) error {
	if err := checkID(d); err != nil {
		return err
	}
	if err := w.putJSON(key(kindDocument, d.ID), header(d, hash)); err != nil {
		return err
	}
	for i := range d.Sections {
		if err := w.give(sectionKey(d.ID, i), encodeSection(&d.Sections[i])); err != nil {
			return err
		}
	}
	return nil
}

func (w *unitWriter) denseBlocks(s *dense.Segment, n *int) error {
	return s.Encode(func(b []byte) error {
		*n++
		return w.put(numberKey(kindCodes, *n-1), b)
	})
}

func (w *unitWriter) codeBlobs(b *codes.Builder, n *int) error {
	for _, blob := range b.Build(0) {
		if err := w.put(numberKey(kindCodesOf, *n), blob); err != nil {
			return err
		}
		*n++
	}
	return nil
}

func (w *unitWriter) nameBlobs(of []names.Labelled, n *int) error {
	blobs, err := names.BuildSegment(of, 0)
	for _, blob := range blobs {
		if err == nil {
			err = w.put(numberKey(kindLearned, *n), blob)
		}
		*n++
	}
	return err
}

func (w *unitWriter) lexicalBlobs(ctx context.Context, b *lexical.Builder, n *int) error {
	return b.Finish(func(blob []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		*n++
		return w.give(numberKey(kindLexical, *n-1), blob)
	})
}
