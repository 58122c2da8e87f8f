package docx

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"rxedge/index/document/numeral"
	"rxedge/index/document/ooxml"
)

// inline gathers what stands on the lines of one paragraph.
type inline struct {
	r     *reader
	style string // of the paragraph
	nodes []*Node
	boxes []*ooxml.Node
	bold  bool // some of its text is
	plain bool // some of its text is not
	page  int  // on which its text begins
}

func (l *inline) empty() bool {
	for _, n := range l.nodes {
		if n.Name != "place" && n.Name != "br" && (n.Name != "" || strings.TrimSpace(n.Text) != "") {
			return false
		}
	}
	return true
}

func (l *inline) text(s string) {
	if s == "" {
		return
	}
	if n := len(l.nodes); n > 0 && l.nodes[n-1].Name == "" {
		l.nodes[n-1].Text += s
		return
	}
	l.nodes = append(l.nodes, &Node{Text: s})
}

// raise writes s as a superscript; one that goes on in the next run stays one.
func (l *inline) raise(s string) {
	if s == "" {
		return
	}
	if n := len(l.nodes); n > 0 && l.nodes[n-1].Name == "sup" {
		l.nodes[n-1].Kids[0].Text += s
		return
	}
	l.nodes = append(l.nodes, &Node{Name: "sup", Kids: []*Node{{Text: s}}})
}

// kids reads what stands in a paragraph, or in what stands around runs.
func (l *inline) kids(n *ooxml.Node) {
	for _, k := range n.Kids {
		switch k.Name {
		case "w:r":
			l.run(k)
		case "w:hyperlink", "w:ins", "w:moveTo", "w:smartTag", "w:customXml", "w:fldSimple", "w:dir", "w:bdo":
			l.kids(k)
		case "w:sdt":
			if k.At("w:sdtPr", "w:showingPlcHdr") == nil && k.Child("w:sdtContent") != nil {
				l.kids(k.Child("w:sdtContent"))
			}
		case "w:ruby":
			if b := k.Child("w:rubyBase"); b != nil {
				l.kids(b)
			}
		case "mc:AlternateContent":
			if c := choice(k); c != nil {
				l.kids(c)
			}
		case "m:oMathPara":
			l.kids(k)
		case "m:oMath":
			if !l.hidden() {
				l.math(k)
				l.plain = true
			}
		}
	}
}

// hidden says that a field's instruction is being read, which nobody sees.
func (l *inline) hidden() bool {
	for _, result := range l.r.fields {
		if !result {
			return true
		}
	}
	return false
}

func (l *inline) run(n *ooxml.Node) {
	p := l.r.styles.run(l.style, n.Child("w:rPr"))
	seen := !(p.hidden == on || p.struck == on)
	write := func(s string) {
		if !seen || l.hidden() {
			return
		}
		if strings.TrimSpace(s) != "" {
			l.bold = l.bold || p.bold == on
			l.plain = l.plain || p.bold != on
		}
		if p.raised == on && strings.TrimSpace(s) != "" {
			l.raise(s)
		} else {
			l.text(s)
		}
	}
	l.pieces(n, p, seen, write)
}

func (l *inline) pieces(n *ooxml.Node, p textProps, seen bool, write func(string)) {
	for i, k := range n.Kids {
		switch k.Name {
		case "w:t":
			write(shown(p.font, nodeText(k)))
		case "w:tab", "w:ptab":
			l.space(seen)
		case "w:br", "w:cr":
			switch k.Get("type") {
			case "page", "column":
				l.space(seen)
			default:
				if seen && !l.hidden() {
					l.nodes = append(l.nodes, &Node{Name: "br"})
				}
			}
		case "w:lastRenderedPageBreak":
			l.pageBreak()
		case "w:noBreakHyphen":
			write("-")
		case "w:sym":
			if r, ok := code(k.Get("char")); ok {
				write(string(symbol(k.Get("font"), r)))
			}
		case "w:fldChar":
			l.field(k.Get("fldCharType"))
		case "w:footnoteReference", "w:endnoteReference":
			if !seen || l.hidden() {
				continue
			}
			mark := ""
			if k.Get("customMarkFollows") == "1" || k.Get("customMarkFollows") == "true" {
				for _, after := range n.Kids[i+1:] {
					switch after.Name {
					case "w:t":
						mark += shown(p.font, nodeText(after))
					case "w:sym":
						if r, ok := code(after.Get("char")); ok {
							mark += string(symbol(after.Get("font"), r))
						}
					}
				}
				l.note(k, strings.TrimSpace(mark))
				return // the rest of the run is the mark
			}
			l.note(k, "")
		case "w:drawing", "w:pict", "w:object":
			if seen && !l.hidden() {
				l.drawing(k)
			}
		case "mc:AlternateContent":
			if c := choice(k); c != nil {
				l.pieces(c, p, seen, write)
			}
		case "w:ruby":
			if b := k.Child("w:rubyBase"); b != nil {
				l.kids(b)
			}
		}
	}
}

