package document

import (
	"strconv"
	"strings"
	"unicode"

	"rxedge/index/document/numeral"
)

// renderer writes a tree of markup as the text of a Section. SPL's own
// elements (paragraph, list, item, content, …) and HTML's are both known, for
// openFDA mixes them.
type renderer struct {
	marks  map[*node]string  // footnote → its mark
	byID   map[string]string // ID of a footnote → its mark
	notes  []string          // footnotes that wait for the end of their table or text
	inItem int
	flat   bool // in a table cell: rows of a nested table stay on the line
}

func newRenderer(root *node) *renderer {
	r := &renderer{marks: map[*node]string{}, byID: map[string]string{}}
	r.number(root)
	return r
}

// number gives every footnote its mark, in order, before any reference to it
// is written.
func (r *renderer) number(n *node) {
	if n.name == "footnote" {
		mark := n.get("mark") // as the source prints it
		if mark == "" {
			mark = footnoteMark(len(r.marks))
		}
		r.marks[n] = mark
		if id := n.get("ID"); id != "" {
			r.byID[id] = mark
		}
	}
	for _, k := range n.kids {
		r.number(k)
	}
}

// footnoteMark follows FDA's stylesheet: * † ‡ § ¶ #, then doubled.
func footnoteMark(i int) string {
	marks := []string{"*", "†", "‡", "§", "¶", "#"}
	if i >= 4*len(marks) {
		return "[" + strconv.Itoa(i+1) + "]"
	}
	return strings.Repeat(marks[i%len(marks)], i/len(marks)+1)
}

// renderText is the text under root in the form of Section.Text.
func renderText(root *node) string {
	r := newRenderer(root)
	var w writer
	r.kids(root, &w)
	r.flushNotes(&w)
	return w.String()
}

func (r *renderer) kids(n *node, w *writer) {
	for _, k := range n.kids {
		r.node(k, w)
	}
}

// block asks for the break that parts blocks here: paragraphs, or lines inside
// a list item.
func (r *renderer) block(w *writer) {
	if r.inItem > 0 {
		w.line()
	} else {
		w.para()
	}
}

func (r *renderer) node(n *node, w *writer) {
	switch n.name {
	case "":
		w.text(n.text)
	case "script", "style", "nav", "head", "noscript", "del", "s", "strike", "template", "svg", "iframe", "object", "math", "select", "button", "observationMedia", "observationmedia":
	case "br":
		w.br()
	case "paragraph", "p", "div", "section", "article", "main", "header", "footer", "aside", "blockquote", "figure", "figcaption",
		"h1", "h2", "h3", "h4", "h5", "h6", "dl", "hr", "address", "fieldset", "form", "details", "summary", "text", "highlight",
		"renderMultiMedia", "rendermultimedia":
		r.block(w)
		r.kids(n, w)
		r.block(w)
	case "dt":
		r.block(w)
		r.kids(n, w)
		w.line()
	case "dd": // on a line of its own, below what it explains
		w.line()
		r.kids(n, w)
		w.line()
	case "caption":
		r.kids(n, w)
		w.text(" ")
	case "suffix": // of a product's name
		w.text(" ")
		r.kids(n, w)
	case "pre":
		r.block(w)
		r.pre(n, w)
		r.block(w)
	case "list", "ul", "ol", "menu":
		r.list(n, w)
	case "table":
		r.table(n, w)
	case "noteref":
		if mark := noteMark(n); mark != "" {
			w.text(mark)
			return
		}
		r.kids(n, w)
	case "sup":
		if mark := noteMark(n); mark != "" {
			w.text(mark)
			return
		}
		var sub writer
		r.kids(n, &sub)
		s := sub.String()
		if len(n.kids) > 0 && strings.HasPrefix(n.kids[0].text, " ") {
			w.text(" ")
		}
		w.text(superscript(s))
		if len(n.kids) > 0 && strings.HasSuffix(n.kids[len(n.kids)-1].text, " ") {
			w.text(" ")
		}
	case "footnote":
		w.text(r.marks[n])
		at := len(r.notes)
		r.notes = append(r.notes, "")
		var sub writer
		r.kids(n, &sub)
		place, text := leadingMark(sub.String())
		r.notes[at] = place + strings.TrimSpace(r.marks[n]+" "+strings.Join(strings.Fields(text), " "))
	case "footnoteRef", "footnoteref":
		id := n.get("IDREF")
		if id == "" {
			id = n.get("idref")
		}
		w.text(r.byID[id])
	default:
		r.kids(n, w)
	}
}

