package layout

import (
	"math"
	"slices"
	"sort"
	"strings"
)

// table is a grid of cells.
type table struct {
	x0, y0, x1, y1 float64
	rows           [][]string
	cols           []float64 // left edges
	closed         bool      // drawn with rules on all sides
	top            []float64 // y of each row, for the order of lines
	boxes          []Box     // what stands in the cells, where no rules draw them
}

// maxCells of one table; what is larger is read as lines.
const maxCells = 20_000

// near is how far apart two ends of rules may be and still meet, in points.
const near = 3.0

type line struct{ at, from, to float64 }

// merged puts together what is drawn in pieces: lines at one place whose ends
// meet.
func merged(in []line) []line {
	sort.Slice(in, func(i, j int) bool { return in[i].at < in[j].at })
	var groups [][]line
	for _, l := range in {
		if n := len(groups); n > 0 && l.at-groups[n-1][0].at < 1.5 {
			groups[n-1] = append(groups[n-1], l)
		} else {
			groups = append(groups, []line{l})
		}
	}
	var out []line
	for _, g := range groups {
		sort.Slice(g, func(i, j int) bool { return g[i].from < g[j].from })
		cur := g[0]
		for _, l := range g[1:] {
			if l.from <= cur.to+near {
				cur.to = max(cur.to, l.to)
			} else {
				out = append(out, cur)
				cur = line{cur.at, l.from, l.to}
			}
		}
		out = append(out, cur)
	}
	return out
}

func rulesOf(rules []Rule) (level, upright []line) {
	for _, r := range rules {
		if r.Y0 == r.Y1 {
			level = append(level, line{r.Y0, min(r.X0, r.X1), max(r.X0, r.X1)})
		} else {
			upright = append(upright, line{r.X0, min(r.Y0, r.Y1), max(r.Y0, r.Y1)})
		}
	}
	return merged(level), merged(upright)
}

// ruled finds the tables whose cells are drawn, and returns the words that stand
// in none of them.
func ruled(p Page, level, upright []line) (tables []*table, rest []Word) {
	rest = p.Words
	for _, g := range crossing(level, upright) {
		if t, left := gridOf(g.level, g.upright, rest); t != nil {
			tables = append(tables, t)
			rest = left
		}
	}
	return tables, rest
}

// group is lines that cross one another.
type group struct{ level, upright []line }

// crossing puts lines that cross into groups.
func crossing(level, upright []line) []*group {
	if len(level) < 2 || len(upright) < 2 || len(level)*len(upright) > 4_000_000 {
		return nil
	}
	up := make([]int, len(level)+len(upright))
	for i := range up {
		up[i] = i
	}
	root := func(i int) int {
		for up[i] != i {
			up[i] = up[up[i]]
			i = up[i]
		}
		return i
	}
	for i, h := range level {
		for j, v := range upright {
			if v.at > h.from-near && v.at < h.to+near && h.at > v.from-near && h.at < v.to+near {
				up[root(i)] = root(len(level) + j)
			}
		}
	}
	groups := map[int]*group{}
	var order []int
	at := func(i int) *group {
		r := root(i)
		if groups[r] == nil {
			groups[r] = &group{}
			order = append(order, r)
		}
		return groups[r]
	}
	for i, h := range level {
		g := at(i)
		g.level = append(g.level, h)
	}
	for j, v := range upright {
		g := at(len(level) + j)
		g.upright = append(g.upright, v)
	}
	var out []*group
	for _, r := range order {
		out = append(out, groups[r])
	}
	return out
}

// edges are the places of lines, and where lines across them reach beyond.
func edges(own, across []line) []float64 {
	var at []float64
	for _, l := range own {
		at = append(at, l.at)
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, l := range across {
		lo, hi = min(lo, l.from), max(hi, l.to)
	}
	sort.Float64s(at)
	if at[0]-lo > 12 {
		at = append(at, lo)
	}
	if hi-at[len(own)-1] > 12 {
		at = append(at, hi)
	}
	sort.Float64s(at)
	out := at[:1]
	for _, a := range at[1:] {
		if a-out[len(out)-1] > near {
			out = append(out, a)
		}
	}
	return out
}

func gridOf(level, upright []line, words []Word) (*table, []Word) {
	g := gridFrom(level, upright)
	if g == nil {
		return nil, nil
	}
	xs, ys, nc, nr := g.xs, g.ys, g.columns(), g.rows()
	cells := make([][]Word, nc*nr)
	var left []Word
	for _, w := range words {
		x, y := (w.X0+w.X1)/2, (w.Y0+w.Y1)/2
		c := sort.SearchFloat64s(xs, x) - 1
		r := sort.SearchFloat64s(ys, y) - 1
		if c < 0 || c >= nc || r < 0 || r >= nr {
			left = append(left, w)
			continue
		}
		i := g.root(r*nc + c)
		cells[i] = append(cells[i], w)
	}
	filled, roots := 0, map[int]bool{}
	for i := range cells {
		roots[g.root(i)] = true
		if len(cells[i]) > 0 {
			filled++
		}
	}
	if filled < 2 || len(roots) < 2 {
		return nil, nil // a frame, or an empty form
	}
	t := &table{x0: xs[0], y0: ys[0], x1: xs[nc], y1: ys[nr], cols: xs[:nc], closed: true}
	for r := range nr {
		row := make([]string, nc)
		any := false
		for c := range nc {
			row[c] = cellText(cells[r*nc+c])
			any = any || row[c] != ""
		}
		if any {
			t.rows = append(t.rows, row)
			t.top = append(t.top, ys[r])
		}
	}
	t.tidy()
	if t.width() < 2 {
		return nil, nil // a frame around text
	}
	return t, left
}

// tidy leaves out columns that are empty everywhere: double lines, shading.
func (t *table) tidy() {
	for c := len(t.cols) - 1; c >= 0; c-- {
		if !slices.ContainsFunc(t.rows, func(r []string) bool { return r[c] != "" }) {
			t.cols = slices.Delete(slices.Clone(t.cols), c, c+1)
			for i, r := range t.rows {
				t.rows[i] = slices.Delete(r, c, c+1)
			}
		}
	}
}

func (t *table) width() int { return len(t.cols) }

// cellText puts the words of a cell into lines, and the lines into one.
func cellText(words []Word) string {
	if len(words) == 0 {
		return ""
	}
	segs := segments(words)
	sort.SliceStable(segs, func(i, j int) bool {
		a, b := segs[i], segs[j]
		if math.Abs(a.base-b.base) < 0.3*max(a.size, b.size) {
			return a.x0 < b.x0
		}
		return a.base < b.base
	})
	var b strings.Builder
	for _, s := range segs {
		t := s.text()
		if b.Len() > 0 {
			b.WriteString(joint(b.String(), t))
		}
		b.WriteString(t)
	}
	return b.String()
}
