package central

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/bundle"
	"rxedge/sync/record"
)

// What the fleet's figures gave rise to, and what people decided about it, is
// fleet/log.jsonl: one Signed a line, appended and synced, each with the hash of the
// one before. Each record is published too, on fleet.WHAT.DONE, so a program of the
// centre takes it up from there; the hub lets nobody delete one.

// FleetAction of a record.
type FleetAction = record.Action

// Actions.
const (
	RetrainRequested   = record.RetrainRequested
	RetrainApproved    = record.RetrainApproved
	RetrainDeclined    = record.RetrainDeclined
	ThresholdsProposed = record.ThresholdsProposed
	ThresholdsApproved = record.ThresholdsApproved
	ThresholdsDeclined = record.ThresholdsDeclined
	AccessChanged      = record.AccessChanged
	ReviewRequested    = record.ReviewRequested
	ReviewApproved     = record.ReviewApproved
	ReviewDeclined     = record.ReviewDeclined
)

// notes are actions that stand by themselves.
var notes = map[FleetAction]bool{AccessChanged: true}

// opens says which action a decision answers to; "" for those that open.
var opens = map[FleetAction]FleetAction{
	RetrainRequested: "", ThresholdsProposed: "", ReviewRequested: "",
	RetrainApproved: RetrainRequested, RetrainDeclined: RetrainRequested,
	ThresholdsApproved: ThresholdsProposed, ThresholdsDeclined: ThresholdsProposed,
	ReviewApproved: ReviewRequested, ReviewDeclined: ReviewRequested,
}

// follows says in which states of a matter a step after its decision may be made.
var follows = map[FleetAction][]string{
	record.RetrainExported: {"approved"}, record.RetrainRegistered: {"exported"}, record.RetrainPublished: {"registered"},
	record.RetrainRolling: {"published"}, record.RetrainConfirmed: {"rolling"}, record.RetrainRolledBack: {"rolling"},
	record.RetrainRefused: {"registered", "published", "rolling"}, record.RetrainExpired: {"approved", "exported"},
}

// FleetRecord is one step.
type FleetRecord = record.Fleet

// Matter is a request or a proposal, with its decision.
type Matter struct {
	FleetRecord
	Hash    bundle.Hash  `json:"hash"`
	State   string       `json:"state"` // requested, proposed, approved, declined, or as the last step says
	Decided *FleetRecord `json:"decided,omitempty"`
	// Steps that followed an approval.
	Steps []*FleetRecord `json:"steps,omitempty"`
}

// Step of that action; nil: it was not made.
func (m *Matter) Step(a FleetAction) *FleetRecord {
	for _, s := range m.Steps {
		if s.Action == a {
			return s
		}
	}
	return nil
}

// Ended says whether nothing follows any more.
func (m *Matter) Ended() bool {
	if m.Decided == nil {
		return false
	}
	if m.Action != RetrainRequested {
		return true
	}
	for _, states := range follows {
		if slices.Contains(states, m.State) {
			return false
		}
	}
	return true
}

// ErrFleetLog: the record of the fleet can't be trusted.
var ErrFleetLog = errors.New("the record of the fleet is damaged, cut short or changed; restore the centre's folder from its backup")

// ErrNoMatter: there is none of that id.
var ErrNoMatter = errors.New("there is no such request or proposal")

// DecidedError: a decision that can't be made.
type DecidedError struct{ reason string }

func (e *DecidedError) Error() string { return e.reason }

const (
	fleetLogFile = "fleet/log.jsonl"
	// mostData of a record, so that it is one message.
	mostData = 256 << 10
)

type fleetLog struct {
	signed  []Signed
	last    FleetRecord
	head    bundle.Hash
	whole   int64
	matters []*Matter
}

