package central

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"rxedge/sync/bundle"
)

// ErrNoRollout: there is no rollout of that bundle.
var ErrNoRollout = errors.New("there is no rollout of that bundle; 'rxedge central rollout list' shows those there are")

// NotNowError is a step that the rollout's state does not allow.
type NotNowError struct{ Reason string }

func (e *NotNowError) Error() string { return e.Reason }

func notNow(format string, args ...any) error { return &NotNowError{fmt.Sprintf(format, args...)} }

// ledger is the centre's folder, locked, with what a step of a rollout needs.
type ledger struct {
	f *Folder
	t *trail
	r *repository
}

// change does steps of rollouts and signs the gates that follow. signed says
// whether they have changed.
func (f *Folder) change(do func(*ledger) error) (signed bool, err error) {
	unlock, err := f.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	l := &ledger{f: f}
	if l.t, err = f.trail(); err != nil {
		return false, err
	}
	if l.r, err = f.repository(); err != nil {
		return false, err
	}
	err = do(l)
	// Steps that were taken before one that failed stand in the trail: a halt is
	// not held up by another rollout's trouble.
	signed, serr := f.signGates(l.r, l.t)
	return signed, errors.Join(err, serr)
}

func (l *ledger) rollout(channel string, number int64) (*Rollout, error) {
	r := l.t.rolls[channel][number]
	if r == nil {
		return nil, fmt.Errorf("bundle %d of %s: %w", number, channel, ErrNoRollout)
	}
	return r, nil
}

// do one step of r.
func (l *ledger) do(r *Rollout, to RolloutState, c Record) error {
	if !allowed(c.Action, r.State, to) {
		return notNow("bundle %d of %s is %s; %s is not for that", r.Bundle, r.Channel, r.State, c.Action)
	}
	if c.Rollout == "" {
		c.Rollout = r.ID
	}
	c.Channel, c.Bundle, c.From, c.To = r.Channel, r.Bundle, r.State, to
	if err := l.f.append(l.t, c); err != nil {
		return err
	}
	*r = *l.t.rolls[r.Channel][r.Bundle]
	return nil
}

// By is who does a step, and why.
type By struct{ Who, Reason string }

const mostReason = 500

func (b By) check() error {
	switch {
	case b.Who == "":
		return errors.New("say who does it")
	case len(b.Who) > 100 || len(b.Reason) > mostReason:
		return fmt.Errorf("a name has at most 100 bytes, a reason %d", mostReason)
	}
	return nil
}

