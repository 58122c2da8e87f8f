package central

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"rxedge/sync/bundle"
)

// RolloutState is where a rollout stands.
type RolloutState string

// States of a rollout.
const (
	RolloutHeld     RolloutState = "held"     // published, for nobody yet
	RolloutPlanned  RolloutState = "planned"  // the controller opens its first wave
	RolloutRunning  RolloutState = "running"  // a wave is open
	RolloutAwaiting RolloutState = "awaiting" // the wave has soaked; a person is to approve the next
	RolloutPaused   RolloutState = "paused"   // by a person
	RolloutHalted   RolloutState = "halted"   // by what the sites told
	RolloutAborted  RolloutState = "aborted"
	RolloutDone     RolloutState = "done"
)

// Action is what was done to a rollout.
type Action string

// Actions, each a record of the trail.
const (
	ActHold    Action = "hold"
	ActCreate  Action = "create"
	ActOpen    Action = "open"   // the first wave
	ActSettle  Action = "settle" // enough sites of the wave have it: the soak begins
	ActAdvance Action = "advance"
	ActSoaked  Action = "soaked"
	ActApprove Action = "approve"
	ActPause   Action = "pause"
	ActResume  Action = "resume"
	ActHalt    Action = "halt"
	ActAbort   Action = "abort"
	ActFinish  Action = "finish"
	// ActPromote brings the sites a signed approval of the trial that the bundle asks for;
	// the rollout stays as it is.
	ActPromote Action = "promote"
)

// promotable are the states in which sites may have a bundle, and try it.
var promotable = []RolloutState{RolloutPlanned, RolloutRunning, RolloutAwaiting, RolloutPaused, RolloutHalted, RolloutDone}

// transitions are all there are. A bundle that was published to all has no state,
// and can be aborted.
var transitions = []struct {
	Action Action
	From   []RolloutState
	To     []RolloutState
}{
	{ActHold, []RolloutState{""}, []RolloutState{RolloutHeld}},
	{ActCreate, []RolloutState{RolloutHeld, RolloutDone}, []RolloutState{RolloutPlanned}},
	{ActOpen, []RolloutState{RolloutPlanned}, []RolloutState{RolloutRunning}},
	{ActSettle, []RolloutState{RolloutRunning}, []RolloutState{RolloutRunning}},
	{ActAdvance, []RolloutState{RolloutRunning}, []RolloutState{RolloutRunning}},
	{ActSoaked, []RolloutState{RolloutRunning}, []RolloutState{RolloutAwaiting}},
	{ActApprove, []RolloutState{RolloutRunning, RolloutAwaiting}, []RolloutState{RolloutRunning, RolloutDone}},
	{ActPause, []RolloutState{RolloutPlanned, RolloutRunning, RolloutAwaiting}, []RolloutState{RolloutPaused}},
	{ActResume, []RolloutState{RolloutPaused, RolloutHalted}, []RolloutState{RolloutPlanned, RolloutRunning}},
	{ActHalt, []RolloutState{RolloutRunning, RolloutAwaiting}, []RolloutState{RolloutHalted}},
	{ActFinish, []RolloutState{RolloutRunning}, []RolloutState{RolloutDone}},
	{ActPromote, promotable, promotable},
	{ActAbort, []RolloutState{"", RolloutHeld, RolloutPlanned, RolloutRunning, RolloutAwaiting, RolloutPaused, RolloutHalted, RolloutDone}, []RolloutState{RolloutAborted}},
}

func allowed(a Action, from, to RolloutState) bool {
	for _, t := range transitions {
		if t.Action == a {
			return slices.Contains(t.From, from) && slices.Contains(t.To, to)
		}
	}
	return false
}

// Plan of a rollout.
type Plan struct {
	// Waves are the shares of the sites, ascending, in percent; the last is 100.
	Waves []float64 `json:"waves"`
	// Soak is how long a wave is watched once enough of its sites have the bundle.
	Soak Duration `json:"soak"`
	// Confirmed is how many of a wave's sites have to have confirmed it before the
	// soak begins, in percent; one at least.
	Confirmed float64 `json:"confirmed"`
	// Silence is how long a site may be at it without saying how it ended.
	Silence     Duration          `json:"silence"`
	AbortIf     []Condition       `json:"abort_if"`
	Labels      map[string]string `json:"labels,omitempty"` // of the sites it is for
	ApproveEach bool              `json:"approve_each,omitempty"`
}

// Duration is written as Go does: "2h".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// DefaultPlan is what is not said otherwise.
func DefaultPlan() Plan {
	return Plan{Waves: []float64{5, 25, 100}, Soak: Duration(2 * time.Hour), Confirmed: 50, Silence: Duration(time.Hour),
		AbortIf: []Condition{{MetricFailed, 2}, {MetricSilent, 10}}}
}