func (l *fleetLog) matter(id string) *Matter {
	for _, m := range l.matters {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func (l *fleetLog) add(s Signed, keys map[string]bool) error {
	var c FleetRecord
	if err := s.Open(record.FleetContext, keys, &c); err != nil {
		return err
	}
	switch {
	case c.Seq != l.last.Seq+1:
		return fmt.Errorf("number %d after %d", c.Seq, l.last.Seq)
	case c.Prev != l.head:
		return errors.New("it does not follow from the one before")
	}
	if err := l.may(&c); err != nil {
		return err
	}
	m, state := l.matter(c.ID), stateOf(c.Action)
	switch {
	case notes[c.Action]:
	case m == nil:
		l.matters = append(l.matters, &Matter{FleetRecord: c, Hash: s.Hash, State: state})
	case follows[c.Action] != nil:
		m.State, m.Steps = state, append(m.Steps, &c)
	default:
		m.State, m.Decided = state, &c
	}
	l.signed, l.last, l.head = append(l.signed, s), c, s.Hash
	return nil
}

// may says whether a matter stands so that the action can be done.
func (l *fleetLog) may(c *FleetRecord) error {
	opener, known := opens[c.Action]
	m := l.matter(c.ID)
	switch {
	case follows[c.Action] != nil:
		if m == nil || !slices.Contains(follows[c.Action], m.State) {
			return fmt.Errorf("%s is not for %s", c.Action, c.ID)
		}
	case !known && !notes[c.Action]:
		return fmt.Errorf("there is no action %q", c.Action)
	case opener == "" && m != nil, opener != "" && (m == nil || m.Decided != nil || m.Action != opener):
		return fmt.Errorf("%s is not for %s", c.Action, c.ID)
	}
	return nil
}

// stateOf a matter after an action.
func stateOf(a FleetAction) string {
	_, state, _ := strings.Cut(string(a), ".")
	return state
}

// fleetLog reads and checks the file. A last record that is not whole was cut off in
// the writing, before anybody was told of it.
func (f *Folder) fleetLog() (*fleetLog, error) {
	keys, err := f.targetsKeys()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(f.path(fleetLogFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := &fleetLog{}
	if l.whole, _, err = eachSigned(b, func(s Signed) error { return l.add(s, keys) }); err != nil {
		return nil, fmt.Errorf("%w (record %d: %w)", ErrFleetLog, len(l.signed)+1, err)
	}
	return l, nil
}

// lockedLog is the log, and the folder locked until unlock is called.
func (f *Folder) lockedLog() (l *fleetLog, unlock func(), err error) {
	if unlock, err = f.lock(); err != nil {
		return nil, nil, err
	}
	if l, err = f.fleetLog(); err != nil {
		unlock()
		return nil, nil, err
	}
	return l, unlock, nil
}

// record c; f is locked. When it returns it is on disk.
func (f *Folder) record(l *fleetLog, c FleetRecord) error {
	if err := (By{Who: c.Who, Reason: c.Reason}).check(); err != nil {
		return err
	}
	if len(c.Data) > mostData {
		return fmt.Errorf("a record of the fleet has %d bytes of figures; the most is %d", len(c.Data), mostData)
	}
	k, err := f.signingKey("tuf/keys/targets")
	if err != nil {
		return err
	}
	c.Seq, c.Prev, c.At = l.last.Seq+1, l.head, f.now().UTC().Truncate(time.Millisecond)
	if c.ID == "" {
		what, _, _ := strings.Cut(string(c.Action), ".")
		c.ID = fmt.Sprintf("%s-%d", what, c.Seq)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	s := Signed{record.Seal(record.FleetContext, b, k)}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	at := l.whole
	if err := l.add(s, map[string]bool{s.Key: true}); err != nil {
		return err
	}
	if err := f.appendLine(fleetLogFile, at, append(line, '\n')); err != nil {
		return fmt.Errorf("keeping the record of the fleet: %w", err)
	}
	l.whole += int64(len(line)) + 1
	return nil
}

// Note what was done and wants no decision; about is what it was done to.
func (f *Folder) Note(action FleetAction, about string, by By) error {
	if !notes[action] {
		return fmt.Errorf("%q is no action that stands by itself", action)
	}
	l, unlock, err := f.lockedLog()
	if err != nil {
		return err
	}
	defer unlock()
	return f.record(l, FleetRecord{Who: by.Who, Action: action, Cause: about, Reason: by.Reason})
}

// Open a matter. Where one of the same action and cause was opened less than cooldown
// ago, or is not decided yet or being trained for, that is returned and fresh is false.
func (f *Folder) OpenMatter(action FleetAction, cause string, data any, cooldown time.Duration, by By) (m *Matter, fresh bool, err error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, false, err
	}
	l, unlock, err := f.lockedLog()
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	for i := len(l.matters) - 1; i >= 0; i-- {
		m := l.matters[i]
		if m.Action == action && m.Cause == cause && (f.now().Sub(m.At) < cooldown || m.Decided == nil || len(m.Steps) > 0 && !m.Ended()) {
			return m, false, nil
		}
	}
	if err := f.record(l, FleetRecord{Who: by.Who, Action: action, Cause: cause, Reason: by.Reason, Data: b}); err != nil {
		return nil, false, err
	}
	return l.matters[len(l.matters)-1], true, nil
}

// samePerson says whether two names may be one person's, who has an account here and one
// at a provider or on a machine: "anna", "anna (idp.example.org)", "Anna@box". Of two
// people whose names are so alike neither decides what the other opened.
func samePerson(a, b string) bool {
	bare := func(s string) string {
		if i := strings.IndexAny(s, "@("); i > 0 {
			s = s[:i]
		}
		return strings.TrimSpace(s)
	}
	return strings.EqualFold(bare(a), bare(b))
}

// Decide a matter, once. What one person proposed another decides.
func (f *Folder) Decide(id string, approve bool, by By) (*Matter, error) {
	l, unlock, err := f.lockedLog()
	if err != nil {
		return nil, err
	}
	defer unlock()
	m := l.matter(id)
	switch {
	case m == nil:
		return nil, fmt.Errorf("%s: %w", id, ErrNoMatter)
	case m.Decided != nil:
		return nil, &DecidedError{fmt.Sprintf("%s was %s by %s on %s", id, m.State, m.Decided.Who, m.Decided.At.Format(dayForm))}
	case samePerson(m.Who, by.Who):
		return nil, &DecidedError{fmt.Sprintf("%s was opened by %s; another person than %s decides it", id, m.Who, by.Who)}
	}
	what, _, _ := strings.Cut(string(m.Action), ".")
	action := FleetAction(what + ".declined")
	if approve {
		action = FleetAction(what + ".approved")
	}
	if err := f.record(l, FleetRecord{Who: by.Who, Action: action, ID: id, Reason: by.Reason}); err != nil {
		return nil, err
	}
	return m, nil
}

// Matters in the order in which they were opened.
func (f *Folder) Matters() ([]*Matter, error) {
	l, unlock, err := f.lockedLog()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return l.matters, nil
}

// FleetRecords are all, checked: each record's hash and signature, and that it
// follows from the one before.
func (f *Folder) FleetRecords() ([]Signed, error) {
	l, unlock, err := f.lockedLog()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return l.signed, nil
}

// FleetRecord of a signed one, unchecked.
func (s *Signed) FleetRecord() (*FleetRecord, error) {
	var c FleetRecord
	return &c, json.Unmarshal(s.Record, &c)
}

// Approved is a matter as it travels to sites: what was proposed, and the approval.
func (f *Folder) Approved(id string) (*record.Approved, error) {
	all, err := f.FleetRecords()
	if err != nil {
		return nil, err
	}
	out := &record.Approved{Format: 1}
	var proposal, decision *FleetRecord
	for _, s := range all {
		r, err := s.FleetRecord()
		if err != nil {
			return nil, err
		}
		switch {
		case r.ID != id:
		case proposal == nil:
			proposal, out.Proposal = r, s.Signed
		case decision == nil:
			decision, out.Approval = r, s.Signed
		}
	}
	switch {
	case proposal == nil:
		return nil, fmt.Errorf("%s: %w", id, ErrNoMatter)
	case decision == nil:
		return nil, &DecidedError{fmt.Sprintf("%s is not decided yet; another person than %s approves it", id, proposal.Who)}
	}
	keys, err := f.targetsKeys()
	if err != nil {
		return nil, err
	}
	if _, _, err := out.Open(proposal.Action, keys); err != nil {
		return nil, &DecidedError{err.Error()}
	}
	return out, nil
}

// PublishRecords gives the hub the records that it does not have, and says how many.
// The error is ErrFleetLog where the hub has one that is not here: then the file was
// cut short.
func (f *Folder) PublishRecords(ctx context.Context, hubs []string) (sent int, err error) {
	all, err := f.FleetRecords()
	if err != nil {
		return 0, err
	}
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return 0, fmt.Errorf("the hub has no stream of events yet; 'rxedge central hub' makes it: %w", err)
	}
	has := 0
	if s.CachedInfo().State.Msgs > 0 {
		m, err := s.GetMsg(ctx, s.CachedInfo().State.LastSeq)
		if err != nil {
			return 0, err
		}
		var last Signed
		var c *FleetRecord
		if err = json.Unmarshal(m.Data, &last); err == nil {
			c, err = last.FleetRecord()
		}
		if err != nil {
			return 0, fmt.Errorf("the hub's last event can't be read: %w", err)
		}
		if c.Seq < 1 || c.Seq > int64(len(all)) || all[c.Seq-1].Hash != last.Hash {
			return 0, fmt.Errorf("%w (the hub has record %d, which is not here)", ErrFleetLog, c.Seq)
		}
		has = int(c.Seq)
	}
	for _, r := range all[has:] {
		c, err := r.FleetRecord()
		if err != nil {
			return sent, err
		}
		b, err := json.Marshal(r)
		if err != nil {
			return sent, err
		}
		if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "fleet." + string(c.Action), Data: b}, jetstream.WithMsgID(hex.EncodeToString(r.Hash[:]))); err != nil {
			return sent, fmt.Errorf("publishing record %d: %w", c.Seq, err)
		}
		sent++
	}
	return sent, nil
}
