package box

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/trial"
	"rxedge/daemon/rollout/watch"
	"rxedge/inference"
	"rxedge/inference/catalog"
)

// RolloutStatus says what serves, what is on its way, and what can be gone back to.
type RolloutStatus struct {
	Serving RolloutServing `json:"serving"`
	rollout.State
	// Watch is what was seen of a provisional pair so far.
	Watch *RolloutWatch `json:"watch,omitempty"`
	// Trial of a validated candidate beside what serves.
	Trial *RolloutTrial `json:"trial,omitempty"`
	// Disparity between the cohorts of those whom the candidate answered, or would have
	// in a trial: where it fails, the candidate is not promoted without a reason.
	Disparity *rollout.Check `json:"disparity,omitempty"`
	// Warm is what served before and is still open and loaded.
	Warm []RolloutWarm `json:"warm,omitempty"`
	// Withdrawn documents stay out though the bundle that withdrew them went back.
	Withdrawn *RolloutWithdrawn `json:"withdrawn,omitempty"`
	Note      string            `json:"note,omitempty"` // what is wrong with the journal
}

// RolloutServing is what answers now.
type RolloutServing struct {
	Pair       string       `json:"pair"`
	Bundle     int64        `json:"bundle,omitempty"`
	Slot       rollout.Slot `json:"slot"`
	Since      time.Time    `json:"since"`
	Until      time.Time    `json:"until,omitzero"` // it is watched
	Generation string       `json:"generation"`
	Documents  int          `json:"documents"`
	Model      string       `json:"model,omitempty"`
	Asking     int64        `json:"asking"` // questions under way
}

// RolloutWatch counts answers of the provisional pair.
type RolloutWatch = watch.Counted

// RolloutWarm is a pair that served before.
type RolloutWarm struct {
	Generation string    `json:"generation"`
	Model      string    `json:"model,omitempty"`
	Until      time.Time `json:"until"`
}

// RolloutStatus of the box.
func (b *Box) RolloutStatus(context.Context) (RolloutStatus, error) {
	r := &b.rollout
	st := RolloutStatus{State: r.State(), Note: r.Note(), Withdrawn: b.keptOut()}
	r.pair.RLock()
	g := b.Index.Stats().Generation
	now := r.now
	r.pair.RUnlock()
	st.Serving = RolloutServing{Generation: g.Label(), Documents: g.Documents, Model: now.model, Asking: int64(r.asking.Count())}
	e := st.State.Entry(now.ID) // what the journal says of a swap comes before it
	if e == nil {
		e = st.Confirmed
	}
	if e != nil {
		st.Serving.Pair, st.Serving.Bundle, st.Serving.Slot, st.Serving.Since, st.Serving.Until = e.ID, e.Bundle, e.Slot, e.Since, e.Until
	}
	if c := b.challenging(); c != nil {
		t := b.trialStatus(c)
		st.Trial = &t
	}
	st.Disparity = b.disparity()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.warm {
		if l := w.snap.Generation().Label(); l != st.Serving.Generation {
			st.Warm = append(st.Warm, RolloutWarm{l, w.model, w.until})
		}
	}
	if w := r.watch; w != nil {
		c := w.Counted()
		st.Watch = &c
	}
	return st, nil
}

// RolloutHistory is the journal, the oldest first.
func (b *Box) RolloutHistory(context.Context) ([]rollout.Record, error) {
	return b.rollout.History(), nil
}

// Actions of a RolloutRequest.
const (
	RolloutApprove      = "approve"
	RolloutReject       = "reject"
	RolloutBack         = "rollback"
	RolloutPromoteIndex = "promote-index"
	RolloutPromoteModel = "promote-model"
	RolloutModelBack    = "model-rollback"
	RolloutPin          = "pin"
	RolloutUnpin        = "unpin"
)

// mostReason is how many bytes a reason may have.
const mostReason = 500

