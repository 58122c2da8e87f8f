package ocr

import (
	"cmp"
	"image"
	"slices"
	"strings"

	"rxedge/index/document/layout"
)

// columns are the cells of the tables that no rules draw, found by the ink alone before
// anything is read: read as a page, their numbers are run together or dropped.
func (s *sheet) columns() []image.Rectangle {
	words := s.inkWords()
	if len(words) < 6 {
		return nil
	}
	var out []image.Rectangle
	for _, b := range layout.Aligned(words) {
		out = append(out, image.Rect(int(b.X0), int(b.Y0), int(b.X1+0.5), int(b.Y1+0.5)).Inset(-5))
	}
	return out
}

// inkWords are the words of the page as far as the ink shows them, in pixels: shapes that
// stand closer than words do, with a 0 for each.
func (s *sheet) inkWords() []layout.Word {
	var marks []image.Rectangle
	var heights []int
	for _, b := range s.ink.all {
		inRule := func(r rule) bool {
			return b.box.Overlaps(image.Rect(r.X0-4, r.Y0-4, r.X1+5, r.Y1+5))
		}
		inCell := func(c image.Rectangle) bool { return image.Pt(b.midX(), b.midY()).In(c) }
		if b.area < speck || b.box.Dy() > workDPI/4 || b.box.Dx() > workDPI/2 || slices.ContainsFunc(s.cells, inCell) || slices.ContainsFunc(s.rules, inRule) {
			continue
		}
		marks = append(marks, b.box)
		if b.box.Dy() > workDPI/25 {
			heights = append(heights, b.box.Dy())
		}
	}
	if len(heights) < 10 {
		return nil
	}
	slices.Sort(heights)
	size := float64(heights[len(heights)*7/10]) / capShare // capitals and digits, or nearly
	slices.SortFunc(marks, func(a, b image.Rectangle) int { return cmp.Compare(a.Min.X, b.Min.X) })
	// Shapes side by side, nearer than words stand, are one word.
	up := make([]int, len(marks))
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
	for i, a := range marks {
		for j := i + 1; j < len(marks) && float64(marks[j].Min.X) < float64(a.Max.X)+0.2*size; j++ {
			b := marks[j]
			high, low := a, b
			if b.Dy() > a.Dy() {
				high, low = b, a
			}
			// A point, comma or dash stands within the height of what is beside it.
			if mid := (low.Min.Y + low.Max.Y) / 2; mid >= high.Min.Y-int(0.1*size) && mid <= high.Max.Y+int(0.12*size) && float64(high.Dy()) > 0.3*size {
				up[max(root(i), root(j))] = min(root(i), root(j))
			}
		}
	}
	type group struct {
		box  image.Rectangle
		n    int
		feet []int
	}
	groups := map[int]*group{}
	var order []int
	for i, m := range marks {
		r := root(i)
		g := groups[r]
		if g == nil {
			g = &group{}
			groups[r] = g
			order = append(order, r)
		}
		g.box, g.n, g.feet = g.box.Union(m), g.n+1, append(g.feet, m.Max.Y)
	}
	var out []layout.Word
	for _, r := range order {
		g := groups[r]
		if float64(g.box.Dy()) > 2*size || float64(g.box.Dy()) < 0.15*size && g.n < 2 {
			continue
		}
		slices.Sort(g.feet)
		out = append(out, layout.Word{Text: strings.Repeat("0", min(g.n, 40)), X0: float64(g.box.Min.X), Y0: float64(g.box.Min.Y), X1: float64(g.box.Max.X), Y1: float64(g.box.Max.Y),
			Base: float64(g.feet[len(g.feet)/2]), Size: size})
	}
	return out
}
