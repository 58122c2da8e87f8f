package answer

import (
	"regexp"
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/index/codes"
	"rxedge/index/names"
)

// MaxPrevious earlier questions are looked at; of more, the latest.
const MaxPrevious = 10

// patientAsks are the cues that tell of the patient and not of what is asked:
// "and in renal impairment?" still asks for the dose.
var patientAsks = map[string]bool{"renal": true, "hepatic": true, "pregnancy": true, "lactation": true, "pediatric": true, "geriatric": true}

// topicAsks are the cues that a follow-up question takes over from the one
// before. An interaction is not one: its other medicine would be lost.
var topicAsks = map[string]bool{"dose": true, "monitoring": true, "administration": true, "adverse": true, "stopping": true,
	"contraindication": true, "warning": true, "boxed": true, "overdose": true, "storage": true, "indication": true}

var (
	// beside: what is named comes beside the medicine before, and does not
	// replace it.
	beside = regexp.MustCompile(`(?i)^\W*(?:and |or |what about |how about )?(?:together |combined |along )?(?:with|plus)\b|\b(?:it|this|that one|them|both)\b`)
	// follows: the question goes on from the one before.
	follows = regexp.MustCompile(`(?i)^\W*(?:and|or|also|but|what about|how about|what if|if|in|with|for|same)\b`)
)

// resolve finds what a question that names no medicine is about, from those that
// were asked before it. It changes what is searched, never what was asked.
func (q *Question) resolve(snap *index.Snapshot) error {
	if len(q.Previous) == 0 || codeIn(snap, q.Text) != "" {
		return nil
	}
	now, err := snap.Read(q.Text)
	if err != nil {
		return err
	}
	named, class := medicines(&now), slices.ContainsFunc(now.Subjects, func(s names.Subject) bool { return s.Class })
	switch {
	case len(named) > 0 && !beside.MatchString(q.Text),
		// A class of its own is a new subject, unless the question goes on.
		class && !follows.MatchString(q.Text) && !beside.MatchString(q.Text):
		return nil
	}
	for i := len(q.Previous) - 1; i >= max(0, len(q.Previous)-MaxPrevious); i-- {
		before := q.Previous[i]
		then, err := snap.Read(before)
		if err != nil {
			return err
		}
		c := names.Carried{From: before, Medicines: slices.DeleteFunc(medicines(&then), func(m string) bool { return slices.Contains(named, m) })}
		if len(c.Medicines) == 0 {
			if code := codeIn(snap, before); code != "" {
				c.Medicines = []string{code}
			} else {
				continue
			}
		}
		// What was asked of it goes on where the question only changes the patient.
		if !slices.ContainsFunc(now.Sections, func(p names.Preference) bool { return !patientAsks[p.Asks] }) {
			for _, p := range then.Sections {
				if topicAsks[p.Asks] && !strings.Contains(p.Cue, ",") && !slices.Contains(c.Words, p.Cue) {
					c.Words = append(c.Words, p.Cue)
				}
			}
		}
		c.ReadAs = strings.Join(append(append(slices.Clone(c.Medicines), c.Words...), q.Text), " ")
		if len(c.ReadAs) <= MaxQuestionBytes {
			q.carried = &c
		}
		return nil
	}
	return nil
}

// asked is the question as it is searched.
func (q *Question) asked() string {
	if q.carried != nil {
		return q.carried.ReadAs
	}
	return q.Text
}

// codeIn is the first code of a text that stands for a document, as typed; "" for
// none.
func codeIn(snap *index.Snapshot, text string) string {
	for _, c := range snap.Codes(text) {
		if len(c.Documents) > 0 {
			switch c.System {
			case codes.NDC:
				return "NDC " + c.As
			case codes.RxCUI:
				return "RxCUI " + c.As
			}
			return c.As
		}
	}
	return ""
}

// codeTrouble says what is wrong with a code of a question that found nothing; ""
// where none is.
func codeTrouble(found []index.Code) string {
	for _, c := range found {
		switch {
		case len(c.Documents) > 0:
			return ""
		case c.Problem != "":
			return "“" + c.As + "” is read as no code: " + c.Problem + "."
		case c.System != codes.LOINC && c.System != codes.ATC:
			return "None of the documents on this box has the code “" + c.As + "” (" + strings.ToUpper(c.System) + ")."
		}
	}
	return ""
}

// uncoded is a question without the codes that stand for documents: they are
// found by, and no words of the question.
func uncoded(text string, found []index.Code) string {
	for i := len(found) - 1; i >= 0; i-- {
		if c := found[i]; len(c.Documents) > 0 && c.Start < c.End && c.End <= len(text) {
			text = text[:c.Start] + " " + text[c.End:]
		}
	}
	return text
}

// medicines named in a reading, as typed, each once.
func medicines(r *names.Reading) []string {
	var out []string
	for _, s := range r.Subjects {
		if !s.Class && !s.Substance && !slices.Contains(out, s.Asked) {
			out = append(out, s.Asked)
		}
	}
	return out
}
