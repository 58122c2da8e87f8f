package document

import (
	"strconv"
	"strings"
)

// maxColumns of a table; cells beyond stand in the last one's place, without
// their span.
const maxColumns = 64

type cell struct {
	col   int
	empty bool
	nodes []*node // a cell in the last column may hold several
}

// table writes its caption, one line a row with cells parted by " | ", and the
// footnotes that stand in it. Cells of spanned rows and columns stand where
// they begin, and the places they cover are left empty, so that columns line
// up. A table of one column is layout: its cells are written as they are.
func (r *renderer) table(n *node, w *writer) {
	var caption, head, body, foot []*node
	collectRows(n, &caption, &head, &body, &foot)
	rows := grid(append(append(head, body...), foot...))
	if r.flat {
		r.flatTable(caption, rows, w)
		return
	}
	used := make([]bool, maxColumns)
	columns := 0
	for _, row := range rows {
		for _, c := range row {
			if !c.empty && !used[c.col] {
				used[c.col] = true
				columns++
			}
		}
	}
	outer := r.notes
	r.notes = nil
	if r.inItem > 0 || w.pending == 'p' && w.last == ':' {
		w.pending = 'l'
	} else {
		w.para()
	}
	for _, c := range caption {
		w.raw(r.cellText([]*node{c}))
		w.line()
	}
	for _, row := range rows {
		if columns > 1 {
			w.raw(r.rowLine(row, used))
			w.line()
			continue
		}
		for _, c := range row {
			if !c.empty {
				r.block(w)
				for _, k := range c.nodes {
					r.kids(k, w)
				}
				r.block(w)
			}
		}
	}
	for _, note := range r.notes {
		w.line()
		w.raw(note)
		w.line()
	}
	r.notes = outer
	r.block(w)
}

// rowLine joins the cells of a row; columns that are empty in the whole table
// and cells at the end of the row that are empty are left out.
func (r *renderer) rowLine(row []cell, used []bool) string {
	var b strings.Builder
	bars := 0 // columns passed that have not been written yet
	col := 0
	place := "" // of the row: it begins before the bars
	for _, c := range row {
		if c.empty {
			continue
		}
		for ; col < c.col; col++ {
			if used[col] {
				bars++
			}
		}
		text := r.cellText(c.nodes)
		if b.Len() == 0 {
			place, text = leadingMark(text)
		}
		if text == "" {
			continue
		}
		for ; bars > 0; bars-- {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteByte('|')
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text)
	}
	return place + b.String()
}

// flatTable writes a table that stands in a cell of another on that cell's line.
func (r *renderer) flatTable(caption []*node, rows [][]cell, w *writer) {
	for _, c := range caption {
		w.text(" ")
		r.kids(c, w)
		w.text(" ")
	}
	for i, row := range rows {
		if i > 0 {
			w.text("; ")
		}
		first := true
		for _, c := range row {
			if c.empty {
				continue
			}
			if !first {
				w.text(", ")
			}
			first = false
			w.text(r.cellText(c.nodes))
		}
	}
}

// collectRows finds the rows of a table and not those of tables inside it.
func collectRows(n *node, caption, head, body, foot *[]*node) {
	for _, k := range n.kids {
		switch k.name {
		case "caption":
			*caption = append(*caption, k)
		case "thead":
			collectRows(k, caption, head, head, head)
		case "tfoot":
			collectRows(k, caption, foot, foot, foot)
		case "tr":
			*body = append(*body, k)
		case "tbody":
			collectRows(k, caption, body, body, body)
		case "col", "colgroup":
		case "":
			if strings.TrimSpace(k.text) != "" { // text where none may stand: a row of its own
				*body = append(*body, &node{name: "tr", kids: []*node{{name: "td", kids: []*node{k}}}})
			}
		default:
			*body = append(*body, &node{name: "tr", kids: []*node{{name: "td", kids: []*node{k}}}})
		}
	}
}

// grid places the cells of each row in columns.
func grid(trs []*node) [][]cell {
	rows := make([][]cell, 0, len(trs))
	var until [maxColumns]int // first row in which the column is free again
	for i, tr := range trs {
		var row []cell
		col := 0
		for _, td := range tr.kids {
			if td.name == "" && strings.TrimSpace(td.text) == "" {
				continue
			}
			if td.name != "td" && td.name != "th" {
				td = &node{name: "td", kids: []*node{td}}
			}
			for col < maxColumns && until[col] > i {
				col++
			}
			if col >= maxColumns {
				if last := len(row) - 1; last >= 0 {
					row[last].nodes = append(row[last].nodes, td)
					row[last].empty = row[last].empty && !td.hasText()
				} else {
					row = append(row, cell{col: maxColumns - 1, empty: !td.hasText(), nodes: []*node{td}})
				}
				continue
			}
			row = append(row, cell{col: col, empty: !td.hasText(), nodes: []*node{td}})
			wide, tall := span(td.get("colspan")), span(td.get("rowspan"))
			for c := col; c < min(col+wide, maxColumns); c++ {
				until[c] = i + tall
			}
			col += wide
		}
		rows = append(rows, row)
	}
	return rows
}

func span(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 1
	}
	return min(max(n, 1), 1000)
}

// cellText is the content of a cell on one line.
func (r *renderer) cellText(nodes []*node) string {
	flat, item := r.flat, r.inItem
	r.flat, r.inItem = true, 0
	var w writer
	for _, n := range nodes {
		r.kids(n, &w)
		w.text(" ")
	}
	r.flat, r.inItem = flat, item
	return strings.Join(strings.Fields(w.String()), " ")
}
