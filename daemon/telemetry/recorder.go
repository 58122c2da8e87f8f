package telemetry

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"

	"rxedge/daemon/answer"
	"rxedge/daemon/store"
	"rxedge/sync/durable"
)

// How long windows are kept, and how often what was counted goes to the disk.
const (
	keepHours  = 9 * 24 * time.Hour
	keepDays   = 400 * 24 * time.Hour
	keepOut    = 35 * 24 * time.Hour
	writeEvery = time.Minute
	// recalled answers, for what is said of them later.
	recalled = 8192
)

// spans of windows on disk.
const (
	spanHour = 'h'
	spanDay  = 'd'
	// What may leave of a day and has not yet, and what waits for a later one, which
	// has no time.
	spanOut     = 'o'
	spanWaiting = 'w'
)

// Options of a recorder; the zero value is what a box uses.
type Options struct {
	Now func() time.Time
	// Sound says that nothing is known against the clock; while it is not nothing is let
	// go for its age. Nil: nothing ever is.
	Sound func() bool
	Log   *slog.Logger
	// Day is called with the window of each day that is over, of all models and
	// generations apart, once it is on disk; it may be called again for a day
	// after a start. May be nil.
	Day func(*Window)
	// Leave is given what may leave the box of each day that is over, once that is on
	// disk. Where it fails it is given the same again, for five weeks; also after a
	// crash, so it may get one twice. May be nil: it all waits.
	Leave func(*Window) error
	// Cohorts that are told apart, and kept; others are OtherCohort, of windows that
	// were written before too. Nil: any.
	Cohorts []string
	// Key of the store on disk, and Seal of the file beside it; nil: they are not
	// encrypted.
	Key  []byte
	Seal *durable.Seal
	// Space gives the part of an answer's vector that can be compared over generations,
	// and the number by which its space is known; 0: there is none. May be nil.
	Space func(*answer.Answer) (space uint64, v []float32)
}

// Recorder counts a box's questions, an hour to a window, and keeps the windows
// in a store of its own. Safe for concurrent use.
//
// What was counted is in memory for at most a minute; that is what a power cut
// costs.
type Recorder struct {
	db   *store.DB
	opt  Options
	note string
	key  [32]byte

	writing sync.Mutex // before mu

	mu     sync.Mutex
	fresh  map[string]*Window // counted since the last write, by key
	slow   []Trace            // since then too
	recall map[string]*Observation
	order  []string // ids in recall, a ring
	next   int

	started bool
	stop    chan struct{}
	ended   chan struct{}
	due     chan struct{}
}