// step of a person on one rollout.
func (f *Folder) byPerson(channel string, number int64, by By, do func(l *ledger, r *Rollout) error) (*Rollout, error) {
	if err := by.check(); err != nil {
		return nil, err
	}
	var out Rollout
	_, err := f.change(func(l *ledger) error {
		r, err := l.rollout(channel, number)
		if err != nil {
			return err
		}
		mine := *r
		err = do(l, &mine)
		out = mine
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// CreateRollout plans the rollout of a bundle that was published with Hold, or
// goes on with one that was done for some sites alone. The controller opens its
// first wave.
func (f *Folder) CreateRollout(channel string, number int64, plan Plan, by By) (*Rollout, error) {
	if err := plan.Check(); err != nil {
		return nil, err
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	return f.byPerson(channel, number, by, func(l *ledger, r *Rollout) error {
		if !slices.Contains(l.r.numbers(channel), number) {
			return notNow("bundle %d of %s is not signed any more", number, channel)
		}
		if r.State == RolloutDone && !r.limited() {
			return notNow("bundle %d of %s is out: every site may have it", number, channel)
		}
		sites, err := l.eligible(channel, plan.Labels)
		if err != nil {
			return err
		}
		if len(sites) == 0 {
			return notNow("no enrolled site of %s has %s", channel, cmp.Or(LabelText(plan.Labels), "anything to be rolled out to"))
		}
		if len(plan.Labels) > 0 {
			named := len(sites)
			for _, o := range l.t.rolls.of(channel) {
				named += len(o.Only)
			}
			if named > bundle.MaxOnly {
				return notNow("rollouts by labels of %s name %d sites; the most is %d", channel, named, bundle.MaxOnly)
			}
		}
		for _, o := range l.t.rolls.of(channel) {
			if o.Bundle == number || !o.unfinished() || o.Bundle > number && o.State == RolloutHeld {
				continue
			}
			if o.State != RolloutHeld {
				return notNow("bundle %d of %s is %s; finish or abort it first", o.Bundle, channel, o.State)
			}
			// What was held before is part of this one, if this was built on it.
			if err := l.do(o, RolloutAborted, Record{Who: by.Who, Action: ActAbort, Reason: fmt.Sprintf("bundle %d takes its place", number)}); err != nil {
				return err
			}
		}
		return l.do(r, RolloutPlanned, Record{Who: by.Who, Action: ActCreate, Reason: by.Reason, Plan: &plan, Rollout: hex.EncodeToString(id)})
	})
}

// PauseRollout lets nobody more have it, until it is resumed.
func (f *Folder) PauseRollout(channel string, number int64, by By) (*Rollout, error) {
	return f.byPerson(channel, number, by, func(l *ledger, r *Rollout) error {
		return l.do(r, RolloutPaused, Record{Who: by.Who, Action: ActPause, Reason: by.Reason})
	})
}

// ResumeRollout goes on with the wave at which it was paused or halted; it soaks
// anew. What failed until now is forgiven: it does not halt it once more.
func (f *Folder) ResumeRollout(channel string, number int64, by By) (*Rollout, error) {
	return f.byPerson(channel, number, by, func(l *ledger, r *Rollout) error {
		to := RolloutRunning
		if r.Wave == 0 {
			to = RolloutPlanned
		}
		return l.do(r, to, Record{Who: by.Who, Action: ActResume, Reason: by.Reason, Forgiven: l.failedSites(r)})
	})
}

// failedSites at the last halt, with those that were forgiven before.
func (l *ledger) failedSites(r *Rollout) []string {
	out := slices.Clone(r.Forgiven)
	for _, s := range slices.Backward(l.t.signed) {
		c, err := s.Read()
		if err != nil || c.Channel != r.Channel || c.Bundle != r.Bundle || c.Rollout != r.ID {
			continue
		}
		if c.Action == ActHalt && c.Figures != nil {
			out = append(out, c.Figures.FailedSites...)
		}
		if c.Action == ActHalt || c.Action == ActResume || c.Action == ActCreate {
			break
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ApproveRollout goes on to the next wave, or ends the rollout after the last,
// whatever its wave still waits for.
func (f *Folder) ApproveRollout(channel string, number int64, by By) (*Rollout, error) {
	return f.byPerson(channel, number, by, func(l *ledger, r *Rollout) error {
		if r.Plan != nil && r.Wave >= len(r.Plan.Waves) {
			return l.do(r, RolloutDone, Record{Who: by.Who, Action: ActApprove, Reason: by.Reason})
		}
		return l.wave(r, Record{Who: by.Who, Action: ActApprove, Reason: by.Reason})
	})
}

// PromoteRollout brings the sites an approval of the trial that the bundle asks for, as it
// was signed. Those that had it before have nothing done.
func (f *Folder) PromoteRollout(channel string, number int64, approval string, by By) (*Rollout, error) {
	if approval == "" || len(approval) > bundle.MaxApproval {
		return nil, fmt.Errorf("an approval has 1 to %d bytes", bundle.MaxApproval)
	}
	return f.byPerson(channel, number, by, func(l *ledger, r *Rollout) error {
		switch {
		case slices.Contains(r.Approvals, approval):
			return nil
		case len(r.Approvals) >= bundle.MaxApprovals:
			return notNow("bundle %d of %s has %d approvals already", number, channel, len(r.Approvals))
		}
		return l.do(r, r.State, Record{Who: by.Who, Action: ActPromote, Reason: by.Reason, Approval: approval})
	})
}

// AbortRollout lets nobody more have the bundle, ever, nor any that was held
// behind it and builds on it. With rollback the sites that have it go back to
// what they had before. A bundle that was published to all can be aborted too.
func (f *Folder) AbortRollout(channel string, number int64, rollback bool, by By) (*Rollout, error) {
	if err := by.check(); err != nil {
		return nil, err
	}
	out := Rollout{Channel: channel, Bundle: number}
	_, err := f.change(func(l *ledger) error {
		if r := l.t.rolls[channel][number]; r != nil {
			out = *r
		} else if !slices.Contains(l.r.numbers(channel), number) {
			return fmt.Errorf("bundle %d of %s: %w", number, channel, ErrNoRollout)
		}
		before := false
		for _, n := range l.r.numbers(channel) {
			if n > number && l.t.rolls.forAll(channel, n) {
				return notNow("bundle %d of %s is out, and was built on %d; abort that one", n, channel, number)
			}
			before = before || n < number && l.t.rolls.forAll(channel, n)
		}
		if rollback && !before {
			return notNow("there is no bundle before %d that every site may have, so none to go back to", number)
		}
		gone := map[int64]bool{number: true}
		for _, r := range l.t.rolls.of(channel) {
			if r.Bundle > number && gone[r.Base] && r.State != RolloutAborted {
				gone[r.Bundle] = true
				if err := l.do(r, RolloutAborted, Record{Who: by.Who, Action: ActAbort, Rollback: rollback, Reason: fmt.Sprintf("it was built on bundle %d", r.Base)}); err != nil {
					return err
				}
			}
		}
		return l.do(&out, RolloutAborted, Record{Who: by.Who, Action: ActAbort, Rollback: rollback, Reason: by.Reason})
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// wave opens the next wave of r: the first sites by bucket, as many as its share
// says, and one at least. None that was let in is shut out again.
func (l *ledger) wave(r *Rollout, c Record) error {
	if r.Plan == nil {
		return notNow("the rollout of bundle %d of %s was never created", r.Bundle, r.Channel)
	}
	sites, err := l.eligible(r.Channel, r.Plan.Labels)
	if err != nil {
		return err
	}
	c.Wave = r.Wave + 1
	if len(r.Plan.Labels) > 0 {
		for _, s := range sites {
			c.Only = append(c.Only, bundle.SiteMark(r.ID, s))
		}
		slices.Sort(c.Only)
	}
	share := r.Plan.Waves[c.Wave-1]
	c.Below = max(r.Below, threshold(r.ID, sites, share))
	for _, s := range sites {
		if bundle.Bucket(r.ID, s) < c.Below {
			c.Sites = append(c.Sites, s)
		}
	}
	return l.do(r, RolloutRunning, c)
}

// threshold below which the buckets of a share of the sites lie.
func threshold(rollout string, sites []string, percent float64) uint64 {
	if percent >= 100 {
		return bundle.Buckets
	}
	buckets := make([]uint64, len(sites))
	for i, s := range sites {
		buckets[i] = bundle.Bucket(rollout, s)
	}
	slices.Sort(buckets)
	n := max(1, int(math.Ceil(percent/100*float64(len(sites))-1e-9)))
	if n > len(sites) {
		return bundle.Buckets
	}
	return buckets[n-1] + 1
}

// eligible sites of a channel, with all those labels, by id.
func (l *ledger) eligible(channel string, labels map[string]string) ([]string, error) {
	all, err := l.f.Sites()
	if err != nil {
		return nil, err
	}
	var out []string
next:
	for _, s := range all {
		if s.Channel != channel || s.Public == "" || s.Revoked != nil {
			continue
		}
		for k, v := range labels {
			if s.Labels[k] != v {
				continue next
			}
		}
		out = append(out, s.ID)
	}
	return out, nil
}

// Rollouts of all channels, by channel and bundle.
func (f *Folder) Rollouts() ([]*Rollout, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := f.trail()
	if err != nil {
		return nil, err
	}
	var out []*Rollout
	for channel := range t.rolls {
		out = append(out, t.rolls.of(channel)...)
	}
	slices.SortFunc(out, func(a, b *Rollout) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Bundle, b.Bundle))
	})
	return out, nil
}

// Allowed is the newest bundle that a site may have, and the newest that is
// signed, by the gates as they are signed now.
func (f *Folder) Allowed() (func(s *Site) (may, newest int64), error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	gates, numbers := map[string]*bundle.Gates{}, map[string][]int64{}
	for p, tf := range r.targets.Signed.Targets {
		c, _, ok := bundle.ParseTargetPath(p)
		if ok {
			numbers[c] = r.numbers(c)
			continue
		}
		g, err := f.gatesFile(tf)
		if err != nil {
			return nil, err
		}
		gates[g.Channel] = g
	}
	now := f.now()
	return func(s *Site) (may, newest int64) {
		for _, n := range numbers[s.Channel] {
			if newest = n; gates[s.Channel].Of(s.ID, n, now).Allowed {
				may = n
			}
		}
		return may, newest
	}, nil
}
