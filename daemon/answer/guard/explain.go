package guard

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Decision about one answer.
type Decision struct {
	// Wrong is the probability that the answer is wrong, or should be none.
	Wrong float64 `json:"wrong"`
	// Threshold from which the guard would rather say nothing.
	Threshold float64 `json:"threshold"`
	Doubt     string  `json:"doubt"` // low, some, high
	// Advisory: the guard tells and does not decide.
	Advisory bool `json:"advisory"`
	// Group: the threshold is that of the patient's cohort, which was approved; nil: it
	// is the guard's own.
	Group *Mitigation `json:"group,omitempty"`
	// What follows is there where an explanation was asked for.
	Baseline float64 `json:"baseline,omitempty"` // mean over the answers compared with
	// Contributions are exact Shapley values: their sum is Wrong − Baseline.
	Contributions []Contribution `json:"contributions,omitempty"`
	Lime          *Lime          `json:"lime,omitempty"`
	Summary       []string       `json:"summary,omitempty"`

	Features Vector `json:"-"`
}

// Contribution of a feature to the decision.
type Contribution struct {
	Feature string  `json:"feature"`
	Value   float64 `json:"value"`
	// Points are hundredths of probability that it adds.
	Points float64 `json:"points"`
	Text   string  `json:"text"`
}

// Lime is a linear model of the guard around the answer.
type Lime struct {
	R2        float64      `json:"r2"` // weighted share of the variance that it explains
	Intercept float64      `json:"intercept"`
	Weights   []LimeWeight `json:"weights"`
}

