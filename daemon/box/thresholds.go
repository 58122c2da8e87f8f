package box

import (
	"fmt"
	"os"
	"slices"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/rollout"
	"rxedge/sync/bundle"
	"rxedge/sync/record"
)

// offerThresholds keeps the thresholds of cohorts that a bundle brings: signed as a
// proposal, and approved by another person.
func (b *Box) offerThresholds(path string, f rollout.File) error {
	r, _ := b.sync.parts()
	if r == nil {
		return refused(checkThresholds, "this box has no centre whose keys could have signed the thresholds %s", f.Name)
	}
	keys, err := r.TargetsKeys()
	if err != nil {
		return err
	}
	if _, err := readThresholds(path, keys); err != nil {
		return refused(checkThresholds, "%s: %v", f.Name, err)
	}
	return b.keepFile(path, f)
}

// checkThresholds is the check that thresholds fail which nobody has approved.
const checkThresholds = "thresholds_approved"

// readThresholds of a file; keys are those of the fleet's targets, nil: the file was
// checked when it came, and is known by its hash.
func readThresholds(path string, keys map[string]bool) (*guard.Applied, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a, err := record.Parse(data)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		keys = map[string]bool{a.Proposal.Key: true, a.Approval.Key: true}
	}
	proposal, approval, err := a.Open(record.ThresholdsProposed, keys)
	if err != nil {
		return nil, err
	}
	g, err := guard.ParseGroups(proposal.Data)
	if err != nil {
		return nil, err
	}
	return &guard.Applied{ID: proposal.ID, Proposed: proposal.Who, Approved: approval.Who, At: approval.At, Groups: g}, nil
}

// serves is a pair as it answers.
func (b *Box) serves(p rollout.Pair, model string) *served {
	s := &served{Pair: p, model: model}
	if p.Thresholds.SHA256 == "" {
		return s
	}
	a, err := b.keptThresholds(p.Thresholds)
	switch {
	case err != nil:
		s.note = fmt.Sprintf("the thresholds of cohorts %s can't be read; the guard's own hold for all: %v", p.Thresholds.Name, err)
	case a.Groups.Guard != guard.Hash():
		s.note = fmt.Sprintf("%s was made for another guard than this one's; the guard's own threshold holds for all", a.ID)
	default:
		s.thresholds = a
		for _, g := range a.Groups.Groups {
			if !slices.Contains(b.Config.Telemetry.Cohorts, g.Cohort) {
				s.note = fmt.Sprintf("%s has a threshold for %s, which is not in telemetry.cohorts: no question is of it", a.ID, g.Cohort)
			}
		}
	}
	if s.note != "" {
		b.log.Warn("thresholds of cohorts are not applied to all", "reason", s.note)
	}
	return s
}

func (b *Box) keptThresholds(f rollout.File) (*guard.Applied, error) {
	path := b.filePath(f)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bundle.HashOf(data).String() != f.SHA256 {
		return nil, fmt.Errorf("%s was damaged on this disk", f.Name)
	}
	return readThresholds(path, nil)
}

// Thresholds implements answer.Serving.
func (q *question) Thresholds() *guard.Applied { return q.thresholds }

// thresholds that hold now, and why those that came do not.
func (b *Box) thresholds() (*guard.Applied, string) {
	b.rollout.pair.RLock()
	defer b.rollout.pair.RUnlock()
	return b.rollout.now.thresholds, b.rollout.now.note
}
