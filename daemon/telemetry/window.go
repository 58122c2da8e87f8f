package telemetry

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"

	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/fairness"
)

// Schema of windows. Those of another are not merged.
const Schema = 4

// Schemas that are read, too: without projections, without concordance, without
// reasons of the guard.
const (
	firstSchema     = 1
	withProjections = 2
	withConcordance = 3
	withExplained   = 4
)

// Slice is what is counted of the questions with one value of a dimension.
type Slice struct {
	N          int64 `json:"n"`
	Abstained  int64 `json:"abstained"`
	Flagged    int64 `json:"flagged"`
	Ungrounded int64 `json:"ungrounded"`
	// Refused is those that were abstained from or flagged: the guard's decision.
	Refused int64 `json:"refused"`
	// Judged are decisions with an outcome: feedback that says the answer was bad.
	Judged fairness.Counts `json:"judged"`
}

// Merge counts o's questions too.
func (s *Slice) Merge(o *Slice) { s.merge(o) }

func (s *Slice) merge(o *Slice) {
	s.N, s.Abstained, s.Flagged = s.N+o.N, s.Abstained+o.Abstained, s.Flagged+o.Flagged
	s.Ungrounded, s.Refused = s.Ungrounded+o.Ungrounded, s.Refused+o.Refused
	s.Judged.Merge(o.Judged)
}

// Window counts the questions of a time, of one model and generation. Merging two
// gives what one over both would have counted: histograms and slices exactly,
// quantiles within 1 %, distinct questions within about 2 %.
type Window struct {
	From, To   time.Time
	Model      string
	Generation string

	Questions int64
	Bins      [features][]int64
	Slices    [dimensions]map[string]*Slice
	// Spaces are where the questions lie by their vectors, in at most MostSpaces.
	Spaces map[uint64]*Space
	// Concordance with the same model at full precision, of a sample of the questions.
	Concordance Concordance
	// Explained is why the guard doubted, added up.
	Explained Explained
	stages    [len(Stages)]*ddsketch.DDSketch
	distinct  *hyperloglog.Sketch
}

// accuracy of quantiles, relative.
const accuracy = 0.01

// shared by all sketches, so that they can be merged.
var logarithmic = must(mapping.NewLogarithmicMapping(accuracy))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // of constants
	}
	return v
}

// precision of counting distinct questions: 2,048 registers.
const precision = 11

// NewWindow that counts from from to to.
func NewWindow(from, to time.Time, model, generation string) *Window {
	w := &Window{From: from.UTC(), To: to.UTC(), Model: model, Generation: generation, distinct: must(hyperloglog.NewSketch(precision, false)), Spaces: map[uint64]*Space{}, Concordance: newConcordance(), Explained: Explained{}}
	for f := range w.Bins {
		w.Bins[f] = make([]int64, len(definitions[f].edges)+1)
	}
	for d := range w.Slices {
		w.Slices[d] = map[string]*Slice{}
	}
	for i := range w.stages {
		w.stages[i] = ddsketch.NewDDSketch(logarithmic, store.NewSparseStore(), store.NewSparseStore())
	}
	return w
}

// slice of a value; where there is no room, or the value is none that the
// dimension may have, that of the others.
func (w *Window) slice(d Dimension, value string) *Slice {
	m := w.Slices[d]
	if s := m[value]; s != nil {
		return s
	}
	if k := known[d]; k != nil && !k[value] || len(m) >= mostValues {
		value = Other
	}
	s := m[value]
	if s == nil {
		s = &Slice{}
		m[value] = s
	}
	return s
}

// Add counts a question.
func (w *Window) Add(o *Observation) {
	w.Questions++
	for f, v := range o.Values {
		if !math.IsNaN(v) {
			w.Bins[f][drift.Bin(definitions[f].edges, v)]++
		}
	}
	for d, v := range o.In {
		s := w.slice(Dimension(d), v)
		s.N++
		s.Abstained += one(o.Abstained)
		s.Flagged += one(o.Flagged)
		s.Ungrounded += one(o.Ungrounded)
		s.Refused += one(o.Abstained || o.Flagged)
	}
	for i, ms := range o.Stages {
		if ms > 0 && !math.IsInf(ms, 0) {
			_ = w.stages[i].Add(ms) // only of what is out of a float's range
		}
	}
	w.project(o)
	if o.Person != 0 {
		w.distinct.InsertHash(o.Person)
	}
}

