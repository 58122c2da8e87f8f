// Package compare finds what changed between two versions of a document, sentence by
// sentence and number by number. It is arithmetic: it says what is different, and
// nothing of whether that is good (centre/check) or matters (centre/review).
package compare

import (
	"cmp"
	"slices"
	"strings"

	"rxedge/index/chunk"
	"rxedge/index/document"
)

// Class of a section, by its LOINC code: what a reader does with it.
type Class string

// Classes.
const (
	Boxed             Class = "boxed warning"
	Indications       Class = "indications"
	Dosage            Class = "dosage"
	Contraindications Class = "contraindications"
	Warnings          Class = "warnings"
	Interactions      Class = "interactions"
	Populations       Class = "specific populations"
	Overdosage        Class = "overdosage"
	Adverse           Class = "adverse reactions"
	Packaging         Class = "packaging" // what is printed on the box
	Other             Class = "other"
)

// classes of LOINC codes of label sections (FDA, "Section Headings (LOINC)").
var classes = map[string]Class{
	"34066-1": Boxed,
	"34067-9": Indications, "55105-1": Indications,
	"34068-7": Dosage, "43678-2": Dosage, "88828-9": Dosage, "88829-7": Dosage,
	"34070-3": Contraindications, "50570-1": Contraindications,
	"43685-7": Warnings, "34071-1": Warnings, "42232-9": Warnings, "34072-9": Warnings,
	"50569-3": Warnings, "50568-5": Warnings, "50567-7": Warnings, "50566-9": Warnings,
	"34073-7": Interactions, "34074-5": Interactions,
	"43684-0": Populations, "42228-7": Populations, "34077-8": Populations, "34078-6": Populations, "34079-4": Populations,
	"77290-5": Populations, "34080-2": Populations, "77291-3": Populations, "34081-0": Populations, "34082-8": Populations,
	"34088-5": Overdosage,
	"34084-4": Adverse, "90374-0": Adverse, "90375-7": Adverse,
	"51945-4": Packaging,
}

// ClassOf a section.
func ClassOf(s *document.Section) Class {
	if c, ok := classes[s.LOINC]; ok {
		return c
	}
	return Other
}

// Critical says whether people act on a section of this class as it stands.
func (c Class) Critical() bool { return c != Adverse && c != Packaging && c != Other }

// Change of one sentence.
type Change struct {
	Section string `json:"section"` // id; the version before's where the section is gone
	Title   string `json:"title"`   // of the section, with its number
	Class   Class  `json:"class"`
	Before  string `json:"before,omitempty"` // "": it is new
	After   string `json:"after,omitempty"`  // "": it is gone
	Doses   []Dose `json:"doses,omitempty"`  // numbers and frequencies that differ
	// Alike is the share of words, numbers apart, that both have: 1 where only numbers differ.
	Alike float64 `json:"alike,omitempty"`
}

// Section that one version alone has.
type Section struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	LOINC string `json:"loinc,omitempty"`
	Class Class  `json:"class"`
	Text  string `json:"-"`
}

// Comparison of two versions.
type Comparison struct {
	Added   []Section `json:"added,omitempty"`
	Removed []Section `json:"removed,omitempty"`
	Changes []Change  `json:"changes,omitempty"` // those of added and removed sections too
}

// Documents compares two versions. Differences of case, of spaces and of references to
// other sections are none, nor is a sentence that was moved within its class.
func Documents(before, after *document.Document) *Comparison {
	out := &Comparison{}
	pairs, gone, come := match(before, after)
	for _, p := range pairs {
		out.Changes = append(out.Changes, sentences(p.before, p.after)...)
	}
	for _, s := range gone {
		out.Removed = append(out.Removed, section(s))
		out.Changes = append(out.Changes, sentences(s, nil)...)
	}
	for _, s := range come {
		out.Added = append(out.Added, section(s))
		out.Changes = append(out.Changes, sentences(nil, s)...)
	}
	out.Changes = moved(out.Changes)
	return out
}

func section(s *document.Section) Section {
	return Section{ID: s.ID, Title: heading(s), LOINC: s.LOINC, Class: ClassOf(s), Text: s.Text}
}

func heading(s *document.Section) string {
	return strings.TrimSpace(s.Number + " " + s.Title)
}

type pair struct{ before, after *document.Section }

// match sections: by the part of the id after the document's, by code and title, then by
// what they say.
func match(before, after *document.Document) (pairs []pair, gone, come []*document.Section) {
	left := make([]*document.Section, 0, len(before.Sections))
	for i := range before.Sections {
		left = append(left, &before.Sections[i])
	}
	right := make([]*document.Section, 0, len(after.Sections))
	for i := range after.Sections {
		right = append(right, &after.Sections[i])
	}
	local := func(d *document.Document, s *document.Section) string { return strings.TrimPrefix(s.ID, d.ID+"#") }
	title := func(s *document.Section) string { return s.LOINC + " " + plain(s.Title) }
	by := func(lk, rk func(*document.Section) string) {
		first := map[string][]*document.Section{}
		for _, s := range right {
			first[rk(s)] = append(first[rk(s)], s)
		}
		used := map[*document.Section]bool{}
		left = slices.DeleteFunc(left, func(b *document.Section) bool {
			c := first[lk(b)]
			if len(c) == 0 {
				return false
			}
			first[lk(b)] = c[1:]
			used[c[0]] = true
			pairs = append(pairs, pair{b, c[0]})
			return true
		})
		right = slices.DeleteFunc(right, func(s *document.Section) bool { return used[s] })
	}
	by(func(s *document.Section) string { return local(before, s) + " " + title(s) }, func(s *document.Section) string { return local(after, s) + " " + title(s) })
	by(title, title)
	// What is left may have another heading: it is the same section where over half of
	// its sentences are.
	for _, b := range slices.Clone(left) {
		best, at := 0.5, -1
		for i, a := range right {
			if ClassOf(a) != ClassOf(b) {
				continue
			}
			if s := overlap(b.Text, a.Text); s > best {
				best, at = s, i
			}
		}
		if at >= 0 {
			pairs = append(pairs, pair{b, right[at]})
			right = slices.Delete(right, at, at+1)
			left = slices.DeleteFunc(left, func(s *document.Section) bool { return s == b })
		}
	}
	order := map[*document.Section]int{}
	for i := range after.Sections {
		order[&after.Sections[i]] = i
	}
	slices.SortFunc(pairs, func(x, y pair) int { return cmp.Compare(order[x.after], order[y.after]) })
	return pairs, left, right
}

