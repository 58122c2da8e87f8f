package answer

import (
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/index/names"
)

// subjects says which medicines a text names and which documents are about
// them, as the index of one generation knows them.
type subjects struct{ snap *index.Snapshot }

// mentions are the medicines named in a text; classes and substances do not count.
func (s subjects) mentions(text string) ([]names.Subject, error) {
	all, err := s.snap.Mentions(text)
	return slices.DeleteFunc(all, func(m names.Subject) bool { return m.Class || m.Substance }), err
}

// covers says whether each of the medicines that a claim names is the one that
// the document is about, or is named in the evidence itself.
func (s subjects) covers(claimed []names.Subject, document, evidence string) bool {
	var said []names.Subject
	for _, m := range claimed {
		if slices.Contains(m.Documents, document) {
			continue
		}
		if said == nil {
			var err error
			if said, err = s.mentions(evidence); err != nil {
				return false
			}
		}
		if !slices.ContainsFunc(said, func(e names.Subject) bool { return e.Name == m.Name }) {
			return false
		}
	}
	return true
}

// prefer puts the passages of the medicines asked about before the others, in
// the order the search gave them.
func prefer(hits []index.Hit, about map[string]bool) []index.Hit {
	if len(about) == 0 {
		return hits
	}
	out := make([]index.Hit, 0, len(hits))
	for _, first := range []bool{true, false} {
		for _, h := range hits {
			if about[h.SetID] == first {
				out = append(out, h)
			}
		}
	}
	return out
}

// classes are the documents about a member of a class that a question names.
func classes(r *names.Reading) map[string]bool {
	out := map[string]bool{}
	for _, s := range r.Subjects {
		if s.Class {
			for _, id := range s.Documents {
				out[id] = true
			}
		}
	}
	return out
}

// general keeps the passages that may speak of a medicine which no document is
// about: those of guidelines and the like that name it, and those of labels of
// a class that was named beside it.
func general(snap *index.Snapshot, hits []index.Hit, strangers []names.Subject, kin map[string]bool) ([]index.Hit, error) {
	var out []index.Hit
	for _, h := range hits {
		labelled, err := snap.Labelled(h.SetID)
		if err != nil {
			return nil, err
		}
		if labelled && !kin[h.SetID] {
			continue
		}
		said, err := snap.Mentions(h.Passage.Heading + "\n" + h.Text)
		if err != nil {
			return nil, err
		}
		for _, s := range strangers {
			if slices.ContainsFunc(said, func(m names.Subject) bool { return m.Name == s.Name }) {
				out = append(out, h)
				break
			}
		}
	}
	return out, nil
}

// noDocument is the message where no document is about what was asked.
func noDocument(strangers []names.Subject) string {
	var words []string
	for _, s := range strangers {
		w := "“" + s.Asked + "”"
		if !strings.EqualFold(s.Asked, s.Name) {
			w += " (" + s.Name + ")"
		}
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return "None of the documents on this box is about " + strings.Join(words[:min(3, len(words))], " or ") + "."
}

// corrections says which names were read as others for their spelling; "" where
// none was.
func corrections(r names.Reading) string {
	var out []string
	for _, s := range r.Subjects {
		if s.Spelling {
			out = append(out, "“"+s.Asked+"” was read as "+s.Name+".")
		}
	}
	return strings.Join(out, " ")
}
