package box

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"rxedge/daemon/disk"
	"rxedge/daemon/rollout"
	"rxedge/index"
	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
	"rxedge/sync/spool"
	"rxedge/sync/uplink"
)

// syncing is the box as a site of a fleet. The zero value is one that is not
// enrolled, which costs nothing.
type syncing struct {
	mu       sync.Mutex
	id       *enroll.Identity
	receiver *bundle.Receiver
	spool    *spool.Spool   // while the daemon runs
	uplink   *uplink.Uplink // while the daemon runs
	news     chan struct{}
	stop     context.CancelFunc
	wg       sync.WaitGroup

	note     string // why it is off though the box is a site
	applying sync.Mutex
	told     string
}

// SyncStatus is how a site stands with its centre.
type SyncStatus struct {
	Enrolled bool           `json:"enrolled"`
	Site     string         `json:"site,omitempty"`
	Bundles  *bundle.Status `json:"bundles,omitempty"`
	// Uplink is there while the daemon runs.
	Uplink *uplink.Status `json:"uplink,omitempty"`
	// Admitted until then, unless its certificate is renewed, which a connected site
	// does when a third of the time is left.
	Admitted time.Time `json:"admitted_until,omitzero"`
	Quiet    bool      `json:"quiet_hours,omitempty"` // nothing is fetched now
}

// SyncClock is what signed metadata and certificates are judged by. A test sets it
// before a box is opened.
var SyncClock = time.Now

// ErrSyncOff: there is a daemon's work to do and no daemon.
var ErrSyncOff = errors.New("the link to the hub is rxedged's; it is not running")

func (b *Box) syncDir() string { return filepath.Join(b.Config.Data, "sync") }

// openSync opens what a site keeps, where the box is one.
func (b *Box) openSync() error {
	id, err := enroll.Load(b.syncDir(), b.keys.Files())
	if errors.Is(err, enroll.ErrNotEnrolled) {
		return nil
	}
	if err != nil {
		return err
	}
	var limit *rate.Limiter
	if kbps := b.Config.Sync.RateKbps; kbps > 0 {
		limit = rate.NewLimiter(rate.Limit(kbps*1000/8), bundle.MaxChunk)
	}
	r, err := bundle.Open(filepath.Join(b.syncDir(), "bundles"), bundle.Config{
		Channel: id.Channel, Site: id.Site, Root: id.Root, Least: id.Floor, Issued: id.Issued, Limit: limit, Log: b.log,
		DiskFloor: b.diskFloor, MakeRoom: b.makeRoom, Room: func(n int64) error { return b.within(disk.Bundles, n) },
		Facts: b.facts, Event: b.bundleEvent, Now: func() time.Time { return SyncClock() },
	})
	if err != nil {
		return err
	}
	b.sync.mu.Lock()
	defer b.sync.mu.Unlock()
	b.sync.id, b.sync.receiver = id, r
	return nil
}

func (b *Box) facts() bundle.Facts {
	f := bundle.Facts{Rxedge: Version, Profile: b.Models.profileName(), NoVectors: !b.Config.Sync.Vectors}
	if h := new(bundle.Hash); b.Answers != nil && h.UnmarshalText([]byte(b.Answers.Embedder.SHA256)) == nil {
		f.Embedder = h
	}
	return f
}

// RunSync connects to the hub and keeps the box in step with it until ctx ends or
// the box is closed. It returns at once, and does nothing where the box is no
// site; Enroll makes it one and runs it.
func (b *Box) RunSync(ctx context.Context) error {
	s := &b.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, s.stop = context.WithCancel(ctx)
	s.wg.Go(func() { b.syncLoop(ctx) })
	if s.receiver == nil {
		return nil
	}
	err := b.startUplink()
	if err != nil {
		s.note = "the link to the centre is off: " + err.Error()
	}
	return err
}

