package telemetry

import (
	"encoding/binary"
	"math"

	"rxedge/daemon/telemetry/drift"
)

// Check of an answer beside another to the same question: yes or no.
type Check int

// Checks, in the order of the encoding: new ones go to the end, with a new Schema.
const (
	// Agreed: both abstained, or both answered and every sentence of the one is borne
	// out by the other with its numbers.
	Agreed Check = iota
	SameStatus
	SameNumbers  // every number of the one with its unit is in the other
	SameSections // they rest on a section in common
	SameTokens   // the models wrote the same, token for token
	checks
)

var checkNames = [checks]string{"agreed", "same_status", "same_numbers", "same_sections", "same_tokens"}

// String is the check's name in reports.
func (c Check) String() string { return checkNames[c] }

// Checks there are.
func Checks() []Check { return []Check{Agreed, SameStatus, SameNumbers, SameSections, SameTokens} }

// Measure of an answer beside another.
type Measure int

// Measures, in the order of the encoding.
const (
	Supported  Measure = iota // share of its sentences that the other bears out
	Entailed                  // least probability of that, by the judge
	Overlap                   // ROUGE-L
	FirstToken                // place of the first token that differs, from 0
	LogProbs                  // mean difference of the tokens' log-probabilities before it
	measures
)

var measureNames = [measures]string{"supported", "entailed", "rouge_l", "first_token", "log_probability"}

// String is the measure's name in reports.
func (m Measure) String() string { return measureNames[m] }

// Measures there are.
func Measures() []Measure { return []Measure{Supported, Entailed, Overlap, FirstToken, LogProbs} }

// measureEdges are the borders of the bins, the same on every box and for good.
var measureEdges = [measures][]float64{
	Supported:  steps(0.1, 0.1, 10),
	Entailed:   steps(0.1, 0.1, 10),
	Overlap:    steps(0.1, 0.1, 10),
	FirstToken: {1, 2, 4, 8, 16, 32, 64, 128, 256},
	LogProbs:   {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3},
}

// Edges of its bins.
func (m Measure) Edges() []float64 { return measureEdges[m] }

// Compared is an answer beside another to the same question, as numbers. What a pair
// does not have is NaN, or not in Has.
type Compared struct {
	Has, Yes [checks]bool
	Values   [measures]float64
}

// NewCompared has nothing yet.
func NewCompared() Compared {
	var c Compared
	for i := range c.Values {
		c.Values[i] = math.NaN()
	}
	return c
}

// Set a check.
func (c *Compared) Set(k Check, yes bool) { c.Has[k], c.Yes[k] = true, yes }

// Concordance counts pairs of answers: of the model that a window is of, and of the same
// model at full precision to the same question.
type Concordance struct {
	Yes, No [checks]int64
	Bins    [measures][]int64
}

func newConcordance() Concordance {
	var a Concordance
	for m := range a.Bins {
		a.Bins[m] = make([]int64, len(measureEdges[m])+1)
	}
	return a
}

// Add a pair.
func (a *Concordance) Add(c *Compared) {
	for k := range c.Has {
		switch {
		case c.Has[k] && c.Yes[k]:
			a.Yes[k]++
		case c.Has[k]:
			a.No[k]++
		}
	}
	for m, v := range c.Values {
		if !math.IsNaN(v) {
			a.Bins[m][drift.Bin(measureEdges[m], v)]++
		}
	}
}

// Of how many pairs a check is known, and of how many it is yes.
func (a *Concordance) Of(k Check) (yes, n int64) { return a.Yes[k], a.Yes[k] + a.No[k] }

// Merge counts o's pairs too.
func (a *Concordance) Merge(o *Concordance) {
	a.each(o, func(mine *int64, theirs int64) { *mine += theirs })
}

// each count beside that of o.
func (a *Concordance) each(o *Concordance, do func(mine *int64, theirs int64)) {
	for k := range a.Yes {
		do(&a.Yes[k], o.Yes[k])
		do(&a.No[k], o.No[k])
	}
	for m := range a.Bins {
		for i := range a.Bins[m] {
			do(&a.Bins[m][i], o.Bins[m][i])
		}
	}
}

// release keeps of a what may leave, and returns what is held back.
func (a *Concordance) release() Concordance {
	rest := newConcordance()
	for k := range a.Yes {
		holdBack(a.Yes[k:k+1], rest.Yes[k:k+1])
		holdBack(a.No[k:k+1], rest.No[k:k+1])
	}
	for m := range a.Bins {
		holdBack(a.Bins[m], rest.Bins[m])
	}
	return rest
}

// less is what a counts and o, a part of it, does not.
func (a *Concordance) less(o *Concordance) Concordance {
	out := newConcordance()
	out.Merge(a)
	out.each(o, func(mine *int64, theirs int64) { *mine = max(0, *mine-theirs) })
	return out
}

func (a *Concordance) append(b []byte) []byte {
	for k := range a.Yes {
		b = binary.AppendUvarint(b, uint64(a.Yes[k]))
		b = binary.AppendUvarint(b, uint64(a.No[k]))
	}
	for _, bins := range a.Bins {
		b = appendBins(b, bins)
	}
	return b
}

func (r *reader) concordance(a *Concordance) {
	for k := range a.Yes {
		a.Yes[k], a.No[k] = r.num(), r.num()
	}
	for _, bins := range a.Bins {
		r.bins(bins)
	}
}

// Compare counts an answer of a model beside that of the same model at full precision.
func (r *Recorder) Compare(model, generation string, c *Compared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.window(&Observation{At: r.opt.Now(), Model: model, Generation: generation}).Concordance.Add(c)
}
