// Package telemetry counts what a box's answers are like: numbers in windows of
// time that can be merged, and never a word that a person wrote. DESIGN.md says
// what is counted, what leaves the box and what can't.
package telemetry

import (
	"rxedge/daemon/answer"
	"rxedge/daemon/answer/grade"
)

// Feature is a number of each question.
type Feature int

// Features. Their order is the encoding's: new ones go to the end, with a new
// Schema.
const (
	QuestionWords Feature = iota
	QuestionNumbers
	Medicines // that the question names
	Unknown   // things that it names and no document covers
	TopScore  // of the best passage
	Margin    // of it over the best of another section, as a share
	Agreement // of words and vectors about the passage cited, 0 to 1
	Support   // the judge's least score of a claim
	Doubt     // the guard's probability that the answer is wrong
	AnswerWords
	Claims
	Withheld
	LabelAge // years, of the oldest label cited
	Latency  // milliseconds in all
	features
)

// definition of a feature: its bins are the same on every box and for good, so
// that histograms of any two can be merged and compared.
type definition struct {
	name  string
	text  string
	edges []float64 // bin i holds edges[i−1] ≤ v < edges[i]
}

func steps(from, step float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = from + float64(i)*step
	}
	return out
}

var definitions = [features]definition{
	QuestionWords:   {"question_words", "words of the question", append(steps(2, 1, 24), 30, 35, 40, 50, 75, 100)},
	QuestionNumbers: {"question_numbers", "numbers in the question", steps(1, 1, 6)},
	Medicines:       {"medicines", "medicines that the question names", steps(1, 1, 6)},
	Unknown:         {"unknown", "things asked about that no document covers", steps(1, 1, 5)},
	TopScore:        {"top_score", "score of the best passage", steps(0.02, 0.02, 60)},
	Margin:          {"margin", "its lead over another section", steps(0.02, 0.02, 49)},
	Agreement:       {"agreement", "agreement of words and vectors", steps(0.02, 0.02, 49)},
	Support:         {"support", "the judge's least score of a claim", append(steps(0.02, 0.02, 49), 0.99, 1)},
	Doubt:           {"doubt", "the guard's doubt", steps(0.02, 0.02, 49)},
	AnswerWords:     {"answer_words", "words of the answer", append(steps(1, 4, 30), 125, 150, 200, 300)},
	Claims:          {"claims", "sentences of the answer", steps(1, 1, 10)},
	Withheld:        {"withheld", "sentences withheld", steps(1, 1, 8)},
	LabelAge:        {"label_age", "age of the oldest label, years", steps(0.25, 0.25, 48)},
	Latency:         {"latency", "milliseconds to the answer", []float64{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 10000, 15000, 20000, 30000, 60000}},
}

// String is the feature's name in reports.
func (f Feature) String() string { return definitions[f].name }

// Text says what it is.
func (f Feature) Text() string { return definitions[f].text }

// Edges of its bins.
func (f Feature) Edges() []float64 { return definitions[f].edges }

// Features there are.
func Features() []Feature {
	out := make([]Feature, features)
	for i := range out {
		out[i] = Feature(i)
	}
	return out
}

// Dimension is something by which questions are told apart, with words of our
// own or of the documents as its values.
type Dimension int

// Dimensions, in the order of the encoding.
const (
	Outcome   Dimension = iota // answered, or the reason why not
	Kind                       // what the question asks about: dose, renal, …
	Section                    // LOINC code of the section cited first
	Class                      // of the medicine
	Mode                       // who wrote
	Fallback                   // what failed on the way
	Severity                   // of the answer
	Cached                     // kept from before
	Cohort                     // as the client says, of those that the box tells apart
	Occupancy                  // centroid that the question is nearest to
	dimensions
)

var dimensionNames = [dimensions]string{"outcome", "kind", "section", "class", "mode", "fallback", "severity", "cached", "cohort", "occupancy"}

// String is the dimension's name in reports.
func (d Dimension) String() string { return dimensionNames[d] }

// Dimensions there are.
func Dimensions() []Dimension {
	out := make([]Dimension, dimensions)
	for i := range out {
		out[i] = Dimension(i)
	}
	return out
}

// None is the value of a dimension of which a question has none, Other of those
// for which there was no room, Failed the outcome of a question that ended in an
// error.
const (
	None   = "none"
	Other  = "other"
	Failed = "failed"
)

// mostValues of a dimension in a window; what comes after is Other.
const mostValues = 128

// Stages whose times are kept as quantile sketches, in the order of the encoding.
var Stages = [...]string{"queue", "embed", "retrieve", "rerank", "generate", "verify", "total"}

func stagesOf(t answer.Timings) [len(Stages)]float64 {
	return [...]float64{t.Queue, t.Embed, t.Retrieve, t.Rerank, t.Generate, t.Verify, t.Total}
}

// known values of dimensions that are closed; others are never taken as they are.
var known = map[Dimension]map[string]bool{
	Outcome:  set(answer.StatusAnswered, Failed, answer.ReasonNoEvidence, answer.ReasonUnverified, answer.ReasonStale, answer.ReasonUnsafe, "conflicting"),
	Mode:     set(answer.ModeExtractive, answer.ModeGenerated),
	Fallback: set(answer.FallbackWords, answer.FallbackOrder, answer.FallbackExtract, answer.FallbackCut, answer.FallbackGeneration, answer.FallbackEarlier),
	Severity: set(grade.BoxedWarning, grade.Contraindication, grade.Warning, grade.Caution),
	Cached:   set("yes", "no"),
}

// Known says whether a value is one of those that a closed dimension can have.
func Known(d Dimension, value string) bool { return known[d][value] }

func set(words ...string) map[string]bool {
	m := map[string]bool{None: true, Other: true}
	for _, w := range words {
		m[w] = true
	}
	return m
}
