package answer

import (
	"slices"

	"rxedge/index"
	"rxedge/index/names"
	"rxedge/inference/extract"
)

func passages(snap *index.Snapshot, hits []index.Hit, about map[string]bool, r *names.Reading) []extract.Passage {
	out := make([]extract.Passage, len(hits))
	for i, h := range hits {
		spans := make([]extract.Span, len(h.Passage.Sentences))
		for j, s := range h.Passage.Sentences {
			spans[j] = extract.Span{Start: s.Start, End: s.End}
		}
		out[i] = extract.Passage{SectionID: h.Passage.SectionID, Heading: h.DocumentTitle + " " + h.Passage.Heading,
			Text: h.Text, Base: h.Passage.Start, Sentences: spans, Title: h.SectionTitle, About: about[h.SetID],
			Asked: r.Section(h.LOINC), Aside: aside[h.LOINC], Grave: h.LOINC == "34066-1" || h.LOINC == "34070-3"}
		if len(about) == 0 {
			// A document that can't be read is taken for a label: it answers no dose.
			label, err := snap.Labelled(h.SetID)
			out[i].Label = label || err != nil
		}
		out[i].Names, out[i].Partners = subjectsOf(r, h.SetID)
	}
	return out
}

// aside are sections that say again, for patients or as an account of studies,
// what the label says to those who prescribe and dispense.
var aside = map[string]bool{
	"42230-3": true, "42231-1": true, "34076-0": true, // patient information, medication guide, counselling
	"34092-7": true, "43679-0": true, "43680-8": true, "43681-6": true, "43682-4": true, "34090-1": true, "34083-6": true, // studies, pharmacology
	"51945-4": true, "43683-2": true, // package label, recent changes
}

// subjectsOf gives the medicines and classes of a question that a document is
// about, and the others where it is about one.
func subjectsOf(r *names.Reading, document string) (own, partners []string) {
	for _, s := range r.Subjects {
		switch {
		case slices.Contains(s.Documents, document):
			own = append(own, s.Asked)
		case !s.Substance && !slices.Contains(partners, s.Asked):
			partners = append(partners, s.Asked)
		}
	}
	if own == nil {
		return nil, nil
	}
	return own, partners
}

// specific is the weight from which a meaning names something; what weighs
// less is a word for how, when and how much.
const specific = 0.7

// also tells the extract what the question's words stand for. Another name of a
// medicine is as good as the one that was typed.
func also(r names.Reading) []extract.Also {
	out := make([]extract.Also, 0, len(r.Expansions))
	things := map[int]bool{} // by where they begin
	for _, s := range r.Subjects {
		if !s.Class && len(s.Documents) == 0 {
			things[s.Start] = true
			out = append(out, extract.Also{Of: s.Asked, Say: s.Asked, Weight: 1, Thing: true})
		}
	}
	for _, e := range r.Expansions {
		a := extract.Also{Of: e.From, Say: e.To, Weight: e.Weight, Thing: things[e.Start]}
		switch e.Why {
		case names.WhyMedicine:
			a.Weight = 1
		case names.WhyMeaning:
			a.Thing = e.Weight >= specific
		}
		out = append(out, a)
	}
	return out
}