// RolloutRequest is a technician's word.
type RolloutRequest struct {
	Action string `json:"action"`
	Name   string `json:"name,omitempty"` // of what is promoted
	// Model to be promoted with an index; "": the one that writes now.
	Model  string `json:"model,omitempty"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Discard gives up what was changed on the box since.
	Discard bool `json:"discard,omitempty"`
	// Approval of a trial's promotion, signed.
	Approval *trial.Approval `json:"approval,omitempty"`
}

// RolloutDo does it and says how the pair stands that serves then.
func (b *Box) RolloutDo(ctx context.Context, q RolloutRequest) (e rollout.Entry, err error) {
	q.By = strings.TrimSpace(q.By)
	if q.By == "" {
		q.By = "rxedge"
	}
	if len(q.Reason) > mostReason || len(q.By) > 100 {
		return e, &answer.InvalidError{Field: "reason", Detail: fmt.Sprintf("has more than %d bytes", mostReason)}
	}
	switch q.Action {
	case RolloutApprove:
		by, no := b.approves(q)
		var over *rollout.Override
		if err = no; err == nil {
			over, err = b.overrides(q)
		}
		if err == nil {
			e, err = b.rollout.Approve(ctx, by, b.watchFor(), over)
		}
	case RolloutReject:
		e, err = b.rollout.Reject(q.By, "", q.Reason)
	case RolloutBack:
		e, err = b.rollout.Rollback(ctx, q.By, rollout.CheckPerson, q.Reason, q.Discard)
	case RolloutPin, RolloutUnpin:
		if err = b.rollout.Pin(q.By, q.Reason, q.Action == RolloutPin); err == nil {
			s := b.rollout.State()
			e = *s.Serving()
		}
	case RolloutPromoteIndex:
		e, err = b.promote(ctx, q, func() (rollout.Pair, []rollout.Version, error) {
			snap, err := b.Index.AcquireGeneration(generationOf(q.Name))
			if err != nil {
				return rollout.Pair{}, nil, err
			}
			defer snap.Release()
			g := snap.Generation()
			p := b.base()
			if g.Name == generationOf(p.Base) {
				return p, nil, refused("opens", "%s serves already", g.Label())
			}
			p.Generation, p.Bundle = g.Label(), 0 // which documents it has is not known
			vs := []rollout.Version{versionOf(g, g.Parent, g.Label(), "")}
			if q.Model == "" {
				return p, vs, nil
			}
			return b.withModel(ctx, p, vs, q.Model)
		})
	case RolloutPromoteModel:
		e, err = b.promoteModel(ctx, q, q.Name)
	case RolloutModelBack:
		s := b.rollout.State()
		switch {
		case s.Previous == nil || s.Confirmed.Model == s.Previous.Model || b.trying():
			err = rollout.ErrNoPrevious
		case generationOf(s.Confirmed.Generation) == generationOf(s.Previous.Generation):
			e, err = b.rollout.Rollback(ctx, q.By, rollout.CheckPerson, q.Reason, true)
		default:
			e, err = b.promoteModel(ctx, q, s.Previous.Model.Name)
		}
	default:
		err = &answer.InvalidError{Field: "action", Detail: "is none that there is"}
	}
	b.keepOut(ctx)
	b.tell()
	return e, b.heldUntil(err)
}

// approves says by whose word a candidate is approved: of one that is tried, only by
// what its plan asks for.
func (b *Box) approves(q RolloutRequest) (by string, err error) {
	c := b.challenging()
	if c == nil {
		if q.Approval != nil {
			return "", fmt.Errorf("%w: nothing is tried that an approval could be for", rollout.ErrRefused)
		}
		return q.By, nil
	}
	approvals := b.approvals(c)
	if q.Approval != nil {
		approvals = append(approvals, *q.Approval)
	}
	if by, err = b.mayPromote(c, approvals); err != nil {
		return "", fmt.Errorf("%w: %w", rollout.ErrRefused, err)
	}
	return by, nil
}

// base is the confirmed pair, to make another from.
func (b *Box) base() rollout.Pair {
	s := b.rollout.State()
	p := s.Confirmed.Pair
	p.Base = b.Index.Named().Label()
	p.Generation = p.Base
	return p
}

func (b *Box) promoteModel(ctx context.Context, q RolloutRequest, name string) (rollout.Entry, error) {
	return b.promote(ctx, q, func() (rollout.Pair, []rollout.Version, error) {
		p := b.base()
		if name == "" { // the configured one
			p.Model = rollout.File{}
			return p, nil, nil
		}
		return b.withModel(ctx, p, nil, name)
	})
}

func (b *Box) withModel(ctx context.Context, p rollout.Pair, vs []rollout.Version, name string) (rollout.Pair, []rollout.Version, error) {
	m, err := b.Catalog.Get(name)
	if err != nil {
		return p, nil, err
	}
	if m.Kind != catalog.Generator {
		return p, nil, fmt.Errorf("%s is a %s; a language model is promoted: %w", m.Name, m.Kind, inference.ErrModelNotFound)
	}
	p.Model = rollout.File{Name: m.Name, SHA256: m.SHA256}
	return p, append(vs, modelVersion(m, "")), b.ready(ctx, p)
}

// promote offers what a technician names. What is wrong with the name is told
// before anything is staged.
func (b *Box) promote(ctx context.Context, q RolloutRequest, prepare func() (rollout.Pair, []rollout.Version, error)) (rollout.Entry, error) {
	if c := b.rollout.State().Candidate; c != nil {
		return *c, fmt.Errorf("%w: %s is %s", rollout.ErrUnderWay, c.Pair, c.Slot)
	}
	if _, _, err := prepare(); err != nil {
		return rollout.Entry{}, err
	}
	kind := strings.TrimPrefix(q.Action, "promote-")
	id := fmt.Sprintf("%s-%s-%d", kind, q.Name, len(b.rollout.History())+1)
	return b.rollout.Offer(ctx, rollout.Offer{ID: id, By: q.By, Watch: b.watchFor(),
		Prepare:  func(context.Context) (rollout.Pair, []rollout.Version, error) { return prepare() },
		Validate: b.validate})
}