func (l *inline) space(seen bool) {
	if seen && !l.hidden() {
		l.text(" ")
	}
}

func code(hex string) (r rune, ok bool) {
	_, err := fmt.Sscanf(hex, "%x", &r)
	return r, err == nil && r > 0 && r <= utf8.MaxRune
}

func (l *inline) field(kind string) {
	f := l.r.fields
	switch kind {
	case "begin":
		l.r.fields = append(f, false)
	case "separate":
		if len(f) > 0 {
			f[len(f)-1] = true
		}
	case "end":
		if len(f) > 0 {
			l.r.fields = f[:len(f)-1]
		}
	}
}

// pageBreak is where a page ended when the file was saved.
func (l *inline) pageBreak() {
	l.r.page++
	if l.empty() {
		l.page = l.r.page
	}
	if l.r.inCell > 0 || l.r.inNote || l.empty() {
		return
	}
	l.nodes = append(l.nodes, &Node{Name: "place", Page: l.r.page, Element: fmt.Sprintf("paragraph %d", l.r.paras+1)})
}

// note puts a footnote or endnote where it is referred to.
func (l *inline) note(ref *ooxml.Node, mark string) {
	r := l.r
	if r.inNote {
		return
	}
	of, kind := r.footnotes, "footnote"
	if ref.Name == "w:endnoteReference" {
		of, kind = r.endnotes, "endnote"
	}
	n := of[ref.Get("id")]
	if n == nil {
		return
	}
	count := 0
	if mark == "" {
		if kind == "footnote" {
			r.notes++
			count, mark = r.notes, fmt.Sprintf("[%d]", r.notes)
		} else {
			r.ends++
			count, mark = r.ends, "["+numeral.Roman(r.ends)+"]"
		}
	}
	b := &builder{}
	fields := r.fields
	r.inNote, r.fields = true, nil
	_ = r.blocks(n, b, false)
	r.inNote, r.fields = false, fields
	element := kind
	if count > 0 {
		element = fmt.Sprintf("%s %d", kind, count)
	}
	l.nodes = append(l.nodes, &Node{Name: "footnote", Mark: mark, Kids: append([]*Node{{Name: "place", Page: r.page, Element: element}}, b.nodes...)})
}

// small is the area of a picture, in square EMU (914,400 to the inch), below which it
// is taken for a logo or a rule: one square inch.
const small = 914_400 * 914_400

// drawing takes the text boxes out of a drawing, and names a picture that says what
// can't be read.
func (l *inline) drawing(n *ooxml.Node) {
	kind, descr := "", ""
	boxes := len(l.boxes)
	var area int64 = -1
	var walk func(*ooxml.Node)
	walk = func(n *ooxml.Node) {
		switch n.Name {
		case "w:txbxContent":
			l.boxes = append(l.boxes, n)
			return
		case "mc:AlternateContent":
			if c := choice(n); c != nil {
				walk(c)
			}
			return
		case "wp:extent":
			if area < 0 {
				area = int64(number64(n.Get("cx"))) * int64(number64(n.Get("cy"))) / 1
			}
		case "wp:docPr", "v:shape":
			if d := n.Get("descr"); d != "" {
				descr = d
			} else if d := n.Get("alt"); d != "" {
				descr = d
			}
		case "pic:pic", "v:imagedata":
			kind = "picture"
		case "c:chart":
			kind = "chart"
		case "dgm:relIds":
			kind = "diagram"
		}
		if n.Name != "" && strings.HasSuffix(n.Name, "OLEObject") {
			kind = "embedded object"
		}
		for _, k := range n.Kids {
			walk(k)
		}
	}
	walk(n)
	if kind == "" || len(l.boxes) > boxes || kind == "picture" && area >= 0 && area < small {
		return
	}
	say := "[" + kind + ", not read"
	if descr = strings.Join(strings.Fields(descr), " "); descr != "" && len(descr) <= 200 {
		say += ": " + strings.NewReplacer("[", "(", "]", ")").Replace(descr)
	}
	l.plain = true
	l.text(" " + say + "] ")
}