// Judge counts what was said of an answer that was counted before, here or in an
// earlier window: bad is the outcome, whether it was refused the decision.
func (w *Window) Judge(o *Observation, bad bool) {
	for d, v := range o.In {
		w.slice(Dimension(d), v).Judged.Add(bad, o.Abstained || o.Flagged)
	}
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ErrForeign: two windows count different things.
var ErrForeign = errors.New("the windows are of different models or generations")

// Merge counts o's questions too. It stretches the window's time over o's. Windows
// of different models or generations are merged only where any says so.
func (w *Window) Merge(o *Window, any bool) error {
	if w.Model != o.Model || w.Generation != o.Generation {
		if !any {
			return fmt.Errorf("%w: %q on %s and %q on %s", ErrForeign, w.Model, w.Generation, o.Model, o.Generation)
		}
		w.Model, w.Generation = same(w.Model, o.Model), same(w.Generation, o.Generation)
	}
	if err := w.distinct.Merge(o.distinct); err != nil {
		return fmt.Errorf("merging windows: %w", err)
	}
	for i := range w.stages {
		if err := w.stages[i].MergeWith(o.stages[i]); err != nil {
			return fmt.Errorf("merging windows: %w", err)
		}
	}
	if o.From.Before(w.From) {
		w.From = o.From
	}
	if o.To.After(w.To) {
		w.To = o.To
	}
	w.Questions += o.Questions
	for f := range w.Bins {
		for i, n := range o.Bins[f] {
			w.Bins[f][i] += n
		}
	}
	w.Concordance.Merge(&o.Concordance)
	w.Explained.merge(o.Explained)
	for d := range w.Slices {
		mergeEach(w.Slices[d], o.Slices[d], (*Slice).merge)
	}
	for _, id := range slices.Sorted(maps.Keys(o.Spaces)) {
		if mine := w.space(id); mine != nil {
			mine.merge(o.Spaces[id])
		}
	}
	return nil
}

// same is what both are, or "*".
func same(a, b string) string {
	if a == b {
		return a
	}
	return "*"
}

// Clone is a copy that shares nothing.
func (w *Window) Clone() *Window {
	c := NewWindow(w.From, w.To, w.Model, w.Generation)
	if err := c.Merge(w, false); err != nil {
		panic(err) // of the same kind
	}
	return c
}

// Quantile of a stage's times in milliseconds, within 1 %; false where there is
// none.
func (w *Window) Quantile(stage string, q float64) (float64, bool) {
	i := slices.Index(Stages[:], stage)
	if i < 0 || w.stages[i].IsEmpty() {
		return 0, false
	}
	v, err := w.stages[i].GetValueAtQuantile(q)
	return v, err == nil
}

// Distinct is about how many questions differ.
func (w *Window) Distinct() int64 { return int64(w.distinct.Estimate()) }

// Total over a dimension, which each question is in once.
func (w *Window) Total() Slice {
	var t Slice
	for _, s := range w.Slices[Outcome] {
		t.merge(s)
	}
	return t
}

// Values of a dimension, sorted.
func (w *Window) Values(d Dimension) []string { return slices.Sorted(maps.Keys(w.Slices[d])) }

// centroidNames of the dimension Occupancy.
var centroidNames = func() (n [mostValues]string) {
	for i := range n {
		n[i] = "c" + strconv.Itoa(i)
	}
	return n
}()

// mergeEach adds the counts of each value in from to those in into.
func mergeEach[T any](into, from map[string]*T, merge func(into, from *T)) {
	for v, counts := range from {
		if into[v] == nil {
			into[v] = new(T)
		}
		merge(into[v], counts)
	}
}