// Open opens or makes the store in dir. A damaged one is set aside beside it,
// and Note says so.
func Open(dir string, opt Options) (*Recorder, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Sound == nil {
		opt.Sound = func() bool { return true }
	}
	r := &Recorder{opt: opt, fresh: map[string]*Window{}, recall: map[string]*Observation{}, order: make([]string, recalled), stop: make(chan struct{}), ended: make(chan struct{}), due: make(chan struct{}, 1)}
	var err error
	r.db, err = store.Open(dir, true, opt.Key)
	var damaged *store.DamagedError
	if errors.As(err, &damaged) {
		aside := fmt.Sprintf("%s.damaged-%s", dir, opt.Now().UTC().Format("20060102T150405"))
		if err := os.Rename(dir, aside); err != nil {
			return nil, fmt.Errorf("setting damaged telemetry aside: %w", err)
		}
		r.note = "the store of telemetry was damaged and lies in " + aside + "; counting began anew"
		r.db, err = store.Open(dir, true, opt.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store of telemetry: %w", err)
	}
	if err := r.openKey(filepath.Join(dir, KeyFile)); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	if err := r.forget(); err != nil {
		err = fmt.Errorf("forgetting cohorts that are told apart no more: %w", err)
		if r.db != nil {
			err = errors.Join(err, r.db.Close())
		}
		return nil, err
	}
	return r, nil
}

// Start writes from now on what is counted, once a minute, and calls Options.Day.
func (r *Recorder) Start() {
	r.started = true
	go r.run()
}

// openKey reads the key under which questions are hashed. It never leaves the box,
// so nobody else can try whether a question was asked.
func (r *Recorder) openKey(path string) error {
	b, err := r.opt.Seal.Read(path)
	if err == nil && len(b) == len(r.key) {
		copy(r.key[:], b)
		return nil
	}
	if errors.Is(err, durable.ErrSeal) || errors.Is(err, durable.ErrSealed) {
		return fmt.Errorf("the key of telemetry: %w", err)
	}
	if _, err := rand.Read(r.key[:]); err != nil {
		return fmt.Errorf("making the key of telemetry: %w", err)
	}
	if err := r.opt.Seal.Write(path, r.key[:]); err != nil {
		return fmt.Errorf("keeping the key of telemetry: %w", err)
	}
	return nil
}

// Note says what was wrong when it was opened; "": nothing.
func (r *Recorder) Note() string { return r.note }

// Observe counts an answer, or the error where there is none. cohort and centroid
// as Of has them. It gives what was counted.
func (r *Recorder) Observe(a *answer.Answer, err error, cohort string, centroid int) Observation {
	o := Of(a, err, cohort, centroid, r.opt.Now())
	if c := o.In[Cohort]; r.opt.Cohorts != nil && c != None && !slices.Contains(r.opt.Cohorts, c) {
		o.In[Cohort] = Other
	}
	if a != nil {
		h := hmac.New(sha256.New, r.key[:])
		h.Write([]byte(strings.Join(strings.Fields(strings.ToLower(a.Question)), " ")))
		if r.opt.Space != nil {
			o.Projected = Project(r.opt.Space(a))
		}
		o.Person = binary.LittleEndian.Uint64(h.Sum(nil)) | 1
	}
	id := ""
	if a != nil {
		id = a.ID
	}
	r.Count(&o, id)
	return o
}

// Count an observation of an answer, which Judge recalls by its id; "": it has none.
func (r *Recorder) Count(o *Observation, answerID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.window(o).Add(o)
	if t, slow := o.trace(); slow {
		r.keepSlow(t)
	}
	if answerID == "" {
		return
	}
	if old := r.order[r.next]; old != "" {
		delete(r.recall, old)
	}
	r.order[r.next] = answerID
	r.recall[answerID] = o
	r.next = (r.next + 1) % recalled
}

// Judge counts what was said of an answer; of one that it does not recall,
// nothing. Said of an answer twice it counts once.
func (r *Recorder) Judge(answerID string, bad bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.recall[answerID]
	if o == nil {
		return
	}
	delete(r.recall, answerID)
	now := *o
	now.At = r.opt.Now() // counted when it was said
	r.window(&now).Judge(&now, bad)
}

// window of an observation, with mu held.
func (r *Recorder) window(o *Observation) *Window {
	from := o.At.UTC().Truncate(time.Hour)
	k := key(spanHour, from, o.Model, o.Generation)
	w := r.fresh[k]
	if w == nil {
		w = NewWindow(from, from.Add(time.Hour), o.Model, o.Generation)
		r.fresh[k] = w
	}
	return w
}

// key of a window: its span, its time, a hash of what it is of.
func key(span byte, from time.Time, model, generation string) string {
	b := append(make([]byte, 0, 17), span)
	b = binary.BigEndian.AppendUint64(b, uint64(max(from.Unix(), 0)))
	return string(binary.BigEndian.AppendUint64(b, xxhash.Sum64String(model+"\x00"+generation)))
}

func (r *Recorder) run() {
	defer close(r.ended)
	t := time.NewTicker(writeEvery)
	defer t.Stop()
	r.flush()
	for {
		select {
		case <-r.stop:
			r.flush()
			return
		case <-t.C:
			r.flush()
		case <-r.due:
			r.flush()
		}
	}
}

// Due says that days which could not leave the box may do so now.
func (r *Recorder) Due() {
	select {
	case r.due <- struct{}{}:
	default:
	}
}

func (r *Recorder) flush() {
	if err := r.Flush(); err != nil {
		r.opt.Log.Warn("telemetry could not be written; it is tried again", "error", err)
	}
}

// Flush writes what was counted, makes days of the hours that are over, and lets
// go of what is old.
func (r *Recorder) Flush() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	fresh := r.fresh
	r.fresh = map[string]*Window{}
	r.mu.Unlock()
	for k, w := range fresh {
		if err := r.add(k, w); err != nil {
			// Counted again later, together with what came meanwhile.
			r.mu.Lock()
			for k, w := range fresh {
				if now := r.fresh[k]; now == nil {
					r.fresh[k] = w
				} else if e := now.Merge(w, false); e != nil {
					err = errors.Join(err, e)
				}
			}
			r.mu.Unlock()
			return err
		}
		delete(fresh, k)
	}
	if err := r.writeSlow(); err != nil {
		return err
	}
	return r.settle()
}

