package layout

import (
	"math"
	"slices"
)

// grid is what crossing rules draw: cells, of which those that nothing parts are
// one.
type grid struct {
	xs, ys []float64
	up     []int // of each cell, row by row, another of the same, or itself
}

func (g *grid) columns() int { return len(g.xs) - 1 }
func (g *grid) rows() int    { return len(g.ys) - 1 }

func (g *grid) root(i int) int {
	for g.up[i] != i {
		i = g.up[i]
	}
	return i
}

// gridFrom is nil where the lines draw no two columns, or more than maxCells.
func gridFrom(level, upright []line) *grid {
	if len(level) == 0 || len(upright) == 0 {
		return nil
	}
	g := &grid{xs: edges(upright, level), ys: edges(level, upright)}
	nc, nr := g.columns(), g.rows()
	if nc < 2 || nr < 1 || nc*nr > maxCells {
		return nil
	}
	g.up = make([]int, nc*nr)
	for i := range g.up {
		g.up[i] = i
	}
	unite := func(a, b int) {
		a, b = g.root(a), g.root(b)
		g.up[max(a, b)] = min(a, b)
	}
	crossed := func(lines []line, at, mid float64) bool {
		return slices.ContainsFunc(lines, func(l line) bool {
			return math.Abs(l.at-at) <= near && l.from-near < mid && l.to+near > mid
		})
	}
	for r := range nr {
		for c := range nc {
			if c+1 < nc && !crossed(upright, g.xs[c+1], (g.ys[r]+g.ys[r+1])/2) {
				unite(r*nc+c, r*nc+c+1)
			}
			if r+1 < nr && !crossed(level, g.ys[r+1], (g.xs[c]+g.xs[c+1])/2) {
				unite(r*nc+c, (r+1)*nc+c)
			}
		}
	}
	return g
}

// Box is a part of a page, in points.
type Box struct{ X0, Y0, X1, Y1 float64 }

// Aligned are the cells of the tables that no rules draw: of the words only where they
// stand and how many characters they have counts.
func Aligned(words []Word) []Box {
	segs := segments(words)
	items := make([]*item, len(segs))
	for i, s := range segs {
		items[i] = &item{x0: s.x0, y0: s.y0, x1: s.x1, y1: s.y1, seg: s}
	}
	var out []Box
	for _, b := range order(items, bodyOf(segs), 0) {
		if b.table != nil {
			out = append(out, b.table.boxes...)
		}
	}
	return out
}

// Cells are the cells of the tables that rules draw, row by row: whoever reads a
// picture reads each of them by itself.
func Cells(rules []Rule) []Box {
	level, upright := rulesOf(rules)
	var out []Box
	for _, g := range crossing(level, upright) {
		t := gridFrom(g.level, g.upright)
		if t == nil {
			continue
		}
		nc := t.columns()
		at := map[int]int{}
		for i := range t.up {
			r, c := i/nc, i%nc
			box := Box{t.xs[c], t.ys[r], t.xs[c+1], t.ys[r+1]}
			k, seen := at[t.root(i)]
			if !seen {
				at[t.root(i)] = len(out)
				out = append(out, box)
				continue
			}
			o := &out[k]
			o.X0, o.Y0, o.X1, o.Y1 = min(o.X0, box.X0), min(o.Y0, box.Y0), max(o.X1, box.X1), max(o.Y1, box.Y1)
		}
	}
	return out
}
