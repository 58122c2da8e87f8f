package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Site is the box that a Manager moves from pair to pair.
type Site interface {
	// Serve lets p answer from the next question on, in memory alone: a start opens
	// the confirmed pair as before. Until Return or Settle the index is held. The
	// error is ErrStale where p was made from another generation than serves.
	Serve(ctx context.Context, p Pair) error
	// Return lets the confirmed pair answer from the next question on.
	Return(ctx context.Context, confirmed Pair) error
	// Settle makes p what answers and what a start opens, on disk when it returns.
	// Done again it changes nothing.
	Settle(ctx context.Context, p Pair) error
	// Idle returns when nobody is asking, or after limit.
	Idle(ctx context.Context, limit time.Duration)
	// Current is what a start opens now: generation (with its live updates), model.
	Current() Pair
}

// ErrStale: the candidate was made from what no longer serves.
var ErrStale = errors.New("the index has changed since the candidate was built")

// ErrUnderWay: another candidate is on its way.
var ErrUnderWay = errors.New("another candidate is on its way")

// ErrPinned: what serves is to stay.
var ErrPinned = errors.New("what serves is pinned")

// RefusedError is a candidate that did not pass.
type RefusedError struct {
	ID     string
	Check  string
	Reason string
	// Served: it was rolled back, and not stopped before it served.
	Served bool
	// Figure that it did not pass; nil: there is none.
	Figure *Check
}

func (e *RefusedError) Error() string {
	if e.Served {
		return fmt.Sprintf("%s was rolled back: %s", e.ID, e.Reason)
	}
	return fmt.Sprintf("%s was not let serve: %s", e.ID, e.Reason)
}

// LostChangesError: going back would lose what was changed on the box since.
type LostChangesError struct{ Since, Now string }

func (e *LostChangesError) Error() string {
	return fmt.Sprintf("the index was changed on this box since (%s is now %s): going back would lose that from search", e.Since, e.Now)
}

// mostInterrupted starts may find a candidate provisional before it is given up.
const mostInterrupted = 3

// ErrHeld: a candidate is being tried, and the index takes no changes.
var ErrHeld = errors.New("a candidate is being tried")

// ErrRefused is what a Refused error comes to over a wire.
var ErrRefused = errors.New("refused")

// Refused says whether err is the rollout's no, and no failure.
func Refused(err error) bool {
	var no *RefusedError
	var lost *LostChangesError
	if errors.As(err, &no) || errors.As(err, &lost) {
		return true
	}
	for _, is := range []error{ErrRefused, ErrHeld, ErrNoPrevious, ErrNoCandidate, ErrUnderWay, ErrPinned, ErrOrder} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// Config of a Manager.
type Config struct {
	Dir string
	FS  FS // nil: Disk
	// Defer is how long a swap waits for the questions under way.
	Defer time.Duration
	// Told hears of each record once it is on disk, in order; it must not call the
	// manager. May be nil.
	Told func(Record, State)
	// Confirms is asked when a watched candidate is due to be confirmed: a check that
	// fails rolls it back. It must not change anything by the manager. Nil: none is asked.
	Confirms func(Entry) *Check
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: silent
}

// Manager moves a box from pair to pair by its journal. Safe for concurrent use.
type Manager struct {
	cfg  Config
	site Site
	turn chan struct{} // held by whoever changes what serves
	prep chan struct{} // held by whoever prepares a candidate

	mu      sync.Mutex // of what follows
	watched string     // the pair that until is of
	until   time.Time  // with its steady reading
	j       *journal
	s       *State
	history []Record
}

// Open reads the journal in cfg.Dir. Recover comes next.
func Open(cfg Config) (*Manager, error) {
	if cfg.FS == nil {
		cfg.FS = Disk{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	j, rs, s, err := openJournal(cfg.FS, cfg.Dir, cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("opening the journal of rollouts: %w", err)
	}
	return &Manager{cfg: cfg, j: j, s: s, history: rs, turn: make(chan struct{}, 1), prep: make(chan struct{}, 1)}, nil
}

// Close the journal.
func (m *Manager) Close() error {
	m.turn <- struct{}{}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.j.close()
}

// State as it is now.
func (m *Manager) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copy()
}

func (m *Manager) copy() State {
	s := *m.s
	s.Versions = slices.Clone(s.Versions)
	s.entries = make(map[string]*Entry, len(m.s.entries))
	for id, e := range m.s.entries { // entries are never changed, but replaced
		s.entries[id] = e
	}
	return s
}

// History is the journal, the oldest record first.
func (m *Manager) History() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.history)
}

// Note says what was wrong with the journal; "": nothing.
func (m *Manager) Note() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.j.bad != nil {
		return m.j.bad.Error()
	}
	return m.j.note
}

