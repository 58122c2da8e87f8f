package rollout

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Op is what a record of the journal says happened.
type Op string

// Ops.
const (
	OpAdopt     Op = "adopt"     // what served on a first start is confirmed
	OpStage     Op = "stage"     // a candidate is there
	OpValidate  Op = "validate"  // it was built and passed its checks
	OpApprove   Op = "approve"   // a person let it serve
	OpProvision Op = "provision" // it serves, watched
	OpConfirm   Op = "confirm"   // it serves for good: the commit point
	OpSettle    Op = "settle"    // the index has followed
	OpReject    Op = "reject"    // it never served
	OpRollBack  Op = "rollback"  // it served, and does no more: of a confirmed one the commit point
	OpInterrupt Op = "interrupt" // a start found it unfinished
	OpPin       Op = "pin"       // what serves stays: no bundle takes its place
	OpUnpin     Op = "unpin"
)

type transition struct {
	from []Slot // "": none
	to   Slot
}

// table is the whole state machine of a pair.
var table = map[Op]transition{
	OpAdopt:     {[]Slot{""}, Confirmed},
	OpStage:     {[]Slot{"", RolledBack}, Staged},
	OpValidate:  {[]Slot{Staged}, Validated},
	OpApprove:   {[]Slot{Validated}, Validated},
	OpProvision: {[]Slot{Validated}, Provisional},
	OpConfirm:   {[]Slot{Provisional}, Confirmed},
	OpSettle:    {[]Slot{Confirmed}, Confirmed},
	OpReject:    {[]Slot{Staged, Validated}, RolledBack},
	OpRollBack:  {[]Slot{Provisional, Confirmed}, RolledBack},
	OpInterrupt: {[]Slot{Staged, Validated, Provisional}, Staged},
}

// ErrOrder: the table does not allow it.
var ErrOrder = errors.New("not allowed from where it stands")

