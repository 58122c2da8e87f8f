// Package trial tries a challenger beside the champion that answers. First in the
// shadow: the challenger answers questions that were answered already, nobody sees
// what it says, and each gives a pair. Then, where the centre says so, some clients
// are answered by it. Both are kept as numbers alone. The verdict is a sequential
// test whose error bound holds however often it is looked at; DESIGN.md derives it.
package trial

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/rollout/sequential"
	"rxedge/daemon/rollout/watch"
)

// Arm of a trial.
type Arm int

// Arms.
const (
	Champion Arm = iota
	Challenger
)

func (a Arm) String() string { return [...]string{"champion", "challenger"}[a] }

// Decision on a trial.
type Decision string

// Decisions.
const (
	Promote   Decision = "promote"   // it is better, and nothing speaks against it
	Stop      Decision = "stop"      // it is not better by the effect, or does harm
	Undecided Decision = "undecided" // not yet, or not by the most that may be seen
)

// Config of a trial. What is 0 is as Default has it.
type Config struct {
	// ID of the trial; another one shares clients out otherwise.
	ID string `json:"id"`
	// Percent of the clients that the challenger answers, 0 to 100; 0: shadow alone.
	Percent float64 `json:"percent"`
	// Period after which clients are shared out anew.
	Period time.Duration `json:"period"`
	// Effect is the gain in the share of grounded answers that is worth a promotion.
	Effect float64 `json:"effect"`
	// Margin by which a share of grounded answers may be lower for a promotion; 0: it has to
	// be higher. What is compared is the gain and the margin together: "better" is a gain
	// above -Margin, "better by the effect" one of Effect-Margin.
	Margin float64 `json:"margin,omitempty"`
	// Alpha bounds the probability of promoting what is no better, Beta that of
	// stopping what is better by Effect.
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	// Least observations before a promotion, and Most after which it stays undecided.
	Least int `json:"least"`
	Most  int `json:"most"`
	// Capacity is the share of the time that the challenger may work in the shadow.
	Capacity float64 `json:"capacity"`
	// Budget of the 95th percentile of the challenger's answers; 0: not held against.
	Budget time.Duration `json:"budget"`
	// Harm is how much more often than the champion it may abstain.
	Harm float64 `json:"harm"`
}

// Default figures.
func Default() Config {
	return Config{Period: 24 * time.Hour, Effect: 0.05, Alpha: 0.025, Beta: 0.025, Least: 200, Most: 20000, Capacity: 0.2, Harm: 0.05}
}

func (c Config) complete() Config {
	d := Default()
	set := func(f *float64, d float64) {
		if !(*f > 0) {
			*f = d
		}
	}
	set(&c.Effect, d.Effect)
	set(&c.Alpha, d.Alpha)
	set(&c.Beta, d.Beta)
	set(&c.Capacity, d.Capacity)
	set(&c.Harm, d.Harm)
	c.Percent, c.Margin = min(max(c.Percent, 0), 100), max(c.Margin, 0)
	if c.Period <= 0 {
		c.Period = d.Period
	}
	if c.Least <= 0 {
		c.Least = d.Least
	}
	if c.Most <= 0 {
		c.Most = d.Most
	}
	return c
}

// Outcome of a question, in numbers.
type Outcome struct {
	Grounded  bool
	Abstained bool
	Failed    bool
	Took      time.Duration
}

// OutcomeOf an answer, or the error in its place.
func OutcomeOf(a *answer.Answer, err error) Outcome {
	if watch.Failed(a, err) {
		return Outcome{Failed: true}
	}
	return Outcome{Grounded: watch.IsGrounded(a), Abstained: a.Status == answer.StatusAbstained,
		Took: time.Duration(max(a.Timings.Total-a.Timings.Queue, 0) * float64(time.Millisecond))}
}

