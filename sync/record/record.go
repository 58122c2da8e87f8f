// Package record is what the centre signs of its own decisions, and what a site reads of
// them: each a JSON text, its hash, and a signature by a targets key of the fleet.
package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"rxedge/sync/bundle"
)

// Signed is a record with its signature: Ed25519 over a context and the hash.
type Signed struct {
	Record    json.RawMessage `json:"record"`
	Hash      bundle.Hash     `json:"hash"`
	Key       string          `json:"key"` // public, hex
	Signature string          `json:"signature"`
}

// Open a record whose hash and signature are right into into, strictly. keys are
// public, hex.
func (s *Signed) Open(context string, keys map[string]bool, into any) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, s.Record); err != nil {
		return err
	}
	key, err1 := hex.DecodeString(s.Key)
	sig, err2 := hex.DecodeString(s.Signature)
	switch {
	case bundle.HashOf(compact.Bytes()) != s.Hash:
		return errors.New("its hash is not that of its text")
	case !keys[s.Key]:
		return errors.New("it is signed by no targets key of this fleet")
	case err1 != nil || err2 != nil || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(context), s.Hash[:]...), sig):
		return errors.New("its signature is wrong")
	}
	d := json.NewDecoder(bytes.NewReader(s.Record))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Seal is a record's JSON, signed.
func Seal(context string, record []byte, k ed25519.PrivateKey) Signed {
	s := Signed{Record: record, Hash: bundle.HashOf(record), Key: hex.EncodeToString(k.Public().(ed25519.PublicKey))}
	s.Signature = hex.EncodeToString(ed25519.Sign(k, append([]byte(context), s.Hash[:]...)))
	return s
}

// FleetContext is what the signature of a Fleet record is over, before its hash.
const FleetContext = "rxedge fleet record 1\n"

// Action of a record of the fleet.
type Action string

// Actions. The first of each opens a matter, approved and declined decide it.
const (
	RetrainRequested Action = "retrain.requested"
	RetrainApproved  Action = "retrain.approved"
	RetrainDeclined  Action = "retrain.declined"
	// What became of a training that was approved (centre/trainer).
	RetrainExported   Action = "retrain.exported"    // what is to be trained is described
	RetrainRegistered Action = "retrain.registered"  // a model was made, and is what was asked for
	RetrainPublished  Action = "retrain.published"   // it is in a bundle that is held
	RetrainRolling    Action = "retrain.rolling"     // sites have it in waves
	RetrainConfirmed  Action = "retrain.confirmed"   // it serves
	RetrainRolledBack Action = "retrain.rolled_back" // sites took it back
	RetrainRefused    Action = "retrain.refused"     // no site would serve it
	RetrainExpired    Action = "retrain.expired"     // no model came in time

	ThresholdsProposed Action = "thresholds.proposed"
	ThresholdsApproved Action = "thresholds.approved"
	ThresholdsDeclined Action = "thresholds.declined"
	ReviewRequested    Action = "review.requested"
	ReviewApproved     Action = "review.approved"
	ReviewDeclined     Action = "review.declined"
)

// AccessChanged stands by itself, and opens no matter: an account of the fleet page was
// made, changed or removed.
const AccessChanged Action = "access.changed"

// Fleet is one step of the fleet's record.
type Fleet struct {
	Seq    int64     `json:"seq"` // 1, 2, …
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Action Action    `json:"action"`
	ID     string    `json:"id"` // of the matter, such as retrain-7
	// Cause is what a request is because of; for the same no other is made for a
	// while.
	Cause  string          `json:"cause,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"` // features, figures, lineage
	Prev   bundle.Hash     `json:"prev"`
}

// Approved is a proposal with another person's approval, as it travels to sites.
type Approved struct {
	Format   int    `json:"format"` // 1
	Proposal Signed `json:"proposal"`
	Approval Signed `json:"approval"`
}

// Parse an Approved, strictly. It says nothing of the signatures.
func Parse(b []byte) (*Approved, error) {
	if len(b) > bundle.MaxPlan {
		return nil, fmt.Errorf("it has %d bytes; the most is %d", len(b), bundle.MaxPlan)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var a Approved
	if err := d.Decode(&a); err != nil {
		return nil, err
	}
	if d.More() || a.Format != 1 {
		return nil, fmt.Errorf("it is no approved proposal of format 1")
	}
	return &a, nil
}

// Open the two records, where both are signed by one of keys and the second is another
// person's approval of the first.
func (a *Approved) Open(opens Action, keys map[string]bool) (proposal, approval *Fleet, err error) {
	proposal, approval = &Fleet{}, &Fleet{}
	if err := a.Proposal.Open(FleetContext, keys, proposal); err != nil {
		return nil, nil, fmt.Errorf("the proposal: %w", err)
	}
	if err := a.Approval.Open(FleetContext, keys, approval); err != nil {
		return nil, nil, fmt.Errorf("the approval: %w", err)
	}
	what, _, _ := strings.Cut(string(opens), ".")
	switch {
	case proposal.Action != opens:
		return nil, nil, fmt.Errorf("the proposal is %s, not %s", proposal.Action, opens)
	case approval.Action != Action(what+".approved"):
		return nil, nil, fmt.Errorf("%s is %s, not approved", proposal.ID, approval.Action)
	case approval.ID != proposal.ID || approval.Seq <= proposal.Seq:
		return nil, nil, fmt.Errorf("the approval is of %s, not of %s", approval.ID, proposal.ID)
	case approval.Who == proposal.Who:
		return nil, nil, fmt.Errorf("%s was proposed and approved by the same person, %s", proposal.ID, approval.Who)
	}
	return proposal, approval, nil
}