// add merges a window into the one on disk.
func (r *Recorder) add(k string, w *Window) error {
	return r.db.Update(func(txn *badger.Txn) error {
		sum := w
		old, err := get(txn, k)
		switch {
		case err == nil:
			if err := old.Merge(w, false); err != nil {
				return err
			}
			sum = old
		case errors.Is(err, badger.ErrKeyNotFound):
		case errors.Is(err, ErrDamaged):
			r.opt.Log.Warn("a window of telemetry was damaged; it is counted anew", "from", w.From)
		default:
			return err
		}
		return put(txn, k, sum)
	})
}

func get(txn *badger.Txn, k string) (*Window, error) {
	item, err := txn.Get([]byte(k))
	if err != nil {
		return nil, err
	}
	var w *Window
	err = item.Value(func(b []byte) (err error) {
		w, err = UnmarshalWindow(b)
		return err
	})
	return w, err
}

// settle makes a day of the hours of each day that is over, and removes what is
// old. A day's window is written once, its hours are kept a week longer.
func (r *Recorder) settle() error {
	now := r.opt.Now().UTC()
	if err := r.bringBack(now); err != nil {
		return err
	}
	sound := r.opt.Sound()
	today := now.Truncate(24 * time.Hour)
	days := map[string]*Window{}
	var remove []string
	err := r.each(spanHour, time.Time{}, func(k string, w *Window) error {
		if sound && w.From.Before(now.Add(-keepHours)) {
			remove = append(remove, k)
		}
		from := w.From.Truncate(24 * time.Hour)
		if !from.Before(today) {
			return nil
		}
		dk := key(spanDay, from, w.Model, w.Generation)
		if d := days[dk]; d != nil {
			return d.Merge(w, false)
		}
		d := w.Clone()
		d.From, d.To = from, from.Add(24*time.Hour)
		days[dk] = d
		return nil
	})
	if err != nil {
		return err
	}
	var made []*Window
	for k, w := range days {
		err := r.db.Update(func(txn *badger.Txn) error {
			old, err := get(txn, k)
			if err == nil && old.Questions >= w.Questions {
				return nil // it was made before; some of its hours may be gone since
			} else if err != nil && !errors.Is(err, badger.ErrKeyNotFound) && !errors.Is(err, ErrDamaged) {
				return err
			}
			made = append(made, w)
			if err := release(txn, w, old); err != nil {
				return err
			}
			return put(txn, k, w)
		})
		if err != nil {
			return err
		}
	}
	if err := r.each(spanDay, time.Time{}, func(k string, w *Window) error {
		if sound && w.From.Before(now.Add(-keepDays)) {
			remove = append(remove, k)
		}
		return nil
	}); err != nil {
		return err
	}
	var out []string
	if err := r.each(spanOut, time.Time{}, func(k string, w *Window) error {
		if sound && w.From.Before(now.Add(-keepOut)) {
			remove = append(remove, k)
		} else {
			out = append(out, k)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, k := range remove {
		if err := r.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(k)) }); err != nil {
			return err
		}
	}
	if r.opt.Day != nil {
		for _, w := range made {
			r.opt.Day(w)
		}
	}
	if r.opt.Leave == nil {
		return nil
	}
	for _, k := range out {
		var w *Window
		if err := r.db.View(func(txn *badger.Txn) (err error) {
			w, err = get(txn, k)
			return err
		}); err != nil {
			return err
		}
		if r.opt.Leave(w) != nil {
			return nil // it says so itself; the others would fail as well
		}
		if err := r.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(k)) }); err != nil {
			return err
		}
	}
	return nil
}

