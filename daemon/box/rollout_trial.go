package box

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/feedback"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/trial"
	"rxedge/daemon/rollout/watch"
	"rxedge/daemon/telemetry"
	"rxedge/inference"
	"rxedge/sync/bundle"
	"rxedge/sync/spool"
)

// checkTrial is the check that a challenger fails which is not better.
const checkTrial = "trial"

// challenge is a validated candidate that is tried beside what serves.
type challenge struct {
	pair      rollout.Pair
	model     string
	served    *served // as it answers
	plan      trial.Plan
	approvals []trial.Approval
	from, to  string // what the two have that the other has not
	patch     bool
	budget    time.Duration
	trial     *trial.Trial
	shadow    *shadow
	queue     chan shadowed
	end       context.CancelFunc
	ended     chan struct{} // nothing is asked in the shadow any more

	mu       sync.Mutex
	arms     map[string]trial.Arm // of recent answers, by id
	order    [feedbackRing]string
	next     int
	sketches [2]*telemetry.Window
	waits    string // why a verdict to promote has not been followed
	told     trial.Decision
	reported time.Time
	saved    time.Time
}

const (
	shadowQueue  = 16 // questions that wait to be asked of the challenger
	shadowAge    = time.Minute
	feedbackRing = 4096
	trialLook    = time.Second
	trialSave    = 30 * time.Second
	trialReport  = time.Hour
)

// RolloutDropped counts questions that were not asked in the shadow, or not to the end.
type RolloutDropped struct {
	Full     int `json:"full"`     // too many waited
	Busy     int `json:"busy"`     // somebody was asking until it was too late
	Capacity int `json:"capacity"` // the challenger had worked for its share of the time
	GaveWay  int `json:"gave_way"` // broken off as somebody asked, and taken up again
}

// RolloutTrial is a trial as it stands.
type RolloutTrial struct {
	ID        string         `json:"id"`
	Candidate string         `json:"candidate"`
	From      string         `json:"from"`
	To        string         `json:"to"`
	Patch     bool           `json:"patch"`
	Promotion trial.Policy   `json:"promotion"`
	Figures   trial.Figures  `json:"figures"`
	Arms      [2]TrialArm    `json:"arms"` // champion, challenger
	Dropped   RolloutDropped `json:"dropped"`
	Waiting   int            `json:"waiting"`         // to be asked in the shadow
	Waits     string         `json:"waits,omitempty"` // why it is not promoted though the verdict is
}

// TrialArm are figures of an arm's sketches, in the shadow and in the open together.
type TrialArm struct {
	Model      string   `json:"model,omitempty"`
	Generation string   `json:"generation"`
	Questions  int64    `json:"questions"`
	Abstained  *float64 `json:"abstained"`
	Grounded   *float64 `json:"grounded"` // of those that were answered
	P50        *float64 `json:"p50_ms"`
	P95        *float64 `json:"p95_ms"`
}

// trialOf a bundle: its plan and the approvals that came with it; nil: there is none.
func trialOf(st *bundle.Staged) (plan *trial.Plan, approvals []trial.Approval, err error) {
	for _, a := range st.Set.Manifest.Artefacts {
		if a.Kind != bundle.KindTrial && a.Kind != bundle.KindApproval {
			continue
		}
		b, err := os.ReadFile(st.Artefact(a))
		if err != nil {
			return nil, nil, err
		}
		if a.Kind == bundle.KindTrial {
			p, err := trial.ParsePlan(b)
			if err != nil {
				return nil, nil, &bundle.Error{Code: bundle.BadContent, Reason: err.Error(), Err: err}
			}
			plan = &p
			continue
		}
		ap, err := trial.ParseApproval(b)
		if err != nil {
			return nil, nil, &bundle.Error{Code: bundle.BadContent, Reason: err.Error(), Err: err}
		}
		approvals = append(approvals, ap)
	}
	return plan, approvals, nil
}

// tries says whether a pair is to be tried by a plan, and against what.
func tries(plan *trial.Plan, p, confirmed rollout.Pair) bool {
	if plan == nil {
		return false
	}
	return otherModel(p, confirmed) || plan.Documents && p.Generation != p.Base
}

// otherModel says whether a pair has more that is new than documents.
func otherModel(p, confirmed rollout.Pair) bool {
	return p.Model != confirmed.Model || p.Adapter != confirmed.Adapter || p.Embedder != confirmed.Embedder || p.Profile != confirmed.Profile || p.Thresholds != confirmed.Thresholds
}

