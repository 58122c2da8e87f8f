package sequential

import "math"

// priorWeight is how many made-up observations stand behind the first guess of a
// variance.
const priorWeight = 10

// Mean bets against "given what came before, the mean of the next observation is
// at most Bound", for observations in [-1, 1]. The wealth is
//
//	Π (1 + λₜ (Dₜ − Bound)),  0 ≤ λₜ ≤ MostStake/(1 + Bound)
//
// with λₜ fixed before Dₜ is seen (Waudby-Smith and Ramdas, "Estimating means of
// bounded random variables by betting", JRSS B 86 (2024)). Nothing is assumed of
// the distribution. λₜ is the stake that is best, to second order, should the
// mean be Effect above the bound: Effect / (v + Effect²), v the variance so far.
// The fields are exported to be kept over restarts and are not to be changed.
type Mean struct {
	Bound  float64 `json:"bound"`
	Effect float64 `json:"effect"`
	N      int     `json:"n"`
	Sum    float64 `json:"sum"`
	Square float64 `json:"square"` // Σ (D − mean so far)², as Welford has it
	Log    float64 `json:"log"`    // natural logarithm of the wealth
}

// MostStake keeps the wealth from ever being lost whole.
const MostStake = 0.95

// NewMean for a bound in (-1, 1), and the excess over it that is worth noticing.
func NewMean(bound, effect float64) *Mean { return &Mean{Bound: bound, Effect: effect} }

// Observe one more; values beyond [-1, 1] count as the nearest in it.
func (m *Mean) Observe(d float64) {
	if math.IsNaN(d) {
		return
	}
	d = min(max(d, -1), 1)
	m.Log += math.Log1p(m.stake() * (d - m.Bound))
	before := m.average()
	m.N++
	m.Sum += d
	m.Square += (d - before) * (d - m.average())
}

// stake of the next bet, by what was seen before it.
func (m *Mean) stake() float64 {
	v := (m.Square + priorWeight*0.25) / (float64(m.N) + priorWeight)
	return min(m.Effect/(v+m.Effect*m.Effect), MostStake/(1+m.Bound))
}

func (m *Mean) average() float64 {
	if m.N == 0 {
		return 0
	}
	return m.Sum / float64(m.N)
}

// Average of what was observed; 0 of none.
func (m *Mean) Average() float64 { return m.average() }

// Above says whether the mean is over the bound, where saying so of one that is
// not has a probability of at most alpha, however often it is asked.
func (m *Mean) Above(alpha float64) bool { return m.Log >= -math.Log(alpha) }
