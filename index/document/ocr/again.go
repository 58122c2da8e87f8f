package ocr

import (
	"context"
	"image"
	"slices"
	"strings"
	"unicode"
)

// In one picture of what is read again, at most so many pieces: a page that needs more is
// beyond help.
const mostAgain = 240

// againScale is how large the pieces are drawn.
const againScale = 1.2

// lostPart is a piece of a line, between gaps that are wider than a space, in which something
// is lost.
type lostPart struct {
	line   *line
	box    image.Rectangle
	theirs []*word // of the second reading of the line
	first  []*word // read again by the one network and the other
	second []*word
}

// again reads what is lost once more with both networks, each in the other's rendering:
// by itself, and not in a row of things that have nothing to do with it. It counts where
// the two agree on it, and the ink does with the number of its holes too, and no reading
// has seen another number that this ink could be.
func (e *Engine) again(ctx context.Context, s *sheet, lines []*line, others [][]*word) error {
	byBox := map[image.Rectangle]*lostPart{}
	var boxes []image.Rectangle
	for i, l := range lines {
		for _, p := range s.lostParts(l) {
			if byBox[p.box] != nil || len(boxes) == mostAgain {
				continue
			}
			for _, w := range others[i] {
				if within(w, p.box.Min.X, p.box.Max.X) {
					p.theirs = append(p.theirs, w)
				}
			}
			byBox[p.box] = p
			boxes = append(boxes, p.box)
		}
	}
	if len(boxes) == 0 {
		return nil
	}
	slices.SortFunc(boxes, func(a, b image.Rectangle) int { return (a.Min.Y-b.Min.Y)*100_000 + a.Min.X - b.Min.X })
	read := func(model string, draw drawing, paper uint8, into func(*lostPart, *word)) error {
		for _, p := range piles(boxes, draw, againScale, paper) {
			lines, err := e.words(ctx, p.grey, model, 6)
			if err != nil {
				return err
			}
			for _, l := range lines {
				for _, w := range l.words {
					if k, box := p.home(w.box); k >= 0 {
						w.box = box
						w.shape.marks = s.marksOf(box.Inset(-2))
						into(byBox[p.strips[k].from], w)
					}
				}
			}
		}
		return nil
	}
	if err := read(firstModel, s.inkOf, 255, func(p *lostPart, w *word) { p.first = append(p.first, w) }); err != nil {
		return err
	}
	grey := func(r image.Rectangle) *image.Gray { return s.grey.SubImage(r).(*image.Gray) }
	if err := read(e.other, grey, s.paper, func(p *lostPart, w *word) { p.second = append(p.second, w) }); err != nil {
		return err
	}
	for _, box := range boxes {
		s.settle(byBox[box])
	}
	return nil
}

// lostParts are the pieces of a line in which something is lost.
func (s *sheet) lostParts(l *line) (out []*lostPart) {
	var cur []*word
	flush := func() {
		if slices.ContainsFunc(cur, func(w *word) bool { return w.lost }) {
			box := cur[0].box
			for _, w := range cur {
				box = box.Union(w.box)
			}
			box = image.Rect(box.Min.X-8, box.Min.Y-5, box.Max.X+8, box.Max.Y+5).Intersect(s.grey.Rect)
			if float64(box.Dy()) < 2.5*l.size {
				out = append(out, &lostPart{line: l, box: box})
			}
		}
		cur = nil
	}
	for i, w := range l.words {
		if i > 0 && float64(w.box.Min.X-l.words[i-1].box.Max.X) > 0.9*l.size {
			flush()
		}
		cur = append(cur, w)
	}
	flush()
	return out
}

// within says that the middle of a word lies there.
func within(w *word, x0, x1 int) bool {
	mid := (w.box.Min.X + w.box.Max.X) / 2
	return mid >= x0 && mid <= x1
}

// settle puts what is now agreed upon in the place of what is lost.
func (s *sheet) settle(p *lostPart) {
	l := p.line
	old := slices.Clone(l.words)
	for i := 0; i < len(old); i++ {
		if !old[i].lost || !within(old[i], p.box.Min.X, p.box.Max.X) {
			continue
		}
		j, x0, x1 := i, old[i].box.Min.X, old[i].box.Max.X
		for ; j < len(old) && old[j].lost && within(old[j], p.box.Min.X, p.box.Max.X); j++ {
			x1 = max(x1, old[j].box.Max.X)
		}
		gone := old[i:j]
		i = j
		at := func(in []*word) (out []*word) {
			for _, w := range in {
				if within(w, x0-3, x1+3) {
					c := *w
					c.lost = false
					out = append(out, &c)
				}
			}
			return out
		}
		// What the first reading left out stands in its line as the second has it.
		ours := slices.DeleteFunc(at(gone), func(w *word) bool { return w.conf == 0 && w.shape.marks == nil })
		readings := [][]*word{ours, at(p.theirs), at(p.first), at(p.second)}
		var agreed []*word
		said := ""
		for _, pair := range [][2]int{{0, 3}, {2, 1}, {2, 3}} {
			got, ok := s.agreeing(l, readings[pair[0]], readings[pair[1]], x0, x1)
			if !ok {
				continue
			}
			text, _ := texts(got)
			if said != "" && said != text {
				agreed = nil
				break
			}
			agreed, said = got, text
		}
		if agreed == nil || slices.ContainsFunc(readings, func(r []*word) bool { return s.contradicts(l, r, said) }) {
			continue
		}
		l.words = slices.DeleteFunc(l.words, func(w *word) bool { return slices.Contains(gone, w) })
		for _, w := range agreed {
			w.shape.bold = gone[0].shape.bold
			for _, i := range w.shape.marks {
				s.marks[i] = true
			}
		}
		l.words = append(l.words, agreed...)
	}
	slices.SortStableFunc(l.words, func(a, b *word) int { return a.box.Min.X - b.box.Min.X })
}

