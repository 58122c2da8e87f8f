// Package extract answers a question with sentences of the passages found,
// verbatim. It needs no model, so it serves when there is none and when the
// GPU fails, and it says nothing where the passages do not answer.
//
// A sentence is weighed by the rare words that it shares with the question
// (inverse document frequency), with part of the credit for words in its
// heading and its neighbours, and by whether the question's number lies in a
// range that the sentence states: "eGFR of 40" meets "between 30 and 45".
package extract

import (
	"cmp"
	"slices"
	"strings"

	"rxedge/inference/quantity"
)

// Span is a half-open byte range in the section that a passage is part of.
type Span struct{ Start, End int }

// Passage is a candidate, as the index found it.
type Passage struct {
	SectionID string
	Heading   string
	Text      string // bytes [Base, Base+len(Text)) of the section
	Base      int
	Sentences []Span // in the section, in order, within the passage
	// About says that the document is about a medicine which the question names.
	About bool
}

func (p *Passage) sentence(i int) string {
	s := p.Sentences[i]
	return p.Text[s.Start-p.Base : s.End-p.Base]
}

// Lexicon is how the index sees words, so that question and sentence are cut
// as the search cut them.
type Lexicon interface {
	// Terms are the normalised words of a text, stop words left out.
	Terms(text string) []string
	// Weight of a term is its inverse document frequency; the greatest of all
	// for a term that no document has.
	Weight(term string) float64
	// Known says whether any document has the term.
	Known(term string) bool
}

// Options of an extraction; the zero value is what answers use.
type Options struct {
	MaxSentences int // 0: 4
	// MinCoverage is the share of the question's weight that a passage must
	// cover, MinAbout the same where the passage is about a medicine that the
	// question names; 0: the defaults.
	MinCoverage, MinAbout float64
	// Also is what words of the question stand for.
	Also []Also
	// Rest are passages about the medicine that are not looked at for an answer,
	// only for whether they speak of what was asked.
	Rest []Passage
	// MinAbsent is MinAbout where a thing asked about is in none of them.
	MinAbsent float64
}

// Also is another way to say some words of the question: a passage that has Say
// has Of, by Weight. With Weight 0 the words of Of say nothing and are left out.
type Also struct {
	Of, Say string
	Weight  float64
	// Thing: Of names something (a disease, a laboratory value, another
	// medicine, a way of giving it) that an answer must speak of.
	Thing bool
}

// Without a medicine that the documents know, much must agree before anything
// is said.
const (
	DefaultMinCoverage = 0.75
	DefaultMinAbout    = 0.15
	DefaultMinAbsent   = 0.35
	unknownShare       = 0.3
	presence           = 0.25 // of a thing: its class alone is enough
)

// What a sentence is worth beside its words, in mean weights of the question's
// words, and what each place in the search's order costs. Chosen on a coarse
// grid; half and twice as much find a little less.
const (
	stated    = 1.5  // it has a number of the kind asked for
	directing = 0.5  // it says what to do, and that was asked
	reporting = 0.3  // it tells of a trial
	behind    = 0.05 // a score is divided by 1 and this for each passage before
)

// Sentence is one that was chosen.
type Sentence struct {
	Passage int // index into the passages given
	Span
	Score float64 // 0..1, share of the question it answers
}

// Result of an extraction. Sentences is empty where the passages do not answer.
type Result struct {
	Sentences []Sentence
	// Coverage of the best passage: the share, by weight, of the question's
	// words that it holds.
	Coverage float64
	// Missing are the question's weightiest words that no document has at all,
	// Absent the things asked about that no passage about the medicine has.
	Missing, Absent []string
}

// filler words carry no subject in a pharmacist's question.
var filler = map[string]bool{}

