package layout

import (
	"math"
	"sort"
)

// aligned finds a table without rules that begins with the first of rows: rows of
// several pieces whose gaps stand one above the other. It returns how many rows
// of the page it takes.
func aligned(rows [][]*item, size float64) (int, *table) {
	if len(rows) < 3 || len(rows[0]) < 2 {
		return 0, nil
	}
	gap := 0.7 * size
	var have []interval
	n, multi := 0, 0
	prev := math.Inf(-1)
	for ; n < len(rows); n++ {
		row := rows[n]
		top, low := row[0].y0, row[0].y1
		next := append([]interval(nil), have...)
		for _, it := range row {
			if it.table != nil || it.seg == nil {
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
		gaps = gapsIn(have, 0.45*size)
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
