package answer

import (
	"cmp"
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/inference/extract"
	"rxedge/inference/quantity"
)

const (
	// minSupport is the share, by inverse document frequency, of a sentence's
	// words that its evidence must hold.
	minSupport = 0.75
	// rareShare of the greatest weight there is: a word as rare as this names
	// something (a medicine, a disease), and a claim that names what its
	// evidence does not is withheld, however much else agrees.
	rareShare = 0.6
	// maxCandidates are shown to the judge.
	maxCandidates = 4
)

// binder finds the words of the passages that a written sentence rests on. The
// model is never asked: what it says of its sources counts for nothing.
type binder struct {
	lex      extract.Lexicon
	subjects subjects
	rare     float64 // weight from which a word names something
	windows  []window
}

// unheard is a term that no document has: its weight is the greatest.
const unheard = "\x00"

// window is one sentence of a passage, or two that follow one another.
type window struct {
	hit        *index.Hit
	start, end int
	text       string
	terms      map[string]bool
	heading    map[string]bool
	negated    bool
}

func newBinder(hits []index.Hit, lex extract.Lexicon, subjects subjects) *binder {
	b := &binder{lex: lex, subjects: subjects, rare: rareShare * lex.Weight(unheard)}
	for i := range hits {
		h := &hits[i]
		heading := termSet(lex, h.DocumentTitle+" "+h.Passage.Heading)
		ss := h.Passage.Sentences
		for n := 1; n <= 2; n++ {
			for j := 0; j+n <= len(ss); j++ {
				w := window{hit: h, start: ss[j].Start, end: ss[j+n-1].End, heading: heading}
				w.text = h.Text[w.start-h.Passage.Start : w.end-h.Passage.Start]
				w.terms, w.negated = termSet(lex, quantity.Words(w.text)), negated(w.text)
				b.windows = append(b.windows, w)
			}
		}
	}
	return b
}

// candidates returns the windows that sentence may rest on, best first and few:
// its words must be there, every number with its unit, and its negation.
func (b *binder) candidates(sentence string) []*window {
	terms := termSet(b.lex, quantity.Words(sentence))
	if len(terms) < 2 {
		return nil
	}
	claimed, err := b.subjects.mentions(sentence)
	if err != nil { // the index can't be read: nothing is supported
		return nil
	}
	neg := negated(sentence)
	type scored struct {
		w *window
		s float64
	}
	var found []scored
	for i := range b.windows {
		w := &b.windows[i]
		if w.negated != neg {
			continue
		}
		s := b.support(terms, w)
		if s < minSupport || len(quantity.Missing(sentence, w.text)) > 0 || !b.subjects.covers(claimed, w.hit.SetID, w.text) {
			continue
		}
		found = append(found, scored{w, s})
	}
	// Of windows that support it equally the first is the shortest.
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(b.s, a.s) })
	out := make([]*window, 0, maxCandidates)
	for _, f := range found[:min(maxCandidates, len(found))] {
		out = append(out, f.w)
	}
	return out
}

// support weighs the claim's terms that the window holds; the heading names
// what the text calls "it".
func (b *binder) support(terms map[string]bool, w *window) float64 {
	have, all, direct := 0.0, 0.0, 0
	for t := range terms {
		weight := b.lex.Weight(t)
		all += weight
		switch {
		case w.terms[t]:
			have += weight
			direct++
		case w.heading[t]:
			have += weight
		case weight >= b.rare:
			return 0
		}
	}
	if all == 0 || direct == 0 {
		return 0
	}
	return have / all
}

func termSet(lex extract.Lexicon, text string) map[string]bool {
	m := map[string]bool{}
	for _, t := range lex.Terms(text) {
		if t != "" {
			m[t] = true
		}
	}
	return m
}

var negations = map[string]bool{
	"not": true, "no": true, "never": true, "avoid": true, "avoided": true, "contraindicated": true, "without": true,
	"cannot": true, "nor": true, "neither": true, "unless": true, "discontinue": true, "discontinued": true, "stop": true,
	"except": true, "unsafe": true, "prohibited": true,
}

// negated says whether a text forbids or denies. An even number of negations
// is not resolved: "not without" counts as negated, which can only withhold.
func negated(text string) bool {
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r == '\'' || r == '’')
	}) {
		if negations[w] || strings.HasSuffix(w, "n't") || strings.HasSuffix(w, "n’t") {
			return true
		}
	}
	return false
}
