package answer

import (
	"cmp"
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/inference/alignment"
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
	// slack in the share of the claim that evidence may have less than the best.
	slack = 0.05
)

// binder finds the words of the passages that a written sentence rests on. The
// model is never asked: what it says of its sources counts for nothing.
type binder struct {
	lex      extract.Lexicon
	subjects subjects
	rare     float64 // weight from which a word names something
	windows  []window
	stems    map[string]string // by word
}

// unheard is a term that no document has: its weight is the greatest.
const unheard = "\x00"

// window is one sentence of a passage, or two that follow one another.
type window struct {
	hit        *index.Hit
	start, end int
	text       string // as it stands
	plain      string // as it is compared
	terms      map[string]bool
	heading    *heading
	negated    bool
	read       *alignment.Text // nil: not yet
}

// heading of a passage names what its text calls "it".
type heading struct {
	text  string
	terms map[string]bool
	read  *alignment.Text
}

func newBinder(hits []index.Hit, lex extract.Lexicon, subjects subjects) *binder {
	b := &binder{lex: lex, subjects: subjects, rare: rareShare * lex.Weight(unheard), stems: map[string]string{}}
	for i := range hits {
		h := &hits[i]
		head := &heading{text: alignment.Canonical(flow(h.DocumentTitle + " " + h.Passage.Heading))}
		head.terms = termSet(lex, head.text)
		ss := h.Passage.Sentences
		for n := 1; n <= 2; n++ {
			for j := 0; j+n <= len(ss); j++ {
				w := window{hit: h, start: ss[j].Start, end: ss[j+n-1].End, heading: head}
				w.text = h.Text[w.start-h.Passage.Start : w.end-h.Passage.Start]
				w.plain = alignment.Canonical(flow(w.text))
				w.terms, w.negated = termSet(lex, quantity.Words(w.plain)), negated(w.plain)
				b.windows = append(b.windows, w)
			}
		}
	}
	return b
}

// Stem implements alignment.Words.
func (b *binder) Stem(word string) string {
	s, ok := b.stems[word]
	if !ok {
		if ts := b.lex.Terms(word); len(ts) > 0 {
			s = ts[0]
		}
		b.stems[word] = s
	}
	return s
}

// Weight implements alignment.Words.
func (b *binder) Weight(stem string) float64 { return b.lex.Weight(stem) }

// aligned reads a text for a comparison word by word.
func (b *binder) aligned(text string) (*alignment.Text, error) {
	said, err := b.subjects.snap.Mentions(text)
	if err != nil {
		return nil, err
	}
	names := make([]alignment.Name, 0, len(said))
	for _, s := range said {
		if !s.Substance {
			names = append(names, alignment.Name{Start: s.Start, End: s.End, Medicine: s.Name})
		}
	}
	slices.SortFunc(names, func(a, b alignment.Name) int { return cmp.Compare(a.Start, b.Start) })
	return alignment.Read(text, b, names), nil
}

// candidates returns the windows that sentence may rest on, best first and few:
// its words must be there, every number with its unit, its denials, and nothing of
// it in the place of something else. None where the index can't be read.
func (b *binder) candidates(sentence string) []*window {
	sentence = alignment.Canonical(sentence)
	terms := termSet(b.lex, quantity.Words(sentence))
	if len(terms) < 2 {
		return nil
	}
	claimed, err := b.subjects.mentions(sentence)
	if err != nil {
		return nil
	}
	neg := negated(sentence)
	claim, err := b.aligned(sentence)
	if err != nil {
		return nil
	}
	type compared struct {
		w  *window
		r  alignment.Result
		ok bool
	}
	var found []compared
	most := 0.0
	for i := range b.windows {
		w := &b.windows[i]
		if b.support(terms, w) < minSupport {
			continue
		}
		r, err := b.compare(claim, w)
		if err != nil {
			return nil
		}
		ok := r.Conflict == "" && w.negated == neg && len(quantity.Missing(sentence, w.plain)) == 0 && !extract.OfOthers(sentence, w.plain) && b.subjects.covers(claimed, w.hit.SetID, w.text)
		found = append(found, compared{w, r, ok})
		most = max(most, r.Share)
	}
	// Of windows that have as much of it the first is the shortest.
	slices.SortStableFunc(found, func(a, b compared) int { return cmp.Compare(b.r.Share, a.r.Share) })
	var out []*window
	for i, f := range found {
		// The evidence that has most of the claim decides: where that speaks against
		// it, neither what has less of it makes that good, nor its neighbour.
		against := func(o compared) bool { return !o.ok && o.w != f.w && f.w.contains(o.w) }
		if !f.ok || f.r.Share < most-slack || slices.ContainsFunc(found[:i], against) {
			continue
		}
		if out = append(out, f.w); len(out) == maxCandidates {
			break
		}
	}
	return out
}

// contains says whether o is the same part of the section, or within it.
func (w *window) contains(o *window) bool {
	return w.hit.Passage.SectionID == o.hit.Passage.SectionID && w.start <= o.start && o.end <= w.end
}

// compare the claim with a window word by word.
func (b *binder) compare(claim *alignment.Text, w *window) (r alignment.Result, err error) {
	if w.read == nil {
		if w.read, err = b.aligned(w.plain); err != nil {
			return r, err
		}
	}
	if w.heading.read == nil {
		if w.heading.read, err = b.aligned(w.heading.text); err != nil {
			return r, err
		}
	}
	return alignment.Compare(claim, w.read, w.heading.read), nil
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
		case w.heading.terms[t]:
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
