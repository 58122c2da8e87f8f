package document

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// unseen says whether a browser shows nothing of an element: by its own attributes, for
// style sheets are not read. What is hidden from screen readers alone (aria-hidden) is
// seen; struck text is left out, for a struck dose must not become one.
func unseen(h *html.Node) bool {
	open := false
	for _, a := range h.Attr {
		switch a.Key {
		case "hidden":
			return !strings.EqualFold(a.Val, "until-found")
		case "open":
			open = true
		case "style":
			s := declared(a.Val)
			if s["display"] == "none" || s["visibility"] == "hidden" || s["visibility"] == "collapse" || strings.Contains(s["text-decoration"]+s["text-decoration-line"], "line-through") {
				return true
			}
		}
	}
	return h.Data == "dialog" && !open
}

// declared are the declarations of a style attribute.
func declared(style string) map[string]string {
	out := map[string]string{}
	for d := range strings.SplitSeq(strings.ToLower(style), ";") {
		k, v, _ := strings.Cut(d, ":")
		out[strings.TrimSpace(k)] = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "!important"))
	}
	return out
}

// nameOf is the name by which an element is read: what is raised by its style is a
// superscript, and what refers to a footnote one that says so.
func nameOf(h *html.Node) string {
	for _, a := range h.Attr {
		switch {
		case a.Key == "style" && h.Data != "td" && h.Data != "th" && h.Data != "img":
			if v := declared(a.Val)["vertical-align"]; v == "super" || v == "text-top" {
				return "sup"
			}
		case a.Key == "href" && h.Data == "a" && strings.HasPrefix(a.Val, "#") && len(a.Val) > 1:
			return "noteref"
		}
	}
	return h.Data
}

// noteMark is the mark of a footnote that a raised link to another place of the page
// shows; "" where n is something else. It is written [1], not ¹: "10¹ mg" would be an
// exponent.
func noteMark(n *node) string {
	inner := "noteref"
	if n.name == "noteref" {
		inner = "sup"
	}
	has := false
	var b strings.Builder
	var walk func(*node)
	walk = func(k *node) {
		has = has || k.name == inner
		b.WriteString(k.text)
		for _, k := range k.kids {
			walk(k)
		}
	}
	walk(n)
	mark := strings.Trim(strings.TrimSpace(b.String()), "[]()")
	if !has || mark == "" || len([]rune(mark)) > 4 || strings.ContainsAny(mark, " \n") {
		return ""
	}
	return "[" + mark + "]"
}

// arranged says whether a table is there to arrange a page: it says so, or its cells
// hold headings with text below them, or whole tables.
func arranged(t *node) bool {
	switch t.get("role") {
	case "presentation", "none":
		return true
	}
	var caption, head, body, foot []*node
	collectRows(t, &caption, &head, &body, &foot)
	if len(caption)+len(head) > 0 {
		return false
	}
	found := false
	for _, tr := range append(body, foot...) {
		for _, td := range tr.kids {
			if td.name == "th" {
				return false
			}
			headings, blocks, tables := 0, 0, 0
			contents(td, &headings, &blocks, &tables)
			found = found || headings > 0 && blocks > 0 || tables > 0
		}
	}
	return found
}

func contents(n *node, headings, blocks, tables *int) {
	for _, k := range n.kids {
		switch {
		case headingLevel(k) > 0:
			*headings++
		case k.name == "table":
			var caption, head, body, foot []*node
			collectRows(k, &caption, &head, &body, &foot)
			rows := append(append(head, body...), foot...)
			if len(rows) >= 3 || len(caption)+len(head) > 0 {
				for _, tr := range rows {
					if len(tr.kids) > 1 {
						*tables++
						break
					}
				}
			}
			*blocks++
		case k.name == "p" || k.name == "ul" || k.name == "ol" || k.name == "dl" || k.name == "div":
			*blocks++
			contents(k, headings, blocks, tables)
		default:
			contents(k, headings, blocks, tables)
		}
	}
}

// unarrange makes plain blocks of tables that only arrange a page, and of the cells of
// them, in their order.
func unarrange(n *node) {
	if n.name == "table" && arranged(n) {
		block(n)
	}
	for _, k := range n.kids {
		unarrange(k)
	}
}

func block(n *node) {
	n.name = "div"
	for _, k := range n.kids {
		switch k.name {
		case "tbody", "thead", "tfoot", "tr", "td", "th", "caption":
			block(k)
		}
	}
}

// elements marks where the text of a page comes from: which paragraph, item or row of
// a table it stands in.
type elements struct{ paragraphs, tables int }

func (e *elements) mark(n *node) {
	for _, k := range n.kids {
		switch {
		case headingLevel(k) > 0 || k.name == "head" || k.name == "nav" || k.name == "script" || k.name == "style":
		case k.name == "table":
			e.tables++
			e.rows(k)
		case !k.hasText():
		case k.name == "p" || k.name == "li" || k.name == "dt" || k.name == "dd" || k.name == "pre" || k.name == "blockquote" && !hasBlocks(k) || k.name == "div" && !hasBlocks(k):
			e.paragraphs++
			place := &node{text: placeMark(0, fmt.Sprintf("paragraph %d", e.paragraphs))}
			e.mark(k) // lists and tables in it
			k.kids = append([]*node{place}, k.kids...)
		default:
			e.mark(k)
		}
	}
}

func hasBlocks(n *node) bool {
	for _, k := range n.kids {
		switch k.name {
		case "p", "div", "ul", "ol", "dl", "table", "pre", "blockquote", "section", "article", "h1", "h2", "h3", "h4", "h5", "h6":
			return true
		}
		if k.name != "" && hasBlocks(k) {
			return true
		}
	}
	return false
}

func (e *elements) rows(t *node) {
	var caption, head, body, foot []*node
	collectRows(t, &caption, &head, &body, &foot)
	for i, tr := range append(append(head, body...), foot...) {
		for _, td := range tr.kids {
			if td.name != "" && td.hasText() {
				place := &node{text: placeMark(0, "table "+strconv.Itoa(e.tables)+", row "+strconv.Itoa(i+1))}
				td.kids = append([]*node{place}, td.kids...)
				break
			}
		}
	}
}
