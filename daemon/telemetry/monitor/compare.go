// Package monitor compares what a box's answers are like with what they were:
// which feature moved, whether that is more than chance, and which questions it
// comes from.
package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
)

// Kinds of alarms.
const (
	DataDrift       = "data_drift"       // other questions are asked
	EmbeddingDrift  = "embedding_drift"  // they lie elsewhere by meaning
	PredictionDrift = "prediction_drift" // answers are otherwise
	ConceptDrift    = "concept_drift"    // answers are worse
	Fairness        = "fairness"         // one group of patients is refused more
	Performance     = "performance"      // slower, or made in a lesser way
	Quality         = "quality"          // golden questions are answered worse
)

// Levels of alarms.
const (
	Investigate = "investigate"
	Act         = "act"
)

// Alarm is one thing that has moved. All of it is numbers and words of our own.
type Alarm struct {
	Kind  string `json:"kind"`
	Level string `json:"level"`
	// Feature or dimension that moved, or the rate: refused, ungrounded, abstained.
	Feature string `json:"feature"`
	// By and Value are where it comes from, as far as one can say: class
	// anticoagulant, section 34073-7, cohort 65+.
	By    string `json:"by,omitempty"`
	Value string `json:"value,omitempty"`
	// Figure is the PSI, or the difference of rates; Limit what it may be.
	Figure   float64  `json:"figure"`
	Limit    float64  `json:"limit"`
	P        float64  `json:"p"` // of chance
	Baseline *float64 `json:"baseline,omitempty"`
	Current  *float64 `json:"current,omitempty"`
	Text     string   `json:"text"`
	N        int64    `json:"n"` // questions that it rests on
}

// Key is what an alarm is about, the same on the next day.
func (a *Alarm) Key() string {
	if a.Feature == Projection { // whose questions moved most may be another's tomorrow
		return a.Kind + "/" + a.Feature
	}
	return a.Kind + "/" + a.Feature + "/" + a.By + "/" + a.Value
}

// Limits of what is told.
type Limits struct {
	Investigate, Act float64 // PSI
	// Rate is the least change of a rate that is told, Fairness the least
	// difference between groups.
	Rate, Fairness float64
	// P is how likely chance may be, for all comparisons of one day together.
	P float64
	// Least questions in a window, and of a slice.
	Least, LeastSlice int64
	// Waiting questions of each count that are not in the windows, where those have left
	// a box (telemetry.Window.Release): a rate is said to have risen only where these
	// can't be what made it. 0 where all that was counted is there.
	Waiting int64
}

// risen is how far a rate went up from a of n to b of m, at the least, in which a may
// lack what waits and b have what waited before; and how likely chance makes that.
func (l *Limits) risen(a, n, b, m int64) (difference, p float64) {
	difference, _, p = differ(min(a+l.Waiting, n), n, max(b-l.Waiting, 0), m)
	return difference, p
}

// DefaultLimits are those of the field, with a p that a month of quiet days
// passes.
func DefaultLimits() Limits {
	return Limits{Investigate: drift.Investigate, Act: drift.Act, Rate: 0.08, Fairness: 0.1, P: 1e-3, Least: 100, LeastSlice: 25}
}

var kinds = map[string]string{
	telemetry.TopScore.String(): PredictionDrift, telemetry.Margin.String(): PredictionDrift, telemetry.Agreement.String(): PredictionDrift,
	telemetry.Support.String(): PredictionDrift, telemetry.Doubt.String(): PredictionDrift, telemetry.AnswerWords.String(): PredictionDrift,
	telemetry.Claims.String(): PredictionDrift, telemetry.Withheld.String(): PredictionDrift, telemetry.LabelAge.String(): PredictionDrift,
	telemetry.Outcome.String(): PredictionDrift, telemetry.Section.String(): PredictionDrift, telemetry.Severity.String(): PredictionDrift,
	telemetry.Occupancy.String(): EmbeddingDrift, Projection: EmbeddingDrift,
	telemetry.Latency.String(): Performance, telemetry.Mode.String(): Performance, telemetry.Fallback.String(): Performance, telemetry.Cached.String(): Performance,
}

func kindOf(feature string) string {
	if k := kinds[feature]; k != "" {
		return k
	}
	return DataDrift
}

// Feature is a comparison of one feature or dimension.
type Feature struct {
	Name string  `json:"name"`
	Kind string  `json:"kind"`
	P    float64 `json:"p"`
	drift.Comparison
	// Moved says of vectors which projection moved, and whose questions.
	Moved *Moved `json:"moved,omitempty"`
}