// Record is a line of the journal.
type Record struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
	Op  Op        `json:"op"`
	ID  string    `json:"id,omitempty"` // of the pair; none for pin and unpin
	// Pair as it is known by then: with adopt, stage and validate.
	Pair *Pair `json:"pair,omitempty"`
	// From is what served until then: with provision. Back is what serves again:
	// with rollback.
	From *Pair `json:"from,omitempty"`
	Back *Pair `json:"back,omitempty"`
	// Until it is watched: with provision.
	Until   time.Time `json:"until,omitzero"`
	Verdict *Verdict  `json:"verdict,omitempty"`
	// By is the person who asked for it; none: the box by itself.
	By       string    `json:"by,omitempty"`
	Check    string    `json:"check,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Versions []Version `json:"versions,omitempty"`
	// Override of a check: with approve and confirm, by a person's word alone.
	Override *Override `json:"override,omitempty"`
}

// State is what the records come to.
type State struct {
	Confirmed *Entry `json:"confirmed,omitempty"`
	Previous  *Entry `json:"previous,omitempty"`  // that can be gone back to
	Candidate *Entry `json:"candidate,omitempty"` // staged, validated or provisional
	// Last is what was rolled back or rejected last.
	Last *Entry `json:"last,omitempty"`
	// Unsettled: the index may not have followed yet.
	Unsettled bool `json:"unsettled,omitempty"`
	// Pinned says by whom and why, "": nothing is.
	Pinned   string    `json:"pinned,omitempty"`
	Versions []Version `json:"versions,omitempty"`

	entries map[string]*Entry
	seq     uint64
}

// Entry of a pair by its id; nil: there is none.
func (s *State) Entry(id string) *Entry { return s.entries[id] }

// Serving is what answers now: a provisional candidate, or else the confirmed pair.
func (s *State) Serving() *Entry {
	if c := s.Candidate; c != nil && c.Slot == Provisional {
		return c
	}
	return s.Confirmed
}

// allows says whether the table does.
func (s *State) allows(op Op, id string) (Slot, error) {
	if op == OpPin || op == OpUnpin {
		return "", nil
	}
	tr, ok := table[op]
	if !ok {
		return "", fmt.Errorf("%q is no step of a rollout", op)
	}
	var at Slot
	if e := s.entries[id]; e != nil {
		at = e.Slot
	}
	if !slices.Contains(tr.from, at) {
		where := "not known"
		if at != "" {
			where = string(at)
		}
		return "", fmt.Errorf("%w: %s of %s, which is %s", ErrOrder, op, id, where)
	}
	cand := s.Candidate
	switch {
	case op == OpStage && cand != nil, op == OpAdopt && cand != nil:
		return "", fmt.Errorf("%w: %s is %s", ErrOrder, cand.ID, cand.Slot)
	case at == Confirmed && (s.Confirmed == nil || s.Confirmed.ID != id):
		return "", fmt.Errorf("%w: %s was confirmed and no longer serves", ErrOrder, id)
	case op == OpRollBack && at == Confirmed && cand != nil && cand.Slot == Provisional:
		return "", fmt.Errorf("%w: %s is provisional", ErrOrder, cand.ID)
	case op == OpRollBack && at == Confirmed && s.Previous == nil:
		return "", ErrNoPrevious
	case s.Unsettled && op != OpSettle && op != OpAdopt && (op == OpProvision || op == OpConfirm || op == OpRollBack):
		return "", fmt.Errorf("%w: the index has not followed %s yet", ErrOrder, s.Confirmed.ID)
	}
	return tr.to, nil
}

// ErrNoPrevious: there is no pair to go back to.
var ErrNoPrevious = errors.New("there is no earlier pair to go back to")

// apply folds a record in; an error leaves the state as it was.
func (s *State) apply(r Record) error {
	if r.Seq != s.seq+1 {
		return fmt.Errorf("record %d follows %d", r.Seq, s.seq)
	}
	to, err := s.allows(r.Op, r.ID)
	if err != nil {
		return err
	}
	if (r.Op == OpAdopt || r.Op == OpStage || r.Op == OpValidate) && (r.Pair == nil || r.Pair.ID != r.ID) {
		return fmt.Errorf("record %d names no pair", r.Seq)
	}
	s.seq = r.Seq
	if s.entries == nil {
		s.entries = map[string]*Entry{}
	}
	switch r.Op {
	case OpPin:
		s.Pinned = r.By
		if r.Reason != "" {
			s.Pinned += ": " + r.Reason
		}
		return nil
	case OpUnpin:
		s.Pinned = ""
		return nil
	}
	was := s.entries[r.ID]
	e := &Entry{}
	if was != nil {
		*e = *was
	}
	if r.Pair != nil {
		e.Pair = *r.Pair
	}
	s.entries[r.ID] = e
	before := e.Slot
	if e.Slot != to {
		e.Slot, e.Since = to, r.At
	}
	switch r.Op {
	case OpAdopt:
		s.Confirmed, s.Previous, s.Unsettled = e, nil, false
	case OpStage:
		e.Verdict, e.Approved, e.Check, e.Reason, e.Until, e.From, e.Override = nil, "", "", "", time.Time{}, nil, nil
		if before == RolledBack {
			e.Interrupted = 0
		}
		s.Candidate = e
	case OpValidate:
		e.Verdict, s.Candidate = r.Verdict, e
	case OpApprove:
		e.Approved, e.Override, s.Candidate = r.By, r.Override, e
	case OpProvision:
		e.Until, e.From, s.Candidate = r.Until, r.From, e
	case OpConfirm:
		e.Until = time.Time{}
		if r.Override != nil {
			e.Override = r.Override
		}
		// What served just before, as it was then, is what can be gone back to.
		if e.From != nil && s.Confirmed != nil {
			p := *s.Confirmed
			p.Pair = *e.From
			s.entries[p.ID] = &p
			s.Previous = &p
		} else {
			s.Previous = s.Confirmed
		}
		s.Confirmed, s.Candidate, s.Unsettled = e, nil, true
	case OpSettle:
		s.Confirmed, s.Unsettled = e, false
	case OpReject:
		e.Check, e.Reason, s.Candidate, s.Last = r.Check, r.Reason, nil, e
		if r.Verdict != nil {
			e.Verdict = r.Verdict
		}
	case OpRollBack:
		e.Check, e.Reason, e.Until, s.Last = r.Check, r.Reason, time.Time{}, e
		if before == Confirmed {
			s.Confirmed, s.Previous, s.Unsettled = s.Previous, nil, true
		} else {
			s.Candidate = nil
		}
	case OpInterrupt:
		if before == Provisional && r.Check == CheckInterrupted {
			e.Interrupted++
		}
		e.Until, e.Reason, s.Candidate = time.Time{}, r.Reason, e
	}
	s.stages(r)
	return nil
}
