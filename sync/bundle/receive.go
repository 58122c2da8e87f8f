package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"rxedge/sync/durable"
)

// Config of a Receiver.
type Config struct {
	Channel string
	// Site is this site's id, by which rollouts let it in; "": none does.
	Site string
	// Root, Least and Issued are of the enrolment: the TUF root, the least version
	// of a timestamp, the time it was written.
	Root   []byte
	Least  int64
	Issued time.Time
	Facts  func() Facts // nil: none
	// DiskFree says how many bytes are free in a folder; nil asks the file system.
	DiskFree func(dir string) (int64, error)
	// DiskFloor is what has to stay free, in bytes; nil: 0.
	DiskFloor func() int64
	// MakeRoom is called where so many bytes are missing, before a bundle is refused;
	// nil: nothing gives way.
	MakeRoom func(missing int64)
	// Room is asked before so many bytes are fetched, beside what is free, and its error
	// refuses the bundle; nil: there is.
	Room func(bytes int64) error
	// Limit of what is fetched, in bytes a second; nil: none.
	Limit *rate.Limiter
	// Event hears of every line of the history; nil: nobody does.
	Event func(Event)
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: silent
}

// Progress of a pull.
type Progress struct {
	Number int64 `json:"number"`
	Done   int64 `json:"done"` // bytes
	Total  int64 `json:"total"`
}

// Receiver keeps a site's bundles: it pulls them from a Source, checks them, and
// holds what was staged and what is active. Safe for concurrent use.
type Receiver struct {
	cfg   Config
	local *local

	pulling chan struct{} // one pull at a time

	trust *trust

	mu       sync.Mutex // of what follows
	book     *book
	gating   gating
	progress *Progress
	need     int64 // bytes that have to be free, by the last refusal for want of room
}

// Open the folder of a site's bundles, and make it where it is not there.
func Open(dir string, cfg Config) (*Receiver, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Facts == nil {
		cfg.Facts = func() Facts { return Facts{} }
	}
	if cfg.DiskFloor == nil {
		cfg.DiskFloor = func() int64 { return 0 }
	}
	if cfg.DiskFree == nil {
		cfg.DiskFree = diskFree
	}
	if cfg.Event == nil {
		cfg.Event = func(Event) {}
	}
	l, err := openLocal(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the site's bundles: %w", err)
	}
	t, err := openTrust(filepath.Join(dir, "trust"), anchor{cfg.Root, cfg.Least, cfg.Issued}, cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("opening the site's bundles: %w", err)
	}
	b, err := openBook(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the site's bundles: %w", err)
	}
	r := &Receiver{cfg: cfg, local: l, trust: t, book: b, pulling: make(chan struct{}, 1)}
	r.openGates()
	return r, nil
}

