package central

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"rxedge/sync/bundle"
)

// Figures are what the sites that were let in have told. Each site is counted
// in one of Waiting to Forgiven; Silent are some of Busy.
type Figures struct {
	Sites        int   `json:"sites"`
	Waiting      int   `json:"waiting"` // has not come to it: off, or behind
	Busy         int   `json:"busy"`    // has it, and has not said how it ended
	Confirmed    int   `json:"confirmed"`
	NotValidated int   `json:"not_validated"`
	RolledBack   int   `json:"rolled_back"`
	Refused      int   `json:"refused"` // for another reason
	Unsuited     int   `json:"unsuited"`
	Forgiven     int   `json:"forgiven"`
	Silent       int   `json:"silent"`
	Asked        int64 `json:"asked"` // questions that sites with it have told of
	Errors       int64 `json:"errors"`
	// FailedSites are those of NotValidated, RolledBack and Refused; Why is what
	// the first of them said.
	FailedSites []string `json:"failed_sites,omitempty"`
	Why         string   `json:"why,omitempty"`
}

// Failed in any way.
func (f *Figures) Failed() int { return f.NotValidated + f.RolledBack + f.Refused }

// leastAsked questions before their errors are a rate.
const leastAsked = 50

// Percent of a metric; ok is false where there is nothing to say it of.
func (f *Figures) Percent(m Metric) (p float64, ok bool) {
	n, of := 0, f.Sites-f.Unsuited
	switch m {
	case MetricRolledBack:
		n = f.RolledBack
	case MetricNotValidated:
		n = f.NotValidated
	case MetricFailed:
		n = f.Failed()
	case MetricSilent:
		n = f.Silent
	case MetricErrorRate:
		return 100 * float64(f.Errors) / float64(max(f.Asked, 1)), f.Asked >= leastAsked
	}
	return 100 * float64(n) / float64(max(of, 1)), of > 0
}

// decide what the controller does next; "": nothing yet, and why says what it
// waits for.
func (r *Rollout) decide(f *Figures, now time.Time) (do Action, why string) {
	switch r.State {
	case RolloutPlanned:
		return ActOpen, ""
	case RolloutRunning, RolloutAwaiting:
	case RolloutHeld:
		return "", "'rxedge central rollout create' begins it"
	case RolloutPaused:
		return "", "'rxedge central rollout resume' goes on"
	case RolloutHalted:
		return "", "'rxedge central rollout resume' goes on, 'abort' ends it"
	default:
		return "", ""
	}
	for _, c := range r.Plan.AbortIf {
		if p, ok := f.Percent(c.Metric); ok && p > c.Above {
			why = fmt.Sprintf("%s is %.1f%%, more than %v%%", c.Metric, p, c.Above)
			if f.Why != "" {
				why += "; " + f.Why
			}
			return ActHalt, why
		}
	}
	last := r.Wave >= len(r.Plan.Waves)
	next := ActAdvance
	if last {
		next = ActFinish
	}
	of := f.Sites - f.Unsuited
	need := min(of, max(1, int(math.Ceil(r.Plan.Confirmed/100*float64(of)-1e-9))))
	switch until := r.Settled.Add(time.Duration(r.Plan.Soak)); {
	case r.State == RolloutAwaiting:
		return "", "'rxedge central rollout approve' goes on"
	case r.Wave > 1 && r.New == 0:
		return next, "the wave lets in nobody new"
	case r.Settled.IsZero() && f.Confirmed < need:
		return "", fmt.Sprintf("%d of %d sites have confirmed it; %d are enough", f.Confirmed, of, need)
	case r.Settled.IsZero():
		return ActSettle, fmt.Sprintf("%d of %d sites have confirmed it", f.Confirmed, of)
	case now.Before(until):
		return "", "it soaks until " + until.UTC().Format(time.RFC3339)
	case r.Plan.ApproveEach:
		return ActSoaked, ""
	}
	return next, ""
}

// told is what the controller reads of a site's state; what else is in it is for
// others.
type told struct {
	Active     int64                `json:"active"`
	Staged     int64                `json:"staged"`
	Quarantine []bundle.Quarantined `json:"quarantine"`
	Rollout    *struct {
		Bundle int64  `json:"bundle"`
		Slot   string `json:"slot"`
		Check  string `json:"check"`
		Reason string `json:"reason"`
		Asked  int64  `json:"asked"`
		Errors int64  `json:"errors"`
	} `json:"rollout"`
}

// outcome of a bundle at a site.
type outcome struct {
	is     outcomeIs
	since  time.Time // when the hub heard it
	why    string
	asked  int64
	errors int64
}

type outcomeIs int

const (
	isWaiting outcomeIs = iota
	isBusy
	isConfirmed
	isUnsuited
	isRefused // this and what follows: failed
	isNotValidated
	isRolledBack
)

