// Package docx reads Word documents (ECMA-376 part 1, WordprocessingML) as what a
// person sees who opens one with its changes taken: headings, paragraphs, lists with
// their numbers, tables, footnotes. Nothing of a document is run, nothing that it
// links to is opened.
package docx

import (
	"context"
	"strings"

	"rxedge/index/document/ooxml"
)

// Node is an element of the document, in the words of HTML (h1 to h6, p, ul, li,
// table, tr, td, th, sup, br) and of SPL (caption, the label of a list item;
// footnote), or a piece of text where it has no name. "place" says where what
// follows comes from.
type Node struct {
	Name string
	Text string
	Kids []*Node
	// Span is how many columns a cell covers; 0 and 1 are one.
	Span int
	// Mark of a footnote, as it is printed.
	Mark string
	// Page from 1, 0 where unknown, and Element ("paragraph 12"), of a place.
	Page    int
	Element string
	bold    bool // all its text
}

// Document is what was read.
type Document struct {
	Body  *Node
	Title string // by its own properties; often not what it says of itself
	// Effective is a property of the file by that name, as it is written there.
	Effective string
	Macros    bool // programs came with it; they were not looked at
}

const what = "a Word file"

// Read reads a whole document. Its error is an *ooxml.Error, or ctx's.
func Read(ctx context.Context, p *ooxml.Package) (*Document, error) {
	d, err := read(ctx, p)
	if err != nil {
		if e := ctx.Err(); e != nil {
			return nil, e
		}
		return nil, ooxml.Reason(what, err)
	}
	return d, nil
}

func read(ctx context.Context, p *ooxml.Package) (*Document, error) {
	st, err := readStyles(p)
	if err != nil {
		return nil, err
	}
	nums, err := readNumbering(p)
	if err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, styles: st, nums: nums, page: 1}
	for _, k := range []struct {
		kind string
		into *map[string]*ooxml.Node
	}{{"footnotes", &r.footnotes}, {"endnotes", &r.endnotes}} {
		*k.into = map[string]*ooxml.Node{}
		part := p.Related(p.Main, k.kind)
		if part == "" {
			continue
		}
		root, err := p.Read(part)
		if err != nil {
			return nil, err
		}
		for _, n := range root.Kids {
			if t := n.Get("type"); t == "" || t == "normal" {
				(*k.into)[n.Get("id")] = n
			}
		}
	}
	d, err := p.Decoder(p.Main)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out := &builder{}
	found, err := d.Children("w:body", func(n *ooxml.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.block(n, out, true)
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ooxml.Damaged(what, p.Main)
	}
	r.flush(out)
	doc := &Document{Body: &Node{Name: "body", Kids: out.nodes}, Macros: p.Macros}
	if r.page == 1 {
		pageless(doc.Body) // nothing says where its pages end
	}
	settle(doc.Body, r.titled)
	properties(p, doc)
	return doc, nil
}

func pageless(n *Node) {
	n.Page = 0
	for _, k := range n.Kids {
		pageless(k)
	}
}

// longHeading is the most characters of a bold line that is taken for a heading.
const longHeading = 90

// settle settles the headings: below a title all others are one lower; and where no
// style makes headings, short bold lines are.
func settle(body *Node, titled bool) {
	any := false
	for _, n := range body.Kids {
		if l := headingLevel(n); l >= 0 {
			any = true
			if titled {
				l++
			}
			n.Name = "h" + string(rune('0'+min(max(l, 1), 6)))
		}
	}
	if any && !titled {
		return
	}
	if any {
		for _, n := range body.Kids {
			if headingLevel(n) > 1 {
				return
			}
		}
	}
	for i, n := range body.Kids {
		if n.Name != "p" || !n.bold || i+1 == len(body.Kids) || body.Kids[i+1].bold && body.Kids[i+1].Name == "p" {
			continue
		}
		if s := strings.TrimSpace(n.plain()); s != "" && len(s) <= longHeading && !strings.ContainsAny(s[len(s)-1:], ".,;!?") {
			n.Name = "h2"
			n.Kids = without(n.Kids, "place")
		}
	}
}

func headingLevel(n *Node) int {
	if len(n.Name) == 2 && n.Name[0] == 'h' && n.Name[1] >= '0' && n.Name[1] <= '9' {
		return int(n.Name[1] - '0')
	}
	return -1
}

func without(kids []*Node, name string) []*Node {
	out := kids[:0:0]
	for _, k := range kids {
		if k.Name != name {
			out = append(out, k)
		}
	}
	return out
}

func (n *Node) plain() string {
	if n.Name == "" {
		return n.Text
	}
	var b strings.Builder
	for _, k := range n.Kids {
		b.WriteString(k.plain())
	}
	return b.String()
}

// properties reads what the file says of itself.
func properties(p *ooxml.Package, d *Document) {
	if part := p.Related("", "core-properties"); part != "" {
		if root, err := p.Read(part); err == nil {
			for _, n := range root.Kids {
				if n.Name == "title" || strings.HasSuffix(n.Name, ":title") {
					d.Title = strings.TrimSpace(nodeText(n))
				}
			}
		}
	}
	part := p.Related("", "custom-properties")
	if part == "" {
		return
	}
	root, err := p.Read(part)
	if err != nil {
		return // the text stands without them
	}
	for _, n := range root.Kids {
		name := strings.ToLower(strings.Join(strings.FieldsFunc(n.Get("name"), func(r rune) bool { return r == ' ' || r == '_' || r == '-' }), " "))
		switch name {
		case "effective", "effective date", "date effective", "valid from", "revision date", "date of revision":
			d.Effective = strings.TrimSpace(nodeText(n))
		}
	}
}

func nodeText(n *ooxml.Node) string {
	if n.Name == "" && len(n.Kids) == 0 {
		return n.Text
	}
	var b strings.Builder
	for _, k := range n.Kids {
		b.WriteString(nodeText(k))
	}
	return b.String()
}
