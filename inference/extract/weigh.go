package extract

import (
	"regexp"
	"slices"
	"strings"

	"rxedge/inference/quantity"
)

// candidate is a sentence with what it is chosen by.
type candidate struct {
	Sentence
	index  int // of the sentence in its passage
	direct map[string]float64
	groups population // that it speaks of, itself or by its heading
	states bool       // a number of the kind asked for
	shares bool       // how common the thing is that was asked about
	dosing bool       // an amount of a medicine
	acts   bool
	fits   bool // its patients are those asked about
	// It gives a dose to ages that leave the patient out.
	excludes bool
	// It gives a dose to children, failing kidneys or a failing liver, and none of
	// those was asked about; silent: without naming them itself.
	special, silent bool
	// It names the other medicines of the question, or there are none.
	partnered bool
}

// tried are sections that tell what was given to people, not what to give them.
var tried = regexp.MustCompile(`(?i)adverse|clinical (?:studies|trials|pharmacology)|pharmacokinetics|pharmacodynamics|overdosage|nonclinical|toxicology`)

var studied = regexp.MustCompile(`(?i)clinical (?:studies|trials|pharmacology)|pharmacokinetics|pharmacodynamics|nonclinical|toxicology`)

// together is how labels begin what holds beside another medicine.
var together = regexp.MustCompile(`(?i)\b(?:(?:in|for) patients (?:taking|receiving|treated with|on)|co-?administ|concomitant|in combination with|added to)`)

var animals = regexp.MustCompile(`(?i)\b(?:rats?|mice|mouse|rabbits?|dogs?|monkeys?|animals?|hamsters?|AUC|human (?:dose|exposure)|systemic exposure)\b`)

var impaired = regexp.MustCompile(`(?i)impair|insufficien|failure|disease|dysfunction|cirrho|dialysis|clearance|Child-Pugh|\bC(?:r|l)Cl\b`)

// sentences of a passage as words.
type read1 struct {
	heading map[string]bool
	own     []map[string]bool
	all     map[string]bool
}

func readPassage(p *Passage, lex Lexicon, abbr map[string]string, doses []string) read1 {
	r := read1{heading: set(lex.Terms(p.Heading)), own: make([]map[string]bool, len(p.Sentences)), all: map[string]bool{}}
	for i := range p.Sentences {
		// Child-Pugh is no child.
		r.own[i] = set(lex.Terms(childPugh.ReplaceAllString(expand(p.sentence(i), abbr), "Pugh")))
		if slices.ContainsFunc(doses, func(d string) bool { return r.own[i][d] }) {
			for _, d := range doses {
				r.own[i][d] = true
			}
		}
		for t := range r.own[i] {
			r.all[t] = true
		}
	}
	return r
}