// startUplink with sync.mu held.
func (b *Box) startUplink() error {
	s := &b.sync
	began := time.Now()
	if s.spool == nil {
		sp, err := spool.Open(filepath.Join(b.syncDir(), "spool"), spool.Options{MaxBytes: int64(b.Config.Sync.SpoolMB) << 20, Key: b.keys.Spool(), Log: b.log})
		if err != nil {
			return err
		}
		s.spool = sp
	}
	var err error
	if s.uplink, err = uplink.Start(b.uplinkOptions()); err != nil {
		sp := s.spool
		s.spool, s.uplink = nil, nil
		return errors.Join(err, sp.Close())
	}
	defer func() { go b.sendRollouts(); go b.sendAlarms() }() // they take sync.mu
	b.telemetry.recorder.Due()
	b.log.Info("this box is a site", "site", s.id.Site, "channel", s.id.Channel, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

func (s *syncing) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *syncing) identity() *enroll.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

func (s *syncing) parts() (*bundle.Receiver, *uplink.Uplink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receiver, s.uplink
}

// closeSync ends it.
func (b *Box) closeSync() error {
	s := &b.sync
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
		s.wg.Wait()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uplink != nil {
		s.uplink.Close()
		s.uplink = nil
	}
	if s.spool != nil {
		err := s.spool.Close()
		s.spool = nil
		return err
	}
	return nil
}

const (
	lookEvery  = 15 * time.Minute // where no news came; the hub says so when there is something
	spread     = 500 * time.Millisecond
	retryFirst = time.Second
	retryMost  = time.Minute
)

func (b *Box) syncLoop(ctx context.Context) {
	s := &b.sync
	wait := time.Duration(0)
	if err := b.reconcile(ctx); err != nil && ctx.Err() == nil {
		b.log.Warn("the index could not be compared with the active bundle", "error", err)
	}
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-s.news:
			t.Stop()
			// Not all sites at the same moment.
			sleepFor(ctx, rand.N(spread))
		}
		r, u := s.parts()
		if r == nil {
			wait = lookEvery
			continue
		}
		err := b.applyStaged(ctx, false, nil)
		if err == nil && u != nil && u.Status(ctx).Connected && !b.quiet(time.Now()) {
			if b.trying() { // nothing newer is fetched, but the centre may call it back
				err = r.Refresh(ctx, u.Source())
			} else {
				_, err = r.Pull(ctx, u.Source())
			}
			if err == nil {
				err = b.heed(ctx)
			}
			if err == nil {
				err = b.applyStaged(ctx, false, nil)
			}
		}
		b.tell()
		if err := b.renewIdentity(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("this site's certificate could not be renewed; it is tried again", "error", err)
		}
		switch {
		case err == nil:
			wait = lookEvery/2 + rand.N(lookEvery)
			continue
		case ctx.Err() != nil:
			return
		case bundle.CodeOf(err) == bundle.NoRoom, errors.Is(err, syscall.ENOSPC):
			b.log.Warn("sync", "error", err)
			if wait *= 2; wait < retryFirst || wait > retryMost || b.awaitRoom(ctx, r) {
				wait = retryFirst
			}
		case bundle.CodeOf(err) != "":
			b.log.Warn("sync", "error", err)
			wait = retryMost
		default:
			b.log.Info("sync goes on later", "error", err)
			if wait = wait * 2; wait < retryFirst || wait > retryMost {
				wait = retryFirst
			}
		}
	}
}

// awaitRoom waits until there is room on the disk, a minute at most, and says
// whether it had to wait. The disk is asked, not the hub.
func (b *Box) awaitRoom(ctx context.Context, r *bundle.Receiver) (waited bool) {
	for end := time.Now().Add(retryMost); !r.HasRoom() && ctx.Err() == nil && time.Now().Before(end); waited = true {
		sleepFor(ctx, time.Second)
	}
	return waited
}

func sleepFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// quiet says whether nothing is to be fetched at this time of the day.
func (b *Box) quiet(now time.Time) bool { return b.Config.Sync.Quiet.Contains(now) }

// applyStaged takes the staged bundle as far as it gets: checked, and watched,
// before it is active. again: one that went back before is tried once more.
func (b *Box) applyStaged(ctx context.Context, again bool, progress func(IngestProgress)) error {
	s := &b.sync
	s.applying.Lock()
	defer s.applying.Unlock()
	r, _ := s.parts()
	if r == nil || b.trying() {
		return nil
	}
	st, err := r.Staged()
	if err != nil || st == nil {
		return err
	}
	state := b.rollout.State()
	if c := state.Confirmed; c != nil && c.ID == bundleID(st.Number) {
		// It is confirmed, and becomes the active one once the index has followed.
		b.agree()
		return nil
	}
	if e := state.Entry(bundleID(st.Number)); e != nil && e.Slot == rollout.RolledBack && !again && e.Check != rollout.CheckReplaced {
		// It went back before, and a later one since.
		b.agree()
		return nil
	}
	began := time.Now()
	e, err := b.offerBundle(ctx, st, progress)
	var no *rollout.RefusedError
	switch {
	case err == nil:
		b.log.Info("a bundle was taken up", "number", st.Number, "slot", string(e.Slot), "took", time.Since(began).Round(time.Millisecond))
		return nil
	case errors.As(err, &no):
		code := bundle.NotValidated
		if no.Served {
			code = bundle.RolledBack
		}
		return &bundle.Error{Code: code, Reason: no.Reason, Err: err}
	case errors.Is(err, rollout.ErrPinned), errors.Is(err, rollout.ErrUnderWay):
		b.log.Info("a bundle waits", "number", st.Number, "because", err)
		return nil
	case ctx.Err() != nil, errors.Is(err, index.ErrClosed):
		return err // it stays staged
	case errors.Is(err, index.ErrNoRoom):
		return &bundle.Error{Code: bundle.NoRoom, Reason: err.Error(), Err: err}
	case bundle.CodeOf(err) == bundle.TamperedChunk, errors.Is(err, bundle.ErrNotFound):
		// It was whole when it was staged: this disk has lost a part of it.
		return errors.Join(err, r.Discard(st.Number, "a part of it was damaged on this disk; it is fetched again"))
	}
	r.Reject(st.Number, err)
	return err
}