// figure by which a feature is judged, and its limits.
func (f *Feature) figure(l Limits) (figure, investigate, act float64) {
	if f.Moved != nil {
		return *f.KS, ProjectionInvestigate, ProjectionAct
	}
	return f.PSI, l.Investigate, l.Act
}

// Features compares all features and dimensions of two windows, those that moved
// most first. Features that either has no values of are left out.
func Features(base, now *telemetry.Window, l Limits) []Feature {
	var out []Feature
	for _, f := range telemetry.Features() {
		edges, b, c := coarse(f.Edges(), base.Bins[f], now.Bins[f])
		cmp, err := drift.Counts(b, c, int(l.Least))
		if err != nil {
			continue
		}
		cmp.Between(edges)
		out = append(out, Feature{Name: f.String(), Kind: kindOf(f.String()), P: chance(cmp), Comparison: cmp})
	}
	for _, d := range telemetry.Dimensions() {
		before, after := base.Slices[d], now.Slices[d]
		if d == telemetry.Occupancy { // an answer that was kept has none, and how many are is no meaning
			before, after = known(before), known(after)
		}
		values, b, c := common(before, after)
		if len(values) < 2 {
			continue
		}
		cmp, err := drift.Counts(b, c, int(l.Least))
		if err != nil {
			continue
		}
		for i := range cmp.Bins {
			cmp.Bins[i].Category = values[i]
		}
		out = append(out, Feature{Name: d.String(), Kind: kindOf(d.String()), P: chance(cmp), Comparison: cmp})
	}
	if f, ok := projected(base, now, l); ok {
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b Feature) int { return cmp.Compare(b.PSI, a.PSI) })
	return out
}

// chance is how likely a PSI at least as large is where nothing moved: it is then
// about χ² with k−1 degrees of freedom, times 1/n + 1/m (Yurdakul 2018).
func chance(c drift.Comparison) float64 {
	k := len(c.Bins)
	if k < 2 || c.Baseline == 0 || c.Current == 0 {
		return 1
	}
	return distuv.ChiSquared{K: float64(k - 1)}.Survival(c.PSI / (1/float64(c.Baseline) + 1/float64(c.Current)))
}

// coarse makes ten bins or fewer of many: such that each holds about a tenth of
// the baseline.
func coarse(edges []float64, base, now []int64) (coarser []float64, b, c []int64) {
	var total int64
	for _, n := range base {
		total += n
	}
	var sb, sc, done int64
	for i := range base {
		sb, sc = sb+base[i], sc+now[i]
		last := i == len(base)-1
		// The next border lies where the share so far passes the next tenth.
		if !last && sb > 0 && (done+sb)*drift.Bins >= total*int64(len(b)+1) && total-done-sb > 0 {
			coarser = append(coarser, edges[i])
			b, c = append(b, sb), append(c, sc)
			done, sb, sc = done+sb, 0, 0
		}
		if last {
			b, c = append(b, sb), append(c, sc)
		}
	}
	return coarser, b, c
}

// rare values of a dimension, of both windows, are compared together.
const rare = 0.005

// known leaves out the questions without a value.
func known(m map[string]*telemetry.Slice) map[string]*telemetry.Slice {
	out := maps.Clone(m)
	delete(out, telemetry.None)
	return out
}

func common(base, now map[string]*telemetry.Slice) (values []string, b, c []int64) {
	count := map[string][2]int64{}
	var total [2]int64
	for side, m := range [2]map[string]*telemetry.Slice{base, now} {
		for v, s := range m {
			n := count[v]
			n[side] += s.N
			count[v] = n
			total[side] += s.N
		}
	}
	var rest [2]int64
	for _, v := range slices.Sorted(maps.Keys(count)) {
		n := count[v]
		if float64(n[0]) < rare*float64(total[0]) && float64(n[1]) < rare*float64(total[1]) {
			rest[0], rest[1] = rest[0]+n[0], rest[1]+n[1]
			continue
		}
		values, b, c = append(values, v), append(b, n[0]), append(c, n[1])
	}
	if rest != [2]int64{} {
		values, b, c = append(values, telemetry.Other), append(b, rest[0]), append(c, rest[1])
	}
	return values, b, c
}

