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
	"strings"

	"github.com/clipperhouse/uax29/v2/sentences"

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

// Entail implements inference.Entailer. The premise is read in windows of one
// and two sentences, and the claim is supported where one of them supports it. A
// first line without an end of sentence is taken as the premise's heading, which
// names what the text calls "it". It reads texts of any length.
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

func (m *Model) entail(claim *text, p *passage) inference.Probabilities {
	entail, contradict := 0.0, 0.0
	for _, w := range p.windows(claim, m) {
		x := m.claimFeatures(claim, w, p.heading)
		e, c := m.Judge(x)
		entail, contradict = max(entail, e), max(contradict, c)
	}
	contradict = min(contradict, 1-entail)
	return inference.Probabilities{Entail: float32(entail), Contradict: float32(contradict), Neutral: float32(1 - entail - contradict)}
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

// passage is a premise in sentences.
type passage struct {
	whole     *text // without the heading
	heading   *text // nil where there is none
	sentences []*text
	joined    map[int]*text // sentences i and i+1 as one
}

// maxHeading is the longest first line that is taken for a heading, in bytes.
const maxHeading = 300

func (m *Model) passage(s string) *passage {
	p := &passage{joined: map[int]*text{}}
	if head, rest, ok := strings.Cut(s, "\n"); ok && len(head) <= maxHeading && !strings.HasSuffix(strings.TrimSpace(head), ".") && strings.TrimSpace(rest) != "" {
		p.heading, s = m.analyse(head), rest
	}
	p.whole = m.analyse(s)
	it := sentences.FromString(s)
	for it.Next() {
		if v := strings.TrimSpace(it.Value()); v != "" {
			p.sentences = append(p.sentences, m.analyse(v))
		}
	}
	return p
}

// looked is how many sentences and how many pairs of them are looked at closely.
const looked = 6

// windows gives the sentences, and the pairs of them, that share most with the
// claim.
func (p *passage) windows(claim *text, m *Model) []*text {
	best := func(n int, overlap func(i int) float64) []int {
		type scored struct {
			i int
			v float64
		}
		var top []scored
		for i := range n {
			s := scored{i, overlap(i)}
			at := len(top)
			for at > 0 && top[at-1].v < s.v {
				at--
			}
			if at < looked {
				top = append(top[:at], append([]scored{s}, top[at:]...)...)
				top = top[:min(len(top), looked)]
			}
		}
		is := make([]int, len(top))
		for k, s := range top {
			is[k] = s.i
		}
		return is
	}
	shared := func(ts ...*text) float64 {
		sum := 0.0
		for _, s := range claim.stems {
			for _, t := range ts {
				if t.has[s] > 0 {
					sum += m.Words.weight(s)
					break
				}
			}
		}
		return sum
	}
	var out []*text
	for _, i := range best(len(p.sentences), func(i int) float64 { return shared(p.sentences[i]) }) {
		out = append(out, p.sentences[i])
	}
	for _, i := range best(len(p.sentences)-1, func(i int) float64 { return shared(p.sentences[i], p.sentences[i+1]) }) {
		j := p.joined[i]
		if j == nil {
			j = m.analyse(p.sentences[i].raw + " " + p.sentences[i+1].raw)
			p.joined[i] = j
		}
		out = append(out, j)
	}
	return out
}

// PassageVector gives the features of a claim beside a whole passage: those of a
// question beside it, and those of the window that shares most with the claim.
func (m *Model) PassageVector(claim, premise string) []float32 {
	c, p := m.analyse(claim), m.passage(premise)
	return m.passageFeatures(c, p)
}

func (m *Model) passageFeatures(c *text, p *passage) []float32 {
	x := m.questionFeatures(c, p)
	ws := p.windows(c, m)
	best, second := []float32(nil), []float32(nil)
	for _, w := range ws {
		f := m.claimFeatures(c, w, p.heading)
		if best == nil || f[fSoft] > best[fSoft] {
			best, second = f, best
		} else if second == nil || f[fSoft] > second[fSoft] {
			second = f
		}
	}
	if best == nil {
		best = make([]float32, claimFeatures)
	}
	if second == nil {
		second = best
	}
	x = append(x, best...)
	x = append(x, second[fSoft], second[fDirection], second[fObject])
	whole := m.claimFeatures(c, p.whole, p.heading)
	return append(x, whole[fRecallHead], whole[fMaxMissing], whole[fRare], whole[fSoft], whole[fPairs], whole[fFinds], whole[fNumbersMissing], whole[fShort], whole[fDirection])
}