func init() {
	for _, w := range strings.Fields(`pt pts patient patients ok okay please tell know need needed want give given giving
		take taking taken use used using start started starting begin begins drug drugs medicine medication label question
		many much long often high low far what when which who how why whether get got go goes going still safe
		yes no thing anything something someone best good bad mean means say says hi hello thanks allowed allow possible`) {
		filler[w] = true
	}
}

type question struct {
	terms   map[string]float64 // weight
	order   []string           // terms as they were asked: sums are the same every time
	words   map[string]string  // as asked, by term
	other   map[string][]other // ways to say a term
	total   float64
	numbers []quantity.Number
	wants   wants
}

// other is a phrase that stands for a term.
type other struct {
	terms  []string
	shares []float64 // of each term, by its weight; together 1
	weight float64
}

func read(text string, lex Lexicon, also []Also) question {
	q := question{terms: map[string]float64{}, words: map[string]string{}, other: map[string][]other{}, numbers: quantity.Numbers(text), wants: wantsOf(text)}
	skip := map[string]bool{}
	for _, w := range strings.Fields(text) {
		w = strings.Trim(w, ".,;:!?()[]\"'")
		for _, t := range lex.Terms(w) {
			q.words[t] = w
			if filler[strings.ToLower(w)] {
				skip[t] = true
			}
		}
	}
	q.also(lex, also, skip)
	for _, t := range lex.Terms(text) {
		// numbers are met by value, not by spelling
		if skip[t] || t == "" || t[0] >= '0' && t[0] <= '9' {
			continue
		}
		if _, ok := q.terms[t]; !ok {
			w := q.weight(t, lex)
			q.terms[t] = w
			q.order = append(q.order, t)
			q.total += w
		}
	}
	return q
}

// also takes in what words stand for; those that say nothing go to skip.
func (q *question) also(lex Lexicon, also []Also, skip map[string]bool) {
	for _, a := range also {
		of := lex.Terms(a.Of)
		if a.Weight <= 0 {
			for _, t := range of {
				skip[t] = true
			}
			continue
		}
		o := other{weight: a.Weight}
		sum := 0.0
		for _, t := range lex.Terms(a.Say) {
			w := lex.Weight(t)
			o.terms, o.shares = append(o.terms, t), append(o.shares, w)
			sum += w
		}
		if sum == 0 {
			continue
		}
		for i := range o.shares {
			o.shares[i] /= sum
		}
		for _, t := range of {
			q.other[t] = append(q.other[t], o)
		}
	}
}

// weight of a term; of one that no document has, that of what it stands for.
func (q *question) weight(t string, lex Lexicon) float64 {
	if lex.Known(t) {
		return lex.Weight(t)
	}
	most := 0.0
	for _, o := range q.other[t] {
		for _, s := range o.terms {
			if lex.Known(s) {
				most = max(most, lex.Weight(s))
			}
		}
	}
	if most > 0 {
		return most
	}
	return lex.Weight(t)
}

// known says whether any document has the term or what it stands for.
func (q *question) known(t string, lex Lexicon) bool {
	return lex.Known(t) || slices.ContainsFunc(q.other[t], func(o other) bool { return slices.ContainsFunc(o.terms, lex.Known) })
}

// has is how far a text with these terms has t, 0 to 1.
func (q *question) has(t string, terms map[string]bool) float64 {
	if terms[t] {
		return 1
	}
	most := 0.0
	for _, o := range q.other[t] {
		share := 0.0
		for i, s := range o.terms {
			if terms[s] {
				share += o.shares[i]
			}
		}
		most = max(most, o.weight*share)
	}
	return most
}

