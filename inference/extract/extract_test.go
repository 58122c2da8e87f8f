package extract

import (
	"strings"
	"testing"
)

// plain cuts at spaces; every word it was given weighs 1, any other 2.
type plain map[string]bool

func (p plain) Terms(s string) []string { return strings.Fields(strings.ToLower(strings.Trim(s, "."))) }
func (p plain) Known(t string) bool     { return p[t] }
func (p plain) Weight(t string) float64 {
	if p[t] {
		return 1
	}
	return 2
}

func passage(id, heading, text string, about bool) (Passage, []string) {
	return Passage{SectionID: id, Heading: heading, Text: text, Sentences: []Span{{0, len(text)}}, About: about}, strings.Fields(strings.ToLower(heading + " " + text))
}

func TestAlso(t *testing.T) {
	t.Parallel()
	lex := plain{}
	var passages []Passage
	for _, p := range [][2]string{{"dose", "halve the dose in renal impairment always"}, {"other", "nausea and vomiting are common in adults"}} {
		ps, words := passage(p[0], "metformin", p[1], true)
		passages = append(passages, ps)
		for _, w := range words {
			lex[w] = true
		}
	}
	name := Also{Of: "glucophage", Say: "metformin", Weight: 1}
	for _, c := range []struct {
		name, question string
		also           []Also
		rest           []Passage
		section        string // of the first sentence, "" for none
		absent         string
	}{
		{"another name and a meaning", "glucophage kfx", []Also{name, {Of: "kfx", Say: "renal impairment", Weight: 0.8, Thing: true}}, nil, "dose", ""},
		{"no meaning, no evidence", "glucophage kfx", []Also{name}, nil, "", ""},
		{"half of a meaning is in it", "glucophage kfx dose", []Also{name, {Of: "kfx", Say: "renal colic", Weight: 0.8, Thing: true}}, nil, "dose", ""},
		{"words that say nothing", "glucophage pls vomiting", []Also{name, {Of: "pls", Say: "please", Weight: 0}}, nil, "other", ""},
		{"a thing that is nowhere", "glucophage uti dose gout asthma stroke", []Also{name, {Of: "uti", Say: "urinary infection", Weight: 0.9, Thing: true}}, nil, "", "uti"},
		{"a thing in another passage", "glucophage uti dose", []Also{name, {Of: "uti", Say: "urinary infection", Weight: 0.9, Thing: true}},
			[]Passage{{SectionID: "far", Heading: "metformin", Text: "urinary infection", About: true}}, "dose", ""},
	} {
		r := Extract(c.question, passages, lex, Options{Also: c.also, Rest: c.rest})
		section := ""
		if len(r.Sentences) > 0 {
			section = passages[r.Sentences[0].Passage].SectionID
		}
		if section != c.section || strings.Join(r.Absent, " ") != c.absent {
			t.Errorf("%s: from %q, absent %q; want %q, %q (coverage %.2f)", c.name, section, r.Absent, c.section, c.absent, r.Coverage)
		}
	}
}
