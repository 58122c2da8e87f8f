// Package watch looks at the answers of a pair that serves on trial, and says when
// it must go back: too many questions fail, answers are too slow, fewer of them are
// borne out than before, its engine ends, or it is not ready. A trigger needs a
// least number of bad answers and evidence whose error bound holds at every moment
// (../sequential), so three bad answers in a row undo nothing, and a pair that is
// broken is undone within the first few. It keeps numbers alone.
package watch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"rxedge/daemon/answer"
	"rxedge/daemon/rollout/sequential"
	"rxedge/daemon/rollout/validate"
	"rxedge/index"
)

// Names of the triggers.
const (
	ErrorRate    = "error_rate"
	Latency      = "latency_p95"
	Grounded     = "grounded"
	EngineDeaths = "engine_deaths"
	Readiness    = "readiness"
)

// Limits of a pair on trial. What is 0 is as Default has it.
type Limits struct {
	ErrorRate    float64       // share of the questions that may fail
	Budget       time.Duration // of the 95th percentile of an answer; 0: not watched
	GroundedDrop float64       // below the share that the pair before had
	NotReady     time.Duration // how long it may be not ready
	// Alpha bounds, for each trigger over the whole watch, the probability that it
	// fires of a pair that keeps to its limit.
	Alpha float64
	// LeastBad answers, among LeastAsked, come before a share fires.
	LeastBad, LeastAsked int
}

// Default limits.
func Default() Limits {
	return Limits{ErrorRate: 0.01, GroundedDrop: 0.05, NotReady: 10 * time.Second, Alpha: 0.001, LeastBad: 4, LeastAsked: 5}
}

func (l Limits) complete() Limits {
	d := Default()
	set := func(f *float64, d float64) {
		if *f <= 0 {
			*f = d
		}
	}
	set(&l.ErrorRate, d.ErrorRate)
	set(&l.GroundedDrop, d.GroundedDrop)
	set(&l.Alpha, d.Alpha)
	if l.NotReady <= 0 {
		l.NotReady = d.NotReady
	}
	if l.LeastBad <= 0 {
		l.LeastBad = d.LeastBad
	}
	if l.LeastAsked <= 0 {
		l.LeastAsked = d.LeastAsked
	}
	return l
}

// usualDeaths of an engine that is in order, a second: one in a week.
const usualDeaths = 1.0 / (7 * 24 * 3600)

// Baseline is how the pair before did.
type Baseline struct {
	Asked    int           `json:"asked"`
	Grounded int           `json:"grounded"`
	Deaths   int           `json:"engine_deaths"`
	Over     time.Duration `json:"over"` // in which Deaths were counted
}

// Watch of one pair. Safe for concurrent use.
type Watch struct {
	limits Limits
	base   Baseline
	began  time.Time

	mu       sync.Mutex
	failed   *sequential.Rate
	slow     *sequential.Rate
	loose    *sequential.Rate // not grounded
	floor    float64          // of the share that is grounded
	recent   []float64        // milliseconds
	at       int
	deaths   int
	ready    bool
	notSince time.Time
	why      string
	trouble  *validate.Check // the first, which stays
}

// keptTimes is of how many answers the 95th percentile is told.
const keptTimes = 500

// New begins to watch at the time now.
func New(l Limits, b Baseline, now time.Time) *Watch {
	l = l.complete()
	w := &Watch{limits: l, base: b, began: now, ready: true, failed: sequential.NewRate(l.ErrorRate), slow: sequential.NewRate(0.05)}
	// What the pair before is known to reach, less what may be lost.
	low, _ := sequential.Wilson(b.Grounded, b.Asked, l.Alpha)
	if w.floor = low - l.GroundedDrop; b.Asked > 0 && w.floor > 0 {
		w.loose = sequential.NewRate(1 - w.floor)
	}
	return w
}

// Counts says whether an outcome tells anything of the pair: what nobody asked
// rightly, or waited for, does not, nor what was answered before.
func Counts(a *answer.Answer, err error) bool {
	var invalid *answer.InvalidError
	if errors.As(err, &invalid) || errors.Is(err, context.Canceled) || errors.Is(err, index.ErrClosed) {
		return false
	}
	return err != nil || a != nil && !a.Cached
}

// Failed: there is no answer, or only one from before.
func Failed(a *answer.Answer, err error) bool {
	return err != nil || a == nil || a.Made != nil
}

// IsGrounded: it was answered, in the way that was asked for, and what it says is
// borne out by what it cites.
func IsGrounded(a *answer.Answer) bool {
	if a == nil || a.Status != answer.StatusAnswered || len(a.Claims) == 0 {
		return false
	}
	if slices.ContainsFunc(a.Fallbacks, func(f answer.Fallback) bool {
		return f.Name == answer.FallbackExtract || f.Name == answer.FallbackCut || f.Name == answer.FallbackEarlier
	}) {
		return false
	}
	return !slices.ContainsFunc(a.Claims, func(c answer.Claim) bool { return c.Support != answer.Grounded })
}

// Observe an answer of the pair, or the error in its place.
func (w *Watch) Observe(a *answer.Answer, err error) {
	if !Counts(a, err) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	failed := Failed(a, err)
	w.failed.Observe(failed)
	if w.loose != nil {
		w.loose.Observe(failed || !IsGrounded(a))
	}
	if err != nil || a == nil {
		return
	}
	took := max(a.Timings.Total-a.Timings.Queue, 0)
	if w.limits.Budget > 0 {
		w.slow.Observe(took > ms(w.limits.Budget))
	}
	if len(w.recent) < keptTimes {
		w.recent = append(w.recent, took)
	} else {
		w.recent[w.at%keptTimes] = took
		w.at++
	}
}

