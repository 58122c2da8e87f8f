package box

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"rxedge/daemon/rollout"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fairness"
)

// checkDisparity is the check that a candidate fails which refuses one cohort of the
// box's own askers more than another.
const checkDisparity = "group_disparity"

const (
	disparityAlpha  = 0.05 // of the intervals of all pairs of cohorts together
	disparityMargin = 0.02 // how much further apart than what serves, of documents alone
)

type cohorts = map[string]*telemetry.Slice

// disparityOf the refusals (abstained, or an answer that the guard doubts highly) by
// cohort: it fails where two cohorts lie more than a tenth apart, and chance is not
// it. Cohorts of fewer than telemetry.LeastCell questions are left out, and said to be.
// served is what served before: nil, where that excuses nothing.
func disparityOf(candidate, served cohorts) rollout.Check {
	limit := fairness.MaxParityDifference
	c := rollout.Check{Name: checkDisparity, Pass: true, Limit: &limit}
	shares, few := map[string]fairness.Share{}, 0
	for name, s := range candidate {
		switch {
		case name == telemetry.None || name == telemetry.Other || s.N == 0:
		case s.N < telemetry.LeastCell:
			few++
		default:
			shares[name] = fairness.Share{Selected: s.Refused, N: s.N}
			c.N += int(s.N)
		}
	}
	left := ""
	if few > 0 {
		left = fmt.Sprintf("; cohorts of fewer than %d questions, not compared: %d", telemetry.LeastCell, few)
	}
	gaps := fairness.Gaps(shares, disparityAlpha)
	if len(gaps) == 0 {
		c.Untold = true
		c.Detail = fmt.Sprintf("undefined: fewer than two cohorts have %d questions%s", telemetry.LeastCell, left)
		return c
	}
	widest := gaps[0]
	for _, g := range gaps {
		if g.Difference > widest.Difference {
			widest = g
		}
	}
	excused := ""
	for _, g := range gaps {
		if g.Low <= limit {
			break // the surest come first
		}
		if before := differenceIn(served, g); before != nil && g.Difference <= *before+disparityMargin {
			widest, excused = g, "; they lie as far apart in what served before"
			continue
		}
		widest, excused, c.Pass = g, "", false
		break
	}
	a, b := shares[widest.Most], shares[widest.Least]
	c.Untold = c.Pass && excused == "" && widest.Difference > limit
	if tellable(a) && tellable(b) {
		c.Candidate = &widest.Difference
		c.Detail = fmt.Sprintf("%s is refused in %d of %d questions, %s in %d of %d: at least %.3f apart (95 %% over all pairs of cohorts)",
			widest.Most, a.Selected, a.N, widest.Least, b.Selected, b.N, max(widest.Low, 0))
		if before := differenceIn(served, widest); before != nil && tellable(shareOf(served[widest.Most])) && tellable(shareOf(served[widest.Least])) {
			c.Serving = before
		}
	} else {
		c.Detail = fmt.Sprintf("%s is refused more often than %s; how often is not told, as a count is from 1 to %d", widest.Most, widest.Least, telemetry.LeastCell-1)
	}
	switch {
	case !c.Pass:
		c.Detail += fmt.Sprintf("; more than %.2f apart, and not by chance", limit)
	case c.Untold:
		c.Detail += "; with so few that may be chance"
	}
	c.Detail += excused + left
	return c
}

func shareOf(s *telemetry.Slice) fairness.Share {
	return fairness.Share{Selected: s.Refused, N: s.N}
}

// tellable: a share tells of both its counts, so neither may be from 1 to 10.
func tellable(s fairness.Share) bool {
	told := func(n int64) bool { return n == 0 || n >= telemetry.LeastCell }
	return told(s.Selected) && told(s.N-s.Selected)
}

// differenceIn of the same two cohorts; nil: not defined.
func differenceIn(of cohorts, g fairness.Gap) *float64 {
	a, b := of[g.Most], of[g.Least]
	if a == nil || b == nil || a.N < telemetry.LeastCell || b.N < telemetry.LeastCell {
		return nil
	}
	d := float64(a.Refused)/float64(a.N) - float64(b.Refused)/float64(b.N)
	return &d
}

// disparity of the candidate that is tried or watched, by what it did here itself; nil:
// there is none.
func (b *Box) disparity() *rollout.Check {
	s := b.rollout.State()
	e := s.Candidate
	if e == nil {
		return nil
	}
	if t := b.challenging(); t != nil && t.pair.ID == e.ID && e.Slot == rollout.Validated {
		t.mu.Lock()
		defer t.mu.Unlock()
		var served cohorts
		if !otherModel(e.Pair, s.Confirmed.Pair) {
			served = t.sketches[0].Slices[telemetry.Cohort]
		}
		c := disparityOf(t.sketches[1].Slices[telemetry.Cohort], served)
		return &c
	}
	return b.watchedDisparity(*e, s.Confirmed.Pair)
}

// watchedDisparity of a provisional pair; nil: it is not watched.
func (b *Box) watchedDisparity(e rollout.Entry, confirmed rollout.Pair) *rollout.Check {
	w := b.onTrial()
	if e.Slot != rollout.Provisional || w == nil || w.pair != e.ID {
		return nil
	}
	w.before.Do(func() {
		if from := e.From; from != nil && !otherModel(e.Pair, confirmed) && from.Generation != e.Generation {
			w.served = b.cohortsOf(generationOf(from.Generation))
		}
	})
	b.rollout.mu.Lock()
	defer b.rollout.mu.Unlock()
	c := disparityOf(w.sketch.Slices[telemetry.Cohort], w.served)
	return &c
}

// cohortsOf the answers of a generation in the last days.
func (b *Box) cohortsOf(generation string) cohorts {
	ws, err := b.telemetry.recorder.Hours(b.clock.Now().Add(-MostHours * time.Hour))
	if err != nil {
		b.log.Warn("the cohorts of what served before could not be read; they excuse nothing", "error", err)
	}
	out := cohorts{}
	for _, w := range ws {
		if w.Generation != generation {
			continue
		}
		for name, s := range w.Slices[telemetry.Cohort] {
			if out[name] == nil {
				out[name] = &telemetry.Slice{}
			}
			out[name].Merge(s)
		}
	}
	return out
}

// confirms is asked before a watched pair is confirmed.
func (b *Box) confirms(e rollout.Entry) *rollout.Check {
	if e.Override != nil {
		return nil
	}
	return b.watchedDisparity(e, b.rollout.State().Confirmed.Pair)
}

// blocked is the check that keeps the candidate from being promoted; nil: none does.
func (b *Box) blocked() *rollout.Check {
	c := b.disparity()
	if c == nil || c.Pass {
		return nil
	}
	if e := b.rollout.State().Candidate; e != nil && e.Override != nil {
		return nil
	}
	return c
}

// overrides says by whose word, and why, a candidate is promoted though its check fails;
// nil where none does. Without a reason it is not.
func (b *Box) overrides(q RolloutRequest) (*rollout.Override, error) {
	c := b.blocked()
	if c == nil {
		return nil, nil
	}
	why := strings.TrimSpace(q.Reason)
	if why == "" {
		return nil, fmt.Errorf("%w: %s; a person lets it serve all the same with 'rxedge rollout approve --reason TEXT'", rollout.ErrRefused, rollout.Why(c))
	}
	return &rollout.Override{Check: *c, By: cmp.Or(q.By, "rxedge"), Reason: why}, nil
}
