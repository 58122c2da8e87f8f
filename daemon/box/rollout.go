package box

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/validate"
	"rxedge/daemon/rollout/watch"
	"rxedge/index"
	"rxedge/index/pace"
	"rxedge/inference"
	"rxedge/sync/bundle"
)

// RolloutFS is the file system of the journal. A test sets it before a box is
// opened.
var RolloutFS rollout.FS = rollout.Disk{}

// RolloutStep hears of each step of a swap, before it is done. A test that ends
// the process there sets it before a box is opened.
var RolloutStep = func(string) {}

// RolloutJudge judges a candidate. A test whose models write nothing of use sets it
// before a box is opened.
var RolloutJudge = validate.Run

// rolling is what serves, and how it comes to be something else.
type rolling struct {
	*rollout.Manager
	asking pace.Askers // that somebody waits for

	// pair guards now together with what the index serves: a question takes both.
	pair sync.RWMutex
	now  *served

	// challenge is tried beside what serves; trying is held by who begins or ends one.
	challenge atomic.Pointer[challenge]
	trying    sync.Mutex

	// withdrawn by the newest bundle that came here; looked is the generation that was
	// found to have nothing of it.
	withdrawn atomic.Pointer[RolloutWithdrawn]
	looked    atomic.Pointer[string]

	mu      sync.Mutex // of what follows
	running bool       // somebody looks after what is provisional
	warm    []warm
	watch   *onTrial     // of the provisional pair; nil: there is none
	recent  watch.Recent // answers of the confirmed one
	seen    seen         // of the pair that was watched last
	probed  time.Time    // when what is provisional was last asked whether it is ready
	probing bool
	unsent  []report // before the spool was open
	closed  bool
}

// served is a pair as it answers.
type served struct {
	rollout.Pair
	model string // as Models know it; "": none
	// thresholds of cohorts; nil: the guard's own hold, as note says where others came.
	thresholds *guard.Applied
	note       string
}

// warm is what served before.
type warm struct {
	snap  *index.Snapshot
	model string
	until time.Time
}

