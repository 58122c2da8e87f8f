// Package layout finds out what a page says from where its words stand: the
// order in which they are read, columns, paragraphs, headings, lists, tables,
// running headers and footers. It knows neither PDF nor pictures.
package layout

import (
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Word is a word where it stands, in points, y downwards.
type Word struct {
	Text           string
	X0, Y0, X1, Y1 float64
	Base           float64 // y of the line on which it is written
	Size           float64 // of the font
	Bold           bool
	Glue           bool // it goes on the word before it in the page's order, without a space
	Hyphen         bool // it ends with a hyphen that the source marks as one of the line's end
}

// Rule is a line that is drawn, upright or level.
type Rule struct{ X0, Y0, X1, Y1 float64 }

// Page is what stands on one page.
type Page struct {
	Number int // from 1
	Words  []Word
	Rules  []Rule
}

// segment is a piece of a line that nothing parts.
type segment struct {
	words          []Word
	x0, y0, x1, y1 float64
	base, size     float64
	bold           bool
}

func (s *segment) add(w Word) {
	if len(s.words) == 0 {
		s.x0, s.y0, s.x1, s.y1 = w.X0, w.Y0, w.X1, w.Y1
		s.base, s.size = w.Base, w.Size
	} else {
		s.x0, s.y0, s.x1, s.y1 = min(s.x0, w.X0), min(s.y0, w.Y0), max(s.x1, w.X1), max(s.y1, w.Y1)
		if w.Size > s.size*1.1 { // it began with something raised
			s.base, s.size = w.Base, w.Size
		}
	}
	s.words = append(s.words, w)
}

// done settles what the words have in common.
func (s *segment) done() {
	bold, all := 0, 0
	var bases []float64
	for _, w := range s.words {
		n := utf8.RuneCountInString(w.Text)
		all += n
		if w.Bold {
			bold += n
		}
		if w.Size > s.size*0.9 && hasAlnum(w.Text) {
			bases = append(bases, w.Base)
		}
	}
	if len(bases) > 0 {
		sort.Float64s(bases)
		s.base = bases[len(bases)/2]
	}
	s.bold = bold*10 >= all*9
	// Ink varies with the letters; the box of a line does not.
	s.y0, s.y1 = s.base-0.75*s.size, s.base+0.2*s.size
}

func hasAlnum(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// text writes the words of a line; what stands raised is marked, for 10⁶ is not
// 106.
func (s *segment) text() string { return lineText(s.words, s.base, s.size) }

func lineText(words []Word, base, size float64) string {
	var b strings.Builder
	for i, w := range words {
		t := w.Text
		raised := base-w.Base > 0.2*size && w.Size < 0.95*size && hasAlnum(t)
		if raised {
			t = string(RaiseStart) + t + string(RaiseEnd)
		}
		if i > 0 && !(w.Glue && w.X0-words[i-1].X1 < 0.5*size) {
			b.WriteByte(' ')
		}
		b.WriteString(t)
	}
	return b.String()
}

// Marks that stand in the text that Read yields. No font has these characters.
const (
	RaiseStart = '\uFDD2' // what follows is a superscript
	RaiseEnd   = '\uFDD3'
	wordBreak  = '\uFDD4' // a hyphen stood here at the end of a line
)

// segments groups the words of a page into pieces of lines. They mostly come in
// the order in which they are read along a line; what does not is put together
// afterwards.
func segments(words []Word) []*segment {
	var out []*segment
	var cur *segment
	for _, w := range words {
		if cur != nil && goesOn(cur, w) {
			cur.add(w)
			continue
		}
		if cur != nil {
			cur.done()
		}
		cur = &segment{}
		cur.add(w)
		out = append(out, cur)
	}
	if cur != nil {
		cur.done()
	}
	out = mend(out)
	var split []*segment
	for _, s := range out {
		split = append(split, s.split()...)
	}
	return split
}

// goesOn says that w follows the last word of s on its line.
func goesOn(s *segment, w Word) bool {
	last := s.words[len(s.words)-1]
	size := max(s.size, w.Size)
	gap := w.X0 - last.X1
	if gap < -0.5*size || gap > 3*size && !(isMarker(s) && gap < 5*size) {
		return false
	}
	if w.Glue && gap < 0.3*size {
		return overlap(s.base-0.9*s.size, s.base+0.3*s.size, w.Y0, w.Y1) > 0
	}
	if math.Abs(w.Base-s.base) < 0.15*size {
		return true
	}
	// Raised or lowered, and small.
	return gap < 0.4*size && min(w.Size, s.size) < 0.9*size && w.Base > s.base-0.7*size && w.Base < s.base+0.35*size
}

func overlap(a0, a1, b0, b1 float64) float64 { return min(a1, b1) - max(a0, b0) }

// isMarker: a bullet or number alone, which belongs to what follows it.
func isMarker(s *segment) bool {
	if len(s.words) != 1 {
		return false
	}
	t := s.words[0].Text
	if n := utf8.RuneCountInString(t); n > 4 {
		return false
	}
	if isBullet(t) {
		return true
	}
	end := t[len(t)-1]
	return (end == '.' || end == ')') && hasAlnum(t)
}

func isBullet(t string) bool {
	return utf8.RuneCountInString(t) == 1 && strings.ContainsAny(t, "•·▪●◦○■-–—*►➢")
}

// mend joins pieces of one line that came apart in the page's order.
func mend(in []*segment) []*segment {
	sort.SliceStable(in, func(i, j int) bool { return in[i].base < in[j].base })
	gone := map[*segment]bool{}
	for i, a := range in {
		if gone[a] {
			continue
		}
		for again := true; again; {
			again = false
			for j := i - 1; j >= 0 && a.base-in[j].base < a.size; j-- {
				again = join(a, in[j], gone) || again
			}
			for j := i + 1; j < len(in) && in[j].base-a.base < a.size; j++ {
				again = join(a, in[j], gone) || again
			}
		}
	}
	out := in[:0]
	for _, s := range in {
		if !gone[s] {
			out = append(out, s)
		}
	}
	return out
}

// join takes b into a where they stand side by side on one line.
func join(a, b *segment, gone map[*segment]bool) bool {
	if a == b || gone[a] || gone[b] {
		return false
	}
	size := max(a.size, b.size)
	level := math.Abs(a.base-b.base) < 0.15*size
	raised := !level && b.size < 0.9*a.size && b.base > a.base-0.7*size && b.base < a.base+0.35*size
	if !level && !raised {
		return false
	}
	gap := max(a.x0, b.x0) - min(a.x1, b.x1)
	limit := 0.6 * size
	if raised {
		limit = 0.25 * size
	}
	if left, right := a, b; level {
		if b.x0 < a.x0 {
			left, right = b, a
		}
		if isMarker(left) && right.x0 > left.x1 {
			limit = 4 * size
		}
	}
	if gap > limit || gap < -2*size && !raised {
		return false
	}
	a.words = append(a.words, b.words...)
	slices.SortStableFunc(a.words, func(x, y Word) int {
		switch {
		case x.X0 < y.X0:
			return -1
		case x.X0 > y.X0:
			return 1
		}
		return 0
	})
	a.x0, a.x1, a.size = min(a.x0, b.x0), max(a.x1, b.x1), size
	a.done()
	gone[b] = true
	return true
}

// figures: numbers, with the signs beside them, and marks of an empty cell. No line of
// text is made of them alone.
func figures(words []Word) bool {
	for _, w := range words {
		if !strings.ContainsFunc(w.Text, unicode.IsDigit) && utf8.RuneCountInString(w.Text) > 3 {
			return false
		}
		letters := 0
		for _, r := range w.Text {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		if letters > 2 {
			return false
		}
	}
	return true
}

// split parts a piece at gaps that are no space between words: wider than an em
// and far wider than the line's other spaces.
func (s *segment) split() []*segment {
	if len(s.words) < 2 {
		return []*segment{s}
	}
	var gaps []float64
	for i, w := range s.words[1:] {
		if g := w.X0 - s.words[i].X1; !w.Glue && g > 0 {
			gaps = append(gaps, g)
		}
	}
	if len(gaps) == 0 {
		return []*segment{s}
	}
	sort.Float64s(gaps)
	limit := max(1.0*s.size, min(2.2*gaps[(len(gaps)-1)/3], 2.5*s.size))
	switch {
	case gaps[0] > 0.6*s.size && figures(s.words):
		limit = 0.6 * s.size // a row of cells that hold nothing but a number each
	case len(gaps) < 3:
		limit = 1.0 * s.size
	}
	return s.splitAt(limit)
}

// cells parts a piece where a table's columns may be: at gaps that are wider than the
// line's least, even where in a line of text they would be spaces.
func (s *segment) cells() []*segment {
	least := math.Inf(1)
	for i := 1; i < len(s.words); i++ {
		if g := s.words[i].X0 - s.words[i-1].X1; !s.words[i].Glue && g > 0 {
			least = min(least, g)
		}
	}
	switch {
	case math.IsInf(least, 1):
		return []*segment{s}
	case least > 1.1*s.size:
		return s.splitAt(s.size)
	}
	return s.splitAt(max(0.8*s.size, 1.6*least))
}

// splitAt parts a piece at gaps wider than limit.
func (s *segment) splitAt(limit float64) []*segment {
	var out []*segment
	cur := &segment{}
	for i, w := range s.words {
		if i > 0 && w.X0-s.words[i-1].X1 > limit && !(isMarker(cur) && len(out) == 0) {
			cur.done()
			out = append(out, cur)
			cur = &segment{}
		}
		cur.add(w)
	}
	cur.done()
	return append(out, cur)
}