// trying says whether a candidate is provisional: nothing newer is fetched then.
func (b *Box) trying() bool {
	c := b.rollout.State().Candidate
	return c != nil && c.Slot == rollout.Provisional
}

// Enroll makes the box a site by the file that the centre has written.
func (b *Box) Enroll(ctx context.Context, file []byte) (string, error) {
	f, err := enroll.Parse(file)
	if err != nil {
		return "", err
	}
	s := &b.sync
	s.mu.Lock()
	have := s.id
	s.mu.Unlock()
	if have != nil && have.Site != f.Site {
		return "", fmt.Errorf("this box is the site %q already; to make it another, stop rxedged and move %s away", have.Site, b.syncDir())
	}
	id, err := enroll.Claim(ctx, b.syncDir(), f, enroll.Options{Proxy: b.Config.Sync.Proxy, Seal: b.keys.Files()})
	if err != nil {
		return "", err
	}
	if have == nil {
		if err := b.openSync(); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = ""
	if have != nil { // the same site, with keys of its own anew; what it holds stays
		s.id = id
		if s.uplink != nil {
			s.uplink.Close()
			s.uplink = nil
		}
	}
	if s.stop != nil { // the daemon runs
		if err := b.startUplink(); err != nil {
			return "", err
		}
		s.wake()
	}
	return id.Site, nil
}

// SyncStatus says how the box stands with its centre.
func (b *Box) SyncStatus(ctx context.Context) (SyncStatus, error) {
	r, u := b.sync.parts()
	if r == nil {
		return SyncStatus{}, nil
	}
	st := SyncStatus{Enrolled: true, Site: b.sync.identity().Site, Quiet: b.quiet(time.Now())}
	bs := r.Status()
	st.Bundles = &bs
	_, st.Admitted, _ = b.sync.identity().Expires()
	if u != nil {
		us := u.Status(ctx)
		st.Uplink = &us
	}
	return st, nil
}

// SyncPull fetches now what there is, quiet hours or not, and puts it to use.
// With retry, what is in quarantine is tried again.
func (b *Box) SyncPull(ctx context.Context, retry bool, progress func(IngestProgress)) (bundle.Result, error) {
	r, u := b.sync.parts()
	switch {
	case r == nil:
		return bundle.Result{}, enroll.ErrNotEnrolled
	case u == nil:
		return bundle.Result{}, ErrSyncOff
	}
	return b.pull(ctx, r, u.Source(), retry, progress)
}

func (b *Box) pull(ctx context.Context, r *bundle.Receiver, src bundle.Source, retry bool, progress func(IngestProgress)) (bundle.Result, error) {
	if progress == nil {
		progress = func(IngestProgress) {}
	}
	if retry {
		if err := r.Retry(0); err != nil {
			return bundle.Result{}, err
		}
	}
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for watch.Err() == nil {
			if p := r.Status().Progress; p != nil {
				progress(IngestProgress{Stage: "fetch", Done: p.Done, Total: p.Total, Unit: "bytes"})
			}
			sleepFor(watch, 200*time.Millisecond)
		}
	})
	var res bundle.Result
	var err error
	if !b.trying() {
		res, err = r.Pull(ctx, src)
	}
	stop()
	wg.Wait()
	if err == nil {
		err = b.applyStaged(ctx, retry, progress)
	}
	st := r.Status()
	if st.Active != nil {
		res.Active = st.Active.Number
	}
	if st.Staged != nil {
		res.Pending, res.Slot = st.Staged.Number, string(rollout.Staged)
		state := b.rollout.State()
		if e := state.Entry(bundleID(st.Staged.Number)); e != nil {
			res.Slot = string(e.Slot)
		}
	}
	b.tell()
	return res, err
}

// ImportBundle takes what 'rxedge bundle export' wrote, through the same checks
// as what comes from the hub.
func (b *Box) ImportBundle(ctx context.Context, path string, progress func(IngestProgress)) (bundle.Result, error) {
	r, _ := b.sync.parts()
	if r == nil {
		return bundle.Result{}, enroll.ErrNotEnrolled
	}
	src, err := bundle.OpenArchive(path)
	if err != nil {
		return bundle.Result{}, err
	}
	return b.pull(ctx, r, src, true, progress)
}

// SyncHistory of the box's bundles, the oldest first.
func (b *Box) SyncHistory(context.Context) ([]bundle.Event, error) {
	r, _ := b.sync.parts()
	if r == nil {
		return nil, enroll.ErrNotEnrolled
	}
	return r.History(), nil
}
