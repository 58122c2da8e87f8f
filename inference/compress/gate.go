package compress

import (
	"fmt"
	"math"
)

// Gate is what a smaller model must pass to take a bigger one's place.
type Gate struct {
	QualityDrop float64 // most, in percent
	LatencyGain float64 // least, in percent
}

// DefaultGate holds where a profile says nothing else.
var DefaultGate = Gate{QualityDrop: 2, LatencyGain: 30}

// Check says what is wrong with the thresholds.
func (g Gate) Check() error {
	switch {
	case !(g.QualityDrop >= 0 && g.QualityDrop <= 1000):
		return fmt.Errorf("the largest quality drop is %v %%; it lies between 0 and 1000", g.QualityDrop)
	case !(g.LatencyGain > -1000 && g.LatencyGain < 100):
		return fmt.Errorf("the least latency gain is %v %%; it lies below 100, as a gain of 100 %% would take no time at all", g.LatencyGain)
	}
	return nil
}

// Verdict is what the gate says.
//
// QualityDropPercent is 100·(perplexity B / perplexity A − 1): how many more
// words, of the same text, B hesitates between. LatencyGainPercent is
// 100·(1 − latency B / latency A): the share of A's time that B saves. A
// drop must be below its threshold and a gain above its own; equal is refused.
type Verdict struct {
	Passed             bool    `json:"passed"`
	QualityDropPercent float64 `json:"quality_drop_percent"`
	QualityDropMax     float64 `json:"quality_drop_max_percent"`
	LatencyGainPercent float64 `json:"latency_gain_percent"`
	LatencyGainMin     float64 `json:"latency_gain_min_percent"`
	SizeGainPercent    float64 `json:"size_gain_percent"` // for information; the gate does not ask for it
	// LatencyCertain: the runs of A and of B do not overlap in time taken. Where
	// they do, more rounds on a quiet machine tell more.
	LatencyCertain bool     `json:"latency_certain"`
	Reasons        []string `json:"reasons"` // why it was refused
}

// Judge compares B with A. A figure that is no number refuses.
func (g Gate) Judge(perplexityA, perplexityB, latencyA, latencyB float64) Verdict {
	v := Verdict{
		QualityDropPercent: 100 * (perplexityB - perplexityA) / perplexityA, QualityDropMax: g.QualityDrop,
		LatencyGainPercent: 100 * (latencyA - latencyB) / latencyA, LatencyGainMin: g.LatencyGain,
		Reasons: []string{},
	}
	refuse := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }
	for _, f := range []float64{perplexityA, perplexityB, latencyA, latencyB} {
		if !(f > 0) || math.IsInf(f, 0) {
			v.QualityDropPercent, v.LatencyGainPercent = 0, 0
			refuse("a perplexity or a latency could not be measured")
			return v
		}
	}
	if !(v.QualityDropPercent < g.QualityDrop) {
		refuse("the quality drops by %.2f %%, and it may by less than %g %%", v.QualityDropPercent, g.QualityDrop)
	}
	if !(v.LatencyGainPercent > g.LatencyGain) {
		refuse("the latency gains %.1f %%, and it must gain more than %g %%", v.LatencyGainPercent, g.LatencyGain)
	}
	v.Passed = len(v.Reasons) == 0
	return v
}
