package trial

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"rxedge/sync/bundle"
)

// PlanFormat is the version of a plan.
const PlanFormat = 1

// Plan of a trial, as the centre writes it and signs it with the bundle. What is 0 is as
// Default has it.
type Plan struct {
	Format int `json:"format"`
	// ID of the trial. Published again under the same id, a trial of the same challenger
	// goes on.
	ID string `json:"id"`
	// Percent of the clients that the challenger answers; 0: it is in the shadow.
	Percent float64 `json:"percent"`
	Effect  float64 `json:"effect,omitempty"`
	// Margin by which the share of answers borne out may be lower for a promotion. A site
	// whose rxedge is older than the word refuses the plan.
	Margin   float64 `json:"margin,omitempty"`
	Least    int     `json:"least,omitempty"`
	Most     int     `json:"most,omitempty"`
	Capacity float64 `json:"capacity,omitempty"`
	Harm     float64 `json:"harm,omitempty"`
	// Documents: what changes documents alone is tried, too.
	Documents bool `json:"documents,omitempty"`
	// Promotion is what a promotion needs, and Approvers who may sign for it.
	Promotion Policy     `json:"promotion"`
	Approvers []Approver `json:"approvers,omitempty"`
}

// Approver may approve a promotion.
type Approver struct {
	Name string `json:"name"`
	Key  string `json:"key"` // Ed25519, base64
}

var planID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ParsePlan reads a plan, strictly.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	if err := strict(b, &p); err != nil {
		return p, fmt.Errorf("the plan of a trial: %w", err)
	}
	if p.Format != PlanFormat {
		return p, fmt.Errorf("the plan of a trial is of format %d; this rxedge reads %d", p.Format, PlanFormat)
	}
	if !planID.MatchString(p.ID) {
		return p, fmt.Errorf("the plan of a trial: id %q: use small letters, digits, dots and hyphens, at most 64", p.ID)
	}
	for _, f := range []struct {
		name        string
		v, low, top float64
	}{
		{"percent", p.Percent, 0, 100},
		{"effect", p.Effect, 0, 0.5},
		{"margin", p.Margin, 0, 0.2},
		{"capacity", p.Capacity, 0, 1},
		{"harm", p.Harm, 0, 0.5},
		{"least", float64(p.Least), 0, 1e6},
		{"most", float64(p.Most), 0, 1e7},
	} {
		if !(f.v >= f.low && f.v <= f.top) {
			return p, fmt.Errorf("the plan of a trial: %s: %v is outside %v to %v", f.name, f.v, f.low, f.top)
		}
	}
	switch {
	case p.Promotion != NeedsApproval && p.Promotion != PatchAlone:
		return p, fmt.Errorf("the plan of a trial: promotion: %q is neither %q nor %q", p.Promotion, NeedsApproval, PatchAlone)
	case p.Promotion == NeedsApproval && len(p.Approvers) == 0:
		return p, errors.New("the plan of a trial: approvers: nobody could approve a promotion")
	}
	if effect := p.Config(0).complete().Effect; p.Margin > effect {
		return p, fmt.Errorf("the plan of a trial: margin: %v is above the effect, %v, and then what is worse could be promoted and stopped", p.Margin, effect)
	}
	if _, err := p.Keys(); err != nil {
		return p, fmt.Errorf("the plan of a trial: %w", err)
	}
	return p, nil
}

// Keys of the approvers by name.
func (p *Plan) Keys() (map[string]ed25519.PublicKey, error) {
	keys := map[string]ed25519.PublicKey{}
	for _, a := range p.Approvers {
		b, err := base64.StdEncoding.DecodeString(a.Key)
		switch {
		case a.Name == "" || len(a.Name) > 100 || keys[a.Name] != nil:
			return nil, fmt.Errorf("approvers: %q: each has a name of its own", a.Name)
		case err != nil || len(b) != ed25519.PublicKeySize:
			return nil, fmt.Errorf("approvers: the key of %q is no Ed25519 key in base64", a.Name)
		}
		keys[a.Name] = b
	}
	return keys, nil
}

// Config of the trial, with what the box knows.
func (p *Plan) Config(budget time.Duration) Config {
	return Config{ID: p.ID, Percent: p.Percent, Effect: p.Effect, Margin: p.Margin, Least: p.Least, Most: p.Most, Capacity: p.Capacity, Harm: p.Harm, Budget: budget}
}

// ParseApproval reads an approval, strictly. It says nothing of the signature.
func ParseApproval(b []byte) (Approval, error) {
	var a Approval
	err := strict(b, &a)
	if err == nil && (a.Trial == "" || a.By == "" || a.To == "" || len(a.Signature) != ed25519.SignatureSize) {
		err = errors.New("it names trial, from, to, by, at and a signature")
	}
	if err != nil {
		return a, fmt.Errorf("the approval of a trial: %w", err)
	}
	return a, nil
}

func strict(b []byte, v any) error {
	if len(b) > bundle.MaxPlan {
		return fmt.Errorf("it has %d bytes; the most is %d", len(b), bundle.MaxPlan)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("there is more behind it")
	}
	return nil
}
