package telemetry

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"rxedge/daemon/answer/guard"
)

// What answers are that the guard's reasons are added up of.
const (
	Refused = "refused" // doubted highly, or taken back by the guard
	Wrong   = "wrong"   // somebody said that the answer was bad
	Usual   = "usual"   // a sample of all others
)

var reasonsOf = []string{Refused, Wrong, Usual}

// whole is a probability in ten-thousandths: sums of those are the same in any order, and
// a week of them is small.
func whole(v float64) int64 { return int64(math.Round(v * Unit)) }

// Unit is how many of Reasons are a probability of 1.
const Unit = 1e4

// Reasons are sums of exact Shapley values over N answers, in parts of Unit:
// how much each feature of the guard added to its doubt. Over all features they add up to
// Doubt − Baseline, but for rounding.
type Reasons struct {
	N               int64
	Values          [guard.Size]int64
	Doubt, Baseline int64
}

// Add an answer's values.
func (r *Reasons) Add(values *guard.Vector, doubt, baseline float64) {
	r.N++
	for i, v := range values {
		r.Values[i] += whole(v)
	}
	r.Doubt, r.Baseline = r.Doubt+whole(doubt), r.Baseline+whole(baseline)
}

func (r *Reasons) merge(o *Reasons) {
	r.N, r.Doubt, r.Baseline = r.N+o.N, r.Doubt+o.Doubt, r.Baseline+o.Baseline
	for i := range r.Values {
		r.Values[i] += o.Values[i]
	}
}

// Explained are Reasons by cohort, and by what the answers are.
type Explained map[string]map[string]*Reasons

// of a cohort; where there is no room, of the others.
func (e Explained) of(cohort, what string) *Reasons {
	if _, ok := e[cohort]; !ok && len(e) >= mostValues {
		cohort = Other
	}
	if e[cohort] == nil {
		e[cohort] = map[string]*Reasons{}
	}
	if e[cohort][what] == nil {
		e[cohort][what] = &Reasons{}
	}
	return e[cohort][what]
}

// each in order.
func (e Explained) each(do func(cohort, what string, r *Reasons)) {
	for _, c := range slices.Sorted(maps.Keys(e)) {
		for _, what := range slices.Sorted(maps.Keys(e[c])) {
			do(c, what, e[c][what])
		}
	}
}

func (e Explained) merge(o Explained) {
	o.each(func(c, what string, r *Reasons) { e.of(c, what).merge(r) })
}

// release keeps what may leave, and returns what is of too few answers.
func (e Explained) release() Explained {
	rest := Explained{}
	e.each(func(c, what string, r *Reasons) {
		if r.N < LeastCell {
			rest.of(c, what).merge(r)
			delete(e[c], what)
		}
	})
	return rest
}

// less is what e counts and o, a part of it, does not.
func (e Explained) less(o Explained) Explained {
	out := Explained{}
	e.each(func(c, what string, r *Reasons) {
		left := *r
		if x := o[c][what]; x != nil {
			minus := *x
			minus.N, minus.Doubt, minus.Baseline = -x.N, -x.Doubt, -x.Baseline
			for i := range minus.Values {
				minus.Values[i] = -x.Values[i]
			}
			left.merge(&minus)
		}
		if left.N > 0 {
			out.of(c, what).merge(&left)
		}
	})
	return out
}

func (e Explained) append(b []byte) []byte {
	n := 0
	e.each(func(string, string, *Reasons) { n++ })
	b = binary.AppendUvarint(b, guard.Size)
	b = binary.AppendUvarint(b, uint64(n))
	e.each(func(c, what string, r *Reasons) {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
		b = append(b, byte(slices.Index(reasonsOf, what)))
		b = binary.AppendUvarint(b, uint64(r.N))
		for _, v := range append(r.Values[:], r.Doubt, r.Baseline) {
			b = binary.AppendVarint(b, v)
		}
	})
	return b
}

// explained of a window. Of another guard, which has other features, it is passed over.
func (r *reader) explained(e Explained) {
	const mostFeatures = 64
	size, n := r.num(), r.num()
	if size > mostFeatures || n > maxSlices*int64(len(reasonsOf)) {
		r.bad = true
		return
	}
	for range n {
		c := r.str()
		if len(r.b) == 0 || int(r.b[0]) >= len(reasonsOf) {
			r.bad = true
			return
		}
		what := reasonsOf[r.b[0]]
		r.b = r.b[1:]
		x := &Reasons{N: r.num()}
		values := make([]int64, size+2)
		for i := range values {
			values[i] = r.signed()
			r.bad = r.bad || values[i] > x.N*Unit || values[i] < -x.N*Unit // of probabilities
		}
		if r.bad || e[c][what] != nil {
			r.bad = true
			return
		}
		if size != guard.Size {
			continue
		}
		copy(x.Values[:], values)
		x.Doubt, x.Baseline = values[size], values[size+1]
		e.of(c, what).merge(x)
	}
}

// Explain counts why the guard doubted an answer of a cohort.
func (r *Recorder) Explain(model, generation, cohort, what string, values *guard.Vector, doubt, baseline float64) {
	if !slices.Contains(reasonsOf, what) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.window(&Observation{At: r.opt.Now(), Model: model, Generation: generation}).Explained.of(cohort, what).Add(values, doubt, baseline)
}
