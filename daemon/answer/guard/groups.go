package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"
)

// Groups are thresholds of cohorts in place of the guard's own, proposed so that of
// the bad answers of each cohort about as many are doubted.
type Groups struct {
	// Guard is the SHA-256 of the model whose scores they are of; for another they mean
	// nothing.
	Guard string `json:"guard"`
	// Own is the threshold of all, and Before and After are the differences between the
	// cohorts' true positive rates with it and with theirs, on the labelled history.
	Own    float64 `json:"own"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Limit  float64 `json:"limit"`
	Groups []Group `json:"groups"`
}

// Group is a cohort's threshold and what it does, on the labelled history.
type Group struct {
	Cohort    string  `json:"cohort"`
	Threshold float64 `json:"threshold"`
	N         int     `json:"n"`
	Bad       int     `json:"bad"` // answers that were, and should be doubted
	TPRBefore float64 `json:"tpr_before"`
	TPR       float64 `json:"tpr"`
	FPRBefore float64 `json:"fpr_before"`
	FPR       float64 `json:"fpr"`
}

var (
	cohortName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.+-]{0,31}$`)
	// Hash of the model that is built in.
	Hash = sync.OnceValue(func() string {
		h := sha256.Sum256(embedded)
		return hex.EncodeToString(h[:])
	})
)

// mostGroups that have a threshold of their own.
const mostGroups = 64

// ParseGroups reads them, strictly.
func ParseGroups(b []byte) (*Groups, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	g := &Groups{}
	if err := d.Decode(g); err != nil {
		return nil, fmt.Errorf("thresholds of cohorts: %w", err)
	}
	if d.More() {
		return nil, errors.New("thresholds of cohorts: there is more behind them")
	}
	if h, err := hex.DecodeString(g.Guard); err != nil || len(h) != sha256.Size {
		return nil, fmt.Errorf("thresholds of cohorts: guard: %.80q is no SHA-256", g.Guard)
	}
	if len(g.Groups) == 0 || len(g.Groups) > mostGroups {
		return nil, fmt.Errorf("thresholds of cohorts: groups: %d are named; 1 to %d are possible", len(g.Groups), mostGroups)
	}
	seen := map[string]bool{}
	for i, x := range g.Groups {
		switch {
		case !cohortName.MatchString(x.Cohort):
			return nil, fmt.Errorf("thresholds of cohorts: groups[%d]: cohort: %.80q is no name of a cohort", i, x.Cohort)
		case seen[x.Cohort]:
			return nil, fmt.Errorf("thresholds of cohorts: groups[%d]: %s is named twice", i, x.Cohort)
		case !(x.Threshold > 0 && x.Threshold <= 1):
			return nil, fmt.Errorf("thresholds of cohorts: groups[%d]: threshold: %v is outside 0 to 1", i, x.Threshold)
		}
		seen[x.Cohort] = true
	}
	return g, nil
}

// Applied are thresholds of cohorts that were approved.
type Applied struct {
	ID       string    `json:"id"` // of the proposal, such as thresholds-7
	Proposed string    `json:"proposed_by"`
	Approved string    `json:"approved_by"`
	At       time.Time `json:"approved_at"`
	Groups   *Groups   `json:"thresholds"`
}

// Mitigation is why a decision's threshold is not the guard's own. It does not name the
// cohort: an answer is kept, and whose it was is not.
type Mitigation struct {
	ID       string  `json:"id"`
	Approved string  `json:"approved_by"`
	Own      float64 `json:"own_threshold"` // the guard's

	threshold float64
}

// String tells one threshold from another.
func (m *Mitigation) String() string { return fmt.Sprintf("%s %v", m.ID, m.threshold) }

// For a cohort; nil where it has no threshold of its own. a may be nil.
func (a *Applied) For(cohort string, own float64) *Mitigation {
	if a == nil || cohort == "" {
		return nil
	}
	for _, g := range a.Groups.Groups {
		if g.Cohort == cohort {
			return &Mitigation{a.ID, a.Approved, own, g.Threshold}
		}
	}
	return nil
}
