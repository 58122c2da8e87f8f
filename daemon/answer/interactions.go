package answer

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/document/sheet"
	"rxedge/inference/extract"
)

const (
	// mostInteractions are shown of a table; of those beyond the names are told.
	mostInteractions = 12
	mostNamed        = 40
)

// interaction is what a table says of a medicine and one other.
type interaction struct {
	other string
	level string
	hits  []index.Hit
}

// tabled are the interactions that the tables of interactions on this box have of the one
// medicine that a question asks about, the gravest first, where it asks for nothing else:
// a search finds some of the rows, and those alone would read as if there were no others.
//
// alone says that nothing else is asked for, whether or not a table has any.
func (p *looked) tabled(text string, current func([]index.Hit) []index.Hit) (_ []interaction, alone bool, _ error) {
	asked := map[string]bool{}
	var documents []string
	for _, s := range p.reading.Subjects {
		if s.Class || s.Substance || len(s.Documents) == 0 {
			return nil, false, nil
		}
		asked[s.Name] = true
		documents = append(documents, s.Documents...)
		text = regexp.MustCompile(`(?i)`+regexp.QuoteMeta(s.Asked)+`(?:'s|’s)?`).ReplaceAllString(text, " ")
	}
	if len(asked) != 1 || len(documents) > focusDocuments || len(p.strangers) > 0 {
		return nil, false, nil
	}
	severities, ok := extract.ListsInteractions(text)
	if !ok {
		return nil, false, nil
	}
	slices.Sort(documents)
	var out []interaction
	for _, id := range slices.Compact(documents) {
		d, err := p.snap.Summary(id)
		if err != nil {
			return nil, false, err
		}
		if !(&document.Document{Kind: d.Kind}).Tabular() {
			continue
		}
		hits, err := p.snap.Passages(id)
		if err != nil {
			return nil, false, err
		}
		at := map[string]int{} // section → place in out
		for _, h := range current(hits) {
			n, ok := at[h.Passage.SectionID]
			if !ok {
				n = len(out)
				at[h.Passage.SectionID] = n
				out = append(out, interaction{other: strings.TrimPrefix(h.SectionTitle, "Interaction with ")})
			}
			it := &out[n]
			it.hits = append(it.hits, h)
			for _, s := range h.Passage.Sentences {
				if l := sheet.Level(h.Text[s.Start-h.Passage.Start : s.End-h.Passage.Start]); l != "" && (it.level == "" || rank(l) < rank(it.level)) {
					it.level = l
				}
			}
		}
	}
	if severities != nil {
		out = slices.DeleteFunc(out, func(i interaction) bool { return !slices.Contains(severities, i.level) })
	}
	slices.SortStableFunc(out, func(a, b interaction) int { return cmp.Compare(rank(a.level), rank(b.level)) })
	return out, true, nil
}

// rank of a severity, the gravest first; one that is not stated comes last.
func rank(level string) int {
	if n := slices.Index(sheet.Severities, level); n >= 0 {
		return n
	}
	return len(sheet.Severities)
}

// list puts the interactions before what labels say in words, and says how many there are.
func (p *looked) list(all []interaction) {
	var chosen []extract.Sentence
	for _, it := range all[:min(len(all), mostInteractions)] {
		for _, h := range it.hits {
			for _, s := range h.Passage.Sentences {
				chosen = append(chosen, extract.Sentence{Passage: len(p.wide), Span: extract.Span{Start: s.Start, End: s.End}, Score: 1})
			}
			p.wide = append(p.wide[:len(p.wide):len(p.wide)], h)
		}
	}
	p.ex.Sentences = append(chosen, p.ex.Sentences...)
	p.ex.Plain, p.ex.Unmet, p.tooOld = true, false, false
	p.ex.Missing, p.ex.Absent = nil, nil
	const beyond = " They are what the tables on this box hold; there may be others."
	switch n := len(all); {
	case n == 1:
		p.listed = "The tables on this box hold one such interaction; there may be others."
	case n <= mostInteractions:
		p.listed = fmt.Sprintf("All %d interactions, the gravest first.", n) + beyond
	default:
		var names []string
		for _, it := range all[mostInteractions:min(n, mostInteractions+mostNamed)] {
			if it.level != "" {
				names = append(names, it.other+" ("+it.level+")")
			} else {
				names = append(names, it.other)
			}
		}
		more := ""
		if left := n - mostInteractions - len(names); left > 0 {
			more = fmt.Sprintf(" and %d more", left)
		}
		p.listed = fmt.Sprintf("%d of %d interactions, the gravest first. Not shown: %s%s; ask about each by its name.", mostInteractions, n, strings.Join(names, ", "), more) + beyond
	}
}

// partly says that the sections on interactions that are cited say more than is quoted.
func (p *looked) partly() error {
	shown := map[string]int{} // section → sentences
	for _, c := range p.ex.Sentences {
		shown[p.wide[c.Passage].Passage.SectionID]++
	}
	read := map[string]bool{}
	for _, c := range p.ex.Sentences {
		id := p.wide[c.Passage].SetID
		if read[id] {
			continue
		}
		read[id] = true
		hits, err := p.snap.Passages(id)
		if err != nil {
			return err
		}
		all := map[string]map[int]bool{} // passages may share sentences
		for _, h := range hits {
			if shown[h.Passage.SectionID] == 0 {
				continue
			}
			if all[h.Passage.SectionID] == nil {
				all[h.Passage.SectionID] = map[int]bool{}
			}
			for _, s := range h.Passage.Sentences {
				all[h.Passage.SectionID][s.Start] = true
			}
		}
		for section, sentences := range all {
			if len(sentences) > shown[section] {
				p.listed = "This is a part of what the label says of interactions; open the section to read all of it."
				return nil
			}
		}
	}
	return nil
}
