package layout

import (
	"math"
	"sort"
)

// Kinds of Element.
const (
	Heading   = "heading"
	Paragraph = "paragraph"
	Item      = "item" // of a list, with its bullet or number
	Table     = "table"
)

// Element is a piece of what the pages say, in the order of reading.
type Element struct {
	Kind  string
	Level int   // of a heading, from 1
	Runs  []Run // of text
	Rows  []Row // of a table
}

// Run is text that stands on one page.
type Run struct {
	Page int
	Text string
}

// Row of a table; all rows of one table have the same number of cells.
type Row struct {
	Page  int
	Cells []string
}

// Reader is given pages in order and says at the end what they are: what is a
// heading, a header or a broken word shows only in all of them. It keeps lines,
// not words.
type Reader struct {
	pages []flow
	sizes map[int]int // half points → letters
	words vocabulary
}

// flow is a page in the order of reading.
type flow struct {
	number int
	blocks []*block
}

// NewReader begins a document.
func NewReader() *Reader { return &Reader{sizes: map[int]int{}, words: vocabulary{}} }

// Add reads a page. Pages are added in their order.
func (r *Reader) Add(p Page) {
	if len(p.Words) == 0 {
		return
	}
	f := flow{number: p.Number}
	level, upright := rulesOf(p.Rules)
	tables, rest := ruled(p, level, upright)
	var items []*item
	for _, t := range tables {
		items = append(items, &item{x0: t.x0, y0: t.y0, x1: t.x1, y1: t.y1, table: t})
	}
	segs := segments(rest)
	for _, s := range segs {
		items = append(items, &item{x0: s.x0, y0: s.y0, x1: s.x1, y1: s.y1, seg: s})
	}
	f.blocks = order(items, bodyOf(segs), 0)
	for _, b := range f.blocks {
		r.words.lines(b.lines)
		for _, l := range b.lines {
			r.sizes[int(math.Round(l.size*2))] += len(l.Text)
		}
		if b.table != nil {
			for _, row := range b.table.rows {
				for _, c := range row {
					r.words.add(c)
				}
			}
		}
	}
	r.pages = append(r.pages, f)
}

// bodyOf is the size of most of the text of a page.
func bodyOf(segs []*segment) float64 {
	if len(segs) == 0 {
		return 10
	}
	var sizes []float64
	for _, s := range segs {
		sizes = append(sizes, s.size)
	}
	sort.Float64s(sizes)
	return max(sizes[len(sizes)/2], 4)
}

// Elements ends the document.
func (r *Reader) Elements() []Element {
	body := r.body()
	r.dropEdges(body)
	var all []*para
	for _, f := range r.pages {
		for _, b := range f.blocks {
			if b.table != nil {
				all = append(all, &para{table: b.table, page: f.number})
				continue
			}
			all = append(all, paragraphs(b, f.number, body)...)
		}
	}
	r.pages = nil
	all = r.joinAll(all, body)
	levels(all, body)
	var out []Element
	for _, p := range all {
		out = append(out, r.element(p))
	}
	return out
}

// body is the size of most of the text.
func (r *Reader) body() float64 {
	best, size := 0, 10.0
	for s, n := range r.sizes {
		if n > best || n == best && float64(s)/2 < size {
			best, size = n, float64(s)/2
		}
	}
	return max(size, 1)
}

func (r *Reader) element(p *para) Element {
	if p.table != nil {
		e := Element{Kind: Table}
		for i, row := range p.table.rows {
			cells := make([]string, len(row))
			for c, t := range row {
				cells[c] = r.words.mend(t)
			}
			page := p.page
			if i < len(p.rowPages) {
				page = p.rowPages[i]
			}
			e.Rows = append(e.Rows, Row{page, cells})
		}
		return e
	}
	e := Element{Kind: Paragraph, Level: p.level}
	switch {
	case p.level > 0:
		e.Kind = Heading
	case p.item:
		e.Kind = Item
	}
	// Broken words are mended over the whole, and the runs cut again where the
	// pages change.
	for i, run := range p.runs {
		text := run.Text
		if i > 0 {
			j := joint(p.runs[i-1].Text, text)
			if j == string(wordBreak) {
				// The word stands on the page on which it begins.
				last := &e.Runs[len(e.Runs)-1]
				head, rest := firstWord(text)
				last.Text = r.words.mend(last.Text + j + head)
				text = rest
			} else if j == " " {
				text = " " + text
			}
		}
		e.Runs = append(e.Runs, Run{run.Page, r.words.mend(text)})
	}
	return e
}

func firstWord(s string) (head, rest string) {
	for i, r := range s {
		if r == ' ' {
			return s[:i], s[i:]
		}
	}
	return s, ""
}
