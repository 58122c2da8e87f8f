package extract

import (
	"cmp"
	"math"
	"slices"

	"rxedge/inference/quantity"
)

// What a plain question's best sentence must reach: its score, the share of what
// was asked that the sentences chosen say themselves, and how far it is before the
// best that was left out and states another number.
const (
	plainScore = 0.5
	plainSaid  = 0.7
	plainAhead = 1.2
)

// plain says whether the question is a simple lookup that what was chosen answers:
// one medicine, a number of one kind, nobody's age, kidneys or pregnancy, no other
// medicine, no number of the patient's, nothing to decide; and a sentence that was
// chosen states such a number, with margin. Percentages are left out: labels have many.
func (c *chooser) plain(res *Result) bool {
	q := c.q
	if len(c.out) == 0 || len(res.Absent) > 0 || len(res.Missing) > 0 || res.Unmet || !q.wants.number() || q.wants.act || q.wants.share ||
		q.patient.groups != 0 || !math.IsNaN(q.patient.age) || len(q.numbers) > 0 {
		return false
	}
	var names []string
	for i := range c.passages {
		p := &c.passages[i]
		if len(p.Partners) > 0 {
			return false
		}
		for _, n := range p.Names {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	if len(names) != 1 {
		return false
	}
	best := slices.MaxFunc(c.out, func(a, b candidate) int { return cmp.Compare(a.Score, b.Score) })
	if !best.states || best.Score < plainScore || best.groups != 0 && best.groups != adult {
		return false
	}
	text := c.text(&best)
	if q.wants.dose && (q.wants.begin && !begins(text) || q.wants.most && !tops(text) && !spans(text)) {
		return false
	}
	said := 0.0
	for _, t := range q.order {
		if !slices.Contains(q.cut[names[0]], t) {
			said += q.terms[t] * c.covered[t]
		}
	}
	if said < plainSaid*q.rest {
		return false
	}
	taken := func(s *candidate) bool {
		return slices.ContainsFunc(c.out, func(o candidate) bool { return o.Passage == s.Passage && o.Start == s.Start })
	}
	for i := range c.found {
		s := &c.found[i]
		if s.states && !taken(s) && plainAhead*s.Score > best.Score && !c.repeats(s) {
			return false
		}
	}
	return true
}

// repeats says whether a sentence states no number that those chosen do not.
func (c *chooser) repeats(s *candidate) bool {
	all := ""
	for i := range c.out {
		all += c.text(&c.out[i]) + "\n"
	}
	return len(quantity.Missing(c.text(s), all)) == 0
}