func (r *renderer) flushNotes(w *writer) {
	if len(r.notes) == 0 {
		return
	}
	r.block(w)
	for _, note := range r.notes {
		w.raw(note)
		w.line()
	}
	r.notes = nil
	r.block(w)
}

// pre keeps its line ends.
func (r *renderer) pre(n *node, w *writer) {
	for _, k := range n.kids {
		if k.name != "" {
			r.pre(k, w)
			continue
		}
		for i, l := range strings.Split(k.text, "\n") {
			if i > 0 {
				w.line()
			}
			w.text(l)
		}
	}
}

func (r *renderer) list(n *node, w *writer) {
	if w.pending == 'p' && w.last == ':' || r.inItem > 0 {
		w.pending = 'l' // a list belongs to the line that announces it
	} else {
		r.block(w)
	}
	ordered := n.name == "ol" || n.get("listType") == "ordered" || n.get("listtype") == "ordered"
	count, _ := strconv.Atoi(n.get("start"))
	count = max(0, min(count, 1<<20)-1)
	for _, k := range n.kids {
		switch k.name {
		case "item", "li":
			count++
			if v, err := strconv.Atoi(k.get("value")); err == nil && v > 0 && v < 1<<20 {
				count = v
			}
			label := ""
			if ordered {
				label = ordinal(count, n.get("styleCode")+n.get("stylecode")+n.get("type")) + ". "
			}
			r.item(k, w, label)
		case "caption":
			w.line()
			r.kids(k, w)
			w.line()
		case "":
			w.text(k.text)
		default:
			w.line()
			r.node(k, w)
		}
	}
	r.block(w)
}

func (r *renderer) item(n *node, w *writer, label string) {
	var sub writer
	r.inItem++
	rest := n.kids
	for len(rest) > 0 && rest[0].name == "" && strings.TrimSpace(rest[0].text) == "" {
		rest = rest[1:]
	}
	if len(rest) > 0 && rest[0].name == "caption" { // the label's own marker
		if c := rest[0].inline(); strings.IndexFunc(c, func(x rune) bool { return unicode.IsLetter(x) || unicode.IsDigit(x) }) >= 0 && c != "o" {
			label = c + " "
		}
		rest = rest[1:]
	}
	for _, k := range rest {
		r.node(k, &sub)
	}
	r.inItem--
	place, s := leadingMark(sub.String())
	if s == "" {
		return
	}
	w.line()
	for _, glyph := range []string{"•", "·", "◦", "▪", "●", "○", "■"} {
		if t, ok := strings.CutPrefix(s, glyph); ok && (label != "" || glyph != "•" || !strings.HasPrefix(t, " ")) {
			s = strings.TrimLeft(t, " ")
			break
		}
	}
	if s == "" {
		return
	}
	if !strings.HasPrefix(s, "• ") {
		s = "• " + label + s
	}
	w.raw(place + s)
	w.line()
}

// ordinal is the label of the n-th item in the style that the list asks for.
func ordinal(n int, style string) string {
	s := strings.ToLower(style)
	switch {
	case strings.Contains(s, "alpha"), style == "a", style == "A":
		out := ""
		for i := n; i > 0; i = (i - 1) / 26 {
			out = string(rune('a'+(i-1)%26)) + out
		}
		if strings.Contains(s, "big") || style == "A" {
			return strings.ToUpper(out)
		}
		return out
	case strings.Contains(s, "roman"), style == "i", style == "I":
		out := numeral.Roman(n)
		if strings.Contains(s, "big") || style == "I" {
			return strings.ToUpper(out)
		}
		return out
	}
	return strconv.Itoa(n)
}
