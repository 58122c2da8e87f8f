package extract

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// mostForbidden is how many contraindications are listed; a label with more is
// cited for the first of them and read whole by its link.
const mostForbidden = 12

var (
	forbidding = regexp.MustCompile(`(?i)\bcontraindicat(?:ions?|ed)\b|\bwho (?:should|must|can) ?not\b|\bwhen (?:should|must|can) .{0,60}\bnot be (?:used|taken|given)\b|\bwhen not to\b`)
	listing    = map[string]bool{}
)

func init() {
	for _, w := range strings.Fields(`contraindication contraindications contraindicated should must not cannot avoid avoided receive received
		be been to absolute all list every full main for of the a an any are is there do does by have has people person anyone everybody`) {
		listing[w] = true
	}
}

// listsForbidden says whether nothing but a medicine's contraindications is asked
// for. Then each of them is an answer, those of special groups too: some alone
// would read as if there were no others.
func (q *question) listsForbidden(text string, passages []Passage) bool {
	if !forbidding.MatchString(text) || q.patient.groups != 0 || !math.IsNaN(q.patient.age) || len(q.numbers) > 0 {
		return false
	}
	for _, t := range q.order {
		if w := strings.ToLower(q.words[t]); listing[w] || filler[w] {
			continue
		}
		if !slices.ContainsFunc(passages, func(p Passage) bool {
			return slices.ContainsFunc(p.Names, func(n string) bool { return slices.Contains(q.cut[n], t) })
		}) {
			return false
		}
	}
	return !slices.ContainsFunc(passages, func(p Passage) bool { return len(p.Partners) > 0 })
}

// forbidden are the sentences of the first label's contraindications, in order.
func forbidden(passages []Passage) []Sentence {
	section := ""
	var out []Sentence
	for i, p := range passages {
		if !p.About || !p.Grave || !strings.Contains(strings.ToLower(p.Title), "contraindication") || section != "" && p.SectionID != section {
			continue
		}
		section = p.SectionID
		for _, s := range p.Sentences {
			if !slices.ContainsFunc(out, func(o Sentence) bool { return o.Start == s.Start }) {
				out = append(out, Sentence{Passage: i, Span: s, Score: 1})
			}
		}
	}
	slices.SortFunc(out, func(a, b Sentence) int { return a.Start - b.Start })
	return out[:min(len(out), mostForbidden)]
}
