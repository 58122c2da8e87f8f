package ocr

import (
	"image"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// speck is how many dots of ink are the least that is written: a point of 6 pt type
// at workDPI has about ten.
const speck = 7

// shape is what the ink of a word looks like.
type shape struct {
	marks []int32 // blobs, from left to right
	bold  bool
	pen   float64 // width of its strokes, as a share of the height of capitals
}

// measure gives the ink of the page to its words and finds of each line the height
// of its capitals and where it stands.
func (s *sheet) measure(lines []*line) {
	s.marks = map[int32]bool{}
	var caps []float64
	for _, l := range lines {
		for _, w := range l.words {
			w.shape.marks = s.marksOf(w.box.Inset(-2))
			for _, i := range w.shape.marks {
				s.marks[i] = true
			}
		}
		if c := s.stands(l); c > 0 {
			caps = append(caps, c)
		}
	}
	s.cap = 28
	if len(caps) > 0 {
		sort.Float64s(caps)
		s.cap = caps[len(caps)/2]
	}
	// Lines of nearly one size are of one size: a dot more or less is chance.
	var sizes []float64
	for _, l := range lines {
		if l.size == 0 {
			l.size = s.cap / capShare
		}
		for range l.words {
			sizes = append(sizes, l.size)
		}
	}
	for len(sizes) > 0 {
		sort.Float64s(sizes)
		mid := sizes[len(sizes)/2]
		for _, l := range lines {
			if math.Abs(l.size-mid) < 0.09*mid {
				l.size = mid
			}
		}
		sizes = slices.DeleteFunc(sizes, func(v float64) bool { return math.Abs(v-mid) < 0.09*mid })
	}
	var pens []float64
	for _, l := range lines {
		for _, w := range l.words {
			w.shape.pen = s.penOf(w) / l.size
			pens = append(pens, w.shape.pen)
		}
	}
	if len(pens) > 0 {
		sort.Float64s(pens)
		usual := pens[len(pens)/2]
		for _, l := range lines {
			n, heavy := 0, 0
			for _, w := range l.words {
				n += len(w.text)
				if w.shape.pen > 1.3*usual {
					heavy += len(w.text)
				}
			}
			for _, w := range l.words { // a line is bold, or a word of several letters
				w.shape.bold = heavy*10 > n*7 || w.shape.pen > 1.4*usual && len(w.text) > 3
			}
		}
	}
}

func (s *sheet) marksOf(r image.Rectangle) []int32 {
	return slices.DeleteFunc(s.ink.in(r), func(i int32) bool { return s.ink.all[i].area < speck })
}

// capShare is how high capitals and digits are, as a share of the size of the font.
const capShare = 0.69

// stands finds the base and size of a line, and returns the height of its capitals.
func (s *sheet) stands(l *line) float64 {
	// Of what stands on the line, where shapes and characters are as many: in "(2)" most
	// reaches below it, and the 2 would look raised.
	var feet []float64
	for _, w := range l.words {
		runes, slots := []rune(w.text), s.slots(w)
		for i, q := range slots {
			if len(runes) == len(slots) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i])) && !strings.ContainsRune("gjpqyQµ", runes[i]) {
				feet = append(feet, float64(q.box.Max.Y))
			}
		}
	}
	if len(feet) > 0 {
		return s.measured(l, feet)
	}
	for _, w := range l.words {
		for _, i := range w.shape.marks {
			if b := s.ink.all[i].box; b.Dy() > l.box.Dy()/4 {
				feet = append(feet, float64(b.Max.Y))
			}
		}
	}
	if len(feet) == 0 {
		l.base = float64(l.box.Max.Y)
		return 0
	}
	return s.measured(l, feet)
}