// EngineDied counts an engine of the pair that ended by itself.
func (w *Watch) EngineDied() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaths++
}

// Ready tells whether the pair can answer, and if not why.
func (w *Watch) Ready(ready bool, why string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ready && !ready {
		w.notSince = now
	}
	w.ready, w.why = ready, why
}

// Counted are the numbers so far.
type Counted struct {
	Asked  int `json:"asked"`
	Errors int `json:"errors"`
	Slow   int `json:"slow"`
	Loose  int `json:"not_grounded"`
	Deaths int `json:"engine_deaths"`
}

// Counted so far.
func (w *Watch) Counted() Counted {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := Counted{Deaths: w.deaths}
	c.Asked, c.Errors = w.failed.Counts()
	_, c.Slow = w.slow.Counts()
	if w.loose != nil {
		_, c.Loose = w.loose.Counts()
	}
	return c
}

// Trouble that speaks against the pair at the time now; nil: there is none. The
// first is told from then on.
func (w *Watch) Trouble(now time.Time) *validate.Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble == nil {
		w.trouble = w.look(now)
	}
	return w.trouble
}

func (w *Watch) look(now time.Time) *validate.Check {
	l := w.limits
	if !w.ready && now.Sub(w.notSince) >= l.NotReady {
		return &validate.Check{Name: Readiness, Candidate: figure(now.Sub(w.notSince).Seconds()), Limit: figure(l.NotReady.Seconds()),
			Detail: fmt.Sprintf("not ready for %v: %s", now.Sub(w.notSince).Round(100*time.Millisecond), w.why)}
	}
	if w.deaths > 0 {
		// So many in so short a time, of an engine that ends as often as the one before.
		rate := (float64(w.base.Deaths) + 1) / (w.base.Over.Seconds() + 1/usualDeaths)
		expected := rate * math.Max(now.Sub(w.began).Seconds(), 1)
		p := 1 - distuv.Poisson{Lambda: expected}.CDF(float64(w.deaths-1))
		if p <= l.Alpha*1.01 { // the first within ten minutes of one a week is just that
			return &validate.Check{Name: EngineDeaths, N: w.deaths, Candidate: figure(float64(w.deaths)), Serving: figure(float64(w.base.Deaths)),
				Detail: fmt.Sprintf("its engine ended %d times in %v; the one before %d times in %v (p %.2g)", w.deaths, now.Sub(w.began).Round(time.Second), w.base.Deaths, w.base.Over.Round(time.Second), p)}
		}
	}
	fires := func(r *sequential.Rate) bool {
		n, bad := r.Counts()
		return n >= l.LeastAsked && bad >= l.LeastBad && r.Over(l.Alpha)
	}
	if fires(w.failed) {
		n, bad := w.failed.Counts()
		return &validate.Check{Name: ErrorRate, N: n, Candidate: figure(w.failed.Share()), Limit: figure(l.ErrorRate),
			Detail: fmt.Sprintf("%d of %d questions failed", bad, n)}
	}
	if l.Budget > 0 && fires(w.slow) {
		n, bad := w.slow.Counts()
		return &validate.Check{Name: Latency, N: n, Candidate: figure(w.p95()), Limit: figure(ms(l.Budget)),
			Detail: fmt.Sprintf("%d of %d answers took longer than %v", bad, n, l.Budget)}
	}
	if w.loose != nil && fires(w.loose) {
		n, bad := w.loose.Counts()
		return &validate.Check{Name: Grounded, N: n, Candidate: figure(1 - w.loose.Share()), Serving: figure(float64(w.base.Grounded) / float64(w.base.Asked)), Limit: figure(w.floor),
			Detail: fmt.Sprintf("%d of %d questions were answered and borne out; %d of %d before", n-bad, n, w.base.Grounded, w.base.Asked)}
	}
	return nil
}

func (w *Watch) p95() float64 {
	if len(w.recent) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(w.recent))
	return s[max(0, int(math.Ceil(0.95*float64(len(s))))-1)]
}

func figure(f float64) *float64 { return &f }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Recent keeps how the latest answers of the pair that serves were, to hold the
// next one against. Safe for concurrent use; the zero value is ready.
type Recent struct {
	mu       sync.Mutex
	ring     [500]bool
	n, at    int
	grounded int
	deaths   int
}

// Observe an answer, or the error in its place.
func (r *Recent) Observe(a *answer.Answer, err error) {
	if !Counts(a, err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	good := err == nil && !Failed(a, err) && IsGrounded(a)
	if r.n == len(r.ring) {
		if r.ring[r.at] {
			r.grounded--
		}
	} else {
		r.n++
	}
	r.ring[r.at] = good
	if good {
		r.grounded++
	}
	r.at = (r.at + 1) % len(r.ring)
}

// EngineDied counts an engine that ended by itself.
func (r *Recent) EngineDied() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaths++
}

// Baseline of them; over is how long deaths were counted for.
func (r *Recent) Baseline(over time.Duration) Baseline {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Baseline{Asked: r.n, Grounded: r.grounded, Deaths: r.deaths, Over: over}
}