// weigh scores each sentence of p and says how much of the question p covers.
func weigh(q *question, p *Passage, lex Lexicon, abbr map[string]string) ([]candidate, float64) {
	r := readPassage(p, lex, abbr, q.doses)
	// The whole document is about its medicine, whatever that is called.
	q.akin(r.all)
	named := map[string]bool{}
	for _, n := range p.Names {
		for _, t := range q.cut[n] {
			named[t], r.heading[t] = true, true
		}
	}
	covered, rest, said := 0.0, 0.0, 0.0
	for _, t := range q.order {
		w := q.terms[t]
		h, in := q.has(t, r.heading), q.has(t, r.all)
		covered += w * max(h, in)
		rest += w * (1 - h)
		said += w * min(in, 1-h)
	}
	mean := q.total / float64(len(q.terms))
	own, scope := scopes(p)
	out := make([]candidate, len(p.Sentences))
	most, groups, states := 0.0, population(0), false
	for i, s := range p.Sentences {
		groups |= own[i]
		text, score := p.sentence(i), 0.0
		c := candidate{index: i, direct: map[string]float64{}, groups: own[i]}
		if c.groups&ages == 0 || own[i] == 0 {
			c.groups |= scope[i]
		}
		direct := 0.0
		for _, t := range q.order {
			w := q.terms[t]
			if named[t] {
				score += w * (0.6 + 0.1*q.has(t, r.own[i]))
				continue
			}
			here, near := q.has(t, r.own[i]), 0.6*q.has(t, r.heading)
			if i > 0 {
				near = max(near, 0.4*q.has(t, r.own[i-1]))
			}
			if i+1 < len(r.own) {
				near = max(near, 0.2*q.has(t, r.own[i+1]))
			}
			score += w * max(here, near)
			if here > 0 {
				c.direct[t] = here
			}
			direct += w * here
		}
		met, missed := q.meets(text)
		most = max(most, met)
		score += 1.5 * mean * met
		numbers := quantity.Numbers(text)
		c.dosing = slices.ContainsFunc(numbers, dosing)
		c.states = q.wants.number() && q.wants.states(numbers, text)
		if c.states && q.wants.amount && !q.wants.share && (tried.MatchString(p.Heading) || reports(text)) {
			c.states = false // what was given in a trial is not what is to be given
			c.excludes = c.dosing && studied.MatchString(p.Heading)
		}
		if q.wants.share && percentages(numbers) {
			if c.shares = q.ofEvent(p, &r, i); !c.shares {
				c.states, c.excludes = false, true // how common something else is
			}
		}
		if q.wants.otherTime(text, numbers) {
			c.states, c.excludes = false, true
		}
		if c.states && (q.wants.tests && c.dosing || q.bare && leaving.MatchString(text)) {
			c.states = false // how often it is given, or how it is left off
		}
		states = states || c.states
		c.acts = directs(text)
		if !missed && c.states {
			score += stated * mean
		}
		if q.wants.begin && begins(text) {
			score += 0.5 * starting * mean
		}
		if q.wants.begin && begins(text) && c.dosing && !(q.wants.amount && tried.MatchString(p.Heading)) {
			score += starting * mean
			c.states = c.states || q.wants.dose
		}
		if q.wants.usual && c.states && c.dosing && usually.MatchString(text) {
			score += starting * mean
		}
		if q.wants.most && q.wants.amount && c.states && !tops(text) && !spans(text) {
			c.states = false
		}
		if q.wants.most && c.states {
			switch {
			case tops(text):
				score += starting * mean
			case spans(text):
				score += 0.6 * starting * mean
			case begins(text): // the least
				score -= starting * mean
			}
		}
		if q.wants.begin && q.wants.dose && !q.wants.most && c.states && tops(text) && !begins(text) { // the most
			score -= starting * mean
			c.states = false
		}
		if q.wants.onset && c.states && onsetSaid.MatchString(text) {
			score += starting * mean
		}
		if q.wants.act && c.acts {
			score += directing * mean
		}
		if !q.wants.share && reports(text) {
			score -= reporting * mean
		}
		factor := 1.0
		var bonus float64
		c.partnered = true
		if limits, holds := q.patient.aged(text); limits && !holds {
			c.excludes = c.excludes || c.dosing
		}
		bonus, factor, c.fits = q.patient.judge(text, c.groups, own[i] != 0, q.wants.dose || c.dosing)
		if p.Aside && c.fits && q.patient.groups&(renal|hepatic) != 0 && q.patient.groups&ages == 0 && !impaired.MatchString(text) {
			bonus, c.fits = 0, false // how the organ works, not what to do where it fails
		}
		if q.wants.dose && animals.MatchString(text) && !animals.MatchString(q.text) {
			c.states, c.excludes = false, true // no rat's dose
			score *= 0.5
		}
		if q.wants.dose && q.patient.groups == 0 && c.dosing && c.groups&(child|renal|hepatic) != 0 && c.groups&(adult|elderly) == 0 {
			c.special, c.silent = true, own[i]&(child|renal|hepatic) == 0
			factor = min(factor, others)
		}
		if q.wants.amount && len(p.Partners) == 0 && c.dosing && together.MatchString(text) && !together.MatchString(q.text) {
			c.special = true // the dose beside another medicine
			factor = min(factor, others)
		}
		score += bonus * mean
		if len(p.Partners) > 0 {
			switch n := q.names(p.Partners, r, i); {
			case n > 0:
				score += partnered * mean * n
			default:
				c.partnered = false
				factor *= alone
			}
		}
		// A sentence that shares no word of its own with the question answers
		// nothing, whatever its heading says.
		if direct == 0 && met < 0.5 && !(c.fits && q.rest == 0) && !(p.Asked >= 1 && (q.pairs || q.wants.amount && c.states)) {
			score *= 0.3
		}
		if len(r.own[i]) < 3 { // a heading or a table's lone cell
			score *= 0.5
		}
		if p.Aside {
			factor *= aside
		}
		score *= factor * (1 + inSection*p.Asked)
		c.Sentence = Sentence{Span: s, Score: score / (q.total + 1.5*mean)}
		out[i] = c
	}
	// That a label is about the medicine answers nothing: something else that
	// was asked must be in it, or in the section's title.
	if p.About && rest > 0 {
		covered = min(covered, q.total*said/rest)
	}
	if p.About && most >= 0.5 {
		covered += mean * most
	}
	if p.About && p.Asked >= 1 && states {
		covered += 0.5 * mean
	}
	if p.About && q.patient.groups&guarded&groups != 0 {
		covered += 0.5 * mean
		if q.patient.groups&guarded&populationOf(p.Title) != 0 {
			covered += mean
		}
	}
	return out, min(1, covered/q.total)
}