// record writes r, which then holds.
func (m *Manager) record(r Record) error {
	m.mu.Lock()
	r.Seq, r.At = m.s.seq+1, m.cfg.Now().UTC()
	if _, err := m.s.allows(r.Op, r.ID); err != nil {
		m.mu.Unlock()
		return err
	}
	if err := m.j.append(r); err != nil {
		m.mu.Unlock()
		return err
	}
	err := m.s.apply(r)
	m.history = append(m.history, r)
	s := m.copy()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	m.cfg.Log.Info("rollout", "record", r.Seq, "op", string(r.Op), "pair", r.ID, "check", r.Check)
	if m.cfg.Told != nil {
		m.cfg.Told(r, s)
	}
	return nil
}

func (m *Manager) take(ctx context.Context, what chan struct{}) error {
	select {
	case what <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Recover brings the box and the journal together after a start: whatever was cut
// off where, the last confirmed pair serves. Questions come after it.
func (m *Manager) Recover(ctx context.Context, site Site) error {
	if err := m.take(ctx, m.turn); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	m.site = site
	s, now := m.State(), site.Current()
	// An index that names the candidate has followed a confirmation: its record was
	// on this disk, and is lost.
	if c := s.Candidate; c != nil && c.Slot == Provisional && c.From != nil && now.Generation == c.Generation && c.Generation != c.From.Generation {
		if err := m.record(Record{Op: OpConfirm, ID: c.ID, Reason: "the index had followed it"}); err != nil {
			return err
		}
		s = m.State()
	}
	if s.Confirmed == nil {
		return m.adopt(now)
	}
	if s.Unsettled {
		if err := m.settle(ctx, *s.Confirmed); err != nil {
			return m.lost(s, now, err)
		}
	} else if err := site.Settle(ctx, held(s.Confirmed.Pair, now)); err != nil {
		return m.lost(s, now, err)
	}
	c := s.Candidate
	if c == nil {
		return nil
	}
	if c.Slot == Provisional && c.Interrupted+1 >= mostInterrupted {
		return m.record(Record{Op: OpRollBack, ID: c.ID, Check: CheckInterrupted,
			Reason: fmt.Sprintf("rxedged stopped %d times while it was being tried", mostInterrupted)})
	}
	if c.Own { // nobody offers it again
		op := OpReject
		if c.Slot == Provisional {
			op = OpRollBack
		}
		return m.record(Record{Op: op, ID: c.ID, Check: CheckInterrupted, Reason: "rxedged stopped meanwhile"})
	}
	if c.Slot == Staged {
		return nil
	}
	return m.record(Record{Op: OpInterrupt, ID: c.ID, Check: CheckInterrupted, Reason: "rxedged stopped meanwhile"})
}

// held is a confirmed pair on what the index has by now: its own changes are its own.
func held(p, now Pair) Pair {
	p.Generation = now.Generation
	return p
}

func (m *Manager) adopt(now Pair) error {
	m.mu.Lock()
	now.ID = fmt.Sprintf("own-%d", m.s.seq+1)
	m.mu.Unlock()
	return m.record(Record{Op: OpAdopt, ID: now.ID, Pair: &now})
}

// lost: the confirmed pair can't serve any more, for example because its
// generation was damaged. What the index has serves, and that is written down.
func (m *Manager) lost(s State, now Pair, why error) error {
	m.cfg.Log.Error("the confirmed pair can't serve; what the index has does", "pair", s.Confirmed.ID, "error", why)
	if c := s.Candidate; c != nil {
		op := OpReject
		if c.Slot == Provisional {
			op = OpRollBack
		}
		if err := m.record(Record{Op: op, ID: c.ID, Check: CheckInterrupted, Reason: "the pair before it can't serve any more"}); err != nil {
			return errors.Join(why, err)
		}
	}
	was := s.Confirmed
	now.Model, now.Adapter, now.Embedder, now.Profile, now.Thresholds = was.Model, was.Adapter, was.Embedder, was.Profile, was.Thresholds
	return m.adopt(now)
}

// Checks that are this package's own.
const (
	CheckInterrupted = "interrupted" // rxedged or the machine stopped while it was tried
	CheckBuild       = "opens"       // it could not be made ready
	CheckReplaced    = "replaced"    // a newer one came
	CheckPerson      = "person"      // somebody said so
)

// settle with turn held.
func (m *Manager) settle(ctx context.Context, e Entry) error {
	if err := m.site.Settle(ctx, e.Pair); err != nil {
		return err
	}
	return m.record(Record{Op: OpSettle, ID: e.ID})
}

// Offer is a candidate.
type Offer struct {
	ID     string
	Bundle int64
	By     string // the person; "": a bundle
	// Prepare builds beside what serves all that the pair needs. A *RefusedError
	// ends the candidate, any other error is for another time.
	Prepare func(ctx context.Context) (Pair, []Version, error)
	// Validate asks it what nobody sees.
	Validate func(ctx context.Context, p Pair) (Verdict, error)
	// Approval says of the pair whether it has to be approved before it serves; nil: it
	// has not.
	Approval func(Pair) bool
	// Watch is how long it is provisional; 0: it is confirmed at once.
	Watch time.Duration
}

func (o *Offer) waits(e Entry) bool {
	return o.Approval != nil && e.Approved == "" && o.Approval(e.Pair)
}

// Offer takes a candidate as far as it gets: provisional, or confirmed where it is
// not watched, or validated where a person has to approve it. The error is a
// *RefusedError where it did not pass. Where ctx ends it stays where it is.
func (m *Manager) Offer(ctx context.Context, o Offer) (Entry, error) {
	if err := m.take(ctx, m.prep); err != nil {
		return Entry{}, err
	}
	defer func() { <-m.prep }()
	s := m.State()
	if s.Pinned != "" {
		return Entry{}, fmt.Errorf("%w by %s", ErrPinned, s.Pinned)
	}
	c := s.Candidate
	switch {
	case c == nil:
	case c.Slot == Provisional:
		if c.ID == o.ID {
			return *c, nil
		}
		return *c, fmt.Errorf("%w: %s is watched until %s", ErrUnderWay, c.Pair, c.Until.Local().Format(time.DateTime))
	case c.ID != o.ID:
		if o.By != "" {
			return *c, fmt.Errorf("%w: %s is %s", ErrUnderWay, c.Pair, c.Slot)
		}
		if err := m.record(Record{Op: OpReject, ID: c.ID, Check: CheckReplaced, Reason: o.ID + " took its place"}); err != nil {
			return Entry{}, err
		}
		c = nil
	case c.Slot == Validated && o.waits(*c):
		return *c, nil
	}
	if c == nil {
		if err := m.record(Record{Op: OpStage, ID: o.ID, By: o.By, Pair: &Pair{ID: o.ID, Bundle: o.Bundle, Own: o.By != ""}}); err != nil {
			return Entry{}, err
		}
	}
	for {
		if err := m.validate(ctx, o); err != nil {
			var no *RefusedError
			if o.By != "" && !errors.As(err, &no) { // nobody offers it again
				err = errors.Join(err, m.record(Record{Op: OpReject, ID: o.ID, Check: CheckBuild, Reason: err.Error()}))
			}
			return m.entry(o.ID), err
		}
		if e := m.entry(o.ID); o.waits(e) {
			return e, nil
		}
		err := m.provision(ctx, o.ID, o.Watch)
		if !errors.Is(err, ErrStale) || ctx.Err() != nil {
			return m.entry(o.ID), err
		}
		if err := m.record(Record{Op: OpInterrupt, ID: o.ID, Reason: err.Error()}); err != nil {
			return m.entry(o.ID), err
		}
	}
}

func (m *Manager) entry(id string) Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.s.entries[id]; e != nil {
		return *e
	}
	return Entry{}
}

// validate builds the candidate and asks it; a validated one it passes over.
func (m *Manager) validate(ctx context.Context, o Offer) error {
	if m.entry(o.ID).Slot == Validated {
		return nil
	}
	reject := func(check, reason string, v *Verdict) error {
		if err := m.record(Record{Op: OpReject, ID: o.ID, Check: check, Reason: reason, Verdict: v}); err != nil {
			return err
		}
		return &RefusedError{ID: o.ID, Check: check, Reason: reason}
	}
	p, versions, err := o.Prepare(ctx)
	if err != nil {
		var no *RefusedError
		if errors.As(err, &no) {
			var v *Verdict
			if no.Figure != nil {
				v = &Verdict{Checks: []Check{*no.Figure}}
			}
			return reject(cmp.Or(no.Check, CheckBuild), no.Reason, v)
		}
		return err
	}
	p.ID = o.ID
	if o.By == "" {
		p.Bundle = o.Bundle
	}
	p.Own = o.By != ""
	v, err := o.Validate(ctx, p)
	if err != nil {
		return err
	}
	if c := v.Failed(); c != nil || !v.Pass {
		if c == nil {
			c = &Check{Name: CheckBuild, Detail: "validation did not pass"}
		}
		return reject(c.Name, Why(c), &v)
	}
	return m.record(Record{Op: OpValidate, ID: o.ID, Pair: &p, Verdict: &v, Versions: versions})
}

// provision lets a validated candidate serve.
func (m *Manager) provision(ctx context.Context, id string, watch time.Duration) error {
	m.site.Idle(ctx, m.cfg.Defer)
	if err := m.take(ctx, m.turn); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	e, from := m.entry(id), m.site.Current()
	s := m.State()
	switch {
	case e.Slot == Provisional || e.Slot == Confirmed:
		return nil // whoever approved of it and whoever offered it both let it serve
	case e.Slot != Validated:
		return fmt.Errorf("%w: %s is %s", ErrOrder, id, e.Slot)
	case s.Pinned != "":
		return fmt.Errorf("%w by %s", ErrPinned, s.Pinned)
	case e.Base != "" && e.Base != from.Generation:
		return ErrStale
	}
	if s.Unsettled {
		if err := m.settle(ctx, *s.Confirmed); err != nil {
			return err
		}
	}
	from = held(s.Confirmed.Pair, from)
	until := m.cfg.Now().Add(watch)
	m.mu.Lock()
	m.watched, m.until = id, until
	m.mu.Unlock()
	if err := m.record(Record{Op: OpProvision, ID: id, From: &from, Until: until.UTC()}); err != nil {
		return err
	}
	if err := m.site.Serve(ctx, e.Pair); err != nil {
		if ctx.Err() != nil { // it is stopped: the next start finds it provisional
			return errors.Join(err, m.record(Record{Op: OpInterrupt, ID: id, Reason: "rxedged stopped meanwhile"}))
		}
		if errors.Is(err, ErrStale) {
			return err
		}
		if err := m.record(Record{Op: OpRollBack, ID: id, Check: CheckBuild, Reason: err.Error()}); err != nil {
			return err
		}
		return &RefusedError{ID: id, Check: CheckBuild, Reason: err.Error(), Served: true}
	}
	if watch > 0 {
		return nil
	}
	return m.confirm(ctx, Record{ID: id})
}

// confirm with turn held: the record is the commit point.
func (m *Manager) confirm(ctx context.Context, r Record) error {
	r.Op = OpConfirm
	if err := m.record(r); err != nil {
		return err
	}
	// Whoever asked may have gone; it is confirmed all the same.
	return m.settle(context.WithoutCancel(ctx), m.entry(r.ID))
}

// over says whether a provisional pair was watched for long enough, by the steady clock:
// what is on disk has the wall's, which may be set meanwhile.
func (m *Manager) over(c *Entry) bool {
	m.mu.Lock()
	until := c.Until
	if m.watched == c.ID {
		until = m.until
	}
	m.mu.Unlock()
	return !m.cfg.Now().Before(until)
}

// Tick does what is due: a provisional candidate is rolled back where trouble is
// not nil, and confirmed when its time is over; an index that has not followed does.
func (m *Manager) Tick(ctx context.Context, trouble *Check) error {
	s := m.State()
	c := s.Candidate
	due := c != nil && c.Slot == Provisional && (trouble != nil || m.over(c))
	if !due && !s.Unsettled {
		return nil
	}
	if err := m.take(ctx, m.turn); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	s = m.State() // it may have been somebody else's turn
	if s.Unsettled {
		return m.settle(ctx, *s.Confirmed)
	}
	if c = s.Candidate; c == nil || c.Slot != Provisional {
		return nil
	}
	if trouble != nil {
		return m.back(ctx, s, Record{Check: trouble.Name, Reason: Why(trouble), Verdict: &Verdict{Checks: []Check{*trouble}}})
	}
	if !m.over(c) {
		return nil
	}
	if m.cfg.Confirms != nil {
		if no := m.cfg.Confirms(*c); no != nil && !no.Pass {
			return m.back(ctx, s, Record{Check: no.Name, Reason: Why(no), Verdict: &Verdict{Checks: []Check{*no}}})
		}
	}
	return m.confirm(ctx, Record{ID: c.ID})
}

// back from a provisional candidate, with turn held: first the swap.
func (m *Manager) back(ctx context.Context, s State, r Record) error {
	if err := m.site.Return(context.WithoutCancel(ctx), s.Confirmed.Pair); err != nil {
		return err
	}
	r.Op, r.ID, r.Back = OpRollBack, s.Candidate.ID, &s.Confirmed.Pair
	return m.record(r)
}

func (m *Manager) serving() Entry {
	s := m.State()
	return *s.Confirmed
}

// ErrNoCandidate: nothing waits.
var ErrNoCandidate = errors.New("no candidate waits for that")

// Journal is the file of records, whole, as it is on disk now.
func (m *Manager) Journal() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := m.cfg.FS.ReadFile(m.j.path())
	if err != nil {
		return nil, fmt.Errorf("reading the journal of rollouts: %w", err)
	}
	return data[:min(int64(len(data)), m.j.size)], nil
}