// Extract chooses the sentences of the passages (best passage first) that
// answer the question, each once, those of one section in their order. It is
// deterministic and keeps no state.
func Extract(text string, passages []Passage, lex Lexicon, opt Options) Result {
	if opt.MaxSentences == 0 {
		opt.MaxSentences = 4
	}
	if opt.MinCoverage == 0 {
		opt.MinCoverage = DefaultMinCoverage
	}
	if opt.MinAbout == 0 {
		opt.MinAbout = DefaultMinAbout
	}
	if opt.MinAbsent == 0 {
		opt.MinAbsent = DefaultMinAbsent
	}
	named := slices.ContainsFunc(passages, func(p Passage) bool { return p.About })
	q := read(text, lex, opt.Also)
	var res Result
	for _, t := range q.order {
		w := q.terms[t]
		if !q.known(t, lex) {
			// What no document says can't be found. Where the medicine is known
			// it is most often the asker's own word for something.
			if named {
				q.terms[t] = unknownShare * w
				q.total -= (1 - unknownShare) * w
			}
			res.Missing = append(res.Missing, cmp.Or(q.words[t], t))
		}
	}
	slices.Sort(res.Missing)
	res.Missing = slices.Compact(res.Missing)
	if q.total == 0 {
		return res
	}
	if named {
		res.Absent = absent(&q, passages, lex, opt)
	}
	if len(res.Absent) > 0 {
		opt.MinAbout = max(opt.MinAbout, opt.MinAbsent)
	}
	var found []Sentence
	for i := range passages {
		sentences, coverage := weigh(q, &passages[i], lex)
		res.Coverage = max(res.Coverage, coverage)
		// Where the question names a medicine, another one's label is no answer.
		if named && !passages[i].About || coverage < minimum(opt, &passages[i]) {
			continue
		}
		for _, s := range sentences {
			s.Passage = i
			// Of equal sentences the one in the passage that the search put
			// first is meant.
			s.Score /= 1 + behind*float64(i)
			found = append(found, s)
		}
	}
	res.Sentences = choose(found, passages, opt.MaxSentences)
	return res
}

// absent gives the things that the question names and no passage about its
// medicine does.
func absent(q *question, passages []Passage, lex Lexicon, opt Options) []string {
	var things []string
	for _, a := range opt.Also {
		if a.Thing && !slices.Contains(things, a.Of) {
			things = append(things, a.Of)
		}
	}
	for _, ps := range [][]Passage{passages, opt.Rest} {
		for i := range ps {
			if len(things) == 0 {
				return nil
			}
			if !ps[i].About {
				continue
			}
			terms := set(lex.Terms(ps[i].Heading + " " + ps[i].Text))
			things = slices.DeleteFunc(things, func(of string) bool {
				return !slices.ContainsFunc(lex.Terms(of), func(t string) bool { return q.has(t, terms) < presence })
			})
		}
	}
	return things
}

func minimum(opt Options, p *Passage) float64 {
	if p.About {
		return opt.MinAbout
	}
	return opt.MinCoverage
}

// weigh scores each sentence of p and says how much of the question p covers.
func weigh(q question, p *Passage, lex Lexicon) ([]Sentence, float64) {
	heading := set(lex.Terms(p.Heading))
	own := make([]map[string]bool, len(p.Sentences))
	all := map[string]bool{}
	for i := range p.Sentences {
		own[i] = set(lex.Terms(p.sentence(i)))
		for t := range own[i] {
			all[t] = true
		}
	}
	covered, rest, said := 0.0, 0.0, 0.0
	for _, t := range q.order {
		w := q.terms[t]
		h, in := q.has(t, heading), q.has(t, all)
		covered += w * max(h, in)
		rest += w * (1 - h)
		said += w * min(in, 1-h)
	}
	// That a label is about the medicine answers nothing: something else that
	// was asked must be in it, or in the section's title.
	if p.About && rest > 0 {
		covered = min(covered, q.total*said/rest)
	}
	out := make([]Sentence, len(p.Sentences))
	mean := q.total / float64(len(q.terms))
	for i, s := range p.Sentences {
		text, score, direct := p.sentence(i), 0.0, 0.0
		for _, t := range q.order {
			w := q.terms[t]
			here, near := q.has(t, own[i]), 0.6*q.has(t, heading)
			if i > 0 {
				near = max(near, 0.4*q.has(t, own[i-1]))
			}
			if i+1 < len(own) {
				near = max(near, 0.2*q.has(t, own[i+1]))
			}
			score += w * max(here, near)
			direct += w * here
		}
		met, missed := meets(q.numbers, text)
		score += 1.5 * mean * met
		if !missed && q.wants.number() && q.wants.states(quantity.Numbers(text)) {
			score += stated * mean
		}
		if q.wants.act && directs(text) {
			score += directing * mean
		}
		if !q.wants.share && reports(text) {
			score -= reporting * mean
		}
		// A sentence that shares no word of its own with the question answers
		// nothing, whatever its heading says.
		if direct == 0 {
			score *= 0.3
		}
		if len(own[i]) < 3 { // a heading or a table's lone cell
			score *= 0.5
		}
		out[i] = Sentence{Span: s, Score: score / (q.total + 1.5*mean)}
	}
	return out, covered / q.total
}