// ParseWaves reads "5%,25%,100%".
func ParseWaves(s string) ([]float64, error) {
	var out []float64
	for _, w := range strings.Split(s, ",") {
		p, err := parsePercent(strings.TrimSpace(w))
		switch {
		case err != nil:
			return nil, fmt.Errorf("waves %q: %w", s, err)
		case p <= 0 || len(out) > 0 && p <= out[len(out)-1]:
			return nil, fmt.Errorf("waves %q: each is a larger share than the one before, such as 5%%,25%%,100%%", s)
		}
		out = append(out, p)
	}
	if out[len(out)-1] != 100 {
		return nil, fmt.Errorf("waves %q: the last one is 100%%", s)
	}
	if len(out) > 20 {
		return nil, fmt.Errorf("waves %q: 20 at most", s)
	}
	return out, nil
}

func parsePercent(s string) (float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	p, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || math.IsNaN(p) || p < 0 || p > 100 {
		return 0, fmt.Errorf("%q is no share; write such as 25%%", s)
	}
	return p, nil
}

// Check the plan.
func (p *Plan) Check() error {
	switch {
	case len(p.Waves) == 0:
		return errors.New("a rollout has at least one wave")
	case p.Soak < 0 || time.Duration(p.Soak) > 30*24*time.Hour:
		return fmt.Errorf("a soak of %v is outside 0 to 720h", p.Soak)
	case p.Silence < Duration(time.Minute) || time.Duration(p.Silence) > 30*24*time.Hour:
		return fmt.Errorf("a silence of %v is outside 1m to 720h", p.Silence)
	case p.Confirmed < 0 || p.Confirmed > 100:
		return fmt.Errorf("%v%% confirmed is outside 0%% to 100%%", p.Confirmed)
	}
	for k, v := range p.Labels {
		if err := CheckLabel(k, v); err != nil {
			return err
		}
	}
	return nil
}

// Rollout of one bundle, as the trail tells it.
type Rollout struct {
	ID      string       `json:"id,omitempty"`
	Channel string       `json:"channel"`
	Bundle  int64        `json:"bundle"`
	Base    int64        `json:"base,omitempty"` // the bundle that it was built on: n−1
	State   RolloutState `json:"state"`
	Since   time.Time    `json:"since"`
	By      string       `json:"by"`
	Reason  string       `json:"reason,omitempty"`
	Plan    *Plan        `json:"plan,omitempty"`
	Wave    int          `json:"wave"` // 1 is the first; 0: none has begun
	Opened  time.Time    `json:"opened,omitzero"`
	Settled time.Time    `json:"settled,omitzero"`
	Below   uint64       `json:"-"`
	// Sites that are let in, as they were known when the wave was opened; New are
	// how many of them its wave has brought.
	Sites    []string `json:"-"`
	New      int      `json:"-"`
	Only     []string `json:"-"` // marks of those that the labels choose
	Rollback bool     `json:"rollback,omitempty"`
	// Forgiven are sites whose failure a person has seen, and gone on.
	Forgiven []string `json:"forgiven,omitempty"`
	// Approvals of the bundle's trial, as they were signed.
	Approvals []string `json:"approvals,omitempty"`
}

// unfinished: what is later waits for it.
func (r *Rollout) unfinished() bool { return r.State != RolloutDone && r.State != RolloutAborted }

// limited: done, and not for all.
func (r *Rollout) limited() bool { return r.State == RolloutDone && len(r.Only) > 0 }

// apply a record of the trail.
func (r *Rollout) apply(c *Record) error {
	if r.Channel != "" && (c.Channel != r.Channel || c.Bundle != r.Bundle) {
		return errors.New("it is of another bundle")
	}
	if c.From != r.State || !allowed(c.Action, c.From, c.To) || c.Action == ActPromote && c.To != c.From {
		return fmt.Errorf("%s from %q to %q, where bundle %d is %q", c.Action, c.From, c.To, c.Bundle, r.State)
	}
	if c.Action == ActPromote { // it stands as it stood
		r.Approvals = append(slices.Clone(r.Approvals), c.Approval)
		return nil
	}
	r.Channel, r.Bundle, r.State, r.Since, r.By, r.Reason = c.Channel, c.Bundle, c.To, c.At, c.Who, c.Reason
	switch c.Action {
	case ActHold:
		r.Base = c.Base
	case ActCreate:
		r.ID, r.Plan, r.Wave, r.Opened, r.Settled, r.Below, r.Sites, r.Only, r.Forgiven = c.Rollout, c.Plan, 0, time.Time{}, time.Time{}, 0, nil, nil, nil
	case ActOpen, ActAdvance, ActApprove:
		if c.To == RolloutRunning {
			r.New = len(c.Sites) - len(r.Sites)
			r.Wave, r.Opened, r.Settled, r.Below, r.Sites, r.Only = c.Wave, c.At, time.Time{}, c.Below, c.Sites, c.Only
		}
	case ActSettle:
		r.Settled = c.At
	case ActResume:
		r.Opened, r.Settled, r.Forgiven = c.At, time.Time{}, c.Forgiven
	case ActAbort:
		r.Rollback = c.Rollback
	}
	return nil
}

