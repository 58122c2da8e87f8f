package box

import (
	"context"

	"rxedge/daemon/rollout"
	"rxedge/sync/spool"
)

// recorded is called with each record of the journal.
func (b *Box) recorded(rec rollout.Record, s rollout.State) {
	RolloutStep("told " + string(rec.Op))
	switch rec.Op {
	case rollout.OpConfirm, rollout.OpRollBack, rollout.OpInterrupt:
		b.endWatch()
	}
	switch rec.Op {
	case rollout.OpReject, rollout.OpProvision, rollout.OpInterrupt:
		b.endTrial(rec.ID)
	}
	switch rec.Op {
	case rollout.OpSettle, rollout.OpReject, rollout.OpRollBack:
		b.agreeAfter(s, rec)
	case rollout.OpProvision:
		if e := s.Entry(rec.ID); e != nil {
			b.beginWatch(e.Pair)
			if key := b.modelOf(e.Pair); key != "" {
				b.Models.hold(key, true)
			}
		}
	}
	b.keepGenerations(s)
	b.sync.wake()
	e := s.Entry(rec.ID)
	if e == nil || rec.Op == rollout.OpSettle || rec.Op == rollout.OpAdopt || rec.Op == rollout.OpApprove && rec.Override == nil {
		return
	}
	v := report{Bundle: e.Bundle, Pair: e.ID, Slot: e.Slot, At: rec.At, Check: rec.Check, Reason: rec.Reason, Override: rec.Override}
	if rec.Verdict != nil {
		if c := rec.Verdict.Failed(); c != nil {
			v.Check, v.Serving, v.Candidate, v.Limit = c.Name, c.Serving, c.Candidate, c.Limit
		}
	}
	b.reportRollout(v)
}

func (b *Box) reportRollout(v report) {
	b.sync.mu.Lock()
	open, site := b.sync.spool != nil, b.sync.receiver != nil
	b.sync.mu.Unlock()
	if !site {
		return
	}
	if !open {
		b.rollout.mu.Lock()
		b.rollout.unsent = append(b.rollout.unsent, v)
		b.rollout.mu.Unlock()
		return
	}
	if err := b.Report(context.Background(), spool.High, "rollout", v); err != nil {
		b.log.Warn("a step of a rollout could not be kept for the centre", "error", err)
	}
}

// sendRollouts that happened before the spool was open.
func (b *Box) sendRollouts() {
	b.rollout.mu.Lock()
	unsent := b.rollout.unsent
	b.rollout.unsent = nil
	b.rollout.mu.Unlock()
	for _, v := range unsent {
		b.reportRollout(v)
	}
}

// rolloutState of what came last: a candidate, or what was rolled back after the
// confirmed pair began, or that.
func (b *Box) rolloutState() *rollout.SiteRollout {
	s := b.rollout.State()
	if s.Confirmed == nil {
		return nil
	}
	e := s.Confirmed
	if l := s.Last; l != nil && l.Since.After(e.Since) {
		e = l
	}
	if s.Candidate != nil {
		e = s.Candidate
	}
	v := &rollout.SiteRollout{Bundle: e.Bundle, Slot: e.Slot, Since: e.Since, Check: e.Check, Reason: e.Reason, Confirmed: s.Confirmed.Bundle}
	c := b.seenOf(e.ID)
	v.Asked, v.Errors, v.Override = c.Asked, c.Errors, e.Override
	if no := b.blocked(); no != nil && e == s.Candidate {
		v.Check, v.Reason, v.Figure = no.Name, rollout.Why(no), no
	}
	if s.Previous != nil {
		v.Previous = s.Previous.Bundle
	}
	return v
}
