package support

import (
	"strings"

	"github.com/clipperhouse/uax29/v2/sentences"

	"rxedge/inference"
)

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
			j.seam = len(p.sentences[i].raw) + 1
			p.joined[i] = j
		}
		out = append(out, j)
	}
	return out
}

// windowed is how many sentences a premise may have that is judged by its best
// window alone: what a claim of an answer is bound to is shorter.
const windowed = 4

// leastStems is how many words a claim must have to say anything that a whole passage
// could bear out: all of it has one word.
const leastStems = 2

func (m *Model) entail(claim *text, p *passage) inference.Probabilities {
	j := m.closely(claim, p)
	entail := j.entail
	if len(p.sentences) > windowed {
		j.free = j.free && len(claim.stems) >= leastStems
		entail = j.whole(m.Passages.Score(m.passageFeatures(claim, p, j)))
	}
	contradict := min(j.contradict, 1-entail)
	return inference.Probabilities{Entail: float32(entail), Contradict: float32(contradict), Neutral: float32(1 - entail - contradict)}
}

// reading is what the windows of a passage say of a claim.
type reading struct {
	entail, contradict float64   // the most that one says
	best               []float32 // features of the window that shares most with the claim
	free               bool      // one of them does not conflict with it
}

func (m *Model) closely(claim *text, p *passage) (j reading) {
	for _, w := range p.windows(claim, m) {
		x := m.claimFeatures(claim, w, p.heading)
		e, c := m.Judge(x)
		j.entail, j.contradict = max(j.entail, e), max(j.contradict, c)
		j.free = j.free || !Conflicted(x)
		if j.best == nil || x[fSoft] > j.best[fSoft] {
			j.best = x
		}
	}
	if j.best == nil {
		j.best = make([]float32, claimFeatures)
	}
	return j
}

// whole presses what the forest of passages says under the ceiling where every
// window conflicts with the claim.
func (j *reading) whole(p float64) float64 {
	if !j.free {
		return capped(p)
	}
	return p
}

// passageFeatures of a claim beside a whole passage: those of a question beside it,
// of the window that shares most, and of all its words as one window.
const passageFeatures = questionFeatures + 2*claimFeatures

func (m *Model) passageFeatures(c *text, p *passage, j reading) []float32 {
	x := append(m.questionFeatures(c, p), j.best...)
	return append(x, m.claimFeatures(c, p.whole, p.heading)...)
}

// Premise is a passage that has been read, for training.
type Premise struct{ p *passage }

// Premise reads a passage. What is read is of any model with the same words.
func (m *Model) Premise(s string) *Premise { return &Premise{m.passage(s)} }

// PassageVector gives the features of a claim beside a whole passage, what its best
// window says of it, and whether every window conflicts with it, for training.
func (m *Model) PassageVector(claim string, p *Premise) (x []float32, window float64, conflict bool) {
	c := m.analyse(claim)
	j := m.closely(c, p.p)
	return m.passageFeatures(c, p.p, j), j.entail, !j.free
}

// ResolvePassage is Resolve for a whole passage.
func ResolvePassage(conflict bool, p float64) float64 {
	j := reading{free: !conflict}
	return j.whole(p)
}
