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
	"math"
	"regexp"
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
	// Title of the section, without those above it.
	Title string
	// About says that the document is about a medicine which the question names.
	About bool
	// Label says that the document is about some medicine.
	Label bool
	// Asked, 0 to 1, is how far the question asks for this section.
	Asked float64
	// Aside: what the label says here it says better elsewhere (a leaflet for
	// patients, an account of studies).
	Aside bool
	// Grave: a boxed warning or a contraindication.
	Grave bool
	// Names are the medicines and classes of the question that this document is
	// about, as they were typed.
	Names []string
	// Partners are the other medicines of the question, which this document is
	// not about, as they were typed.
	Partners []string
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
	weakest            = 0.62 // sum of coverage and of the best sentence's score
	faintest           = 0.15 // score of the best sentence
	likeness           = 0.7  // of words of one stem
	unknownShare       = 0.3
	presence           = 0.25 // of a thing: its class alone is enough
)

// What a sentence is worth beside its words, in mean weights of the question's
// words, and what each place in the search's order costs. Chosen on a coarse
// grid; half and twice as much find a little less.
const (
	stated    = 1.5  // it has a number of the kind asked for
	directing = 0.5  // it says what to do, and that was asked
	reporting = 0.6  // it tells of a trial
	behind    = 0.05 // a score is divided by 1 and this for each passage before
	starting  = 0.8  // it states the dose to begin with, and that was asked
	meant     = 0.8  // it speaks of the patients asked about
	partnered = 0.8  // it names the other medicine
)

