package document

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// draft is a section as a parser found it: what becomes a Section of its own,
// and under what id, is decided when the document is complete.
type draft struct {
	loinc    string // of its own; "" or Unclassified where it has none
	title    string // as written, with its number
	guid     string
	text     string // in the form of Section.Text
	fallback string // text where nothing else is in it or below it (highlights)
	kids     []*draft
}

func (d *draft) classified() bool { return d.loinc != "" && d.loinc != Unclassified }

// flows says that d is no section of its own: its text belongs to the one it
// stands in.
func (d *draft) flows() bool { return d.title == "" && !d.classified() }

func (d *draft) hasText() bool {
	if d.text != "" {
		return true
	}
	for _, k := range d.kids {
		if k.hasText() {
			return true
		}
	}
	return false
}

// placed is a draft on its way to a Section.
type placed struct {
	*draft
	number, name string // the title, split
	heading      string // title, or what stands for it
	code         string // own or inherited
	text         []string
	up           *placed
	path         []string
	id           string
	aliases      []string
	lost         []string // ids of titled sections without text that became part of this one
}

// assemble turns the drafts at the top of a document into its Sections.
func assemble(docID string, top []*draft) []Section {
	var all []*placed
	for _, d := range top {
		all = place1(all, d, nil)
	}
	assignIDs(docID, all)
	var out []Section
	for _, p := range all {
		text := norm.NFC.String(strings.Join(p.text, "\n\n"))
		if text == "" {
			continue
		}
		s := Section{ID: p.id, LOINC: p.code, Number: p.number, Title: p.heading, Path: p.path, Text: text}
		seen := map[string]bool{p.id: true}
		for at := p; at != nil; at = at.up {
			ids := at.aliases
			if at != p {
				ids = append([]string{at.id}, ids...)
			} else {
				for _, l := range p.lost {
					ids = append(ids, docID+"#"+l)
				}
			}
			for _, a := range ids {
				if !seen[a] {
					seen[a] = true
					s.Aliases = append(s.Aliases, a)
				}
			}
		}
		out = append(out, s)
	}
	return out
}

// place1 appends d and what stands under it, in the order of the document.
func place1(all []*placed, d *draft, up *placed) []*placed {
	if d.fallback != "" && !d.hasText() {
		d.text = d.fallback
	}
	if up != nil && d.flows() {
		if d.text != "" {
			up.text = append(up.text, d.text)
		}
		for _, k := range d.kids {
			all = place1(all, k, up)
		}
		return all
	}
	number, name := splitNumber(d.title, d.classified())
	if !d.hasText() && len(d.kids) == 0 {
		// A title with nothing under it can be the whole statement ("4.1 Active
		// liver disease"), unless it is only the name of a section.
		_, standard := SectionByName(name)
		if d.title == "" || standard {
			return all
		}
		if up != nil {
			up.text = append(up.text, d.title)
			for _, l := range []string{number, slug(name), d.guid} {
				if l != "" {
					up.lost = append(up.lost, l)
				}
			}
			return all
		}
		d.text = d.title
	}
	p := &placed{draft: d, number: number, name: name, heading: name, up: up}
	if d.classified() {
		p.code = d.loinc
	} else if up != nil {
		p.code = up.code
	}
	if p.heading == "" {
		p.heading = "Other information"
		if s, ok := SectionByLOINC(d.loinc); ok {
			p.heading = s.Name
		}
	}
	if up != nil {
		p.path = append(append([]string(nil), up.path...), up.heading)
	}
	if d.text != "" {
		p.text = append(p.text, d.text)
	}
	all = append(all, p)
	for _, k := range d.kids {
		all = place1(all, k, p)
	}
	return all
}

// assignIDs names every section by the first of LOINC code, number, slug of
// the title and GUID that is its alone; the others become aliases.
func assignIDs(docID string, all []*placed) {
	codes, numbers, slugs, guids := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, p := range all {
		if p.classified() {
			codes[p.loinc]++
		}
		numbers[p.number]++
		slugs[slug(p.name)]++
		guids[p.guid]++
	}
	used := map[string]bool{}
	for i, p := range all {
		var names []string // in order of preference; only those that are alone
		var other []string
		add := func(name string, alone bool) {
			if name == "" {
				return
			}
			if alone {
				names = append(names, name)
			} else {
				other = append(other, name)
			}
		}
		if p.classified() {
			add(p.loinc, codes[p.loinc] == 1)
		}
		add(p.number, numbers[p.number] == 1)
		add(slug(p.name), slugs[slug(p.name)] == 1)
		add(p.guid, guids[p.guid] == 1)
		if s, ok := SectionByLOINC(p.code); ok {
			other = append(other, s.Slug)
		}
		for _, n := range append(names, fmt.Sprintf("section-%d", i+1)) {
			if !used[n] {
				used[n] = true
				p.id = docID + "#" + n
				break
			}
		}
		for n := i + 1; p.id == ""; n++ {
			if name := fmt.Sprintf("section-%d-%d", i+1, n); !used[name] {
				used[name] = true
				p.id = docID + "#" + name
			}
		}
		for _, n := range append(names, other...) {
			if a := docID + "#" + n; a != p.id {
				p.aliases = append(p.aliases, a)
			}
		}
	}
}

var numbered = regexp.MustCompile(`^(\d{1,2}(?:\.\d{1,2}){0,3})\.?[ \t]+(\S.*)$`)

// splitNumber parts "5.1 Serious Infections" into number and title. A number
// without a point counts only before a standard section or capitals ("7 DRUG
// INTERACTIONS"): "10 mg Tablet" is a title.
func splitNumber(title string, classified bool) (number, rest string) {
	m := numbered.FindStringSubmatch(title)
	if m == nil {
		return "", title
	}
	first, _, _ := strings.Cut(m[2], " ")
	if strings.Contains(m[1], ".") {
		if r := []rune(first)[0]; unicode.IsLower(r) || strings.HasPrefix(first, "%") {
			return "", title // "2.5 mg Tablets"
		}
		return m[1], m[2]
	}
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, first)
	if len(letters) > 1 && (classified && unicode.IsUpper([]rune(letters)[0]) || letters == strings.ToUpper(letters)) {
		return m[1], m[2]
	}
	return "", title
}