// measured is the height of the capitals of a line whose shapes stand on these feet.
func (s *sheet) measured(l *line, feet []float64) float64 {
	sort.Float64s(feet)
	l.base = feet[len(feet)/2]
	var tall []float64
	for _, w := range l.words {
		for _, i := range w.shape.marks {
			b := s.ink.all[i].box
			if math.Abs(float64(b.Max.Y)-l.base) <= max(2, 0.1*float64(b.Dy())) {
				tall = append(tall, float64(b.Dy()))
			}
		}
	}
	if len(tall) == 0 {
		return 0
	}
	sort.Float64s(tall)
	top := tall[len(tall)*9/10]
	// Where nothing rises above the small letters, these are what was measured.
	if !slices.ContainsFunc(l.words, func(w *word) bool { return slices.ContainsFunc([]rune(w.text), rises) }) {
		top *= 1.45
	}
	l.size = top / capShare
	return top
}

func rises(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsDigit(r) || r == 'b' || r == 'd' || r == 'f' || r == 'h' || r == 'k' || r == 'l' || r == 't'
}

// penOf is the usual width of the strokes of a word.
func (s *sheet) penOf(w *word) float64 {
	var n [64]int
	all := 0
	for y := max(w.box.Min.Y, 0); y < min(w.box.Max.Y, len(s.ink.rows)-1); y++ {
		runs := s.ink.runs[s.ink.rows[y]:s.ink.rows[y+1]]
		at := sort.Search(len(runs), func(i int) bool { return int(runs[i].x1) > w.box.Min.X })
		for _, r := range runs[at:] {
			if int(r.x0) >= w.box.Max.X {
				break
			}
			n[min(int(r.x1-r.x0), len(n)-1)]++
			all++
		}
	}
	have := 0
	for v, k := range n {
		if have += k; have*2 >= all {
			return float64(v)
		}
	}
	return 0
}

// isBullet: one round blot that is all there is of the word.
func (s *sheet) isBullet(l *line, w *word) bool {
	if len(w.shape.marks) != 1 || len([]rune(w.text)) > 2 {
		return false
	}
	b := s.ink.all[w.shape.marks[0]]
	dx, dy := float64(b.box.Dx()), float64(b.box.Dy())
	limit := 0.75 * l.size * capShare
	return dx < limit && dy < limit && math.Abs(dx-dy) <= 0.25*max(dx, dy) && float64(b.area) > 0.66*dx*dy &&
		w.box.Min.X <= l.box.Min.X+2 && float64(b.box.Max.Y) < l.base
}

// slot is what one character of a word may be: blobs that stand one above the
// other.
type slot struct {
	box   image.Rectangle
	marks []int32
}

func (s *sheet) slots(w *word) []slot {
	var out []slot
	for _, i := range w.shape.marks {
		b := s.ink.all[i]
		if n := len(out); n > 0 {
			p := &out[n-1]
			common := min(p.box.Max.X, b.box.Max.X) - max(p.box.Min.X, b.box.Min.X)
			if common*2 > min(p.box.Dx(), b.box.Dx()) {
				p.box = p.box.Union(b.box)
				p.marks = append(p.marks, i)
				continue
			}
		}
		out = append(out, slot{b.box, []int32{i}})
	}
	return out
}