// What a score is multiplied by.
const (
	others    = 0.5  // it speaks of other patients alone
	unasked   = 0.85 // it speaks of a special group, and none was asked about
	beside    = 0.7  // it leaves out the kidneys, the liver or the pregnancy asked about
	alone     = 0.5  // it leaves out the other medicine
	aside     = 0.8
	inSection = 0.25 // is added for a section that is asked for
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
	// Unmet: nothing chosen speaks of the patients or of the other medicine that
	// the question names, so that more passages are worth a look.
	Unmet bool
	// Plain: a simple lookup that the sentences answer; no model could add to them.
	Plain bool
	// Rival is the score of the best sentence of a section that none was chosen
	// from, as a share of the best chosen, 2 at most; Stated is 1 where a number of
	// the kind asked for was chosen, 0 where none was, 0.5 where none was asked for.
	Rival, Stated float64
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
		yes no ask asks asked asking thing anything something someone frequent frequently often doc doctor doctors prescriber physician nurse caller mom dad best good bad mean means say says hi hello thanks allowed allow possible
		himself herself themselves myself yourself work night today tonight tomorrow yesterday now booked scheduled drawn confirmed happen happens usually typically`) {
		filler[w] = true
	}
}

// instead is what a question sets aside: "40 rather than 10-20".
var instead = regexp.MustCompile(`(?i)\b(?:rather than|instead of)\b[^,;.?]*`)

// howAsked are the words by which a number is asked for; they are no subject.
var howAsked = regexp.MustCompile(`(?i)\bhow (?:common|likely|frequent|frequently|often|soon|long|late|early|fast|quickly)\b`)

type question struct {
	text    string
	terms   map[string]float64 // weight
	order   []string           // terms as they were asked: sums are the same every time
	words   map[string]string  // as asked, by term
	other   map[string][]other // ways to say a term
	total   float64
	rest    float64 // of total, without unknown words and the medicine's names
	numbers []quantity.Number
	wants   wants
	patient patient
	kin     map[string][]string // terms of the passages that have a question's term's stem
	doses   []string            // ways to say dose, which no stem joins
	looked  map[string]bool     // terms of the passages that kin was sought for
	cut     map[string][]string // words of the other medicines, by how they were typed
	event   []string            // terms of what a share is asked of
	bare    bool                // nothing but a medicine's dose is asked for
	pairs   bool                // nothing but what a medicine interacts with
}

// other is a phrase that stands for a term.
type other struct {
	terms  []string
	shares []float64 // of each term, by its weight; together 1
	weight float64
}

func read(text string, lex Lexicon, also []Also) question {
	q := question{text: text, terms: map[string]float64{}, words: map[string]string{}, other: map[string][]other{}, cut: map[string][]string{}, kin: map[string][]string{}, looked: map[string]bool{},
		numbers: quantity.Numbers(instead.ReplaceAllString(text, "")), wants: wantsOf(text), patient: patientOf(text)}
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
	// A medicine and how old the patient is: how much is meant.
	if !math.IsNaN(q.patient.age) && !q.wants.number() && !q.wants.act {
		q.wants.dose = true
	}
	for _, asking := range []*regexp.Regexp{ageAsked, howAsked} {
		for _, m := range asking.FindAllString(text, -1) {
			for _, t := range lex.Terms(m) {
				skip[t] = true
			}
		}
	}
	q.also(lex, also, skip)
	for _, t := range lex.Terms(text) {
		// numbers are met by value, not by spelling
		if skip[t] || len(t) < 2 || t[0] >= '0' && t[0] <= '9' {
			continue
		}
		if _, ok := q.terms[t]; !ok {
			w := q.weight(t, lex)
			q.terms[t] = w
			q.order = append(q.order, t)
			q.total += w
		}
	}
	q.doses = lex.Terms("dose dosage dosing")
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

// akin finds the terms that differ from one of the question's in their ends
// alone: edema and edematous, which the index's stemmer keeps apart.
func (q *question) akin(terms map[string]bool) {
	for s := range terms {
		if q.looked[s] {
			continue
		}
		q.looked[s] = true
		for _, t := range q.order {
			if t != s && oneStem(s, t) {
				q.kin[t] = append(q.kin[t], s)
			}
		}
	}
}

func oneStem(a, b string) bool {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	short, long := min(len(a), len(b)), max(len(a), len(b))
	return n == short && n >= 5 && long-n <= 3 || n >= 6 && long-n <= 2
}

// has is how far a text with these terms has t, 0 to 1.
func (q *question) has(t string, terms map[string]bool) float64 {
	if terms[t] {
		return 1
	}
	most := 0.0
	for _, a := range q.kin[t] {
		if terms[a] {
			most = likeness
			break
		}
	}
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

// Asks are the patients that a question is about, by the names that the index
// gives its cues: pediatric, geriatric, renal, hepatic, pregnancy, lactation; and
// "dose" where one is asked for in so many words.
func Asks(question string) []string {
	var out []string
	groups := patientOf(question).groups
	for _, g := range []struct {
		p    population
		name string
	}{{child, "pediatric"}, {elderly, "geriatric"}, {renal, "renal"}, {hepatic, "hepatic"}, {pregnancy, "pregnancy"}, {lactation, "lactation"}} {
		if groups&g.p != 0 {
			out = append(out, g.name)
		}
	}
	if wantsOf(question).amount {
		out = append(out, "dose")
	}
	return out
}

// Extract chooses the sentences of the passages (best passage first) that
// answer the question, each once, those of one section in their order. It is
// deterministic and keeps no state.
func Extract(text string, passages []Passage, lex Lexicon, opt Options) Result {
	opt.defaults()
	named := slices.ContainsFunc(passages, func(p Passage) bool { return p.About })
	q := read(text, lex, opt.Also)
	if q.pairs = named && q.asksPairs(passages); q.pairs {
		q.wants.act = true
		q.ungraded()
	}
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
	for i := range passages {
		for _, names := range [][]string{passages[i].Partners, passages[i].Names} {
			for _, n := range names {
				if q.cut[n] == nil {
					q.cut[n] = lex.Terms(n)
				}
			}
		}
	}
	q.rest = q.total
	for _, t := range q.order { // a sum in one order: the same question has the same answer
		w := q.terms[t]
		if !lex.Known(t) || slices.ContainsFunc(passages, func(p Passage) bool {
			return slices.ContainsFunc(p.Names, func(n string) bool { return slices.Contains(q.cut[n], t) })
		}) {
			q.rest -= w
		}
	}
	q.event, q.bare = q.eventOf(), q.bareDose(text)
	if named {
		res.Absent = absent(&q, passages, lex, opt)
	}
	if len(res.Absent) > 0 {
		opt.MinAbout = max(opt.MinAbout, opt.MinAbsent)
	}
	abbr := abbreviations(func(yield func(string)) {
		for i := range passages {
			yield(passages[i].Text)
		}
	})
	c := chooser{q: &q, passages: passages, limit: opt.MaxSentences}
	for i := range passages {
		// Where the question names a medicine, another one's label is no answer.
		// And where it asks for a dose and names none, no label is.
		if named && !passages[i].About || !named && q.wants.amount && passages[i].Label {
			continue
		}
		candidates, coverage := weigh(&q, &passages[i], lex, abbr)
		res.Coverage = max(res.Coverage, coverage)
		if coverage < minimum(opt, &passages[i]) {
			continue
		}
		for _, s := range candidates {
			s.Passage = i
			// Of equal sentences the one in the passage that the search put
			// first is meant.
			s.Score /= 1 + behind*float64(i)
			c.found = append(c.found, s)
		}
	}
	if named {
		if way := q.unspokenWay(text, passages, opt.Rest); way != "" {
			res.Absent = append(res.Absent, way)
			return res
		}
		if unspoken := q.unspoken(text, passages, opt.Rest, lex); len(unspoken) > 0 {
			res.Absent = append(res.Absent, unspoken...)
			return res
		}
		if unheard := q.unheard(passages, opt.Rest, lex); len(unheard) > 0 {
			res.Absent = append(res.Absent, unheard...)
			return res
		}
	}
	chosen := c.choose()
	if named && q.listsForbidden(text, passages) {
		if all := forbidden(passages); len(all) > 0 {
			res.Sentences = all
			return res
		}
	}
	// Little of the question in the passages, and little of it in the sentence.
	if named && len(c.found) > 0 && (c.found[0].Score+res.Coverage < weakest || c.found[0].Score < faintest) {
		return res
	}
	res.Rival, res.Stated = c.rival(), c.stated()
	res.Unmet = named && c.unmet()
	if missing, ok := c.answers(); !ok {
		for _, g := range groupNames {
			if missing&g.p != 0 {
				res.Absent = append(res.Absent, g.name)
			}
		}
		return res
	}
	res.Plain = named && c.plain(&res)
	for _, s := range chosen {
		res.Sentences = append(res.Sentences, s.Sentence)
	}
	return res
}

func (o *Options) defaults() {
	o.MaxSentences = cmp.Or(o.MaxSentences, 4)
	o.MinCoverage = cmp.Or(o.MinCoverage, DefaultMinCoverage)
	o.MinAbout = cmp.Or(o.MinAbout, DefaultMinAbout)
	o.MinAbsent = cmp.Or(o.MinAbsent, DefaultMinAbsent)
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
