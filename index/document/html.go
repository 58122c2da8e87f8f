package document

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// parseHTML makes sections of a page's headings; scripts, styles and
// navigation are left out.
func parseHTML(base string, text []byte, opt Options) (*Document, error) {
	root, err := htmlTree(text, opt)
	if err != nil {
		return nil, err
	}
	d := &Document{Kind: KindHTML, Source: base, ID: derivedID(base)}
	unarrange(root)
	(&elements{}).mark(root)
	title := ""
	if t := find(root, "title"); t != nil {
		title = t.inline()
	}
	top, h1, err := headed(root, opt)
	if err != nil {
		return nil, err
	}
	d.Title = first(h1, title, base)
	d.Sections = assemble(d.ID, top)
	settlePlaces(d)
	return d, nil
}

// derivedID makes an id of a file's name that stays the same wherever the file
// lies.
func derivedID(base string) string {
	return first(slug(strings.TrimSuffix(base, filepath.Ext(base))), slug(base), "document")
}

func find(n *node, name string) *node {
	if n.name == name {
		return n
	}
	for _, k := range n.kids {
		if f := find(k, name); f != nil {
			return f
		}
	}
	return nil
}

// htmlTree parses HTML, a page or a piece of one, into nodes.
func htmlTree(text []byte, opt Options) (*node, error) {
	g := tagGuard{}
	for i, c := range text {
		if g.step(c) {
			line, col := place(text, i)
			return nil, Problem{Line: line, Column: col, Reason: fmt.Sprintf("one element's attributes are over %s", megabytes(maxMarkupTagBytes)), Fix: "save the page again"}
		}
	}
	if n := bytes.Count(text, []byte{'<'}); n > 2*opt.MaxElements {
		return nil, Problem{Reason: fmt.Sprintf("more than %d elements", opt.MaxElements), Fix: "split the page or raise the limit"}
	}
	tree, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, Problem{Reason: "HTML whose elements are nested too deep", Fix: "save the page again, or as plain text"}
	}
	return convert(tree, opt.MaxDepth)
}

// convert leaves out comments and what is never seen.
func convert(h *html.Node, depth int) (*node, error) {
	if depth == 0 {
		return nil, Problem{Reason: "HTML whose elements are nested too deep", Fix: "save the page again, or as plain text"}
	}
	n := &node{name: nameOf(h)}
	if h.Type == html.DocumentNode {
		n.name = "#document"
	}
	for _, a := range h.Attr {
		if a.Key == "id" {
			a.Key = "ID"
		}
		if keptAttr[a.Key] {
			if n.attr == nil {
				n.attr = map[string]string{}
			}
			n.attr[a.Key] = clean(a.Val)
		}
	}
	for c := h.FirstChild; c != nil; c = c.NextSibling {
		switch c.Type {
		case html.TextNode:
			n.kids = append(n.kids, &node{text: clean(c.Data)})
		case html.ElementNode:
			if unseen(c) {
				continue
			}
			k, err := convert(c, depth-1)
			if err != nil {
				return nil, err
			}
			n.kids = append(n.kids, k)
		}
	}
	return n, nil
}

// headed cuts a page at its headings into drafts nested by level. A first
// heading of level 1 that is the only one is the title of the page.
func headed(root *node, opt Options) (top []*draft, title string, err error) {
	h := &headings{cur: &node{}, max: opt.MaxSections}
	h.walk(root)
	h.close()
	if len(h.list) > h.max {
		return nil, "", Problem{Reason: fmt.Sprintf("more than %d headings", h.max), Fix: "split the document or raise the limit"}
	}
	ones := 0
	for _, s := range h.list {
		if s.level == 1 {
			ones++
		}
	}
	var stack []levelled
	for i, s := range h.list {
		if s.level == 1 && ones == 1 && (i == 0 || i == 1 && h.list[0].level == 0) {
			title = s.title
			s.level, s.title = 0, ""
		}
		if s.level == 0 && s.text == "" {
			continue
		}
		d := &draft{title: s.title, text: s.text}
		if s.level == 0 {
			d.title = "Introduction"
			top = append(top, d)
			continue
		}
		_, name := splitNumber(d.title, true)
		if std, ok := SectionByName(name); ok {
			d.loinc = std.LOINC
		}
		for len(stack) > 0 && stack[len(stack)-1].level >= s.level {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 {
			top = append(top, d)
		} else {
			up := stack[len(stack)-1].d
			up.kids = append(up.kids, d)
		}
		stack = append(stack, levelled{s.level, d})
	}
	return top, title, nil
}

type levelled struct {
	level int
	d     *draft
}

type heading struct {
	level       int // 0: before the first heading
	title, text string
}

type headings struct {
	list  []heading
	level int
	title string
	cur   *node // what stands under the heading
	max   int   // headings; more are not gone through
}

func (h *headings) close() {
	h.list = append(h.list, heading{h.level, h.title, renderText(h.cur)})
}

func (h *headings) walk(n *node) {
	for _, k := range n.kids {
		level := headingLevel(k)
		switch {
		case level > 0:
			title := k.inline()
			if title == "" {
				continue
			}
			if len(h.list) > h.max {
				return
			}
			h.close()
			h.level, h.title, h.cur = level, title, &node{}
		case k.name == "head", k.name == "nav", k.name == "script", k.name == "style":
		case k.name == "table" || !holdsHeading(k):
			h.cur.kids = append(h.cur.kids, k)
		default:
			h.cur.kids = append(h.cur.kids, &node{name: "p"})
			h.walk(k)
			h.cur.kids = append(h.cur.kids, &node{name: "p"})
		}
	}
}

func headingLevel(n *node) int {
	if len(n.name) == 2 && n.name[0] == 'h' && n.name[1] >= '1' && n.name[1] <= '6' {
		return int(n.name[1] - '0')
	}
	return 0
}

// holdsHeading: html and body always do, so that a page is never one piece.
func holdsHeading(n *node) bool {
	if n.name == "html" || n.name == "body" || headingLevel(n) > 0 {
		return true
	}
	for _, k := range n.kids {
		if k.name != "" && holdsHeading(k) {
			return true
		}
	}
	return false
}

// parseText reads paragraphs; a short first line that stands alone is the
// title.
func parseText(base string, text []byte, _ Options) (*Document, error) {
	d := &Document{Kind: KindText, Source: base, ID: derivedID(base), Title: strings.TrimSuffix(base, filepath.Ext(base))}
	body := strings.TrimSpace(clean(string(text)))
	line, rest, _ := strings.Cut(body, "\n")
	if t := oneLine(line); len(t) <= 120 && strings.HasPrefix(strings.TrimLeft(rest, " "), "\n") && !strings.ContainsAny(t[max(0, len(t)-1):], ".:;!?,") && strings.ContainsFunc(t, unicode.IsLetter) {
		d.Title, body = t, rest
	}
	d.Sections = assemble(d.ID, []*draft{{title: d.Title, text: plainLabelText(body, "")}})
	return d, nil
}
