package docx

import (
	"context"
	"fmt"

	"rxedge/index/document/ooxml"
)

// reader goes through the blocks of a document.
type reader struct {
	ctx                 context.Context
	styles              *styles
	nums                *numbering
	footnotes, endnotes map[string]*ooxml.Node
	notes, ends         int // that were referred to and have a number

	fields []bool // fields that are open: whether their result has begun
	page   int    // from 1
	paras  int    // paragraphs of the body that say something
	tables int
	titled bool
	inCell int
	carry  []*Node // of a paragraph whose end is deleted: the next one's beginning
	inNote bool
}

// builder gathers blocks.
type builder struct {
	nodes []*Node
	lists []*Node // that are open, the innermost last
	depth []int   // their levels
}

func (b *builder) add(n *Node) {
	b.lists, b.depth = nil, nil
	b.nodes = append(b.nodes, n)
}

// item puts a list item at its level.
func (b *builder) item(li *Node, level int) {
	for n := len(b.depth); n > 0 && b.depth[n-1] > level; n-- {
		b.lists, b.depth = b.lists[:n-1], b.depth[:n-1]
	}
	if n := len(b.depth); n == 0 || b.depth[n-1] < level {
		ul := &Node{Name: "ul"}
		if n == 0 {
			b.nodes = append(b.nodes, ul)
		} else {
			up := b.lists[n-1]
			last := up.Kids[len(up.Kids)-1]
			last.Kids = append(last.Kids, ul)
		}
		b.lists, b.depth = append(b.lists, ul), append(b.depth, level)
	}
	ul := b.lists[len(b.lists)-1]
	ul.Kids = append(ul.Kids, li)
}

// block reads one block; body says that it stands in the body itself, so that its
// headings are the document's.
func (r *reader) block(n *ooxml.Node, out *builder, body bool) error {
	switch n.Name {
	case "w:p":
		r.paragraph(n, out, body)
	case "w:tbl":
		return r.table(n, out, body)
	case "w:sdt":
		pr := n.Child("w:sdtPr")
		if pr.Child("w:showingPlcHdr") != nil || pr.At("w:docPartObj", "w:docPartGallery").Get("val") == "Table of Contents" {
			return nil
		}
		return r.blocks(n.Child("w:sdtContent"), out, body)
	case "w:ins", "w:moveTo", "w:customXml", "w:smartTag":
		return r.blocks(n, out, body)
	case "w:altChunk":
		return &ooxml.Error{Reason: "a Word file of which a part is another file that was put into it", Fix: "open it in Word and save it anew"}
	case "mc:AlternateContent":
		return r.blocks(choice(n), out, body)
	}
	return nil // what was deleted, section properties, bookmarks, and what is not known
}

func (r *reader) blocks(n *ooxml.Node, out *builder, body bool) error {
	if n == nil {
		return nil
	}
	for _, k := range n.Kids {
		if err := r.block(k, out, body); err != nil {
			return err
		}
	}
	return nil
}

// choice is the first way in which something that has several is written.
func choice(n *ooxml.Node) *ooxml.Node {
	if c := n.Child("mc:Choice"); c != nil && len(c.Kids) > 0 {
		return c
	}
	return n.Child("mc:Fallback")
}

func (r *reader) paragraph(n *ooxml.Node, out *builder, body bool) {
	ppr := n.Child("w:pPr")
	id := ppr.Child("w:pStyle").Get("val")
	if id == "" {
		id = r.styles.para
	}
	line := &inline{r: r, style: id}
	line.page = r.page
	line.nodes, r.carry = r.carry, nil
	line.kids(n)
	end := ppr.Child("w:rPr")
	if r.inCell == 0 && (end.Child("w:del") != nil || end.Child("w:moveFrom") != nil) {
		r.carry = line.nodes
		return
	}
	if r.styles.isContents(id) {
		return
	}
	if line.empty() {
		r.boxes(line, out)
		return
	}
	place := r.place(line.page, "")
	level := -1
	if body {
		level = r.styles.heading(id, ppr)
	}
	numID, lvl := r.styles.list(id, ppr)
	label, listed := "", false
	if numID != "" {
		label, listed = r.nums.next(numID, lvl)
	}
	bold := line.bold && !line.plain
	switch {
	case level >= 0:
		if level == titleLevel && r.titled {
			level = 1 // a second title is a part of the document
		}
		r.titled = r.titled || level == titleLevel
		if label != "" {
			line.nodes = append([]*Node{{Text: label + " "}}, line.nodes...)
		}
		out.add(&Node{Name: fmt.Sprintf("h%d", min(level, 9)), Kids: without(line.nodes, "place")})
	case listed:
		li := &Node{Name: "li"}
		if label != "" {
			li.Kids = append(li.Kids, &Node{Name: "caption", Kids: []*Node{{Text: label}}})
		}
		li.Kids = append(append(li.Kids, place...), line.nodes...)
		if bold && label != "" && body {
			// It may be a heading that was numbered by hand: told when all is read.
			out.add(&Node{Name: "p", Kids: append(append(place, &Node{Text: label + " "}), line.nodes...), bold: true})
			break
		}
		out.item(li, lvl)
	default:
		out.add(&Node{Name: "p", Kids: append(place, line.nodes...), bold: bold})
	}
	r.boxes(line, out)
}