// Agree says whether two answers come to the same: both abstain, or both rest on a
// section in common.
func Agree(a, b *answer.Answer) bool {
	if a == nil || b == nil || a.Status != b.Status {
		return false
	}
	if a.Status == answer.StatusAbstained {
		return true
	}
	sections := map[string]bool{}
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			sections[ci.SectionID] = true
		}
	}
	return slices.ContainsFunc(b.Claims, func(c answer.Claim) bool {
		return slices.ContainsFunc(c.Citations, func(ci answer.Citation) bool { return sections[ci.SectionID] })
	})
}

// Counts of one arm. All are counts and a sketch of times.
type Counts struct {
	Asked     int   `json:"asked"`
	Grounded  int   `json:"grounded"`
	Abstained int   `json:"abstained"`
	Failed    int   `json:"failed"`
	Helpful   int   `json:"helpful"`
	Unhelpful int   `json:"unhelpful"`
	Times     Times `json:"times"`
}

func (c *Counts) add(o Outcome) {
	c.Asked++
	c.Grounded += count(o.Grounded)
	c.Abstained += count(o.Abstained)
	if c.Failed += count(o.Failed); !o.Failed {
		c.Times.Add(o.Took)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// unit is a client in one period: what its questions came to.
type unit struct {
	Arm                  Arm
	N                    int
	Grounded, Abstention int
}

// state is all that is kept of a trial over a restart.
type state struct {
	Config Config    `json:"config"`
	Began  time.Time `json:"began"`
	// Arms, in the shadow and where clients were answered.
	Shadow, Split [2]Counts
	Pairs, Agreed int

	// Better bets against "the challenger is no better", NotBetter against "it is better
	// by the effect at least" (of either less the margin), Abstains against "it abstains no more often than it may".
	Better, NotBetter, Abstains *sequential.Mean
	Errors, Slow                *sequential.Rate

	Period int64
	Units  map[string]*unit // of the running period; by hash, never by name

	Verdict *Verdict `json:"verdict,omitempty"` // once it is not undecided
}

// guardAlpha bounds each guard's error.
const guardAlpha = 0.005

// mostErrors is the share of a challenger's questions that may fail.
const mostErrors = 0.01

// Trial is safe for concurrent use.
type Trial struct {
	mu   sync.Mutex
	s    state
	pace Pace
}

// New begins a trial.
func New(c Config, now time.Time) *Trial {
	c = c.complete()
	t := &Trial{s: state{Config: c, Began: now,
		Better: sequential.NewMean(-c.Margin, c.Effect), NotBetter: sequential.NewMean(c.Margin-c.Effect, c.Effect),
		Abstains: sequential.NewMean(c.Harm, c.Harm),
		Errors:   sequential.NewRate(mostErrors), Slow: sequential.NewRate(0.05),
		Units: map[string]*unit{}}}
	t.s.Period = t.period(now)
	return t
}

func (t *Trial) period(now time.Time) int64 { return now.UnixNano() / int64(t.s.Config.Period) }

// hash of a client in a period of this trial.
func (t *Trial) hash(client string, period int64) [sha256.Size]byte {
	b := binary.BigEndian.AppendUint64([]byte(t.s.Config.ID+"\x00"), uint64(period))
	return sha256.Sum256(append(b, client...))
}

// Assign a client to an arm by its stable id, for this period. Nobody's id is kept.
func (t *Trial) Assign(client string, now time.Time) Arm {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.assign(client, t.period(now))
}

func (t *Trial) assign(client string, period int64) Arm {
	if t.s.Verdict != nil || client == "" {
		return Champion // nobody is answered by what was stopped
	}
	h := t.hash(client, period)
	if float64(binary.BigEndian.Uint64(h[:]))/math.MaxUint64*100 < t.s.Config.Percent {
		return Challenger
	}
	return Champion
}

// Shadowed records a question that both answered, the challenger in the shadow.
func (t *Trial) Shadowed(champion, challenger Outcome, agree bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Verdict != nil {
		return
	}
	t.s.Shadow[Champion].add(champion)
	t.s.Shadow[Challenger].add(challenger)
	t.s.Pairs++
	t.s.Agreed += count(agree)
	t.guard(challenger)
	t.bet(float64(count(challenger.Grounded)-count(champion.Grounded)), float64(count(challenger.Abstained)-count(champion.Abstained)))
}

// Answered records a question of a client that arm alone answered.
func (t *Trial) Answered(client string, arm Arm, now time.Time, o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Verdict != nil || client == "" || t.s.Config.Percent == 0 {
		return
	}
	t.turn(t.period(now))
	t.s.Split[arm].add(o)
	if arm == Challenger {
		t.guard(o)
	}
	h := t.hash(client, t.s.Period)
	key := string(h[:12])
	u := t.s.Units[key]
	if u == nil {
		u = &unit{Arm: arm}
		t.s.Units[key] = u
	}
	if u.Arm != arm {
		return // begun before the period, or before the percentage was another
	}
	u.N++
	u.Grounded += count(o.Grounded)
	u.Abstention += count(o.Abstained)
}

// turn closes a period that is over. A client of one arm is set against one of the
// other, in the order of their hashes, which is that of chance: were the two models
// alike, who is set against whom would say nothing, whatever clients differ in.
func (t *Trial) turn(period int64) {
	if period == t.s.Period {
		return
	}
	t.s.Period = period
	var arms [2][]string
	for key, u := range t.s.Units {
		arms[u.Arm] = append(arms[u.Arm], key)
	}
	slices.Sort(arms[Champion])
	slices.Sort(arms[Challenger])
	for i := range min(len(arms[Champion]), len(arms[Challenger])) {
		a, b := t.s.Units[arms[Champion][i]], t.s.Units[arms[Challenger][i]]
		t.bet(share(b.Grounded, b.N)-share(a.Grounded, a.N), share(b.Abstention, b.N)-share(a.Abstention, a.N))
	}
	clear(t.s.Units)
}

func share(k, n int) float64 { return float64(k) / float64(n) }

// bet on a difference, the challenger's less the champion's.
func (t *Trial) bet(grounded, abstained float64) {
	if t.s.Verdict != nil {
		return
	}
	t.s.Better.Observe(grounded)
	t.s.NotBetter.Observe(-grounded)
	t.s.Abstains.Observe(abstained)
	t.decide()
}

func (t *Trial) guard(o Outcome) {
	t.s.Errors.Observe(o.Failed)
	if t.s.Config.Budget > 0 && !o.Failed {
		t.s.Slow.Observe(o.Took > t.s.Config.Budget)
	}
}

// Share out that percentage of the clients from now on.
func (t *Trial) Share(percent float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Config.Percent = min(max(percent, 0), 100)
}

// Feedback on an answer that an arm gave.
func (t *Trial) Feedback(arm Arm, helpful bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if helpful {
		t.s.Split[arm].Helpful++
	} else {
		t.s.Split[arm].Unhelpful++
	}
}

// Verdict is what is known of a trial.
type Verdict struct {
	Decision Decision `json:"decision"`
	Final    bool     `json:"final"` // it stays: nothing more is asked
	Reason   string   `json:"reason"`
	// N pairs or clients' periods that it rests on; Gain is the mean difference in
	// the share of grounded answers.
	N    int     `json:"n"`
	Gain float64 `json:"gain"`
	// EvidenceBetter and EvidenceNotBetter are the wealth of the two bets as natural
	// logarithms, and NeedBetter and NeedNotBetter what decides.
	EvidenceBetter    float64 `json:"evidence_better"`
	NeedBetter        float64 `json:"need_better"`
	EvidenceNotBetter float64 `json:"evidence_not_better"`
	NeedNotBetter     float64 `json:"need_not_better"`
	Agreement         float64 `json:"agreement"`
}

// leastGuard bad answers come before a guard fires.
const leastGuard = 4

func (t *Trial) decide() {
	c := t.s.Config
	n, failed := t.s.Errors.Counts()
	_, slow := t.s.Slow.Counts()
	stop := func(format string, args ...any) { t.end(Stop, fmt.Sprintf(format, args...)) }
	switch {
	case failed >= leastGuard && t.s.Errors.Over(guardAlpha):
		stop("%d of %d questions failed", failed, n)
	case slow >= leastGuard && t.s.Slow.Over(guardAlpha):
		stop("%d of %d answers took longer than %v", slow, n-failed, c.Budget)
	case t.s.Abstains.Above(guardAlpha):
		stop("it abstains more often, by %.3f", t.s.Abstains.Average())
	case t.s.NotBetter.Above(c.Beta):
		stop("%s: the gain is %.3f", c.notBetter(), t.s.Better.Average())
	case t.s.Better.N >= c.Least && t.s.Better.Above(c.Alpha):
		t.end(Promote, fmt.Sprintf("%s: the gain is %.3f", c.better(), t.s.Better.Average()))
	case t.s.Better.N >= c.Most:
		t.end(Undecided, fmt.Sprintf("%d observations decided nothing: the gain is %.3f", t.s.Better.N, t.s.Better.Average()))
	}
}

// better and notBetter say what a verdict says.
func (c *Config) better() string {
	if c.Margin > 0 {
		return fmt.Sprintf("its answers are not borne out more seldom by %.2f", c.Margin)
	}
	return "more of its answers are borne out"
}

func (c *Config) notBetter() string {
	if c.Effect > c.Margin {
		return fmt.Sprintf("it is not better by %.2f", c.Effect-c.Margin)
	}
	return "fewer of its answers are borne out"
}

func (t *Trial) end(d Decision, reason string) {
	v := t.look()
	v.Decision, v.Reason, v.Final = d, reason, true
	t.s.Verdict = &v
}

func (t *Trial) look() Verdict {
	c := t.s.Config
	v := Verdict{Decision: Undecided, N: t.s.Better.N, Gain: t.s.Better.Average(), EvidenceBetter: t.s.Better.Log, NeedBetter: -math.Log(c.Alpha),
		EvidenceNotBetter: t.s.NotBetter.Log, NeedNotBetter: -math.Log(c.Beta)}
	if t.s.Pairs > 0 {
		v.Agreement = share(t.s.Agreed, t.s.Pairs)
	}
	if v.N < c.Least {
		v.Reason = fmt.Sprintf("%d observations; the least is %d", v.N, c.Least)
	} else {
		v.Reason = fmt.Sprintf("%d observations so far", v.N)
	}
	return v
}

// Verdict as it stands at the time now. What was decided stays.
func (t *Trial) Verdict(now time.Time) Verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Verdict == nil {
		t.turn(t.period(now))
	}
	if t.s.Verdict != nil {
		return *t.s.Verdict
	}
	return t.look()
}

// Over says whether the verdict is final: nothing more is asked.
func (t *Trial) Over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.s.Verdict != nil
}

// Figures of a trial: numbers alone.
type Figures struct {
	Config  Config    `json:"config"`
	Began   time.Time `json:"began"`
	Shadow  [2]Counts `json:"shadow"` // champion, challenger
	Split   [2]Counts `json:"split"`
	Verdict Verdict   `json:"verdict"`
}

// Figures at the time now.
func (t *Trial) Figures(now time.Time) Figures {
	v := t.Verdict(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	f := Figures{Config: t.s.Config, Began: t.s.Began, Shadow: t.s.Shadow, Split: t.s.Split, Verdict: v}
	for i := range f.Shadow {
		f.Shadow[i].Times, f.Split[i].Times = f.Shadow[i].Times.clone(), f.Split[i].Times.clone()
	}
	return f
}