// judge says what a sentence about these groups is worth to the patient: what is
// added, in mean weights, and what the score is multiplied by.
func (p patient) judge(text string, groups population, own, dose bool) (bonus, factor float64, fits bool) {
	limits, holds := p.aged(text)
	asked, theirs := p.groups, groups
	if limits && !holds {
		// Limits of age that leave this patient out: no dose for him, and an answer
		// to whether he may have it.
		if !dose {
			return meant, 1, true
		}
		return 0, others, false
	}
	both := asked & theirs
	switch {
	case holds:
		bonus, fits = meant, true
	case asked&child != 0 && theirs&child == 0 && theirs&(adult|elderly) != 0,
		asked&child == 0 && asked&(adult|elderly) != 0 && theirs&ages == child:
		return 0, others, false
	}
	factor = 1
	if organs := asked &^ ages; organs != 0 {
		if fits = organs&theirs != 0; !fits {
			factor = beside
		}
	} else if both != 0 {
		// What is said of adults and children alike is a child's only with ages.
		fits = fits || asked&child == 0 || theirs&adult == 0 || limits || strings.Contains(text, "years") || strings.Contains(text, "months")
	}
	if both != 0 {
		bonus = meant
		if !own {
			bonus *= 0.7
		}
	}
	if asked == 0 && theirs != 0 && theirs&adult == 0 {
		factor = unasked
	}
	return bonus, factor, fits
}

// names is how far a sentence, or one beside it, speaks of another medicine of
// the question.
func (q *question) names(partners []string, r read1, i int) float64 {
	most := 0.0
	for _, partner := range partners {
		for at, near := range map[int]float64{i: 1, i - 1: 0.6, i + 1: 0.6} {
			if at < 0 || at >= len(r.own) {
				continue
			}
			if q.speaks(partner, r.own[at]) {
				most = max(most, near)
			}
		}
	}
	return most
}

// speaks says whether a text with these terms has the thing that was asked
// about, or what it is one of.
func (q *question) speaks(of string, terms map[string]bool) bool {
	ts := q.cut[of]
	return len(ts) > 0 && !slices.ContainsFunc(ts, func(t string) bool { return !q.means(t, terms) })
}

// means says whether a text with these terms has t, or most of what it stands for.
func (q *question) means(t string, terms map[string]bool) bool {
	return terms[t] || slices.ContainsFunc(q.other[t], func(o other) bool {
		share := 0.0
		for i, s := range o.terms {
			if terms[s] {
				share += o.shares[i]
			}
		}
		return share >= 0.5
	})
}

// dosing says whether a number is an amount of a medicine.
func dosing(n quantity.Number) bool {
	head, per, _ := strings.Cut(n.Unit, "/")
	return (head == "mg" || head == "ml" || head == "unit" || head == "meq" || head == "tablet" || head == "capsule" || head == "drop" || head == "inhalation") &&
		!strings.HasPrefix(per, "dl") && !strings.HasPrefix(per, "min")
}

// meets is the share of the question's numbers that the sentence speaks of: an
// equal number, or a range or limit that holds it, in a unit that fits. missed:
// it has limits for them and none holds, so that it is about others.
func (q *question) meets(sentence string) (share float64, missed bool) {
	return meets(q.numbers, sentence, q.wants.dose)
}

func meets(numbers []quantity.Number, sentence string, dose bool) (share float64, missed bool) {
	if len(numbers) == 0 {
		return 0, false
	}
	bounds := quantity.Bounds(sentence)
	have := quantity.Numbers(sentence)
	met, limits := 0.0, false
	amount := func(h quantity.Number) bool { return strings.HasPrefix(h.Unit, "mg") }
	for _, n := range numbers {
		limits = limits || slices.ContainsFunc(bounds, func(b quantity.Bound) bool { return fits(n.Unit, b.Unit) })
		// "Begin at 40": the amount itself before a range that holds it.
		bare := dose && n.Unit == "" && slices.ContainsFunc(have, amount)
		switch {
		case bare && slices.ContainsFunc(have, func(h quantity.Number) bool { return amount(h) && n.Value == h.Value }):
			met += 0.8
		case bare:
			if slices.ContainsFunc(bounds, func(b quantity.Bound) bool { return b.Contains(n.Value) }) {
				met += 0.4
			}
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