// mostOverlap bounds the work on sections that match by nothing else.
const mostOverlap = 64 << 10

func overlap(b, a string) float64 {
	if len(b)+len(a) > mostOverlap {
		return 0
	}
	x, y := map[string]bool{}, map[string]bool{}
	for _, s := range split(b) {
		x[s.plain] = true
	}
	for _, s := range split(a) {
		y[s.plain] = true
	}
	n := 0
	for s := range x {
		if y[s] {
			n++
		}
	}
	return float64(n) / float64(max(1, min(len(x), len(y))))
}

// sentence with the form in which it is compared.
type sentence struct{ text, plain string }

func split(text string) []sentence {
	var out []sentence
	for _, sp := range chunk.Sentences(text) {
		s := strings.TrimSpace(text[sp.Start:sp.End])
		if p := plain(s); p != "" {
			out = append(out, sentence{s, p})
		}
	}
	return out
}

// mostCells of a table that aligns two lists; larger ones are matched as sets.
const mostCells = 4 << 20

// sentences that differ between two sections; either may be nil.
func sentences(b, a *document.Section) []Change {
	var left, right []sentence
	at := a
	if b != nil {
		left = split(b.Text)
	}
	if a != nil {
		right = split(a.Text)
	} else {
		at = b
	}
	gaps := unmatched(left, right)
	change := func(before, after string) Change {
		return Change{Section: at.ID, Title: heading(at), Class: ClassOf(at), Before: before, After: after}
	}
	var out []Change
	var gone, come []sentence
	for _, g := range gaps {
		done, l, r := pairUp(g.left, g.right)
		for _, p := range done {
			c := change(p[0].text, p[1].text)
			c.Doses, c.Alike = doses(c.Before, c.After), alike(p[0], p[1])
			out = append(out, c)
		}
		gone, come = append(gone, l...), append(come, r...)
	}
	done, gone, come := pairUp(gone, come)
	for _, p := range done {
		c := change(p[0].text, p[1].text)
		c.Doses, c.Alike = doses(c.Before, c.After), alike(p[0], p[1])
		out = append(out, c)
	}
	for _, s := range gone {
		out = append(out, change(s.text, ""))
	}
	for _, s := range come {
		out = append(out, change("", s.text))
	}
	return out
}

type gap struct{ left, right []sentence }

// unmatched sentences, by the gaps between those that both have.
func unmatched(left, right []sentence) []gap {
	for len(left) > 0 && len(right) > 0 && left[0].plain == right[0].plain {
		left, right = left[1:], right[1:]
	}
	for len(left) > 0 && len(right) > 0 && left[len(left)-1].plain == right[len(right)-1].plain {
		left, right = left[:len(left)-1], right[:len(right)-1]
	}
	if len(left)*len(right) > mostCells {
		return []gap{{without(left, right), without(right, left)}}
	}
	var out []gap
	i, j := 0, 0
	for _, m := range common(len(left), len(right), func(i, j int) bool { return left[i].plain == right[j].plain }) {
		if m[0] > i || m[1] > j {
			out = append(out, gap{left[i:m[0]], right[j:m[1]]})
		}
		i, j = m[0]+1, m[1]+1
	}
	if i < len(left) || j < len(right) {
		out = append(out, gap{left[i:], right[j:]})
	}
	return out
}

func without(a, b []sentence) []sentence {
	has := map[string]int{}
	for _, s := range b {
		has[s.plain]++
	}
	var out []sentence
	for _, s := range a {
		if has[s.plain]--; has[s.plain] < 0 {
			out = append(out, s)
		}
	}
	return out
}

// common is a longest common subsequence as pairs of places.
func common(n, m int, same func(i, j int) bool) [][2]int {
	t := make([]int32, (n+1)*(m+1))
	at := func(i, j int) *int32 { return &t[i*(m+1)+j] }
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if same(i, j) {
				*at(i, j) = *at(i+1, j+1) + 1
			} else {
				*at(i, j) = max(*at(i+1, j), *at(i, j+1))
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case same(i, j):
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case *at(i+1, j) >= *at(i, j+1):
			i++
		default:
			j++
		}
	}
	return out
}

// moved takes out what is gone in one place and has come in another of the same class.
func moved(cs []Change) []Change {
	type key struct {
		class Class
		plain string
	}
	come := map[key]int{}
	for _, c := range cs {
		if c.Before == "" {
			come[key{c.Class, plain(c.After)}]++
		}
	}
	took := map[key]int{}
	cs = slices.DeleteFunc(cs, func(c Change) bool {
		k := key{c.Class, plain(c.Before)}
		if c.After != "" || come[k] == 0 {
			return false
		}
		come[k]--
		took[k]++
		return true
	})
	return slices.DeleteFunc(cs, func(c Change) bool {
		k := key{c.Class, plain(c.After)}
		if c.Before != "" || took[k] == 0 {
			return false
		}
		took[k]--
		return true
	})
}