// meets is the share of the question's numbers that the sentence speaks of: an
// equal number, or a range or limit that holds it, in a unit that fits. missed:
// it has limits for them and none holds, so that it is about others.
func meets(numbers []quantity.Number, sentence string) (share float64, missed bool) {
	if len(numbers) == 0 {
		return 0, false
	}
	bounds := quantity.Bounds(sentence)
	have := quantity.Numbers(sentence)
	met, limits := 0.0, false
	for _, n := range numbers {
		limits = limits || slices.ContainsFunc(bounds, func(b quantity.Bound) bool { return fits(n.Unit, b.Unit) })
		switch {
		case slices.ContainsFunc(bounds, func(b quantity.Bound) bool { return fits(n.Unit, b.Unit) && b.Contains(n.Value) }):
			met++
		case slices.ContainsFunc(have, func(h quantity.Number) bool { return n.Unit != "" && n.Unit == h.Unit && n.Value == h.Value }):
			met += 0.7
		}
	}
	return met / float64(len(numbers)), limits && met == 0
}

// fits: a question often leaves the unit out ("eGFR of 40").
func fits(asked, stated string) bool {
	return asked == stated || asked == "" || strings.HasPrefix(stated, asked)
}

// choose takes the best sentence and those near it, then puts them in reading order.
func choose(found []Sentence, passages []Passage, limit int) []Sentence {
	slices.SortStableFunc(found, func(a, b Sentence) int { return cmp.Compare(b.Score, a.Score) })
	type place struct {
		section string
		start   int
	}
	seen := map[place]bool{}
	texts := map[string]bool{}
	var out []Sentence
	for _, s := range found {
		if len(out) == limit {
			break
		}
		p := &passages[s.Passage]
		at := place{p.SectionID, s.Start}
		body := strings.Join(strings.Fields(p.Text[s.Start-p.Base:s.End-p.Base]), " ")
		if seen[at] || texts[body] { // passages overlap, labels repeat themselves
			continue
		}
		if len(out) > 0 {
			near := 0.7
			if p.SectionID != passages[out[0].Passage].SectionID {
				near = 0.9
			}
			if s.Score < near*out[0].Score {
				continue
			}
		}
		seen[at], texts[body] = true, true
		out = append(out, s)
	}
	// The best section first, sentences of a section in the order it has them.
	order := map[string]int{}
	for i, s := range out {
		if id := passages[s.Passage].SectionID; order[id] == 0 {
			order[id] = i + 1
		}
	}
	slices.SortStableFunc(out, func(a, b Sentence) int {
		if c := cmp.Compare(order[passages[a.Passage].SectionID], order[passages[b.Passage].SectionID]); c != 0 {
			return c
		}
		return cmp.Compare(a.Start, b.Start)
	})
	return out
}

func set(terms []string) map[string]bool {
	m := make(map[string]bool, len(terms))
	for _, t := range terms {
		m[t] = true
	}
	return m
}