func diskFree(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// leastRoom is what writing down a state may take.
const leastRoom = 4 << 20

// HasRoom says whether the disk has room for what the last pull wanted to fetch.
func (r *Receiver) HasRoom() bool {
	r.mu.Lock()
	need := r.need
	r.mu.Unlock()
	free, err := r.cfg.DiskFree(r.local.dir)
	return err == nil && free >= max(need, leastRoom)
}

// Now is the clock, but never before a time that the centre has signed.
func (r *Receiver) Now() time.Time { return r.trust.Now() }

// Floor is the latest time that the centre has signed; zero where there is none.
func (r *Receiver) Floor() time.Time {
	r.trust.mu.RLock()
	defer r.trust.mu.RUnlock()
	return r.trust.kept.Floor
}

// Result of a pull.
type Result struct {
	Staged int64 `json:"staged,omitempty"` // the number that was staged, 0: none
	Bytes  int64 `json:"bytes"`            // of chunks that were fetched
	Active int64 `json:"active,omitempty"`
	// Pending is here and not active yet, and Slot says where it stands: staged,
	// validated, provisional. Whoever puts bundles to use fills them in.
	Pending int64  `json:"pending,omitempty"`
	Slot    string `json:"slot,omitempty"`
}

// Pull refreshes the signed metadata and fetches the newest bundle that this
// site can use, whole, to staged. Cut off anywhere, the next goes on where it
// was. The error is an *Error where something was refused; it says so in the
// history too. What is active stays so whatever happens.
func (r *Receiver) Pull(ctx context.Context, src Source) (res Result, err error) {
	select {
	case r.pulling <- struct{}{}:
	case <-ctx.Done():
		return res, ctx.Err()
	}
	defer func() { <-r.pulling }()

	if err = r.trust.refresh(ctx, src); err == nil {
		err = r.refreshGates(ctx, src)
	}
	r.mu.Lock()
	if r.book.s.Active != nil {
		res.Active = r.book.s.Active.Number
	}
	if err == nil {
		r.book.s.Refreshed = r.cfg.Now().UTC() // written down with the next change
	}
	r.mu.Unlock()
	if err != nil {
		r.refused(0, err)
		return res, err
	}
	t, err := r.choose()
	if err != nil || t == nil {
		if err != nil {
			r.refused(0, err)
		}
		return res, err
	}
	began := r.cfg.Now()
	var fetched atomic.Int64
	vectors, refusal, err := r.stage(ctx, src, *t, &fetched)
	res.Bytes = fetched.Load()
	r.mu.Lock()
	r.progress = nil
	r.mu.Unlock()
	if err != nil {
		r.refused(t.number, err)
		return res, err
	}
	res.Staged = t.number
	if refusal != nil {
		if err := r.record(Event{Number: t.number, State: StateVectors, Code: refusal.Code, Reason: refusal.Reason}, func(*state) {}); err != nil {
			return res, err
		}
	}
	e := Event{Number: t.number, State: StateStaged, Bytes: res.Bytes, TookMS: r.cfg.Now().Sub(began).Milliseconds()}
	err = r.record(e, func(s *state) {
		s.Staged = &Held{Number: t.number, Manifest: t.hash, At: r.cfg.Now().UTC(), Vectors: vectors}
		delete(s.Quarantine, t.number)
	})
	return res, err
}

// record makes a change of the state together with its line of the history.
func (r *Receiver) record(e Event, f func(*state)) error {
	r.mu.Lock()
	e.At = r.cfg.Now().UTC()
	err := r.book.change(func(s *state) {
		f(s)
		s.History = append(s.History, e)
	})
	r.mu.Unlock()
	if err == nil {
		r.cfg.Event(e)
	}
	return err
}

// refused writes a refusal down: of a bundle into quarantine, of metadata once
// for each code in a row. Errors of the link are none.
func (r *Receiver) refused(number int64, err error) {
	var e *Error
	if !errors.As(err, &e) {
		return
	}
	now := r.cfg.Now().UTC()
	if number == 0 || e.Code == NoRoom {
		r.mu.Lock()
		h := r.book.s.History
		repeated := len(h) > 0 && h[len(h)-1].State == StateRefused && h[len(h)-1].Code == e.Code && h[len(h)-1].Number == number
		r.mu.Unlock()
		if !repeated {
			_ = r.record(Event{Number: number, State: StateRefused, Code: e.Code, Reason: e.Reason}, func(*state) {})
		}
		return
	}
	_ = r.record(Event{Number: number, State: StateQuarantined, Code: e.Code, Reason: e.Reason}, func(s *state) {
		q := s.Quarantine[number]
		if q == nil {
			q = &Quarantined{Number: number}
			s.Quarantine[number] = q
		}
		q.Code, q.Reason, q.At, q.Retry = e.Code, e.Reason, now, retryOf(e.Code, now, q.Tries)
		q.Tries++
		if s.Staged != nil && s.Staged.Number == number {
			s.Staged = nil
		}
	})
}

// choose the newest bundle that is to be had; nil: there is nothing to do.
func (r *Receiver) choose() (*target, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ts, err := r.trust.targets(r.cfg.Channel)
	if err != nil {
		return nil, err
	}
	s := &r.book.s
	if a := s.Active; a != nil {
		switch {
		case len(ts) == 0:
			return nil, refuse(Downgrade, nil, "the centre signs no bundle of the channel %q any more; this site has %d", r.cfg.Channel, a.Number)
		case ts[0].number < a.Number:
			return nil, refuse(Downgrade, nil, "the newest bundle that the centre signs is %d; this site has %d", ts[0].number, a.Number)
		case ts[0].number == a.Number && ts[0].hash != a.Manifest:
			return nil, refuse(Downgrade, nil, "the centre signs another bundle under the number %d, which this site has", a.Number)
		}
	}
	now := r.cfg.Now()
	floor := int64(0) // what is not above it is of no interest
	if a := s.Active; a != nil {
		floor = a.Number
		if r.opening(a.Number).Rollback {
			// The centre has taken back what is active. The site goes back by itself to
			// what it had; where it had nothing, to the newest that it may have.
			floor = 0
			if s.Previous != nil {
				floor = s.Previous.Number
			}
		}
	}
	for _, t := range ts {
		if t.number <= floor {
			return nil, nil
		}
		if !r.opening(t.number).Allowed {
			continue
		}
		if s.Staged != nil && t.number <= s.Staged.Number && t.hash == s.Staged.Manifest {
			return nil, nil
		}
		if q := s.Quarantine[t.number]; q != nil && q.waits(now) {
			continue
		}
		return &t, nil
	}
	return nil, nil
}

// stage brings a bundle whole onto this disk, with vectors of this site's embedder
// where it has some that are good; else refusal says why not.
func (r *Receiver) stage(ctx context.Context, src Source, t target, fetched *atomic.Int64) (vectors *Hash, refusal *Error, err error) {
	m, err := r.fetchManifest(ctx, src, t)
	if err != nil {
		return nil, nil, err
	}
	if err := m.Suits(r.cfg.Facts()); err != nil {
		return nil, nil, err
	}
	active, previous := r.held()
	if err := r.local.sweep(m, active, previous); err != nil {
		return nil, nil, fmt.Errorf("making room: %w", err)
	}
	packs, total := r.missingPacks(m.Documents)
	v := r.vectorsFor(m)
	if v != nil {
		_, more := r.missingPacks(v.Documents)
		total += more
	}
	for _, a := range m.Artefacts {
		total += r.missingOf(a)
	}
	// What comes is written once more when it is put to use.
	free, err := r.cfg.DiskFree(r.local.dir)
	if err != nil {
		return nil, nil, err
	}
	need := 2*total + r.cfg.DiskFloor()
	r.mu.Lock()
	r.need = need
	r.mu.Unlock()
	if free < need && r.cfg.MakeRoom != nil {
		r.cfg.MakeRoom(need - free)
		if free, err = r.cfg.DiskFree(r.local.dir); err != nil {
			return nil, nil, err
		}
	}
	if r.cfg.Room != nil {
		if err := r.cfg.Room(total); err != nil {
			return nil, nil, refuse(NoRoom, err, "bundle %d: %v", t.number, err)
		}
	}
	if free < need {
		return nil, nil, refuse(NoRoom, nil, "bundle %d needs %d MB and %d MB of the disk are free", t.number, need/1e6+1, free/1e6)
	}
	p := &Progress{Number: t.number, Total: total}
	r.mu.Lock()
	r.progress = p
	r.mu.Unlock()
	count := func(n int) {
		fetched.Add(int64(n))
		r.mu.Lock()
		p.Done += int64(n)
		r.mu.Unlock()
	}
	if err := r.fetchPacks(ctx, src, packs, count); err != nil {
		return nil, nil, err
	}
	for _, a := range m.Artefacts {
		if err := r.fetchArtefact(ctx, src, a, count); err != nil {
			return nil, nil, err
		}
	}
	if m.Documents != nil {
		if err := OpenSet(m, r.local).Check(); err != nil {
			return nil, nil, err
		}
	}
	return r.fetchVectors(ctx, src, m, v, count)
}

func (r *Receiver) fetchPacks(ctx context.Context, src Source, packs []Pack, count func(int)) error {
	return fetch(ctx, src, r.cfg.Limit, func(yield func(want, error) bool) {
		for _, k := range packs {
			if !yield(want{k.Hash, int64(k.Size), func(b []byte) error {
				count(len(b))
				return r.local.putPack(k.Hash, b)
			}}, nil) {
				return
			}
		}
	})
}

func (r *Receiver) fetchManifest(ctx context.Context, src Source, t target) (*Manifest, error) {
	if m, err := r.local.manifest(t.hash); err == nil {
		return m, r.isOf(m, t)
	}
	if t.length > MaxManifest {
		return nil, refuse(TooLarge, nil, "the manifest of bundle %d has %d bytes; the most is %d", t.number, t.length, MaxManifest)
	}
	b, err := src.Metadata(ctx, ManifestName(t.hash.String()), t.length)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, refuse(MissingMetadata, err, "the hub does not have the manifest of bundle %d", t.number)
	case err != nil:
		return nil, fmt.Errorf("fetching the manifest of bundle %d: %w", t.number, err)
	case int64(len(b)) != t.length || HashOf(b) != t.hash:
		return nil, refuse(TamperedManifest, nil, "the manifest of bundle %d is not the one that was signed", t.number)
	}
	m, err := ParseManifest(b)
	if err != nil {
		return nil, err
	}
	if err := r.isOf(m, t); err != nil {
		return nil, err
	}
	return m, durable.Write(r.local.manifestPath(t.hash), b)
}

