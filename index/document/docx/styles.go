package docx

import (
	"regexp"
	"strconv"
	"strings"

	"rxedge/index/document/ooxml"
)

// toggle is a property of text that may be said, denied or left to what stands
// above.
type toggle int8

const (
	unsaid toggle = iota
	off
	on
)

// textProps are the properties of text that change what is read.
type textProps struct {
	hidden, bold, struck, raised toggle
	font                         string
}

// style is what a style says itself.
type style struct {
	name, basedOn string
	text          textProps
	outline       int // level from 0; -1 where it says nothing
	numID         string
	level         int // of the list; -1 where it says nothing
}

type styles struct {
	byID     map[string]*style
	defaults textProps
	para     string // id of the default paragraph style
}

func readStyles(p *ooxml.Package) (*styles, error) {
	s := &styles{byID: map[string]*style{}}
	part := p.Related(p.Main, "styles")
	if part == "" {
		return s, nil
	}
	root, err := p.Read(part)
	if err != nil {
		return nil, err
	}
	s.defaults = propsOf(root.At("w:docDefaults", "w:rPrDefault", "w:rPr"))
	for _, n := range root.Kids {
		if n.Name != "w:style" {
			continue
		}
		ppr := n.Child("w:pPr")
		st := &style{name: strings.ToLower(strings.TrimSpace(n.Child("w:name").Get("val"))), basedOn: n.Child("w:basedOn").Get("val"),
			text: propsOf(n.Child("w:rPr")), outline: level(ppr.Child("w:outlineLvl")),
			numID: ppr.At("w:numPr", "w:numId").Get("val"), level: level(ppr.At("w:numPr", "w:ilvl"))}
		id := n.Get("styleId")
		if id == "" {
			id = st.name
		}
		if _, twice := s.byID[id]; twice {
			continue
		}
		s.byID[id] = st
		if n.Get("type") == "paragraph" && isOn(n.Get("default")) {
			s.para = id
		}
	}
	return s, nil
}

func isOn(v string) bool { return v == "1" || v == "true" || v == "on" }

func level(n *ooxml.Node) int {
	if n == nil {
		return -1
	}
	v, err := strconv.Atoi(n.Get("val"))
	if err != nil || v < 0 || v > 9 {
		return -1
	}
	return v
}

// propsOf reads a w:rPr.
func propsOf(n *ooxml.Node) (p textProps) {
	if n == nil {
		return p
	}
	for _, k := range n.Kids {
		v := k.Get("val")
		set := on
		if v == "0" || v == "false" || v == "off" || v == "none" {
			set = off
		}
		switch k.Name {
		case "w:vanish", "w:specVanish":
			p.hidden = set
		case "w:b":
			p.bold = set
		case "w:strike", "w:dstrike":
			if set == on || p.struck == unsaid {
				p.struck = set
			}
		case "w:vertAlign":
			p.raised = off
			if v == "superscript" {
				p.raised = on
			}
		case "w:position": // half points
			if up, err := strconv.Atoi(v); err == nil && up > 0 && p.raised == unsaid {
				p.raised = on
			}
		case "w:rFonts":
			p.font = k.Get("ascii")
			if p.font == "" {
				p.font = k.Get("hAnsi")
			}
		}
	}
	return p
}

// over puts what p says over what stands below it.
func (p textProps) over(below textProps) textProps {
	for _, t := range []struct{ a, b *toggle }{{&p.hidden, &below.hidden}, {&p.bold, &below.bold}, {&p.struck, &below.struck}, {&p.raised, &below.raised}} {
		if *t.a == unsaid {
			*t.a = *t.b
		}
	}
	if p.font == "" {
		p.font = below.font
	}
	return p
}

// chain is a style and those that it is based on.
func (s *styles) chain(id string) []*style {
	var out []*style
	for range 32 { // a loop of styles ends
		st := s.byID[id]
		if st == nil {
			break
		}
		out = append(out, st)
		id = st.basedOn
	}
	return out
}

