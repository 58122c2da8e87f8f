// Package rollout decides what answers on a box: what is staged, validated,
// provisional and confirmed, and how it goes back. DESIGN.md has the state
// machine, the journal and what a power cut leaves.
package rollout

import (
	"fmt"
	"time"

	"rxedge/daemon/rollout/validate"
)

// Slot is where a pair stands.
type Slot string

// Slots. A pair that was never staged has none.
const (
	Staged      Slot = "staged"
	Validated   Slot = "validated"
	Provisional Slot = "provisional"
	Confirmed   Slot = "confirmed"
	RolledBack  Slot = "rolled_back"
)

// File is a model, an adapter or a profile; the zero value is none.
type File struct {
	Name   string `json:"name,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// Pair is what answers a question from beginning to end.
type Pair struct {
	ID     string `json:"id"`
	Bundle int64  `json:"bundle,omitempty"` // whose documents it has; 0: of none
	Own    bool   `json:"own,omitempty"`    // put together on this box
	// Generation of the index, by its label. The confirmed pair's goes on with the
	// box's own changes.
	Generation string `json:"generation"`
	// Base is the generation that it was made from.
	Base    string `json:"base,omitempty"`
	Model   File   `json:"model,omitzero"` // none: sentences of the documents, verbatim
	Adapter File   `json:"adapter,omitzero"`
	// Embedder that made the generation's vectors, in place of the one that is built in.
	Embedder File `json:"embedder,omitzero"`
	Profile  File `json:"profile,omitzero"`
	// Thresholds of cohorts that take the place of the guard's own.
	Thresholds File `json:"thresholds,omitzero"`
}

// String names it for people.
func (p Pair) String() string {
	if p.Bundle > 0 && !p.Own {
		return fmt.Sprintf("bundle %d", p.Bundle)
	}
	return p.ID
}

// Check is one figure of a validation or a watch, and Verdict what they come to.
// They never have text of a question.
type (
	Check   = validate.Check
	Verdict = validate.Verdict
)

// Override is a person's word that a candidate is promoted though a check fails.
type Override struct {
	Check  Check  `json:"check"` // as it was then
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// Why words a check for people.
func Why(c *Check) string {
	s := c.Name
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	if c.Candidate == nil {
		return s
	}
	s += fmt.Sprintf(" (%.4g", *c.Candidate)
	if c.Serving != nil {
		s += fmt.Sprintf(", serving %.4g", *c.Serving)
	}
	if c.Limit != nil {
		s += fmt.Sprintf(", limit %.4g", *c.Limit)
	}
	return s + ")"
}

// Entry is a pair and how it stands.
type Entry struct {
	Pair
	Slot  Slot      `json:"slot"`
	Since time.Time `json:"since"`
	// Until it is watched; of a provisional one.
	Until time.Time `json:"until,omitzero"`
	// Verdict of its validation; nil: there was none yet.
	Verdict *Verdict `json:"verdict,omitempty"`
	// Approved says who did.
	Approved string `json:"approved,omitempty"`
	// Override of a check that keeps it from being promoted; nil: there is none.
	Override *Override `json:"override,omitempty"`
	// Check and Reason say why it was rolled back.
	Check  string `json:"check,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Interrupted counts the starts that found it provisional.
	Interrupted int `json:"interrupted,omitempty"`
	// From is what served before it did.
	From *Pair `json:"from,omitempty"`
}