func (r *Receiver) isOf(m *Manifest, t target) error {
	switch {
	case m.Channel != r.cfg.Channel:
		return refuse(WrongChannel, nil, "bundle %d is of the channel %q; this site is on %q", t.number, m.Channel, r.cfg.Channel)
	case m.Number != t.number:
		return refuse(BadManifest, nil, "the manifest of bundle %d says that it is %d", t.number, m.Number)
	}
	return nil
}

// held are the manifests of what this site has.
func (r *Receiver) held() (active, previous *Manifest) {
	r.mu.Lock()
	a, p := r.book.s.Active, r.book.s.Previous
	r.mu.Unlock()
	if a != nil {
		active, _ = r.local.manifest(a.Manifest)
	}
	if p != nil {
		previous, _ = r.local.manifest(p.Manifest)
	}
	return active, previous
}

func (r *Receiver) missingPacks(d *Documents) (missing []Pack, total int64) {
	if d == nil {
		return nil, 0
	}
	seen := map[Hash]bool{}
	for _, p := range d.Packs {
		if p.Size > 0 && !seen[p.Hash] && !r.local.has(p.Hash) {
			missing = append(missing, p)
			total += int64(p.Size)
		}
		seen[p.Hash] = true
	}
	return missing, total
}

// missingOf an artefact, in bytes, roughly: what was fetched is checked later.
func (r *Receiver) missingOf(a Artefact) int64 {
	if fi, err := os.Stat(r.local.artefactPath(a)); err == nil && fi.Size() == a.Size {
		return 0
	}
	if fi, err := os.Stat(r.local.artefactPath(a) + partSuffix); err == nil {
		return max(0, a.Size-fi.Size())
	}
	return a.Size
}

