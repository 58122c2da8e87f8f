// Package rollout decides what answers on a box: what is staged, validated,
// provisional and confirmed, and how it goes back. DESIGN.md has the state
// machine, the journal and what a power cut leaves.
package rollout

import (
	"fmt"
	"time"
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
	Bundle int64  `json:"bundle,omitempty"` // it came in; 0: made here
	// Generation of the index, by its label. The confirmed pair's goes on with the
	// box's own changes.
	Generation string `json:"generation"`
	// Base is the generation that it was made from.
	Base    string `json:"base,omitempty"`
	Model   File   `json:"model,omitzero"` // none: sentences of the documents, verbatim
	Adapter File   `json:"adapter,omitzero"`
	Profile File   `json:"profile,omitzero"`
}

// String names it for people.
func (p Pair) String() string {
	if p.Bundle > 0 {
		return fmt.Sprintf("bundle %d", p.Bundle)
	}
	return p.ID
}

// Check is one figure of a validation or a watch. It never has text of a question.
type Check struct {
	Name      string   `json:"name"`
	Pass      bool     `json:"pass"`
	Serving   *float64 `json:"serving,omitempty"`
	Candidate *float64 `json:"candidate,omitempty"`
	Limit     *float64 `json:"limit,omitempty"`
	Detail    string   `json:"detail,omitempty"`
}

// Verdict of a validation or a watch: it passes where every check does.
type Verdict struct {
	Pass   bool    `json:"pass"`
	Checks []Check `json:"checks"`
}

// Failed is the first check that did not pass; nil: all did.
func (v Verdict) Failed() *Check {
	for i := range v.Checks {
		if !v.Checks[i].Pass {
			return &v.Checks[i]
		}
	}
	return nil
}

// Why words a check for people.
func (c *Check) Why() string {
	s := c.Name
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	if c.Candidate != nil {
		s += fmt.Sprintf(" (%.4g", *c.Candidate)
		if c.Serving != nil {
			s += fmt.Sprintf(", serving %.4g", *c.Serving)
		}
		if c.Limit != nil {
			s += fmt.Sprintf(", limit %.4g", *c.Limit)
		}
		s += ")"
	}
	return s
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
	// Check and Reason say why it was rolled back.
	Check  string `json:"check,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Interrupted counts the starts that found it provisional.
	Interrupted int `json:"interrupted,omitempty"`
	// From is what served before it did.
	From *Pair `json:"from,omitempty"`
}