// release puts what may leave of a day beside it, and what waits for a later one.
// Of a day that was released before, old, what came since waits.
func release(txn *badger.Txn, w, old *Window) error {
	wk := key(spanWaiting, time.Time{}, w.Model, w.Generation)
	waiting, err := get(txn, wk)
	if err != nil && !errors.Is(err, badger.ErrKeyNotFound) && !errors.Is(err, ErrDamaged) {
		return err
	}
	if old != nil {
		late := w.Less(old)
		if waiting != nil {
			if err := late.Merge(waiting, false); err != nil {
				return err
			}
		}
		return put(txn, wk, late)
	}
	out, rest, err := w.Release(waiting)
	if err != nil {
		return err
	}
	if out != nil {
		if err := put(txn, key(spanOut, w.From, w.Model, w.Generation), out); err != nil {
			return err
		}
	}
	return put(txn, wk, rest)
}

func put(txn *badger.Txn, k string, w *Window) error {
	b, err := w.MarshalBinary()
	if err != nil {
		return err
	}
	return txn.Set([]byte(k), b)
}

// each reads the windows of a span from a time on, oldest first; damaged ones are
// passed over.
func (r *Recorder) each(span byte, from time.Time, f func(k string, w *Window) error) error {
	return r.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{span}, PrefetchValues: true, PrefetchSize: 16})
		defer it.Close()
		start := append([]byte{span}, make([]byte, 8)...)
		if !from.IsZero() {
			binary.BigEndian.PutUint64(start[1:], uint64(max(from.Unix(), 0)))
		}
		for it.Seek(start); it.Valid(); it.Next() {
			var w *Window
			err := it.Item().Value(func(b []byte) (err error) {
				w, err = UnmarshalWindow(b)
				return err
			})
			if errors.Is(err, ErrDamaged) {
				r.opt.Log.Warn("a window of telemetry is damaged and is passed over")
				continue
			}
			if err == nil {
				err = f(string(it.Item().KeyCopy(nil)), w)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Days are the windows of the days from from on that are over, oldest first.
func (r *Recorder) Days(from time.Time) ([]*Window, error) {
	var out []*Window
	err := r.each(spanDay, from.UTC().Truncate(24*time.Hour), func(_ string, w *Window) error {
		out = append(out, w)
		return nil
	})
	return out, err
}

// Hours are the windows of the hours from from on, with the one under way, oldest
// first; those that are under way and counted since the last write come last.
func (r *Recorder) Hours(from time.Time) ([]*Window, error) {
	r.writing.Lock() // so that nothing is counted twice or not at all
	defer r.writing.Unlock()
	from = from.UTC().Truncate(time.Hour)
	var out []*Window
	err := r.each(spanHour, from, func(_ string, w *Window) error {
		out = append(out, w)
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.fresh {
		if !w.From.Before(from) {
			out = append(out, w.Clone())
		}
	}
	return out, err
}

// Sum of windows of any models and generations; nil of none.
func Sum(ws []*Window) (*Window, error) {
	var sum *Window
	for _, w := range ws {
		if sum == nil {
			sum = w.Clone()
		} else if err := sum.Merge(w, true); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// Close writes what was counted.
func (r *Recorder) Close() error {
	if r.started {
		close(r.stop)
		<-r.ended
		return r.db.Close()
	}
	return errors.Join(r.Flush(), r.db.Close())
}

// Snapshot is all that was counted until now.
func (r *Recorder) Snapshot() (*store.Snapshot, error) {
	if err := r.Flush(); err != nil {
		return nil, err
	}
	return store.Snap(r.db), nil
}

// KeyFile is where the key lies under which questions are hashed, in the folder of
// telemetry.
const KeyFile = "question.key"

// Collect gives back what was replaced or removed and still takes room on disk.
func (r *Recorder) Collect() error { return r.db.Collect() }
