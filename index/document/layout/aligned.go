package layout

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// aligned finds a table without rules that begins with the first of rows: rows of
// several pieces, parted as inCells does, whose gaps stand one above the other. It
// returns how many rows of the page it takes.
func aligned(rows [][]*item, size float64) (int, *table) {
	if len(rows) < 3 || len(rows[0]) < 2 {
		return 0, nil
	}
	if it := rows[0][0]; it.seg != nil {
		size = min(size, it.seg.size)
	}
	gap := 0.7 * size
	var have []interval
	n, multi := 0, 0
	prev := math.Inf(-1)
	var apart []float64 // between the rows so far
	for ; n < len(rows); n++ {
		row := rows[n]
		top, low := row[0].y0, row[0].y1
		next := append([]interval(nil), have...)
		stretched := justified(row)
		for _, it := range row {
			if it.table != nil || it.seg == nil || stretched {
				top = math.Inf(1)
				break
			}
			top, low = min(top, it.y0), max(low, it.y1)
			next = append(next, interval{it.x0, it.x1})
		}
		if n > 0 && top-prev > 1.8*size || math.IsInf(top, 1) {
			break
		}
		next = covered(next)
		if len(gapsIn(next, gap)) == 0 {
			break
		}
		if n > 0 {
			// Further below than rows stand, and with other columns or a head: another table.
			if len(apart) > 0 && top-prev > median(apart)+0.25*size &&
				(len(gapsIn(next, gap)) < len(gapsIn(have, gap)) || !stands(row, rows[max(0, n-3):n], 0.35*size) || heads(row) && !heads(rows[n-1])) {
				break
			}
			apart = append(apart, top-prev)
		}
		if n > 0 && len(row) == 1 && len(gapsIn(covered(append(append([]interval(nil), have...), interval{row[0].x0, row[0].x1})), gap)) < len(gapsIn(have, gap)) {
			break // a line of text below the table
		}
		have, prev = next, low
		if len(row) > 1 {
			multi++
		}
	}
	for n > 0 && len(rows[n-1]) == 1 && rows[n-1][0].x0 <= have[0].x0+1 && rows[n-1][0].words() > 6 {
		n-- // the paragraph after it
	}
	if n < 3 || multi < 3 || multi*2 < n {
		return 0, nil
	}
	have = nil
	for _, row := range rows[:n] {
		for _, it := range row {
			have = append(have, interval{it.x0, it.x1})
		}
	}
	have = covered(have)
	gaps := gapsIn(have, gap)
	if len(gaps) == 0 {
		return 0, nil
	}
	// Where many rows leave the same place free, less than that parts columns too.
	if n >= 5 {
		have = nil
		for _, row := range rows[:n] {
			for _, it := range row {
				for _, w := range it.seg.words {
					have = append(have, interval{w.X0, w.X1})
				}
			}
		}
		have = covered(have)
		gaps = parting(rows[:n], gapsIn(have, 0.45*size), gap)
	}
	if gaps = wider(rows[:n], gaps); len(gaps) == 0 {
		return 0, nil
	}
	t := &table{x0: have[0].x0, x1: have[len(have)-1].x1, y0: math.Inf(1), y1: math.Inf(-1)}
	t.cols = append(t.cols, have[0].x0)
	for _, g := range gaps {
		t.cols = append(t.cols, g.x1)
	}
	type physical struct {
		cells    [][]Word
		top, low float64
	}
	var lines []physical
	filled := 0
	for _, row := range rows[:n] {
		p := physical{cells: make([][]Word, len(t.cols)), top: math.Inf(1), low: math.Inf(-1)}
		for _, it := range row {
			for _, w := range it.seg.words {
				c := max(sort.SearchFloat64s(t.cols, w.X0+0.5)-1, 0)
				p.cells[c] = append(p.cells[c], w)
			}
			p.top, p.low = min(p.top, it.y0), max(p.low, it.y1)
		}
		for _, c := range p.cells {
			if len(c) > 0 {
				filled++
			}
		}
		t.y0, t.y1 = min(t.y0, p.top), max(t.y1, p.low)
		lines = append(lines, p)
	}
	if filled*5 < 2*n*len(t.cols) {
		return 0, nil // hardly anything stands beside anything
	}
	// Lines that stand closer than rows do belong to the row above.
	var steps []float64
	for i := 1; i < len(lines); i++ {
		steps = append(steps, lines[i].top-lines[i-1].low)
	}
	least, most := steps[0], steps[0]
	for _, s := range steps {
		least, most = min(least, s), max(most, s)
	}
	spaced := most-least > 0.25*size
	var cells [][]Word
	flush := func() {
		if cells == nil {
			return
		}
		out := make([]string, len(cells))
		for i, c := range cells {
			out[i] = cellText(c)
			if len(c) > 0 {
				box := Box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
				for _, w := range c {
					box = Box{min(box.X0, w.X0), min(box.Y0, w.Y0), max(box.X1, w.X1), max(box.Y1, w.Y1)}
				}
				t.boxes = append(t.boxes, box)
			}
		}
		t.rows = append(t.rows, out)
	}
	for i, l := range lines {
		goes := false
		if i > 0 {
			if spaced {
				goes = steps[i-1] < least+0.2*size && len(l.cells[0]) == 0
			} else {
				goes = len(l.cells[0]) == 0
			}
		}
		if goes {
			for c := range l.cells {
				cells[c] = append(cells[c], l.cells[c]...)
			}
			continue
		}
		flush()
		cells = l.cells
		t.top = append(t.top, l.top)
	}
	flush()
	t.tidy()
	if len(t.rows) < 2 || t.width() < 2 {
		return 0, nil
	}
	return n, t
}

