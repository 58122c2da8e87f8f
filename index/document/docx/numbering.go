package docx

import (
	"strconv"
	"strings"

	"rxedge/index/document/numeral"
	"rxedge/index/document/ooxml"
)

// levels of a list.
const levels = 9

type listLevel struct {
	start  int
	format string // w:numFmt
	text   string // "%1.%2)"
	style  string // of paragraphs that are numbered by it
	arabic bool   // w:isLgl: all numbers in figures
}

// numbering counts the items of a document's lists.
type numbering struct {
	abstract map[string]*[levels]listLevel
	nums     map[string]*list
	counts   map[string]*[levels]int // of an abstract list
	begun    map[string]bool         // list and level whose own start was taken
}

// list is one use of an abstract list.
type list struct {
	of       string
	start    map[int]int // overrides of where a level starts
	override map[int]listLevel
}

func readNumbering(p *ooxml.Package) (*numbering, error) {
	n := &numbering{abstract: map[string]*[levels]listLevel{}, nums: map[string]*list{}, counts: map[string]*[levels]int{}, begun: map[string]bool{}}
	part := p.Related(p.Main, "numbering")
	if part == "" {
		return n, nil
	}
	root, err := p.Read(part)
	if err != nil {
		return nil, err
	}
	for _, k := range root.Kids {
		switch k.Name {
		case "w:abstractNum":
			var ls [levels]listLevel
			for i := range ls {
				ls[i] = listLevel{start: 1, format: "decimal", text: "%" + strconv.Itoa(i+1) + "."}
			}
			for _, l := range k.Kids {
				if i := number(l.Get("ilvl"), -1); l.Name == "w:lvl" && i >= 0 && i < levels {
					ls[i] = levelOf(l)
				}
			}
			n.abstract[k.Get("abstractNumId")] = &ls
		case "w:num":
			l := &list{of: k.Child("w:abstractNumId").Get("val"), start: map[int]int{}, override: map[int]listLevel{}}
			for _, o := range k.Kids {
				i := number(o.Get("ilvl"), -1)
				if o.Name != "w:lvlOverride" || i < 0 || i >= levels {
					continue
				}
				if s := o.Child("w:startOverride"); s != nil {
					l.start[i] = number(s.Get("val"), 1)
				}
				if lv := o.Child("w:lvl"); lv != nil {
					l.override[i] = levelOf(lv)
				}
			}
			n.nums[k.Get("numId")] = l
		}
	}
	return n, nil
}

func number(s string, other int) int {
	v, err := strconv.Atoi(s)
	if err != nil || v < -1 || v > 1<<20 {
		return other
	}
	return v
}

func levelOf(l *ooxml.Node) listLevel {
	out := listLevel{start: number(l.Child("w:start").Get("val"), 1), format: l.Child("w:numFmt").Get("val"),
		text: l.Child("w:lvlText").Get("val"), style: l.Child("w:pStyle").Get("val"), arabic: l.Child("w:isLgl") != nil}
	if out.format == "" {
		out.format = "decimal"
	}
	return out
}

// next counts one item of a list and gives what is printed before it; ok is false
// where there is no such list. A bullet has no label.
func (n *numbering) next(numID string, lvl int) (label string, ok bool) {
	l := n.nums[numID]
	if l == nil || lvl >= levels {
		return "", false
	}
	ls := n.abstract[l.of]
	if ls == nil {
		return "", false
	}
	at := func(i int) listLevel {
		if o, ok := l.override[i]; ok {
			return o
		}
		return ls[i]
	}
	c := n.counts[l.of]
	if c == nil {
		c = &[levels]int{}
		for i := range c {
			c[i] = -1 // not begun
		}
		n.counts[l.of] = c
	}
	start := at(lvl).start
	key := numID + "/" + strconv.Itoa(lvl)
	if s, said := l.start[lvl]; said && !n.begun[key] {
		n.begun[key] = true
		c[lvl] = s
	} else if c[lvl] < 0 {
		c[lvl] = start
	} else {
		c[lvl]++
	}
	for i := lvl + 1; i < levels; i++ {
		c[i] = -1
	}
	me := at(lvl)
	if me.format == "bullet" || me.format == "none" && me.text == "" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(me.text); i++ {
		if me.text[i] != '%' || i+1 == len(me.text) || me.text[i+1] < '1' || me.text[i+1] > '9' {
			b.WriteByte(me.text[i])
			continue
		}
		i++
		j := int(me.text[i] - '1')
		v := c[j]
		if v < 0 {
			v = at(j).start
		}
		format := at(j).format
		if me.arabic {
			format = "decimal"
		}
		b.WriteString(figure(v, format))
	}
	return strings.TrimSpace(b.String()), true
}

// figure writes a number as a list's format asks for.
func figure(v int, format string) string {
	switch format {
	case "none", "bullet":
		return ""
	case "lowerLetter", "upperLetter":
		if v < 1 {
			return ""
		}
		s := strings.Repeat(string(rune('a'+(v-1)%26)), min((v-1)/26+1, 20)) // a … z, aa, bb, as Word counts
		if format == "upperLetter" {
			return strings.ToUpper(s)
		}
		return s
	case "lowerRoman", "upperRoman":
		s := numeral.Roman(v)
		if format == "upperRoman" {
			return strings.ToUpper(s)
		}
		return s
	case "decimalZero":
		if v >= 0 && v < 10 {
			return "0" + strconv.Itoa(v)
		}
	}
	return strconv.Itoa(v)
}