func number64(s string) int64 {
	var v int64
	_, _ = fmt.Sscan(s, &v)
	return min(max(v, 0), 1<<31)
}

// math writes a formula on one line.
func (l *inline) math(n *ooxml.Node) {
	sub := func(name string) *ooxml.Node { return n.Child(name) }
	part := func(k *ooxml.Node) {
		if k != nil {
			l.math(k)
		}
	}
	switch n.Name {
	case "m:r":
		for _, k := range n.Kids {
			switch k.Name {
			case "m:t", "w:t":
				l.text(nodeText(k))
			case "w:tab":
				l.text(" ")
			}
		}
		return
	case "m:f":
		l.group(sub("m:num"))
		l.text("/")
		l.group(sub("m:den"))
		return
	case "m:sSup":
		part(sub("m:e"))
		l.power(sub("m:sup"))
		return
	case "m:sSubSup":
		part(sub("m:e"))
		part(sub("m:sub"))
		l.power(sub("m:sup"))
		return
	case "m:rad":
		l.text("√")
		if d := sub("m:deg"); d != nil && flat(d) != "" {
			l.text("[" + flat(d) + "]")
		}
		l.group(sub("m:e"))
		return
	case "m:d":
		open, closing, sep := "(", ")", "|"
		pr := sub("m:dPr")
		for _, k := range []struct {
			name string
			into *string
		}{{"m:begChr", &open}, {"m:endChr", &closing}, {"m:sepChr", &sep}} {
			if c := pr.Child(k.name); c != nil {
				*k.into = c.Get("val")
			}
		}
		l.text(open)
		first := true
		for _, k := range n.Kids {
			if k.Name == "m:e" {
				if !first {
					l.text(sep)
				}
				first = false
				l.math(k)
			}
		}
		l.text(closing)
		return
	case "m:nary":
		c := "∫"
		if v := n.At("m:naryPr", "m:chr"); v != nil {
			c = v.Get("val")
		}
		l.text(c)
		part(sub("m:sub"))
		l.power(sub("m:sup"))
		part(sub("m:e"))
		return
	}
	for _, k := range n.Kids {
		if k.Name != "" && !strings.HasSuffix(k.Name, "Pr") {
			l.math(k)
		}
	}
}

func flat(n *ooxml.Node) string {
	if n == nil {
		return ""
	}
	return strings.TrimSpace(nodeText(n))
}

// group writes a part of a formula, in brackets where it is more than one thing.
func (l *inline) group(n *ooxml.Node) {
	if n == nil {
		return
	}
	many := strings.ContainsAny(flat(n), " +-−±×·*/=") || strings.ContainsAny(flat(n), "0123456789") && strings.IndexFunc(flat(n), isLetter) >= 0
	if many {
		l.text("(")
	}
	l.math(n)
	if many {
		l.text(")")
	}
}

func isLetter(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r > 0x7f }

// power raises an exponent; what no raised letters can write goes behind a ^, so that
// it never runs into the number below it.
func (l *inline) power(n *ooxml.Node) {
	s := flat(n)
	if s == "" {
		return
	}
	if strings.IndexFunc(s, func(r rune) bool { return !(r >= '0' && r <= '9' || r == '+' || r == '-' || r == '−') }) < 0 || utf8.RuneCountInString(s) == 1 && s < "\x80" {
		l.raise(s)
		return
	}
	l.text("^(")
	l.math(n)
	l.text(")")
}
