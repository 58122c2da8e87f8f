package layout

import (
	"math"
	"sort"
	"strings"
	"unicode/utf8"
)

// item is what is put into order: a piece of a line, or a table.
type item struct {
	x0, y0, x1, y1 float64
	seg            *segment
	table          *table
}

func (it *item) words() int {
	if it.seg == nil {
		return 0
	}
	return len(it.seg.words)
}

// block is what stands together in one column: lines, or a table.
type block struct {
	lines  []*Line
	table  *table
	x0, x1 float64 // of the column
	y0, y1 float64
}

// Line is one line of text.
type Line struct {
	Text           string
	X0, Y0, X1, Y1 float64
	base, size     float64
	bold           bool
	textX          float64 // where the text begins after a bullet
}

// maxItems of a page that are searched for columns; a page of more is read from
// top to bottom.
const maxItems = 6000

// order puts the items of a region into the order of reading: bands of columns
// from left to right, what spans them from top to bottom.
func order(items []*item, size float64, depth int) []*block {
	if len(items) == 0 {
		return nil
	}
	rows := rowsOf(items)
	if depth > 5 || len(items) > maxItems {
		return single(rows, size)
	}
	var out []*block
	var plain [][]*item
	flush := func() {
		out = append(out, single(plain, size)...)
		plain = nil
	}
	for i := 0; i < len(rows); {
		n, cols := band(rows[i:], size)
		if n == 0 {
			plain = append(plain, rows[i])
			i++
			continue
		}
		flush()
		for _, c := range cols {
			out = append(out, order(c, size, depth+1)...)
		}
		i += n
	}
	flush()
	return out
}

// rowsOf groups items that overlap in height.
func rowsOf(items []*item) [][]*item {
	sorted := append([]*item(nil), items...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].y0 < sorted[j].y0 })
	var rows [][]*item
	end := 0.0
	for _, it := range sorted {
		slack := 0.25 * (it.y1 - it.y0)
		if it.table != nil {
			slack = 1
		}
		if n := len(rows); n > 0 && it.y0+slack < end {
			rows[n-1] = append(rows[n-1], it)
			end = max(end, it.y1)
		} else {
			rows = append(rows, []*item{it})
			end = it.y1
		}
	}
	return rows
}

type interval struct{ x0, x1 float64 }

// covered is what the intervals cover, without overlaps, from left to right.
func covered(in []interval) []interval {
	sort.Slice(in, func(i, j int) bool { return in[i].x0 < in[j].x0 })
	var out []interval
	for _, v := range in {
		if n := len(out); n > 0 && v.x0 <= out[n-1].x1 {
			out[n-1].x1 = max(out[n-1].x1, v.x1)
		} else {
			out = append(out, v)
		}
	}
	return out
}

// gaps of at least width between what is covered.
func gapsIn(c []interval, width float64) []interval {
	var out []interval
	for i := 1; i < len(c); i++ {
		if c[i].x0-c[i-1].x1 >= width {
			out = append(out, interval{c[i-1].x1, c[i].x0})
		}
	}
	return out
}

// band finds the columns of text that begin with the first of rows: as many rows
// as leave a gutter free, if what stands beside it reads as text. It returns how
// many rows they are and the items of each column.
func band(rows [][]*item, size float64) (int, [][]*item) {
	gutter := max(6, 0.7*size)
	var have []interval
	n := 0
	var gaps []interval
	for ; n < len(rows); n++ {
		next := append([]interval(nil), have...)
		for _, it := range rows[n] {
			next = append(next, interval{it.x0, it.x1})
		}
		next = covered(next)
		g := gapsIn(next, gutter)
		if len(next) > 1 && len(g) == 0 || n > 0 && len(gaps) > 0 && len(g) == 0 {
			break
		}
		if n == 0 && len(g) == 0 && len(rows[0]) > 1 {
			return 0, nil
		}
		if n == 0 && len(rows[0]) == 1 && len(g) == 0 {
			// One item alone begins a column only where the next rows stand beside it.
			if len(rows) < 2 || !beside(rows[0][0], rows[1], gutter) {
				return 0, nil
			}
		}
		have, gaps = next, g
	}
	n = trimmed(rows[:n], have, gaps, size)
	have = nil
	for _, row := range rows[:n] {
		for _, it := range row {
			have = append(have, interval{it.x0, it.x1})
		}
	}
	gaps = gapsIn(covered(have), gutter)
	if len(gaps) == 0 {
		return 0, nil
	}
	cols := make([][]*item, len(gaps)+1)
	for _, row := range rows[:n] {
		for _, it := range row {
			c := sort.Search(len(gaps), func(i int) bool { return gaps[i].x0 >= it.x1-0.01 })
			cols[c] = append(cols[c], it)
		}
	}
	if !prose(cols, size) {
		return 0, nil
	}
	return n, cols
}