// inCells parts the pieces of rows as those of a table are.
func inCells(rows [][]*item) [][]*item {
	out := make([][]*item, len(rows))
	for i, row := range rows {
		stretched := justified(row)
		for _, it := range row {
			if it.seg == nil || stretched {
				out[i] = append(out[i], it)
				continue
			}
			for _, s := range it.seg.cells() {
				out[i] = append(out[i], &item{x0: s.x0, y0: s.y0, x1: s.x1, y1: s.y1, seg: s})
			}
		}
	}
	return out
}

// justified: a line of text whose spaces are stretched alike, to whatever width.
func justified(row []*item) bool {
	var words []Word
	for _, it := range row {
		if it.seg == nil || it.seg.base != row[0].seg.base {
			return false
		}
		words = append(words, it.seg.words...)
	}
	slices.SortFunc(words, func(a, b Word) int { return cmp.Compare(a.X0, b.X0) })
	least, most := math.Inf(1), 0.0
	for i, w := range words {
		if strings.ContainsFunc(w.Text, unicode.IsDigit) {
			return false
		}
		if i > 0 {
			least, most = min(least, w.X0-words[i-1].X1), max(most, w.X0-words[i-1].X1)
		}
	}
	return len(words) > 2 && least > 0 && most < 1.2*least
}

// wider leaves of the gaps those that are wider than what stands between words elsewhere
// in these rows: in justified text, and in a monospaced face, that is much.
func wider(rows [][]*item, gaps []interval) []interval {
	var spaces []float64
	for _, row := range rows {
		for _, it := range row {
			for i, w := range it.seg.words[1:] {
				v := interval{it.seg.words[i].X1, w.X0}
				if v.x1 > v.x0 && !w.Glue && !slices.ContainsFunc(gaps, func(g interval) bool { return g.x0 > v.x0-0.01 && g.x1 < v.x1+0.01 }) {
					spaces = append(spaces, v.x1-v.x0)
				}
			}
		}
	}
	if len(spaces) < 3 {
		return gaps
	}
	least := 1.25 * median(spaces)
	return slices.DeleteFunc(slices.Clone(gaps), func(g interval) bool { return g.x1-g.x0 <= least })
}

// parting leaves of the gaps between words those that part columns. One that is hardly
// wider than a space counts only where three rows have text on both sides of it: else
// it is the space of a head that stands over one column.
func parting(rows [][]*item, gaps []interval, gap float64) []interval {
	var out []interval
	for i, g := range gaps {
		from, to := math.Inf(-1), math.Inf(1)
		if len(out) > 0 {
			from = out[len(out)-1].x0
		}
		if i+1 < len(gaps) {
			to = gaps[i+1].x1
		}
		both := 0
		for _, row := range rows {
			left, right := false, false
			for _, it := range row {
				for _, w := range it.seg.words {
					left = left || w.X0 > from && w.X1 <= g.x0+0.01
					right = right || w.X0 >= g.x1-0.01 && w.X1 < to
				}
			}
			if left && right {
				both++
			}
		}
		if g.x1-g.x0 >= gap || both >= 3 {
			out = append(out, g)
		}
	}
	return out
}

// stands says that more than half of the pieces of a row have an edge or their middle
// where a piece of the rows above has the same.
func stands(row []*item, rows [][]*item, near float64) bool {
	n := 0
	above := slices.Concat(rows...)
	for _, a := range row {
		for _, b := range above {
			if math.Abs(a.x0-b.x0) < near || math.Abs(a.x1-b.x1) < near || math.Abs(a.x0+a.x1-b.x0-b.x1) < 2*near {
				n++
				break
			}
		}
	}
	return n*2 > len(row)
}

// heads: a row of several pieces that are all bold.
func heads(row []*item) bool {
	for _, it := range row {
		if it.seg == nil || !it.seg.bold {
			return false
		}
	}
	return len(row) > 1
}

func median(in []float64) float64 {
	s := append([]float64(nil), in...)
	sort.Float64s(s)
	return s[len(s)/2]
}