// rollouts are folded from the trail.
type rollouts map[string]map[int64]*Rollout // by channel, bundle

func (rs rollouts) apply(c *Record) error {
	if rs[c.Channel] == nil {
		rs[c.Channel] = map[int64]*Rollout{}
	}
	r := rs[c.Channel][c.Bundle]
	if r == nil {
		r = &Rollout{}
	}
	if err := r.apply(c); err != nil {
		return fmt.Errorf("record %d: %w", c.Seq, err)
	}
	rs[c.Channel][c.Bundle] = r
	return nil
}

// of a channel by bundle.
func (rs rollouts) of(channel string) []*Rollout {
	var out []*Rollout
	for _, n := range slices.Sorted(maps.Keys(rs[channel])) {
		out = append(out, rs[channel][n])
	}
	return out
}

func (rs rollouts) highest(channel string) int64 {
	n := int64(0)
	for k := range rs[channel] {
		n = max(n, k)
	}
	return n
}

// aborted says whether the next bundle may not build on this one.
func (rs rollouts) aborted(channel string, number int64) bool {
	r := rs[channel][number]
	return r != nil && r.State == RolloutAborted
}

// gates of a channel, of those bundles.
func (rs rollouts) gates(channel string, numbers []int64) []bundle.Gate {
	out := []bundle.Gate{}
	for _, r := range rs.of(channel) {
		if !slices.Contains(numbers, r.Bundle) {
			continue
		}
		g := bundle.Gate{Bundle: r.Bundle, Rollout: r.ID, Approvals: r.Approvals}
		if g.Rollout == "" {
			g.Rollout = strings.Repeat("0", 16)
		}
		switch r.State {
		case RolloutHeld, RolloutPlanned:
			g.State = bundle.GateHeld
		case RolloutRunning, RolloutAwaiting:
			g.State, g.Below, g.Only = bundle.GateRunning, r.Below, r.Only
		case RolloutPaused:
			g.State = bundle.GatePaused
		case RolloutHalted:
			g.State = bundle.GateHalted
		case RolloutAborted:
			g.State, g.Rollback, g.Approvals = bundle.GateAborted, r.Rollback, nil
		case RolloutDone:
			if !r.limited() && len(r.Approvals) == 0 { // sites that were off try it yet
				continue
			}
			g.State, g.Only = bundle.GateDone, r.Only
		}
		out = append(out, g)
	}
	return out
}

// Metric that a condition reads.
type Metric string

// Metrics: shares of the sites that were let in, but ErrorRate, which is of the
// questions that those sites were asked.
const (
	MetricRolledBack   Metric = "rolled_back"
	MetricNotValidated Metric = "not_validated"
	MetricFailed       Metric = "failed" // in any way
	MetricSilent       Metric = "silent" // at it, and not heard of for the plan's silence
	MetricErrorRate    Metric = "error_rate"
)

var metrics = []Metric{MetricRolledBack, MetricNotValidated, MetricFailed, MetricSilent, MetricErrorRate}

// Condition that halts a rollout: more than Above percent.
type Condition struct {
	Metric Metric
	Above  float64
}

// ParseCondition reads "rolled_back>2%".
func ParseCondition(s string) (Condition, error) {
	m, p, ok := strings.Cut(s, ">")
	c := Condition{Metric: Metric(strings.TrimSpace(m))}
	if !ok || !slices.Contains(metrics, c.Metric) {
		return c, fmt.Errorf("%q is no condition; write such as 'rolled_back>2%%', of %v", s, metrics)
	}
	var err error
	if c.Above, err = parsePercent(strings.TrimSpace(p)); err != nil {
		return c, fmt.Errorf("condition %q: %w", s, err)
	}
	return c, nil
}

func (c Condition) String() string {
	return string(c.Metric) + ">" + strconv.FormatFloat(c.Above, 'f', -1, 64) + "%"
}

// MarshalText implements encoding.TextMarshaler.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Condition) UnmarshalText(b []byte) error {
	v, err := ParseCondition(string(b))
	*c = v
	return err
}
