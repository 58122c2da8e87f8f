package extract

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// purposeAsked is what a dose is asked for: "in hidradenitis", "for hot flashes".
var purposeAsked = regexp.MustCompile(`(?i)\b(?:for|in|against|to treat|treating)\s+(?:an?\s+|the\s+|my\s+)?([a-z][a-z0-9' /-]*)`)

// purposeEnds are words with which what follows is no longer the purpose.
var purposeEnds = regexp.MustCompile(`(?i)\s(?:with|w/|who|which|when|if|on|at|after|before|and|or|taking|already|whose|that|for|in|per|by|to|is|are|what|how)\s.*$`)

// said is the share of a purpose's words, by weight, that the medicine's label
// must have.
const said = 0.5

// vague are words of a purpose that name no disease.
var vague = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`adult adults child children kid kids baby infant newborn toddler teen man woman men women male female boy girl
		guy lady elderly elder person people someone day days week weeks month months year years old total one case cases mild moderate severe
		really bad acute chronic general first second third initial maintenance renal kidney liver hepatic impairment dysfunction failure disease
		pregnancy pregnant breastfeeding nursing hospital clinic home pharmacy combination divided mg mcg ml kg tablets capsules weight age
		treatment therapy prophylaxis prevention use dose dosing label box dialysis hemodialysis surgery long short time now today single double once twice daily option loading starting`) {
		m[w] = true
	}
	return m
}()

// dosed are words of a question about a dose that name nothing else.
var dosed = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`dose doses dosing dosage dosages amount strength max maximum min minimum most highest lowest ceiling top limit usual normal typical recommended
		suggested standard start starting initial initiate begin first maintenance loading target titrate titration range single total daily once twice three four times
		day days week weeks weekly month months monthly hour hours bid tid qid qd qday qod prn every mg mcg g gram grams kg m2 ml unit units iu meq
		tablet tablets tab tabs capsule capsules cap caps pill pills puff puffs drop drops spray sprays injection inj vial infusion infuse rate drip
		po iv im sc sq subq oral orally mouth intravenous subcutaneous adult adults weight volume per label box`) {
		m[w] = true
	}
	return m
}()

// bareDose says whether nothing but a medicine's dose, or its dose for something, is
// asked for: no other patients, no event, no other medicine.
func (q *question) bareDose(text string) bool {
	if !q.wants.amount || q.patient.groups != 0 || !math.IsNaN(q.patient.age) {
		return false
	}
	purposes := map[string]bool{}
	for _, m := range purposeAsked.FindAllStringSubmatch(text, -1) {
		for _, w := range strings.Fields(strings.ToLower(purposeEnds.ReplaceAllString(m[1]+" ", ""))) {
			purposes[w] = true
		}
	}
	for _, t := range q.order {
		w := strings.ToLower(q.words[t])
		if dosed[w] || dosed[t] || filler[w] || purposes[w] {
			continue
		}
		own := false
		for _, cut := range q.cut {
			own = own || slices.Contains(cut, t)
		}
		if !own && !slices.ContainsFunc(strings.FieldsFunc(w, func(r rune) bool { return r == '/' || r == '-' }), func(part string) bool { return dosed[part] }) {
			return false
		}
	}
	return true
}

// unspoken gives the purposes of which the label of the medicine says nothing:
// what it says of other diseases is not the dose in this one.
func (q *question) unspoken(text string, passages, rest []Passage, lex Lexicon) []string {
	if !q.wants.dose {
		return nil
	}
	var out []string
	for _, m := range purposeAsked.FindAllStringSubmatch(text, -1) {
		purpose := purposeEnds.ReplaceAllString(m[1]+" ", "")
		words := strings.FieldsFunc(purpose, func(r rune) bool { return r == ' ' || r == '/' })
		words = slices.DeleteFunc(words, func(w string) bool {
			w = strings.ToLower(w)
			return len(w) < 3 || vague[w] || filler[w] || populationOf(w) != 0 || strings.ContainsAny(w, "0123456789")
		})
		all, has := 0.0, 0.0
		for _, w := range words {
			for _, t := range lex.Terms(w) {
				if q.terms[t] == 0 {
					continue
				}
				all += q.terms[t]
				if q.spoken(t, passages, lex) || q.spoken(t, rest, lex) {
					has += q.terms[t]
				}
			}
		}
		if all > 0 && has < said*all {
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}

// spoken says whether a passage about the medicine has the term, or what it
// stands for.
func (q *question) spoken(t string, passages []Passage, lex Lexicon) bool {
	return slices.ContainsFunc(passages, func(p Passage) bool {
		if !p.About {
			return false
		}
		terms := set(lex.Terms(p.Heading + " " + p.Text))
		q.akin(terms)
		return q.has(t, terms) >= presence
	})
}