// read of a state what became of a bundle.
func (t *told) read(number int64, at time.Time) outcome {
	o := outcome{since: at}
	if r := t.Rollout; r != nil && r.Bundle == number {
		o.is, o.why, o.asked, o.errors = isBusy, says(r.Check, r.Reason), r.Asked, r.Errors
		switch r.Slot {
		case slotConfirmed:
			o.is = isConfirmed
		case slotRolledBack:
			o.is = isRolledBack
		}
	}
	for _, q := range t.Quarantine {
		if q.Number != number {
			continue
		}
		if o.why == "" {
			o.why = says(string(q.Code), q.Reason)
		}
		switch q.Code {
		case bundle.NotValidated:
			o.is = isNotValidated
		case bundle.RolledBack:
			o.is = isRolledBack
		case bundle.NeedsRxedge, bundle.NeedsSchema, bundle.NeedsEmbedder, bundle.WrongProfile:
			o.is = isUnsuited
		case bundle.MissingChunk, bundle.MissingMetadata, bundle.TamperedChunk, bundle.TamperedManifest:
			o.is = isWaiting // the hub's trouble, not the bundle's
		default:
			o.is = isRefused
		}
		return o
	}
	switch {
	case o.is != isWaiting:
	case t.Active >= number:
		o.is = isConfirmed
	case t.Staged == number:
		o.is = isBusy
	}
	return o
}

func says(what, reason string) string {
	if what == "" || reason == "" {
		return what + reason
	}
	return what + ": " + reason
}

// Slots of a bundle on a site, as it tells them.
const (
	slotConfirmed  = "confirmed"
	slotRolledBack = "rolled_back"
)

// heard is all that the sites have told: the last state of each, and each
// failure, which stays one whatever comes after it.
type heard struct {
	states   map[string]stated
	failures map[string]map[int64]outcome // by site, bundle
}

type stated struct {
	told told
	at   time.Time
	raw  []byte
}

func newHeard() *heard {
	return &heard{map[string]stated{}, map[string]map[int64]outcome{}}
}

// hear a message as it comes.
func (h *heard) hear(m *nats.Msg, at time.Time) {
	switch p := strings.Split(m.Subject, "."); p[0] {
	case "state":
		h.state(p[1], m.Data, at)
	case "tel":
		h.report(p[1], m.Data, at)
	}
}

// state of a site, as it lies at the hub. What can't be read counts as not told.
func (h *heard) state(site string, b []byte, at time.Time) {
	var t told
	if json.Unmarshal(b, &t) != nil {
		return
	}
	h.states[site] = stated{t, at, b}
	for _, q := range t.Quarantine {
		h.note(site, q.Number, t.read(q.Number, at))
	}
	if r := t.Rollout; r != nil {
		h.note(site, r.Bundle, t.read(r.Bundle, at))
	}
}

// report of kind rollout.
func (h *heard) report(site string, b []byte, at time.Time) {
	var e struct {
		Bundle int64  `json:"bundle"`
		Slot   string `json:"slot"`
		Check  string `json:"check"`
		Reason string `json:"reason"`
	}
	if json.Unmarshal(b, &e) == nil && e.Slot == slotRolledBack {
		h.note(site, e.Bundle, outcome{is: isRolledBack, since: at, why: says(e.Check, e.Reason)})
	}
}

func (h *heard) note(site string, number int64, o outcome) {
	if o.is < isRefused {
		return
	}
	if h.failures[site] == nil {
		h.failures[site] = map[int64]outcome{}
	}
	if was, ok := h.failures[site][number]; !ok || was.is == isRolledBack && o.is == isNotValidated {
		h.failures[site][number] = o
	}
}

// figures of a rollout.
func (h *heard) figures(r *Rollout, now time.Time) *Figures {
	f := &Figures{Sites: len(r.Sites)}
	for _, site := range r.Sites {
		s, ok := h.states[site]
		o := s.told.read(r.Bundle, s.at)
		if !ok {
			o.is = isWaiting
		}
		f.Asked, f.Errors = f.Asked+o.asked, f.Errors+o.errors
		if bad, ok := h.failures[site][r.Bundle]; ok {
			if slices.Contains(r.Forgiven, site) {
				if o.is != isConfirmed {
					f.Forgiven++
					continue
				}
			} else {
				o = bad
			}
		}
		switch o.is {
		case isWaiting:
			f.Waiting++
		case isBusy:
			f.Busy++
			if r.Plan != nil && now.Sub(o.since) > time.Duration(r.Plan.Silence) {
				f.Silent++
			}
		case isConfirmed:
			f.Confirmed++
		case isUnsuited:
			f.Unsuited++
		default:
			switch o.is {
			case isNotValidated:
				f.NotValidated++
			case isRolledBack:
				f.RolledBack++
			default:
				f.Refused++
			}
			if f.FailedSites = append(f.FailedSites, site); f.Why == "" {
				f.Why = site + ": " + o.why
				f.Why = f.Why[:min(len(f.Why), mostReason)]
			}
		}
	}
	return f
}
