// Package ladder decides how far to step back when a card gets hot, runs out
// of memory or fails: warn, then a smaller batch, a smaller context, embeddings
// on the CPU, and at last extractive answers alone, which need no model. It
// climbs back down when the card has recovered for long enough.
//
// It is arithmetic: readings and the time come from outside, the step goes out.
// How it moves:
//
//   - One step up when the reading has called for a higher step without a break
//     for Rise; the step before is given that long to help.
//   - At once to the last step when the card is lost, hangs, needs a reset, or
//     is at the last temperature: there is no time to try the steps between.
//   - One step down when every reading has lain below the step's threshold,
//     less Hysteresis, for Fall without a break.
//
// So no step down comes sooner than Fall after the change before it, and no
// step up sooner than Rise except to safety.
package ladder

import (
	"fmt"
	"time"
)

// Step of the ladder.
type Step int

// Steps, from the top.
const (
	Normal Step = iota
	Warn
	SmallerBatch
	SmallerContext
	CPUEmbeddings
	ExtractiveOnly
	steps = iota
)

var stepNames = [steps]string{"normal", "warn", "smaller_batch", "smaller_context", "cpu_embeddings", "extractive_only"}

func (s Step) String() string {
	if s < 0 || s >= steps {
		return fmt.Sprintf("step %d", int(s))
	}
	return stepNames[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Text says what the step means to those who ask questions.
func (s Step) Text() string {
	switch s {
	case Normal:
		return "everything runs as configured"
	case Warn:
		return "the card is near a limit; everything runs as configured"
	case SmallerBatch:
		return "prompts are read in smaller batches"
	case SmallerContext:
		return "fewer questions are answered at once, from fewer passages"
	case CPUEmbeddings:
		return "embeddings and reranking run on the CPU"
	default:
		return "answers are sentences of the documents; no model writes"
	}
}

// Thresholds at which each step above Normal is called for: rising, in the
// order of the steps.
type Thresholds [steps - 1]float64

// Limits of a ladder. A Thresholds of zeros is not watched.
type Limits struct {
	Temperature           Thresholds // °C
	TemperatureHysteresis float64    // °C below a threshold at which its step is left
	Memory                Thresholds // percent of the card's memory that is used
	MemoryHysteresis      float64    // percentage points
	Rise                  time.Duration
	Fall                  time.Duration
	// Gap is the longest time between two readings that still counts as
	// without a break.
	Gap time.Duration
}

// Check says what is wrong with the limits.
func (l Limits) Check() error {
	for _, t := range []struct {
		name       string
		t          Thresholds
		hysteresis float64
		lo, hi     float64
	}{{"temperature", l.Temperature, l.TemperatureHysteresis, 30, 120}, {"memory", l.Memory, l.MemoryHysteresis, 10, 100}} {
		if t.t == (Thresholds{}) {
			continue
		}
		for i, v := range t.t {
			if !(v >= t.lo && v <= t.hi) {
				return fmt.Errorf("%s of %s: %v is outside %v to %v", t.name, Step(i+1), v, t.lo, t.hi)
			}
			if i > 0 && v < t.t[i-1] {
				return fmt.Errorf("%s of %s: %v is below that of %s (%v)", t.name, Step(i+1), v, Step(i), t.t[i-1])
			}
		}
		if !(t.hysteresis > 0 && t.hysteresis < t.t[0]) {
			return fmt.Errorf("hysteresis of %s: %v must be greater than zero and less than the first threshold", t.name, t.hysteresis)
		}
	}
	if l.Rise <= 0 || l.Fall < l.Rise || l.Gap <= 0 {
		return fmt.Errorf("rise %v, fall %v, gap %v: rise and gap must be greater than zero, and fall at least rise", l.Rise, l.Fall, l.Gap)
	}
	return nil
}

// Reading is what is known of the card now. Nil means not known: it neither
// raises nor holds a step.
type Reading struct {
	Temperature *float64 // °C
	Memory      *float64 // percent used
	// Fault says that the card can't be used: lost, hanging, in need of a
	// reset. "" for none.
	Fault string
}

// State is where the ladder stands.
type State struct {
	Step  Step      `json:"step"`
	Why   string    `json:"why,omitempty"` // of the last change
	Since time.Time `json:"since"`         // of the last change; zero where there was none
}

// Ladder holds a state. It is not safe for concurrent use.
type Ladder struct {
	limits Limits
	state  State
	last   time.Time // of the latest reading
	// Since when the readings call for more, or allow less; zero: they do not.
	pressed, calm time.Time
}

// New returns a ladder that stands at Normal.
func New(l Limits) (*Ladder, error) {
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("ladder: %w", err)
	}
	return &Ladder{limits: l}, nil
}

// State is the state after the last reading.
func (l *Ladder) State() State { return l.state }

// Observe takes a reading made at now and returns the state, and whether it
// changed. A now before the last one is taken as the last one.
func (l *Ladder) Observe(now time.Time, r Reading) (State, bool) {
	if now.Before(l.last) {
		now = l.last
	}
	if !l.last.IsZero() && now.Sub(l.last) > l.limits.Gap {
		l.pressed, l.calm = time.Time{}, time.Time{}
	}
	l.last = now

	up, why, urgent := l.wanted(r)
	switch {
	case urgent && l.state.Step < ExtractiveOnly:
		return l.move(now, ExtractiveOnly, why), true
	case up > l.state.Step:
		l.calm = time.Time{}
		if l.pressed.IsZero() {
			l.pressed = now
		}
		if now.Sub(l.pressed) >= l.limits.Rise {
			return l.move(now, l.state.Step+1, why), true
		}
	case l.state.Step > Normal && !urgent && l.below(r):
		l.pressed = time.Time{}
		if l.calm.IsZero() {
			l.calm = now
		}
		if now.Sub(l.calm) >= l.limits.Fall {
			return l.move(now, l.state.Step-1, fmt.Sprintf("below the limits of %s for %v", l.state.Step, l.limits.Fall)), true
		}
	default:
		l.pressed, l.calm = time.Time{}, time.Time{}
	}
	return l.state, false
}

func (l *Ladder) move(now time.Time, to Step, why string) State {
	l.state = State{Step: to, Why: why, Since: now}
	l.pressed, l.calm = time.Time{}, time.Time{}
	return l.state
}

// wanted is the highest step that the reading calls for.
func (l *Ladder) wanted(r Reading) (step Step, why string, urgent bool) {
	if r.Fault != "" {
		return ExtractiveOnly, r.Fault, true
	}
	if s := over(l.limits.Memory, r.Memory, 0); s > Normal {
		step, why = s, fmt.Sprintf("%.0f %% of the card's memory is used (limit of %s: %.0f %%)", *r.Memory, s, l.limits.Memory[s-1])
	}
	// At the same step the temperature is the reason: at the last one it is what
	// makes it urgent.
	if s := over(l.limits.Temperature, r.Temperature, 0); s > Normal && s >= step {
		step, why = s, fmt.Sprintf("the card is at %.0f °C (limit of %s: %.0f °C)", *r.Temperature, s, l.limits.Temperature[s-1])
		urgent = s == ExtractiveOnly
	}
	return step, why, urgent
}

// below tells whether every value lies below the present step with its
// hysteresis.
func (l *Ladder) below(r Reading) bool {
	return over(l.limits.Temperature, r.Temperature, l.limits.TemperatureHysteresis) < l.state.Step &&
		over(l.limits.Memory, r.Memory, l.limits.MemoryHysteresis) < l.state.Step
}

// over is the highest step whose threshold, less the slack, v reaches.
func over(t Thresholds, v *float64, slack float64) Step {
	if v == nil || t == (Thresholds{}) {
		return Normal
	}
	step := Normal
	for i, limit := range t {
		if *v >= limit-slack {
			step = Step(i + 1)
		}
	}
	return step
}

// Settings of the models on the card, as a profile gives them.
type Settings struct {
	Batch         int  `json:"batch"`        // tokens
	MicroBatch    int  `json:"micro_batch"`  // tokens
	Context       int  `json:"context"`      // tokens of one slot
	Slots         int  `json:"slots"`        //
	EmbedOnGPU    bool `json:"embed_on_gpu"` // embeddings, reranking, entailment
	GenerateOnGPU bool `json:"generate_on_gpu"`
}

// Smallest batch and context that a step goes down to, in tokens. Below them a
// question with its passages no longer fits, or reading it takes too long.
const (
	leastBatch   = 128
	leastContext = 2048
)

// Apply returns the settings at a step. Warn changes nothing.
func (s Step) Apply(at Settings) Settings {
	if s >= SmallerBatch {
		at.Batch, at.MicroBatch = less(at.Batch, leastBatch), less(at.MicroBatch, leastBatch)
	}
	if s >= SmallerContext {
		at.Context, at.Slots = less(at.Context, leastContext), max(1, at.Slots/2)
	}
	if s >= CPUEmbeddings {
		at.EmbedOnGPU = false
	}
	if s >= ExtractiveOnly {
		at.GenerateOnGPU = false
	}
	return at
}

// less is half of n, but not below least where n was above it.
func less(n, least int) int { return max(n/2, min(n, least)) }