// place of a paragraph of the body, or of what is given.
func (r *reader) place(page int, element string) []*Node {
	if element == "" {
		if r.inCell > 0 || r.inNote {
			return nil
		}
		r.paras++
		element = fmt.Sprintf("paragraph %d", r.paras)
	}
	return []*Node{{Name: "place", Page: page, Element: element}}
}

// boxes are the text boxes that hang on a paragraph; they follow it.
func (r *reader) boxes(line *inline, out *builder) {
	for _, b := range line.boxes {
		_ = r.blocks(b, out, false) // nothing of what may stand in one fails
	}
}

// flush puts out what waits for a paragraph that does not come.
func (r *reader) flush(out *builder) {
	if len(r.carry) > 0 {
		out.add(&Node{Name: "p", Kids: append(r.place(r.page, ""), r.carry...)})
		r.carry = nil
	}
}

// rows of a table, through what may stand around them.
func rows(n *ooxml.Node, name string, each func(*ooxml.Node)) {
	for _, k := range n.Kids {
		switch k.Name {
		case name:
			each(k)
		case "w:sdt":
			if c := k.Child("w:sdtContent"); c != nil {
				rows(c, name, each)
			}
		case "w:ins", "w:moveTo", "w:customXml":
			rows(k, name, each)
		case "mc:AlternateContent":
			if c := choice(k); c != nil {
				rows(c, name, each)
			}
		}
	}
}

func (r *reader) table(n *ooxml.Node, out *builder, body bool) error {
	// A table of one cell in each row is there for its frame.
	most := 0
	rows(n, "w:tr", func(tr *ooxml.Node) {
		cells := 0
		rows(tr, "w:tc", func(*ooxml.Node) { cells++ })
		most = max(most, cells)
	})
	var err error
	if most <= 1 {
		rows(n, "w:tr", func(tr *ooxml.Node) {
			rows(tr, "w:tc", func(tc *ooxml.Node) {
				if err == nil && !gone(tr, tc) {
					err = r.blocks(tc, out, body)
				}
			})
		})
		return err
	}
	nested := r.inCell > 0
	if !nested {
		r.tables++
	}
	t := &Node{Name: "table"}
	at := 0
	rows(n, "w:tr", func(tr *ooxml.Node) {
		if err != nil || gone(tr, nil) {
			return
		}
		at++
		if err = r.ctx.Err(); err != nil {
			return
		}
		row := &Node{Name: "tr"}
		trpr := tr.Child("w:trPr")
		cell := "td"
		if h := trpr.Child("w:tblHeader"); h != nil && h.Get("val") != "0" && h.Get("val") != "false" {
			cell = "th"
		}
		if skip := number(trpr.Child("w:gridBefore").Get("val"), 0); skip > 0 {
			row.Kids = append(row.Kids, &Node{Name: "td", Span: skip})
		}
		var place []*Node
		if !nested {
			place = r.place(r.page, fmt.Sprintf("table %d, row %d", r.tables, at))
		}
		rows(tr, "w:tc", func(tc *ooxml.Node) {
			if err != nil || gone(tr, tc) {
				return
			}
			tcpr := tc.Child("w:tcPr")
			td := &Node{Name: cell, Span: number(tcpr.Child("w:gridSpan").Get("val"), 1)}
			row.Kids = append(row.Kids, td)
			// A cell that goes on from above, or from the left, has nothing of its own.
			if m := tcpr.Child("w:vMerge"); m != nil && m.Get("val") != "restart" {
				return
			}
			if m := tcpr.Child("w:hMerge"); m != nil && m.Get("val") != "restart" {
				return
			}
			in := &builder{}
			r.inCell++
			err = r.blocks(tc, in, false)
			r.inCell--
			td.Kids = in.nodes
			if len(place) > 0 && len(in.nodes) > 0 {
				td.Kids = append(place, td.Kids...)
				place = nil
			}
		})
		t.Kids = append(t.Kids, row)
	})
	out.add(t)
	return err
}

// gone says whether a row, or a cell of it, was deleted or is hidden.
func gone(tr, tc *ooxml.Node) bool {
	trpr := tr.Child("w:trPr")
	if trpr.Child("w:del") != nil {
		return true
	}
	if h := trpr.Child("w:hidden"); h != nil && h.Get("val") != "0" && h.Get("val") != "false" {
		return true
	}
	return tc != nil && tc.At("w:tcPr", "w:cellDel") != nil
}
