// Package support judges without a language model whether a passage supports a
// claim, and how well it answers a question: features of the words, numbers,
// denials and medicines of both texts under a small trained forest. It is the
// Entailer and the Reranker of a box on which no such model is loaded.
//
// A claim whose numbers, limits, denials or medicines the passage does not bear
// out is never supported, however much else agrees. DESIGN.md says how it is
// trained and what it reaches, MODEL_CARD.md what it is good for.
package support

import (
	"context"

	"rxedge/inference"
)

// Name is its name, as the catalog would name it.
const Name = "rxedge-support"

// Checker implements inference.Entailer. Safe for concurrent use.
type Checker struct{ m *Model }

// Builtin is the checker that is built in.
func Builtin() *Checker { return &Checker{builtin()} }

// Of is a checker of a model that is not built in, for training it.
func Of(m *Model) *Checker { return &Checker{m} }

// Model implements inference.Entailer.
func (*Checker) Model() string { return Name }

// Threshold from which Entail counts as support.
const Threshold = 0.5

// Entail implements inference.Entailer. The premise is read in windows of one and
// two sentences. A premise of up to four sentences supports the claim where one of
// its windows does; a longer one is judged as a whole, by a forest of its own, and
// where every window conflicts with the claim it does not support it, whatever that
// forest says. A first line without an end of sentence is taken as the premise's
// heading, which names what the text calls "it". It reads texts of any length, gives
// no error but that of ctx, and no probability is NaN.
func (c *Checker) Entail(ctx context.Context, pairs []inference.Pair) ([]inference.Probabilities, error) {
	out := make([]inference.Probabilities, len(pairs))
	premises := map[string]*passage{}
	for i, p := range pairs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pass := premises[p.Premise]
		if pass == nil {
			pass = c.m.passage(p.Premise)
			premises[p.Premise] = pass
		}
		out[i] = c.m.entail(c.m.analyse(p.Hypothesis), pass)
	}
	return out, nil
}

// Judge gives the probabilities that a window of those features supports and
// that it contradicts the claim.
func (m *Model) Judge(x []float32) (entail, contradict float64) {
	return Resolve(x, m.Support.Score(x), m.Contradict.Score(x))
}

// Resolve lets a conflict weigh more than all that agrees: what it takes from
// support goes to contradiction as far as the two speak of the same.
func Resolve(x []float32, entail, contradict float64) (float64, float64) {
	if Conflicted(x) {
		low := capped(entail)
		contradict += (entail - low) * float64(x[fRecallHead])
		entail = low
	}
	return entail, min(contradict, 1-entail)
}

// ClaimVector gives the features of a claim beside a window of a passage, a
// sentence or two, under a heading that may be empty.
func (m *Model) ClaimVector(claim, window, heading string) []float32 {
	var h *text
	if heading != "" {
		h = m.analyse(heading)
	}
	return m.claimFeatures(m.analyse(claim), m.analyse(window), h)
}