// fetchArtefact brings the chunks of a file that are not there yet. What lies in
// the unfinished file counts only where its hash is right, so no journal is
// needed and no crash can harm.
func (r *Receiver) fetchArtefact(ctx context.Context, src Source, a Artefact, count func(int)) error {
	path := r.local.artefactPath(a)
	if fi, err := os.Stat(path); err == nil && fi.Size() == a.Size {
		return nil // it was checked before it got this name
	}
	err := fetch(ctx, src, r.cfg.Limit, func(yield func(want, error) bool) {
		for _, h := range a.Lists {
			if !r.local.has(h) && !yield(want{h, ChunkSize, func(b []byte) error { count(len(b)); return r.local.putPack(h, b) }}, nil) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+partSuffix, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fetch(ctx, src, r.cfg.Limit, r.missingChunks(f, a, count)); err != nil {
		return err
	}
	if err := f.Truncate(a.Size); err != nil {
		return err
	}
	h, err := hashFile(f)
	if err != nil {
		return err
	}
	if h != a.SHA256 {
		_ = os.Remove(path + partSuffix)
		return refuse(BadContent, nil, "%s is made of the right chunks and has another SHA-256 than the manifest says", a.Name)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(path+partSuffix, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func (r *Receiver) missingChunks(f *os.File, a Artefact, count func(int)) iter.Seq2[want, error] {
	return func(yield func(want, error) bool) {
		buf := make([]byte, ChunkSize)
		for i, lh := range a.Lists {
			list, err := r.local.Pack(lh)
			first := int64(i) * hashesPerList
			n := min(a.Chunks()-first, hashesPerList)
			if err == nil && (HashOf(list) != lh || int64(len(list)) != n*int64(len(Hash{}))) {
				err = refuse(BadContent, nil, "a list of the chunks of %s is of the wrong length", a.Name)
			}
			if err != nil {
				yield(want{}, err)
				return
			}
			for k := range n {
				var h Hash
				copy(h[:], list[k*int64(len(h)):])
				at := (first + k) * ChunkSize
				size := min(ChunkSize, a.Size-at)
				if m, err := f.ReadAt(buf[:size], at); err == nil && int64(m) == size && HashOf(buf[:size]) == h {
					continue
				}
				if !yield(want{h, size, func(b []byte) error {
					if int64(len(b)) != size {
						return refuse(BadContent, nil, "a chunk of %s is of the wrong length", a.Name)
					}
					count(len(b))
					_, err := f.WriteAt(b, at)
					return err
				}}, nil) {
					return
				}
			}
		}
	}
}

func hashFile(f *os.File) (Hash, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Hash{}, err
	}
	return hashReader(f)
}