// trimmed leaves out of a band what stands below it in its first column alone and
// is no text of that column: it reaches nowhere near the column's right edge, and
// begins further off or in another style.
func trimmed(rows [][]*item, have []interval, gaps []interval, size float64) int {
	if len(gaps) == 0 {
		return len(rows)
	}
	edge := gaps[0].x0
	m := len(rows)
	for m > 0 && inFirst(rows[m-1], edge) {
		m--
	}
	if m == 0 || m == len(rows) {
		return len(rows)
	}
	filled := 0
	for _, row := range rows[m:] {
		for _, it := range row {
			if it.seg != nil && it.x1 > edge-1.5*size {
				filled++
			}
		}
	}
	if filled >= 2 {
		return len(rows)
	}
	for i := m; i < len(rows); i++ {
		prev, it := rows[i-1][0], rows[i][0]
		for _, q := range rows[i-1] {
			if q.x0 < edge {
				prev = q
			}
		}
		if it.table != nil || prev.table != nil || it.y0-prev.y1 > 0.9*size ||
			math.Abs(it.seg.size-prev.seg.size) > 0.08*size || it.seg.bold != prev.seg.bold {
			return i
		}
	}
	return len(rows)
}

func inFirst(row []*item, edge float64) bool {
	for _, it := range row {
		if it.x1 > edge+0.01 {
			return false
		}
	}
	return true
}

func beside(a *item, row []*item, gutter float64) bool {
	for _, b := range row {
		if b.x0 >= a.x1+gutter || b.x1+gutter <= a.x0 {
			return true
		}
	}
	return false
}

// prose says that every column is text: lines of several words that mostly fill
// it. Cells of a table do not.
func prose(cols [][]*item, size float64) bool {
	long := 0
	for _, c := range cols {
		var lines, words, full, chars int
		x0, x1 := c[0].x0, c[0].x1
		tables := 0
		for _, it := range c {
			x0, x1 = min(x0, it.x0), max(x1, it.x1)
			if it.table != nil {
				tables++
			}
		}
		for _, it := range c {
			if it.seg == nil {
				continue
			}
			lines++
			words += it.words()
			chars += utf8.RuneCountInString(it.seg.text())
			if it.x1-it.x0 > 0.6*(x1-x0) {
				full++
			}
		}
		if lines == 0 && tables > 0 {
			continue
		}
		if x1-x0 < 9*size {
			return false
		}
		if lines >= 3 && words >= 3*lines && full*2 >= lines && chars >= 16*lines {
			long++
		} else if lines > 4 && words < 2*lines {
			return false
		}
	}
	return long >= 2 || long == 1 && len(cols) == 2 && len(cols[0])+len(cols[1]) > 12 && min(len(cols[0]), len(cols[1])) >= 2
}

// single makes blocks of rows that are read from top to bottom: tables, and
// lines.
func single(rows [][]*item, size float64) []*block {
	var out []*block
	var text []*item
	flush := func() {
		if len(text) == 0 {
			return
		}
		b := &block{}
		for i, it := range text {
			if i == 0 {
				b.x0, b.y0, b.x1, b.y1 = it.x0, it.y0, it.x1, it.y1
			}
			b.x0, b.y0, b.x1, b.y1 = min(b.x0, it.x0), min(b.y0, it.y0), max(b.x1, it.x1), max(b.y1, it.y1)
			b.lines = append(b.lines, lineOf(it.seg))
		}
		out = append(out, b)
		text = nil
	}
	parted := inCells(rows)
	for i := 0; i < len(rows); {
		if n, t := aligned(parted[i:], size); n > 0 {
			flush()
			out = append(out, &block{table: t, x0: t.x0, y0: t.y0, x1: t.x1, y1: t.y1})
			i += n
			continue
		}
		row := append([]*item(nil), rows[i]...)
		sort.SliceStable(row, func(a, b int) bool {
			if s, t := row[a].seg, row[b].seg; s != nil && t != nil && s.base < t.base-0.5*min(s.size, t.size) {
				return true
			} else if s != nil && t != nil && t.base < s.base-0.5*min(s.size, t.size) {
				return false
			}
			return row[a].x0 < row[b].x0
		})
		for _, it := range row {
			if it.table != nil {
				flush()
				out = append(out, &block{table: it.table, x0: it.x0, y0: it.y0, x1: it.x1, y1: it.y1})
				continue
			}
			text = append(text, it)
		}
		i++
	}
	flush()
	return out
}

func lineOf(s *segment) *Line {
	l := &Line{Text: s.text(), X0: s.x0, Y0: s.y0, X1: s.x1, Y1: s.y1, base: s.base, size: s.size, bold: s.bold, textX: s.x0}
	if len(s.words) > 1 && s.words[0].Text != "" && isMarker(&segment{words: s.words[:1]}) {
		l.textX = s.words[1].X0
	}
	if n := len(s.words); n > 0 && s.words[n-1].Hyphen && !strings.HasSuffix(l.Text, "-") {
		l.Text += "-"
	}
	return l
}