// contest says what the challenger has that the champion has not, and the champion in
// its place, by content; patch: of each only the data is other.
func contest(s rollout.State, e *rollout.Entry) (from, to string, patch bool) {
	patch = true
	var a, b []string
	one := func(kind, x, y string, old, now *rollout.Version) {
		a, b = append(a, kind+" "+x), append(b, kind+" "+y)
		patch = patch && old != nil && now != nil && trial.IsPatch(old.Version, now.Version)
	}
	find := func(is func(*rollout.Version) bool) *rollout.Version {
		for i := range s.Versions {
			if is(&s.Versions[i]) {
				return &s.Versions[i]
			}
		}
		return nil
	}
	index := func(is func(*rollout.Version) bool) (string, *rollout.Version) {
		v := find(func(v *rollout.Version) bool { return v.Kind == rollout.KindIndex && is(v) })
		if v == nil || v.Data == "" {
			return "of this box", v
		}
		return v.Data[:min(16, len(v.Data))], v
	}
	if e.Generation != e.Base {
		x, old := index(func(v *rollout.Version) bool { return v.Stage == rollout.Production })
		y, now := index(func(v *rollout.Version) bool { return v.Pair == e.ID })
		one("documents", x, y, old, now)
	}
	for _, f := range []struct {
		kind    string
		was, is rollout.File
	}{{rollout.KindModel, s.Confirmed.Model, e.Model}, {rollout.KindAdapter, s.Confirmed.Adapter, e.Adapter}, {rollout.KindProfile, s.Confirmed.Profile, e.Profile},
		{rollout.KindEmbedder, s.Confirmed.Embedder, e.Embedder}, {rollout.KindThresholds, s.Confirmed.Thresholds, e.Thresholds}} {
		if f.was == f.is {
			continue
		}
		name := func(x rollout.File) (string, *rollout.Version) {
			if x.SHA256 == "" {
				return "none", nil
			}
			return x.SHA256[:min(16, len(x.SHA256))], find(func(v *rollout.Version) bool { return v.Kind == f.kind && v.SHA256 == x.SHA256 })
		}
		x, old := name(f.was)
		y, now := name(f.is)
		one(f.kind, x, y, old, now)
	}
	return strings.Join(a, ", "), strings.Join(b, ", "), patch
}

// challenging is the trial under way; nil: there is none.
func (b *Box) challenging() *challenge { return b.rollout.challenge.Load() }