// agreeing holds two readings of a part beside one another; all of its ink must belong to
// what they agree on.
func (s *sheet) agreeing(l *line, a, b []*word, x0, x1 int) ([]*word, bool) {
	if len(a) == 0 || len(b) == 0 {
		return nil, false
	}
	copied := func(in []*word) (out []*word) {
		for _, w := range in {
			c := *w
			out = append(out, &c)
		}
		return out
	}
	t := &line{words: copied(a), box: l.box, base: l.base, size: l.size}
	s.strict = true
	s.judge(t, copied(b))
	s.strict = false
	has := map[int32]bool{}
	for _, w := range t.words {
		if w.lost {
			return nil, false
		}
		for _, i := range w.shape.marks {
			has[i] = true
		}
	}
	for _, i := range s.marksOf(image.Rect(x0, l.box.Min.Y-2, x1, l.box.Max.Y+2)) {
		if !has[i] {
			return nil, false
		}
	}
	return t.words, true
}

// contradicts says that a reading is of another number than said, or of a number and a
// unit, and that the ink could be that.
func (s *sheet) contradicts(l *line, r []*word, said string) bool {
	if len(r) == 0 {
		return false
	}
	text, _ := texts(r)
	if !otherNumber([]rune(text), []rune(said)) {
		return false
	}
	return !slices.ContainsFunc(r, func(w *word) bool { return !s.inkAgrees(l, w) })
}

func otherNumber(text, said []rune) bool {
	if len(text) != len(said) {
		return slices.ContainsFunc(text, unicode.IsDigit) && digitsOf(string(text)) != digitsOf(string(said))
	}
	for i, r := range text {
		switch {
		case r == said[i] || !unicode.IsDigit(said[i]) && !unicode.IsDigit(r):
		case unicode.IsDigit(r): // another, or a letter where this has one
			return true
		default: // "5l" is no 51, and "3g" no 39; but a letter that is no unit is only a digit misread
			from, to := i, i+1
			for from > 0 && unicode.IsLetter(text[from-1]) {
				from--
			}
			for to < len(text) && unicode.IsLetter(text[to]) {
				to++
			}
			if units[strings.ToLower(string(text[from:to]))] {
				return true
			}
		}
	}
	return false
}

// digitsOf are the digits and points of a text, with what looks like a digit as that.
func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r) || r == '.':
			return r
		case strings.ContainsRune("lıI|", r):
			return '1'
		case r == 'o' || r == 'O':
			return '0'
		}
		return -1
	}, text)
}

// holes are how many each digit has; a 4 may be open.
var holes = map[rune][2]int{'0': {1, 1}, '1': {0, 0}, '2': {0, 0}, '3': {0, 0}, '4': {0, 1}, '5': {0, 0}, '6': {1, 1}, '7': {0, 0}, '8': {2, 2}, '9': {1, 1}}

// holesFit says that the ink of a slot encloses as much paper as the digit does.
func (s *sheet) holesFit(r rune, q slot) bool {
	want, ok := holes[r]
	if !ok {
		return false
	}
	n := s.holesIn(q.box)
	return n >= want[0] && n <= want[1]
}

// holesIn counts the pieces of paper in a box that ink encloses, but for single dots.
func (s *sheet) holesIn(box image.Rectangle) int {
	w, h := box.Dx()+2, box.Dy()+2
	seen := make([]bool, w*h) // ink, or paper that was counted
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for _, r := range s.ink.runs[s.ink.rows[y]:s.ink.rows[y+1]] {
			for x := max(int(r.x0), box.Min.X); x < min(int(r.x1), box.Max.X); x++ {
				seen[(y-box.Min.Y+1)*w+x-box.Min.X+1] = true
			}
		}
	}
	var stack []int
	fill := func(at int) (n int) {
		stack = append(stack[:0], at)
		seen[at] = true
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			n++
			x, y := i%w, i/w
			for _, d := range [4][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				if a, b := x+d[0], y+d[1]; a >= 0 && b >= 0 && a < w && b < h && !seen[b*w+a] {
					seen[b*w+a] = true
					stack = append(stack, b*w+a)
				}
			}
		}
		return n
	}
	fill(0)
	n := 0
	for i := range seen {
		if !seen[i] && fill(i) >= 3 {
			n++
		}
	}
	return n
}
