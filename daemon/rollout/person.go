package rollout

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Rollback lets the pair before the one that serves serve again, by a person's word
// or the centre's. The error is ErrNoPrevious where there is none, and a
// *LostChangesError where changes of the index would be lost that discard does not
// give up.
func (m *Manager) Rollback(ctx context.Context, by, check, reason string, discard bool) (Entry, error) {
	if err := m.take(ctx, m.turn); err != nil {
		return Entry{}, err
	}
	defer func() { <-m.turn }()
	s := m.State()
	r := Record{By: by, Check: cmp.Or(check, CheckPerson), Reason: reason}
	if c := s.Candidate; c != nil && c.Slot == Provisional {
		return m.serving(), m.back(ctx, s, r)
	}
	if s.Unsettled {
		if err := m.settle(ctx, *s.Confirmed); err != nil {
			return Entry{}, err
		}
	}
	if s.Previous == nil {
		return Entry{}, ErrNoPrevious
	}
	if now := m.site.Current(); !discard && now.Generation != s.Confirmed.Generation {
		return Entry{}, &LostChangesError{Since: s.Confirmed.Generation, Now: now.Generation}
	}
	// A validated candidate was built upon what goes.
	if c := s.Candidate; c != nil && c.Slot == Validated {
		if err := m.record(Record{Op: OpInterrupt, ID: c.ID, Reason: "what it was built upon was rolled back"}); err != nil {
			return Entry{}, err
		}
	}
	r.Op, r.ID, r.Back = OpRollBack, s.Confirmed.ID, &s.Previous.Pair
	if err := m.record(r); err != nil {
		return Entry{}, err
	}
	return m.serving(), m.settle(context.WithoutCancel(ctx), *s.Previous)
}

// Approve lets a validated candidate serve, watched for that long; one that is
// watched already it confirms. over is a person's word against a check; nil: none is needed.
func (m *Manager) Approve(ctx context.Context, by string, watch time.Duration, over *Override) (Entry, error) {
	if c := m.State().Candidate; c != nil && c.Slot == Provisional {
		if err := m.take(ctx, m.turn); err != nil {
			return *c, err
		}
		defer func() { <-m.turn }()
		err := m.confirm(ctx, Record{ID: c.ID, By: by, Override: over})
		return m.entry(c.ID), err
	}
	c := m.State().Candidate
	if c == nil || c.Slot != Validated {
		return Entry{}, ErrNoCandidate
	}
	if err := m.record(Record{Op: OpApprove, ID: c.ID, By: by, Override: over}); err != nil {
		return *c, err
	}
	err := m.provision(ctx, c.ID, watch)
	if errors.Is(err, ErrStale) {
		if err := m.record(Record{Op: OpInterrupt, ID: c.ID, Reason: err.Error()}); err != nil {
			return m.entry(c.ID), err
		}
		err = nil // it is built again, and is approved
	}
	return m.entry(c.ID), err
}

// Reject ends a candidate that has not served; check is "" for a person's word.
func (m *Manager) Reject(by, check, reason string) (Entry, error) {
	c := m.State().Candidate
	if c == nil || c.Slot == Provisional {
		return Entry{}, ErrNoCandidate
	}
	err := m.record(Record{Op: OpReject, ID: c.ID, By: by, Check: cmp.Or(check, CheckPerson), Reason: reason})
	return m.entry(c.ID), err
}

// Pin keeps what serves: no candidate takes its place until it is taken off.
func (m *Manager) Pin(by, reason string, on bool) error {
	op := OpPin
	if !on {
		op, reason = OpUnpin, ""
	}
	return m.record(Record{Op: op, By: by, Reason: reason})
}