type report struct {
	Bundle    int64        `json:"bundle,omitempty"`
	Pair      string       `json:"pair"`
	Slot      rollout.Slot `json:"slot"`
	At        time.Time    `json:"at"`
	Check     string       `json:"check,omitempty"`
	Serving   *float64     `json:"serving,omitempty"`
	Candidate *float64     `json:"candidate,omitempty"`
	Limit     *float64     `json:"limit,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	// Override by a person of a check that fails.
	Override *rollout.Override `json:"override,omitempty"`
}

// openRollout brings index and models to the last confirmed pair. The index, the
// models and the receiver of bundles are open by then.
func (b *Box) openRollout(ctx context.Context) error {
	r := &b.rollout
	r.now = &served{model: b.generator}
	m, err := rollout.Open(rollout.Config{Dir: filepath.Join(b.Config.Data, "rollout"), FS: RolloutFS,
		Defer: time.Duration(b.Config.Rollout.Defer), Told: b.recorded, Confirms: b.confirms, Log: b.log})
	if err != nil {
		return err
	}
	r.Manager = m
	if n := m.Note(); n != "" {
		b.log.Error("rollout", "note", n)
	}
	b.openWithdrawn()
	b.keepGenerations(m.State()) // before anything is pruned
	if err := m.Recover(ctx, site{b}); err != nil {
		return fmt.Errorf("bringing the box to its last confirmed pair: %w", err)
	}
	b.agree()
	// What was built for a candidate is built again.
	cs, err := b.Index.Candidates()
	for _, name := range cs {
		err = errors.Join(err, b.Index.Discard(ctx, name))
	}
	if err != nil {
		b.log.Warn("candidates of the index could not be removed", "error", err)
	}
	b.keepGenerations(m.State())
	return nil
}

func (b *Box) closeRollout() error {
	r := &b.rollout
	if r.Manager == nil {
		return nil
	}
	if c := b.endTrial(""); c != nil {
		<-c.ended
	}
	err := r.Manager.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, w := range r.warm {
		w.snap.Release()
	}
	r.warm = nil
	return err
}

// writes is the model that writes answers now; "": none.
func (b *Box) writes() string {
	b.rollout.pair.RLock()
	defer b.rollout.pair.RUnlock()
	return b.rollout.now.model
}

// question is what answers one question.
type question struct {
	b    *Box
	snap *index.Snapshot // nil: the index is closed
	*served
	counted   bool
	challenge *challenge // whose challenger it is; nil: it is what serves
}

// serving takes pair and generation for a question.
func (b *Box) serving(ctx context.Context) answer.Serving {
	r := &b.rollout
	r.asking.Begin()
	q := b.share(ctx)
	if q == nil {
		q = b.unseen()
	}
	q.counted = true
	return q
}

// unseen takes what serves for questions that nobody waits for.
func (b *Box) unseen() *question {
	r := &b.rollout
	r.pair.RLock()
	defer r.pair.RUnlock()
	return &question{b: b, snap: b.Index.Acquire(), served: r.now}
}

// Acquire implements answer.Serving.
func (q *question) Acquire() *index.Snapshot {
	if q.snap == nil {
		return nil
	}
	return q.snap.Clone()
}

// Generator implements answer.Serving.
func (q *question) Generator(ctx context.Context) (inference.Generator, error) {
	if q.model == "" {
		return nil, nil
	}
	return q.b.Models.Generator(ctx, q.model)
}

// HasGenerator implements answer.Serving.
func (q *question) HasGenerator() bool { return q.model != "" }

// Variant implements answer.Serving.
func (q *question) Variant() string { return q.b.variant(q.model) }

// Keep implements answer.Serving.
func (q *question) Keep() answer.Serving {
	k := &question{b: q.b, snap: q.Acquire(), served: q.served, counted: q.counted, challenge: q.challenge}
	if k.counted {
		q.b.rollout.asking.Begin()
	}
	return k
}

// Release implements answer.Serving.
func (q *question) Release() {
	if q.counted {
		q.b.rollout.asking.End()
	}
	if q.snap != nil {
		q.snap.Release()
	}
}

// modelOf a pair, as Models know it: the configured one where it has none.
func (b *Box) modelOf(p rollout.Pair) string {
	if !b.Config.Rollout.Models {
		return b.generator
	}
	return b.Models.of(p, b.generator)
}

// generationOf a label: its name.
func generationOf(label string) string {
	name, _, _ := strings.Cut(label, "+")
	return name
}

// site is the box as its manager moves it.
type site struct{ b *Box }

// Current implements rollout.Site.
func (s site) Current() rollout.Pair {
	p := rollout.Pair{Generation: s.b.Index.Named().Label()}
	if r, _ := s.b.sync.parts(); r != nil {
		if a := r.Status().Active; a != nil {
			p.Bundle = a.Number
		}
	}
	return p
}

// Idle implements rollout.Site.
func (s site) Idle(ctx context.Context, limit time.Duration) {
	s.b.rollout.asking.Idle(ctx, limit)
}

// change makes another pair answer, together with a swap of the index.
func (s site) change(p rollout.Pair) index.Swap {
	return func(swap func()) {
		next := s.b.serves(p, s.b.modelOf(p))
		r := &s.b.rollout
		r.pair.Lock()
		defer r.pair.Unlock()
		swap()
		r.now = next
	}
}

// Serve implements rollout.Site.
func (s site) Serve(ctx context.Context, p rollout.Pair) error {
	RolloutStep("serve")
	s.b.keepWarm()
	return s.b.changing(func() error {
		if p.Generation == p.Base { // the same documents
			s.change(p)(func() {})
			return nil
		}
		err := s.b.Index.Serve(ctx, generationOf(p.Generation), p.Base, s.change(p))
		if errors.Is(err, index.ErrMoved) {
			err = rollout.ErrStale
		}
		return err
	})
}

// Return implements rollout.Site.
func (s site) Return(_ context.Context, p rollout.Pair) error {
	RolloutStep("return")
	return s.b.changing(func() error {
		s.b.Index.Return(s.change(p))
		return nil
	})
}

// Settle implements rollout.Site.
func (s site) Settle(ctx context.Context, p rollout.Pair) error {
	RolloutStep("settle")
	name := generationOf(p.Generation)
	if s.b.Index.Named().Name != name {
		s.b.keepWarm()
	}
	err := s.b.changing(func() error { return s.b.Index.Confirm(ctx, name, s.change(p)) })
	RolloutStep("settled")
	return err
}

// keepWarm keeps what serves open and loaded for a while.
func (b *Box) keepWarm() {
	r := &b.rollout
	d := time.Duration(b.Config.Rollout.Warm)
	if d <= 0 {
		return
	}
	snap := b.Index.Acquire()
	if snap == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := snap.Generation().Name
	for i, w := range r.warm {
		if w.snap.Generation().Name == name || r.closed {
			snap.Release()
			r.warm[i].until = time.Now().Add(d)
			return
		}
	}
	r.warm = append(r.warm, warm{snap, b.writes(), time.Now().Add(d)})
}

// cool lets go of what was kept warm for long enough.
func (b *Box) cool(now time.Time) {
	r := &b.rollout
	r.mu.Lock()
	var gone []warm
	kept := r.warm[:0]
	for _, w := range r.warm {
		if now.Before(w.until) {
			kept = append(kept, w)
		} else {
			gone = append(gone, w)
		}
	}
	r.warm = kept
	r.mu.Unlock()
	for _, w := range gone {
		w.snap.Release()
		if w.model != "" && w.model != b.writes() {
			b.Models.hold(w.model, false)
		}
	}
}

// RunRollout looks after what is provisional until ctx ends.
func (b *Box) RunRollout(ctx context.Context) {
	r := &b.rollout
	r.mu.Lock()
	r.running = true
	r.mu.Unlock()
	tick := time.NewTicker(rolloutTick)
	defer tick.Stop()
	looked, told := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			b.cool(now)
			if err := r.Tick(ctx, b.trouble(now)); err != nil && ctx.Err() == nil {
				b.log.Error("rollout", "error", err)
			}
			b.keepOut(ctx)
			b.probe(ctx, now)
			if now.Sub(looked) >= trialLook {
				looked = now
				b.followTrial(ctx, now)
			}
			if b.onTrial() != nil && now.Sub(told) >= watchTell {
				told = now
				b.tell()
			}
		}
	}
}

const rolloutTick = 200 * time.Millisecond

// damaged takes it in that a generation which was searched can't be read, and says
// whether it is the provisional one's.
func (b *Box) damaged(ctx context.Context, generation string, why error) bool {
	c := b.rollout.State().Candidate
	if c == nil || c.Slot != rollout.Provisional || generationOf(c.Generation) != generation || c.Generation == c.Base {
		return false
	}
	if err := b.rollout.Tick(ctx, &rollout.Check{Name: watch.Readiness, Detail: why.Error()}); err != nil {
		b.log.Error("a damaged candidate could not be rolled back", "error", err)
		return false
	}
	return true
}

// heed does what the centre's rollout says of what this site has.
func (b *Box) heed(ctx context.Context) error {
	r, _ := b.sync.parts()
	if r == nil {
		return nil
	}
	s := b.rollout.State()
	e := s.Serving()
	if e == nil || e.Own || e.Bundle == 0 {
		return nil
	}
	o := r.Gate(e.Bundle)
	if !o.Rollback || e.Slot == rollout.Confirmed && s.Previous == nil {
		return nil
	}
	_, err := b.rollout.Rollback(ctx, "the centre", "revoked", cmp.Or(o.Why, "the centre has called it back"), true)
	b.keepOut(ctx)
	return err
}

// heldUntil says of a change that a candidate kept out how that ends.
func (b *Box) heldUntil(err error) error {
	var held *index.HeldError
	if !errors.As(err, &held) {
		return err
	}
	c := b.rollout.State().Candidate
	if c == nil {
		return fmt.Errorf("%w; try again in a moment", rollout.ErrHeld)
	}
	return fmt.Errorf("%w: %s, until %s; 'rxedge rollout approve' or 'rxedge rollout rollback' ends that", rollout.ErrHeld, c.Pair, c.Until.Local().Format(time.DateTime))
}

// keepGenerations that the journal may go back to.
func (b *Box) keepGenerations(s rollout.State) {
	var keep []string
	for _, e := range []*rollout.Entry{s.Confirmed, s.Previous} {
		if e != nil && e.Generation != "" {
			keep = append(keep, generationOf(e.Generation))
		}
	}
	b.Index.Keep(keep...)
}

// agree brings the receiver of bundles in step with the journal, which decides.
func (b *Box) agree() { b.agreeAfter(b.rollout.State(), rollout.Record{}) }

// agreeAfter a record: what is staged is refused for its own rollback alone. The zero
// record is any.
func (b *Box) agreeAfter(s rollout.State, rec rollout.Record) {
	r, _ := b.sync.parts()
	if r == nil {
		return
	}
	st := r.Status()
	refuse := func(e *rollout.Entry) *bundle.Error {
		code := bundle.NotValidated
		if e.From != nil {
			code = bundle.RolledBack
		}
		return &bundle.Error{Code: code, Reason: cmp.Or(e.Reason, e.Check)}
	}
	of := func(h *bundle.Held) *rollout.Entry {
		if h == nil {
			return nil
		}
		return s.Entry(bundleID(h.Number))
	}
	var err error
	if e := of(st.Staged); e != nil && s.Confirmed != nil && e.ID == s.Confirmed.ID && !s.Unsettled {
		err = r.Activate(st.Staged.Number)
	} else if e != nil && e.Slot == rollout.RolledBack && e.Check != rollout.CheckReplaced && (rec.ID == "" || rec.ID == e.ID) {
		r.Reject(st.Staged.Number, refuse(e))
	}
	if e := of(st.Active); e != nil && e.Slot == rollout.RolledBack {
		if back := r.Revert(st.Active.Number, refuse(e)); !errors.Is(back, bundle.ErrNoPrevious) {
			err = errors.Join(err, back)
		}
	}
	if err != nil {
		b.log.Warn("the state of bundles is behind the journal of rollouts", "error", err)
	}
}

func bundleID(number int64) string { return fmt.Sprintf("bundle-%d", number) }