// Compare gives the alarms of a window beside its baseline, the gravest first.
func Compare(base, now *telemetry.Window, l Limits) []Alarm {
	if base.Questions < l.Least || now.Questions < l.Least {
		return nil
	}
	var out []Alarm
	features := Features(base, now, l)
	p := l.P / float64(len(features)+1)
	for _, f := range features {
		if f.P > p || f.Verdict == drift.VerdictStable || f.Verdict == drift.VerdictInsufficient {
			continue
		}
		figure, investigate, act := f.figure(l)
		a := Alarm{Kind: f.Kind, Level: Investigate, Feature: f.Name, Figure: figure, Limit: investigate, P: f.P, N: int64(f.Current)}
		if figure >= act {
			a.Level, a.Limit = Act, act
		}
		a.trace(f, now)
		out = append(out, a)
	}
	out = append(out, rates(base, now, l)...)
	out = append(out, fair(base, now, l)...)
	out = append(out, agreed(base, now, l)...)
	slices.SortStableFunc(out, func(a, b Alarm) int {
		return cmp.Or(cmp.Compare(b2i(b.Level == Act), b2i(a.Level == Act)), cmp.Compare(a.P, b.P))
	})
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Worst names the bin or value that a change comes from most, and its share of the
// baseline and now.
func (f *Feature) Worst() (by, value string, baseline, current float64) {
	worst := 0
	for i, b := range f.Bins {
		if b.PSI > f.Bins[worst].PSI {
			worst = i
		}
	}
	b := f.Bins[worst]
	baseline, current = float64(b.Baseline)/float64(max(f.Baseline, 1)), float64(b.Current)/float64(max(f.Current, 1))
	if b.Category == "" {
		return "bin", bin(b), baseline, current
	}
	return f.Name, b.Category, baseline, current
}

// trace names the bin or value that the change comes from.
func (a *Alarm) trace(f Feature, now *telemetry.Window) {
	if f.Moved != nil {
		a.By, a.Value, a.Text = f.Moved.By, f.Moved.Value, f.Moved.text(&f)
		return
	}
	var was, is float64
	a.By, a.Value, was, is = f.Worst()
	a.Baseline, a.Current = &was, &is
	if f.Kind == PredictionDrift && now.Model != "" {
		a.Text = fmt.Sprintf("of model %s, ", now.Model)
	}
	a.Text += fmt.Sprintf("%s moved (PSI %.2f): %s had %.0f %% and has %.0f %%", f.Name, f.PSI, a.Value, 100**a.Baseline, 100**a.Current)
}

func bin(b drift.Bar) string {
	switch {
	case b.From == nil && b.To == nil:
		return "all"
	case b.From == nil:
		return fmt.Sprintf("<%g", *b.To)
	case b.To == nil:
		return fmt.Sprintf(">=%g", *b.From)
	}
	return fmt.Sprintf("%g-%g", *b.From, *b.To)
}

// differ gives the difference of two shares a/n and b/m, in standard errors (z,
// above 0 where the second is larger), and how likely chance makes the second at
// least as large: Fisher's exact test, one-sided.
func differ(a, n, b, m int64) (difference, z, p float64) {
	if n == 0 || m == 0 {
		return 0, 0, 1
	}
	difference = float64(b)/float64(m) - float64(a)/float64(n)
	pool := (float64(a) + float64(b) + 1) / (float64(n) + float64(m) + 2)
	z = difference / math.Sqrt(pool*(1-pool)*(1/float64(n)+1/float64(m)))
	return difference, z, fisher(a, n, b, m)
}

// hypergeometric gives the probability that i of the k marked among n+m are among
// the m, for every i that can be from low on.
func hypergeometric(n, m, k int64) (low int64, p []float64) {
	choose := func(n, k int64) float64 {
		x, _ := math.Lgamma(float64(n + 1))
		y, _ := math.Lgamma(float64(k + 1))
		z, _ := math.Lgamma(float64(n - k + 1))
		return x - y - z
	}
	all := choose(n+m, k)
	low = max(0, k-n)
	for i := low; i <= min(m, k); i++ {
		p = append(p, math.Exp(choose(m, i)+choose(n, k-i)-all))
	}
	return low, p
}

// fisher is the probability of b or more of the a+b falling among the m.
func fisher(a, n, b, m int64) float64 {
	low, ps := hypergeometric(n, m, a+b)
	sum := 0.0
	for i, p := range ps {
		if low+int64(i) >= b {
			sum += p
		}
	}
	return min(sum, 1)
}

// Fisher2 is the two-sided p-value of Fisher's exact test of a of n and b of m: the
// probability of all tables that are no likelier. It takes time with the smaller of m
// and a+b.
func Fisher2(a, n, b, m int64) float64 {
	if n <= 0 || m <= 0 {
		return 1
	}
	low, ps := hypergeometric(n, m, a+b)
	at := ps[b-low]
	sum := 0.0
	for _, p := range ps {
		if p <= at*(1+1e-7) { // as R and scipy count ties
			sum += p
		}
	}
	return min(sum, 1)
}