// beginTrial of a validated candidate; one that is under way goes on, by the plan as it is now.
func (b *Box) beginTrial(e rollout.Entry, plan *trial.Plan, approvals []trial.Approval) {
	s := b.rollout.State()
	if e.Slot != rollout.Validated || s.Candidate == nil || s.Candidate.ID != e.ID || !tries(plan, e.Pair, s.Confirmed.Pair) {
		return
	}
	r := &b.rollout
	r.trying.Lock()
	defer r.trying.Unlock()
	if c := b.challenging(); c != nil && c.pair.ID == e.ID {
		return
	}
	c := &challenge{pair: e.Pair, model: b.modelOf(e.Pair), plan: *plan, approvals: approvals, queue: make(chan shadowed, shadowQueue),
		ended: make(chan struct{}), arms: map[string]trial.Arm{}}
	c.budget, c.served = b.budget(e.Pair, c.model), b.serves(e.Pair, c.model)
	c.from, c.to, c.patch = contest(s, &e)
	now := time.Now()
	if c.load(b.trialFile()) {
		c.forget(b.cohorts())
	} else {
		c.trial = trial.New(plan.Config(c.budget), now)
		champion := b.unseen()
		for i, g := range []string{b.Index.Stats().Generation.Label(), e.Generation} {
			c.sketches[i] = telemetry.NewWindow(now.UTC(), now.UTC(), []string{champion.model, c.model}[i], g)
		}
		champion.Release()
	}
	c.trial.Share(plan.Percent)
	c.shadow = &shadow{b: b, key: "trial", age: shadowAge, budget: c.budget, begin: c.trial.Shadow, over: c.trial.Over, told: c.shadowed,
		take: func(shadowed) *question { return b.challenger(c) }}
	if key := c.model; key != "" {
		b.Models.hold(key, true)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.end = cancel
	r.challenge.Store(c)
	go b.runShadow(ctx, c)
	b.log.Info("a trial is under way", "trial", plan.ID, "candidate", e.ID, "percent", plan.Percent)
}

// endTrial of a candidate that is tried no more, "": of any. What it returns may still
// ask one question in the shadow, until it has ended; nil: there was none.
func (b *Box) endTrial(id string) *challenge {
	r := &b.rollout
	r.trying.Lock()
	defer r.trying.Unlock()
	c := b.challenging()
	if c == nil || id != "" && c.pair.ID != id {
		return nil
	}
	r.challenge.Store(nil)
	c.end()
	b.saveTrial(c)
	return c
}

// clientOf a question: whoever brought a token by its name, all programs of a machine
// without one together; "": not known.
func clientOf(ctx context.Context) string {
	key := inference.CallerOf(ctx).Key
	if host, _, err := net.SplitHostPort(key); err == nil {
		return host // the port is another with each connection
	}
	return key
}

// challenger takes the challenger for a question; nil where it can't be had.
func (b *Box) challenger(c *challenge) *question {
	q := &question{b: b, served: c.served, challenge: c}
	if c.pair.Generation == c.pair.Base { // the documents are those that serve
		q.snap = b.Index.Acquire()
		return q
	}
	snap, err := b.Index.AcquireGeneration(generationOf(c.pair.Generation))
	if err != nil {
		b.log.Warn("a challenger's generation can't be searched", "error", err)
		return nil
	}
	q.snap = snap
	return q
}

// share a question out: the challenger, where the client is one of its own.
func (b *Box) share(ctx context.Context) *question {
	b.full.shadow.giveWay()
	c := b.challenging()
	if c == nil {
		return nil
	}
	c.shadow.giveWay()
	if c.trial.Assign(clientOf(ctx), time.Now()) != trial.Challenger {
		return nil
	}
	return b.challenger(c)
}

// tried counts an answer that somebody got, and has it asked in the shadow.
func (b *Box) tried(ctx context.Context, q answer.Question, a *answer.Answer, err error) {
	c := b.challenging()
	if c == nil || !watch.Counts(a, err) {
		return
	}
	by, _ := answer.ServingOf(ctx).(*question)
	if by == nil {
		return
	}
	arm := trial.Champion
	if by.challenge != nil {
		if by.challenge != c {
			return // of a trial that is over
		}
		arm = trial.Challenger
	}
	now := time.Now()
	if c.plan.Percent > 0 {
		c.trial.Answered(clientOf(ctx), arm, now, trial.OutcomeOf(a, err))
		c.sketch(arm, a, err, now)
		if a != nil {
			c.remember(a.ID, arm)
		}
	}
	sameWords := q.Mode == answer.ModeExtractive && c.pair.Generation == c.pair.Base
	if arm == trial.Challenger || sameWords || c.trial.Over() {
		return
	}
	select {
	case c.queue <- shadowed{q, a, err, now}:
	default:
		c.shadow.drop(func(d *RolloutDropped) { d.Full++ })
	}
}

func (c *challenge) sketch(arm trial.Arm, a *answer.Answer, err error, now time.Time) {
	cohort := ""
	if a != nil {
		cohort = a.Cohort
	}
	o := telemetry.Of(a, err, cohort, -1, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sketches[arm].Add(&o)
	c.sketches[arm].To = now.UTC()
}

// remember which arm gave an answer, for what is said of it.
func (c *challenge) remember(id string, arm trial.Arm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.order[c.next]; old != "" {
		delete(c.arms, old)
	}
	c.order[c.next], c.arms[id] = id, arm
	c.next = (c.next + 1) % feedbackRing
}

// triedFeedback counts what somebody said of an answer of a trial.
func (b *Box) triedFeedback(i feedback.Item) {
	c := b.challenging()
	if c == nil || i.Thumb == "" && i.Reason == "" {
		return
	}
	c.mu.Lock()
	arm, ok := c.arms[i.AnswerID]
	c.mu.Unlock()
	if ok {
		c.trial.Feedback(arm, i.Thumb == feedback.Up)
	}
}

// runShadow asks the challenger what the champion has answered, one question after
// another, until ctx ends.
func (b *Box) runShadow(ctx context.Context, c *challenge) {
	defer close(c.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-c.queue:
			c.shadow.again(ctx, j)
		}
	}
}

// shadowed takes in what both have answered.
func (c *challenge) shadowed(j shadowed, a *answer.Answer, err error) {
	now := time.Now()
	c.trial.Shadowed(trial.OutcomeOf(j.answer, j.err), trial.OutcomeOf(a, err), trial.Agree(j.answer, a))
	if c.plan.Percent == 0 { // else it is there already
		c.sketch(trial.Champion, j.answer, j.err, now)
	}
	c.sketch(trial.Challenger, a, err, now)
}

// followTrial does what a trial's verdict says.
func (b *Box) followTrial(ctx context.Context, now time.Time) {
	c := b.challenging()
	if c == nil {
		return
	}
	v := c.trial.Verdict(now)
	c.mu.Lock()
	report := v.Decision != c.told && v.Final || now.Sub(c.reported) >= trialReport
	if report {
		c.told, c.reported = v.Decision, now
	}
	save := report || now.Sub(c.saved) >= trialSave
	if save {
		c.saved = now
	}
	c.mu.Unlock()
	var err error
	if v.Final && v.Decision != trial.Promote {
		_, err = b.rollout.Reject("", checkTrial, fmt.Sprintf("trial %s: %s: %s", c.plan.ID, v.Decision, v.Reason))
	} else if v.Final {
		by, why := b.mayPromote(c, b.approvals(c))
		if no := b.blocked(); why == nil && no != nil {
			why = errors.New(rollout.Why(no))
		}
		c.mu.Lock()
		c.waits = ""
		if why != nil {
			c.waits = why.Error()
		}
		c.mu.Unlock()
		if why == nil {
			_, err = b.rollout.Approve(ctx, by, b.watchFor(), nil)
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, rollout.ErrNoCandidate) {
		b.log.Error("a trial's verdict could not be followed", "trial", c.plan.ID, "error", err)
	}
	if report {
		if err := b.Report(ctx, spool.Normal, "trial", b.trialStatus(c)); err != nil {
			b.log.Warn("a trial's figures could not be kept for the centre", "error", err)
		}
		b.tell()
	}
	if save {
		b.saveTrial(c)
	}
}

// approvals that came with the bundle, or with a rollout of the centre's; what can't be
// read is none.
func (b *Box) approvals(c *challenge) []trial.Approval {
	out := slices.Clone(c.approvals)
	r, _ := b.sync.parts()
	if r == nil {
		return out
	}
	for _, text := range r.Approvals() {
		if a, err := trial.ParseApproval([]byte(text)); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// mayPromote says who has approved of it, or why it is not promoted.
func (b *Box) mayPromote(c *challenge, approvals []trial.Approval) (by string, err error) {
	keys, err := c.plan.Keys()
	if err != nil {
		return "", err
	}
	v := c.trial.Verdict(time.Now())
	err = trial.MayPromote(c.plan.Promotion, c.plan.ID, v, c.from, c.to, c.patch, nil, keys)
	if err == nil {
		return "policy " + string(c.plan.Promotion), nil
	}
	for i := range approvals {
		a := &approvals[i]
		if a.Trial != c.plan.ID {
			continue // of another trial of the channel
		}
		if err = trial.MayPromote(c.plan.Promotion, c.plan.ID, v, c.from, c.to, c.patch, a, keys); err == nil {
			return a.By, nil
		}
	}
	return "", err
}

// trialStatus of a trial.
func (b *Box) trialStatus(c *challenge) RolloutTrial {
	f := c.trial.Figures(time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	t := RolloutTrial{ID: c.plan.ID, Candidate: c.pair.ID, From: c.from, To: c.to, Patch: c.patch, Promotion: c.plan.Promotion,
		Figures: f, Dropped: c.shadow.Dropped(), Waiting: len(c.queue), Waits: c.waits}
	for i, w := range c.sketches {
		arm := TrialArm{Model: w.Model, Generation: w.Generation, Questions: w.Questions}
		all := w.Total()
		failed := int64(0)
		if s := w.Slices[telemetry.Outcome][telemetry.Failed]; s != nil {
			failed = s.N
		}
		answered := all.N - all.Abstained - failed
		arm.Abstained, arm.Grounded = share(all.Abstained, all.N), share(answered-all.Ungrounded, answered)
		for q, to := range map[float64]**float64{0.5: &arm.P50, 0.95: &arm.P95} {
			if x, ok := w.Quantile("total", q); ok {
				*to = &x
			}
		}
		t.Arms[i] = arm
	}
	return t
}
