package answer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rxedge/daemon/answer/grade"
	"rxedge/index"
	"rxedge/inference/extract"
)

// Conflict is a thing of which labels of one medicine say different numbers, or
// the contrary.
type Conflict struct {
	About string `json:"about" doc:"What differs, in words"`
	Sides []Side `json:"sides" doc:"What each label says, the one that is cited first"`
}

// Side is what one label says.
type Side struct {
	Text     string   `json:"text"`
	Values   []string `json:"values,omitempty" doc:"The numbers that the other label has not, as written"`
	Citation Citation `json:"citation"`
}

// staleBefore is the date before which a label is stale, as labels write it; ""
// where none ever is.
func (s *Service) staleBefore() string {
	if s.StaleAfter <= 0 {
		return ""
	}
	return s.now().Add(-s.StaleAfter).Format(time.DateOnly)
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func stale(effective, before string) bool {
	return effective != "" && before != "" && effective < before
}

// date marks what of an answer rests on labels that are too old, and says so.
func (a *Answer) date(before string) {
	a.LabelDate, a.Stale, a.Severity = "", false, ""
	for i := range a.Claims {
		a.Severity = grade.Worse(a.Severity, a.Claims[i].Severity)
		for j := range a.Claims[i].Citations {
			c := &a.Claims[i].Citations[j]
			if d := c.EffectiveDate; d != "" && (a.LabelDate == "" || d < a.LabelDate) {
				a.LabelDate = d
			}
			// The citation itself was marked before it was sent (add): it is read by
			// those who follow the answer.
			a.Stale = a.Stale || stale(c.EffectiveDate, before)
		}
	}
	if a.Stale {
		a.Notices = append(a.Notices, fmt.Sprintf("A label cited here is of %s: see whether there is a newer one.", a.LabelDate))
	}
}

// grade says of a claim how bad, what to do, how well known; by its first citation.
func (c *Claim) grade() {
	if len(c.Citations) == 0 {
		return
	}
	g := grade.Of(c.Text, c.Citations[0].LOINC, c.Citations[0].SectionTitle)
	c.Severity, c.Action, c.EvidenceLevel = g.Severity, g.Action, g.Evidence
}

// current keeps the passages of labels that are not stale.
func current(hits []index.Hit, before string) []index.Hit {
	return slices.DeleteFunc(slices.Clone(hits), func(h index.Hit) bool { return stale(h.Effective, before) })
}

const mostConflicts = 3

// conflicts looks at what other labels of the same medicine say of what was
// chosen: where their numbers for it differ, both are shown.
func (p *looked) conflicts(lex extract.Lexicon) []Conflict {
	leave := map[string]bool{}
	for _, s := range p.reading.Subjects {
		for _, w := range append(saying(&p.reading, s.Asked), s.Name) {
			for _, t := range lex.Terms(w) {
				leave[t] = true
			}
		}
	}
	for _, w := range strings.Fields("tablet tablets capsule capsules recommended usual administered patients dose dosage daily") {
		for _, t := range lex.Terms(w) {
			leave[t] = true
		}
	}
	all := p.wide
	if len(p.found.Hits) > len(all) {
		all = append(slices.Clone(all), p.found.Hits[min(len(p.hits), len(p.found.Hits)):]...)
	}
	var out []Conflict
	done := map[string]bool{}
	for _, sent := range p.ex.Sentences {
		h := &p.wide[sent.Passage]
		mine := cite(h, sent.Start, sent.End)
		for i := range all {
			o := &all[i]
			if len(out) == mostConflicts {
				return out
			}
			if o.SetID == h.SetID || !p.sameMedicine(h.SetID, o.SetID) || o.LOINC != h.LOINC || done[pair(h.SetID, o.SetID)] {
				continue
			}
			for _, span := range o.Passage.Sentences {
				theirs := cite(o, span.Start, span.End)
				a, b := extract.Differ(mine.Quote, theirs.Quote, lex, leave)
				opposed := extract.Opposed(mine.Quote, theirs.Quote, lex, leave)
				if (len(a) == 0 || len(b) == 0) && !opposed {
					continue
				}
				// The label that says this may say the other's number elsewhere too.
				if !opposed && (says(all, o.SetID, a) || says(all, h.SetID, b)) {
					continue
				}
				done[pair(h.SetID, o.SetID)] = true
				about := strings.Join(a, ", ") + " or " + strings.Join(b, ", ")
				if opposed {
					about = "one label forbids or denies what the other does not"
				}
				out = append(out, Conflict{About: about, Sides: []Side{{flow(mine.Quote), a, mine}, {flow(theirs.Quote), b, theirs}}})
				break
			}
		}
	}
	return out
}

// pair names two documents: what they differ in is shown once.
func pair(a, b string) string { return min(a, b) + "\x00" + max(a, b) }

// says whether a sentence of the document has all these numbers.
func says(hits []index.Hit, document string, values []string) bool {
	for i := range hits {
		if hits[i].SetID != document {
			continue
		}
		for _, span := range hits[i].Passage.Sentences {
			text := cite(&hits[i], span.Start, span.End).Quote
			if !slices.ContainsFunc(values, func(v string) bool { return !strings.Contains(flow(text), v) }) {
				return true
			}
		}
	}
	return false
}

// sameMedicine says whether two documents are about one medicine of the question.
func (p *looked) sameMedicine(a, b string) bool {
	for _, s := range p.reading.Subjects {
		if !s.Class && slices.Contains(s.Documents, a) && slices.Contains(s.Documents, b) {
			return true
		}
	}
	return false
}

// differ puts the conflicts into an answer.
func (a *Answer) differ(cs []Conflict) {
	if len(cs) == 0 {
		return
	}
	a.Conflicting, a.Conflicts = true, cs
	var dates []string
	for _, s := range cs[0].Sides {
		d := s.Citation.EffectiveDate
		if d == "" {
			d = "no date"
		}
		dates = append(dates, s.Citation.DocumentTitle+" ("+d+")")
	}
	a.Notices = append(a.Notices, "Labels of this medicine differ on this: "+strings.Join(dates, " and ")+". Both are shown.")
}