// text properties of a style with all that it is based on.
func (s *styles) text(id string) (p textProps) {
	for _, st := range s.chain(id) {
		p = p.over(st.text)
	}
	return p
}

// either: bold and its like, said by a paragraph's style and by a run's, take each
// other back (ECMA-376 part 1, 17.7.3).
func either(a, b toggle) toggle {
	switch {
	case a == unsaid:
		return b
	case b == unsaid:
		return a
	case a == on && b == on:
		return off
	case a == on || b == on:
		return on
	}
	return off
}

// run gives the properties of a run in a paragraph of style para.
func (s *styles) run(para string, rpr *ooxml.Node) textProps {
	own := propsOf(rpr)
	chars, paras := s.text(rpr.Child("w:rStyle").Get("val")), s.text(para)
	styled := textProps{hidden: either(chars.hidden, paras.hidden), bold: either(chars.bold, paras.bold), struck: either(chars.struck, paras.struck), raised: chars.over(paras).raised, font: chars.over(paras).font}
	return own.over(styled).over(s.defaults)
}

// headings are names of the built-in heading styles, as programs in other languages
// than English write them where they do not keep the English name; a number follows.
var headings = regexp.MustCompile(`^(?:heading|überschrift|titre|título|titolo|título|kop|rubrik|overskrift|otsikko|nagłówek|nadpis|címsor|заголовок|titlu|başlık|επικεφαλίδα|fyrirsögn|pealkiri|virsraksts|antraštė|naslov|標題|标题|見出し|제목) ?([1-9])(?: .*)?$`)

// titles are names of the style of a document's title.
var titles = map[string]bool{"title": true, "titel": true, "titre": true, "título": true, "titolo": true, "tytuł": true, "otsikko": true,
	"tittel": true, "название": true, "заголовок": true, "標題": true, "标题": true, "表題": true}

// contents are names of the styles of a table of contents.
var contents = regexp.MustCompile(`^(?:toc|contents|verzeichnis|inhaltsverzeichnis|tm|tdc|sommario|table of figures) ?(?:[1-9]|heading)?$`)

// titleLevel is the heading level of the title itself.
const titleLevel = 0

// heading gives the level of a paragraph's style and properties: 1 to 9, titleLevel
// for the title, -1 for text.
func (s *styles) heading(id string, ppr *ooxml.Node) int {
	if l := level(ppr.Child("w:outlineLvl")); l >= 0 {
		if l == 9 {
			return -1 // body text, said outright
		}
		return l + 1
	}
	for _, st := range s.chain(id) {
		if m := headings.FindStringSubmatch(st.name); m != nil {
			return int(m[1][0] - '0')
		}
		if titles[st.name] {
			return titleLevel
		}
		if st.outline >= 0 {
			if st.outline == 9 {
				return -1
			}
			return st.outline + 1
		}
	}
	if m := headings.FindStringSubmatch(strings.ToLower(id)); m != nil && s.byID[id] == nil {
		return int(m[1][0] - '0') // a style that is named and not written down
	}
	return -1
}

// isContents says whether a style is that of a line in a table of contents.
func (s *styles) isContents(id string) bool {
	for _, st := range s.chain(id) {
		if contents.MatchString(st.name) {
			return true
		}
	}
	return false
}

// list gives the numbering of a paragraph: its own, or its style's.
func (s *styles) list(id string, ppr *ooxml.Node) (numID string, lvl int) {
	num := ppr.Child("w:numPr")
	lvl = level(num.Child("w:ilvl"))
	numID = num.Child("w:numId").Get("val")
	for _, st := range s.chain(id) {
		if numID == "" {
			numID = st.numID
		}
		if lvl < 0 {
			lvl = st.level
		}
	}
	if numID == "0" {
		numID = ""
	}
	return numID, max(lvl, 0)
}