// LimeWeight of a feature, in probability for one standard deviation.
type LimeWeight struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`
}

// Levels of doubt.
const (
	Low  = "low"
	Some = "some"
	High = "high"
)

// Decide about an answer; explain says whether to say why.
func (m *Model) Decide(v Vector, explain bool) *Decision { return m.DecideFor(v, explain, nil) }

// DecideFor decides by the threshold of a cohort; nil: by the guard's own.
func (m *Model) DecideFor(v Vector, explain bool, group *Mitigation) *Decision {
	d := &Decision{Wrong: m.Wrong(&v), Threshold: m.Threshold, Doubt: Low, Advisory: true, Group: group, Features: v}
	if group != nil {
		d.Threshold = group.threshold
	}
	switch {
	case d.Wrong >= d.Threshold:
		d.Doubt = High
	case d.Wrong >= m.Some:
		d.Doubt = Some
	}
	if explain && v.valid() {
		m.explain(d)
	}
	return d
}

func (m *Model) explain(d *Decision) {
	phi, base := m.Shapley(&d.Features)
	d.Baseline = base
	for i, p := range phi {
		text := says(i, d.Features[i])
		switch {
		case 100*p >= 0.5:
			text += fmt.Sprintf(": raises doubt by %.0f points", 100*p)
		case 100*p <= -0.5:
			text += fmt.Sprintf(": lowers doubt by %.0f points", -100*p)
		default:
			text += ": makes no difference"
		}
		d.Contributions = append(d.Contributions, Contribution{Names[i], d.Features[i], 100 * p, text})
	}
	slices.SortStableFunc(d.Contributions, func(a, b Contribution) int {
		return cmp.Compare(math.Abs(b.Points), math.Abs(a.Points))
	})
	d.Lime = m.Lime(&d.Features, limeSeed)
	d.Summary = []string{fmt.Sprintf("Answers like this one are wrong, or should be none, in about %.0f of 100; answers of all kinds in about %.0f.", 100*d.Wrong, 100*base)}
	for _, c := range d.Contributions[:3] {
		if math.Abs(c.Points) >= 0.5 {
			d.Summary = append(d.Summary, upper(c.Text)+".")
		}
	}
	if g := d.Group; g != nil {
		d.Summary = append(d.Summary, fmt.Sprintf("For this patient's group it counts as much doubt from %.0f of 100 and not from %.0f: %s, which %s approved.", 100*d.Threshold, 100*g.Own, g.ID, g.Approved))
	}
}

func upper(s string) string { return string(s[0]-'a'+'A') + s[1:] }

// Shapley gives the exact Shapley values of Wrong at v (Shapley 1953), by going
// over all coalitions of the features that the model reads and in which v is unlike
// the background (the others add nothing to any coalition: their value is 0), and
// the baseline. A coalition is worth the mean of
// Wrong over the background with the coalition's features taken from v, so the
// values add up to Wrong(v) less the baseline.
func (m *Model) Shapley(v *Vector) (phi Vector, baseline float64) {
	active := m.active(v)
	worth := make([]float64, 1<<len(active))
	m.worths(v, active, worth)
	for k, p := range values(worth, len(active)) {
		phi[active[k]] = p
	}
	return phi, worth[0]
}

// active are the features that a member reads and that v has otherwise than some
// answer of the background.
func (m *Model) active(v *Vector) (out []int) {
	for f := range Size {
		read := slices.ContainsFunc(m.Members, func(k Member) bool {
			return len(k.Weights) > 0 && k.Weights[f] != 0 || slices.ContainsFunc(k.Trees, func(t Tree) bool { return slices.Contains(t.Feature[:], f) })
		})
		if read && slices.ContainsFunc(m.Background, func(b Vector) bool { return b[f] != v[f] }) {
			out = append(out, f)
		}
	}
	return out
}

// values of n features by the worth of each coalition: a coalition of k others has
// the weight k! (n−k−1)! / n!
func values(worth []float64, n int) []float64 {
	weight := make([]float64, n)
	for k := range weight {
		weight[k] = 1 / (float64(n) * binomial(n-1, k))
	}
	phi := make([]float64, n)
	for s := range worth {
		for i := range n {
			if s>>i&1 == 0 {
				phi[i] += weight[bits.OnesCount(uint(s))] * (worth[s|1<<i] - worth[s])
			}
		}
	}
	return phi
}

// worths of all coalitions of some features. The log-odds of a coalition is a sum over
// its subsets of one feature (the logistic members) or up to three (a tree), its
// Harsanyi dividends; adding those up feature by feature gives all coalitions at once.
func (m *Model) worths(v *Vector, active []int, worth []float64) {
	place := [Size]int{}
	for i := range place {
		place[i] = slices.Index(active, i)
	}
	x := m.Standard(v)
	var line Vector // weights of all logistic members together
	bias := m.Bias
	for k := range m.Members {
		bias += m.Stack[k] * m.Members[k].Bias
		for i, w := range m.Members[k].Weights {
			line[i] += m.Stack[k] * w
		}
	}
	share := 1 / float64(len(m.Background))
	sums := make([]float64, len(worth))
	for b := range m.Background {
		z := m.Standard(&m.Background[b])
		clear(sums)
		sums[0] = bias
		for i := range line {
			sums[0] += line[i] * z[i]
		}
		for i, f := range active {
			sums[1<<i] = line[f] * (x[f] - z[f])
		}
		for k := range m.Members {
			for t := range m.Members[k].Trees {
				m.Members[k].Trees[t].dividends(m.Stack[k], &x, &z, &place, sums)
			}
		}
		for bit := 1; bit < len(sums); bit <<= 1 {
			for s := bit; s < len(sums); s = (s + 1) | bit {
				sums[s] += sums[s^bit]
			}
		}
		for s, l := range sums {
			worth[s] += share * Logistic(l)
		}
	}
}

// dividends adds, scaled, what each set of the tree's features adds to its value when
// they go from z to x, beyond what the sets in it add.
func (t *Tree) dividends(scale float64, x, z *Vector, place *[Size]int, sums []float64) {
	var at [len(t.Feature)]int
	n := 0
	for _, f := range t.Feature {
		if f >= 0 && place[f] >= 0 && !slices.Contains(at[:n], f) {
			at[n], n = f, n+1
		}
	}
	var value [1 << len(at)]float64
	var set [1 << len(at)]int
	for s := range 1 << n {
		y := *z
		for i, f := range at[:n] {
			if s>>i&1 == 1 {
				y[f] = x[f]
				set[s] |= 1 << place[f]
			}
		}
		value[s] = t.Value(&y)
	}
	for i := range n {
		for s := range 1 << n {
			if s>>i&1 == 1 {
				value[s] -= value[s^1<<i]
			}
		}
	}
	for s := range 1 << n {
		sums[set[s]] += scale * value[s]
	}
}

func binomial(n, k int) float64 {
	r := 1.0
	for i := range k {
		r = r * float64(n-i) / float64(i+1)
	}
	return r
}

const (
	limeSeed  = 20260115
	limeTries = 500
	limeRidge = 1e-3
)

// Lime fits a weighted ridge regression to the guard around v (Ribeiro and others
// 2016): normal perturbations of one standard deviation, weights exp(−d²/w²) with w
// = 0.75 √n. The same seed gives the same fit.
func (m *Model) Lime(v *Vector, seed uint64) *Lime {
	rng := rand.New(rand.NewPCG(seed, seed))
	const n = Size + 1
	a := mat.NewSymDense(n, nil)
	b := mat.NewVecDense(n, nil)
	rows := make([][n]float64, limeTries)
	ys, ws := make([]float64, limeTries), make([]float64, limeTries)
	for t := range rows {
		u := *v
		d := 0.0
		rows[t][Size] = 1
		for i := range u {
			if t > 0 { // the first is the answer itself
				s := rng.NormFloat64()
				u[i] += s * m.Scale[i]
				d += s * s
				rows[t][i] = s
			}
		}
		ys[t] = m.Wrong(&u)
		ws[t] = math.Exp(-d / (0.75 * 0.75 * Size))
		for i := range n {
			for j := i; j < n; j++ {
				a.SetSym(i, j, a.At(i, j)+ws[t]*rows[t][i]*rows[t][j])
			}
			b.SetVec(i, b.AtVec(i)+ws[t]*rows[t][i]*ys[t])
		}
	}
	for i := range Size { // the intercept is not shrunk
		a.SetSym(i, i, a.At(i, i)+limeRidge)
	}
	var chol mat.Cholesky
	l := &Lime{}
	if !chol.Factorize(a) {
		return l
	}
	beta := mat.NewVecDense(n, nil)
	if chol.SolveVecTo(beta, b) != nil {
		return l
	}
	mean, weight := 0.0, 0.0
	for t := range ys {
		mean += ws[t] * ys[t]
		weight += ws[t]
	}
	mean /= weight
	rest, all := 0.0, 0.0
	for t := range ys {
		fit := 0.0
		for i := range n {
			fit += beta.AtVec(i) * rows[t][i]
		}
		rest += ws[t] * (ys[t] - fit) * (ys[t] - fit)
		all += ws[t] * (ys[t] - mean) * (ys[t] - mean)
	}
	if all > 0 {
		l.R2 = 1 - rest/all
	}
	l.Intercept = beta.AtVec(Size)
	for i := range Size {
		l.Weights = append(l.Weights, LimeWeight{Names[i], beta.AtVec(i)})
	}
	slices.SortStableFunc(l.Weights, func(a, b LimeWeight) int { return cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)) })
	return l
}