// inkAgrees says that the ink of a word has as many shapes as its text has
// characters, digits of the height of digits on the line or raised, a point or
// comma where one is read, and none where none is. It does not ask what digit it
// is: that is what two readings are for. It notes what stands raised.
func (s *sheet) inkAgrees(l *line, w *word) bool {
	runes := []rune(w.text)
	if !slices.ContainsFunc(runes, unicode.IsDigit) && !strings.ContainsAny(w.text, "<>+≥≤±") {
		return true
	}
	slots := s.slots(w)
	high := l.size * capShare
	raised := make([]bool, len(runes))
	// fits walks through characters and shapes together.
	var fits func(i, j int) bool
	steps := 0
	fits = func(i, j int) bool {
		if steps++; steps > 4000 {
			return false
		}
		if i == len(runes) {
			return j == len(slots)
		}
		r := runes[i]
		if unicode.IsDigit(r) || r == '.' || r == ',' {
			if j >= len(slots) {
				return false
			}
			up, ok := likely(r, slots[j], high, l.base)
			if !ok || unicode.IsDigit(r) && !s.onePiece(slots[j]) || r == '2' && !s.isTwo(slots[j]) || s.strict && unicode.IsDigit(r) && !s.holesFit(r, slots[j]) {
				return false
			}
			raised[i] = up
			return fits(i+1, j+1)
		}
		raised[i] = false
		switch {
		case strings.ContainsRune(inPieces, r):
			for n := 1; n <= 3 && j+n <= len(slots); n++ {
				if wide := float64(slots[j+n-1].box.Max.X - slots[j].box.Min.X); wide < 1.6*high && fits(i+1, j+n) {
					return true
				}
			}
			return false
		case strings.ContainsRune("<>+", r):
			return j < len(slots) && s.isSign(slots[j]) && fits(i+1, j+1)
		case strings.ContainsRune("≥≤±", r):
			return j < len(slots) && s.barred(slots[j], high) == r && fits(i+1, j+1)
		case !unicode.IsLetter(r) && !joining(runes, i):
			return j < len(slots) && fits(i+1, j+1)
		case j == len(slots) || isDot(slots[j], high, l.base):
			return false
		}
		// Letters may touch; a digit or sign that touches anything is not sure.
		for n := 1; i+n <= len(runes) && (unicode.IsLetter(runes[i+n-1]) || joining(runes, i+n-1)); n++ {
			if wide := float64(slots[j].box.Dx()); n > 1 && wide < (0.55*float64(n)+0.3)*high {
				break
			}
			if fits(i+n, j+1) {
				return true
			}
		}
		return false
	}
	if !fits(0, 0) {
		return false
	}
	for i, up := range raised[:max(0, len(runes)-1)] {
		// What looks raised before a % or another digit is one whose foot has gone.
		if next := runes[i+1]; up && (next == '%' || unicode.IsDigit(next) && !raised[i+1]) || !up && (runes[i] == '.' || runes[i] == ',') && raised[i+1] {
			return false
		}
	}
	w.raised = raised
	return true
}

// joining: the stroke of mg/kg may touch the letters on both sides.
func joining(runes []rune, i int) bool {
	return runes[i] == '/' && i > 0 && i+1 < len(runes) && unicode.IsLetter(runes[i-1]) && unicode.IsLetter(runes[i+1])
}

// onePiece says that nearly all of the ink of a slot hangs together, as that of a digit
// does.
func (s *sheet) onePiece(q slot) bool {
	all, largest := 0, 0
	for _, i := range q.marks {
		all += s.ink.all[i].area
		largest = max(largest, s.ink.all[i].area)
	}
	return largest*10 >= all*9
}

// inPieces are signs that may be printed in up to three pieces side by side.
const inPieces = "%\"“”½¼¾®©"

// isDot: a point or comma.
func isDot(q slot, high, base float64) bool {
	h, w := float64(q.box.Dy()), float64(q.box.Dx())
	return h < 0.45*high && w < 0.4*high && float64(q.box.Min.Y) > base-0.42*high && float64(q.box.Max.Y) > base-0.14*high
}

// likely says that a shape can be that digit, point or comma, and whether it
// stands raised.
func likely(r rune, q slot, high, base float64) (raised, ok bool) {
	h, w := float64(q.box.Dy()), float64(q.box.Dx())
	foot := float64(q.box.Max.Y) - base
	switch {
	case r == '.' || r == ',':
		return false, isDot(q, high, base)
	case math.Abs(foot) <= 0.13*high && h >= 0.8*high && h <= 1.2*high:
		return false, w < 0.95*high
	case foot < -0.22*high && h >= 0.4*high && h <= 0.8*high:
		return true, w < 0.7*high
	}
	return false, false
}
