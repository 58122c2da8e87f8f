package ocr

import (
	"image"
	"strings"
)

// Neither network knows ≥, ≤, ± or µ: both read "2" or ">", "<", "+", "u", and so agree on
// a wrong number. What they are shows only in the ink: a bar below another sign, a leg
// below the line.

// outline is where the ink of a blob begins and ends in each of its rows, from its left
// edge, as shares of its width; and how much of the row the longest run fills.
type outline struct{ left, right, run []float64 }

func (s *sheet) outlineOf(i int32) outline {
	b := s.ink.all[i].box
	n, w := b.Dy(), float64(b.Dx())
	o := outline{make([]float64, n), make([]float64, n), make([]float64, n)}
	for y := range n {
		o.left[y] = 1
		for _, r := range s.ink.runs[s.ink.rows[b.Min.Y+y]:s.ink.rows[b.Min.Y+y+1]] {
			if r.comp != i {
				continue
			}
			o.left[y] = min(o.left[y], float64(int(r.x0)-b.Min.X)/w)
			o.right[y] = max(o.right[y], float64(int(r.x1)-b.Min.X)/w)
			o.run[y] = max(o.run[y], float64(r.x1-r.x0)/w)
		}
	}
	return o
}

// part is the rows from one share of the height to another, of which there is at least
// one.
func part(rows []float64, from, to float64) []float64 {
	a := min(int(from*float64(len(rows))), len(rows)-1)
	return rows[a:max(a+1, int(to*float64(len(rows))))]
}

func least(in []float64) float64 {
	v := in[0]
	for _, w := range in {
		v = min(v, w)
	}
	return v
}

func most(in []float64) float64 {
	v := in[0]
	for _, w := range in {
		v = max(v, w)
	}
	return v
}

// barred is the sign that a slot shows with a bar below it: ≥, ≤ or ±; 0 where it shows
// none.
func (s *sheet) barred(q slot, high float64) rune {
	if len(q.marks) != 2 {
		return 0
	}
	up, bar := q.marks[0], q.marks[1]
	if s.ink.all[up].box.Min.Y > s.ink.all[bar].box.Min.Y {
		up, bar = bar, up
	}
	u, b := s.ink.all[up].box, s.ink.all[bar].box
	h, w := float64(u.Dy()), float64(u.Dx())
	if float64(b.Dy()) > 0.25*high || float64(b.Dx()) < 0.7*w || float64(b.Dx()) > 1.3*w || b.Dx() < 2*b.Dy() ||
		b.Min.Y < u.Max.Y-2 || h < 0.3*high || h > 0.85*high || w < 0.35*high || w > 1.2*high {
		return 0
	}
	o := s.outlineOf(up)
	top, mid, low := func(v []float64) []float64 { return part(v, 0, 0.15) }, func(v []float64) []float64 { return part(v, 0.4, 0.6) }, func(v []float64) []float64 { return part(v, 0.85, 1) }
	switch {
	case least(top(o.left)) < 0.2 && most(mid(o.left)) > 0.4 && least(low(o.left)) < 0.2 && most(top(o.right)) < 0.6 && most(low(o.right)) < 0.6:
		return '≥'
	case most(top(o.right)) > 0.8 && least(mid(o.right)) < 0.6 && most(low(o.right)) > 0.8 && least(top(o.left)) > 0.4 && least(low(o.left)) > 0.4:
		return '≤'
	case most(mid(o.run)) > 0.8 && most(top(o.run)) < 0.4 && most(low(o.run)) < 0.4 && least(top(o.left)) > 0.2 && most(top(o.right)) < 0.8:
		return '±'
	}
	return 0
}

// isSign says that a slot can be the sign <, > or +: one piece, that has no bar below.
func (s *sheet) isSign(q slot) bool {
	return len(q.marks) == 1 && most(part(s.outlineOf(q.marks[0]).run, 0.85, 1)) < 0.65
}

// isTwo says that a slot can be a 2: its top is round, where that of ≥ is at the left.
func (s *sheet) isTwo(q slot) bool {
	return most(part(s.outlineOf(q.marks[0]).right, 0, 0.15)) > 0.55
}

// isStem says that a slot is one upright stroke on the line, as 1 is, with a flag or foot:
// below its flag the ink stands in one place, which that of a 7 does not.
func (s *sheet) isStem(q slot) bool {
	if len(q.marks) != 1 {
		return false
	}
	o := s.outlineOf(q.marks[0])
	lo, hi := 1.0, 0.0
	for _, at := range []float64{0.45, 0.55, 0.65, 0.75} {
		l, r := least(part(o.left, at, at+0.05)), most(part(o.right, at, at+0.05))
		if r-l > 0.5 && q.box.Dx()*3 > q.box.Dy() {
			return false
		}
		lo, hi = min(lo, (l+r)/2), max(hi, (l+r)/2)
	}
	return (hi-lo)*float64(q.box.Dx()) <= max(2, 0.06*float64(q.box.Dy()))
}

// mayBeBarred are what ≥, ≤ and ± are read as.
const mayBeBarred = "2<>=+zZ»«"

// mendSigns writes the signs that the ink shows and no network knows.
func (s *sheet) mendSigns(l *line, w *word) {
	runes := []rune(w.text)
	slots := s.slots(w)
	high := l.size * capShare
	for k, q := range slots {
		i := k
		if k > 0 && len(slots) != len(runes) && !(k == 1 && strings.ContainsRune("([", runes[0])) {
			break
		}
		if i >= len(runes) || !strings.ContainsRune(mayBeBarred, runes[i]) {
			continue
		}
		if r := s.barred(q, high); r != 0 {
			runes[i] = r
		}
	}
	w.text = string(runes)
	s.mendMicro(l, w, slots)
}

// mendMicro writes µ where an u before a unit has a leg below the line.
func (s *sheet) mendMicro(l *line, w *word, slots []slot) {
	runes := []rune(w.text)
	high := l.size * capShare
	for i, r := range runes {
		if r != 'u' || i >= len(slots) || i+1 >= len(runes) || !strings.ContainsRune("gLlmMU", runes[i+1]) {
			continue
		}
		plain := true // one shape for each character before it
		for _, p := range runes[:i] {
			plain = plain && !strings.ContainsRune(inPieces, p) && (p < 'A' || p > 'z' || p == '[')
		}
		if plain && s.inked(image.Rect(slots[i].box.Min.X-1, int(l.base+0.14*high), slots[i].box.Min.X+int(0.25*high), int(l.base+0.4*high))) {
			runes[i] = 'µ'
			w.text = string(runes)
		}
		return
	}
}

// inked says that there is ink in r.
func (s *sheet) inked(r image.Rectangle) bool {
	n := 0
	for y := max(r.Min.Y, 0); y < min(r.Max.Y, len(s.ink.rows)-1); y++ {
		for _, u := range s.ink.runs[s.ink.rows[y]:s.ink.rows[y+1]] {
			n += max(0, min(int(u.x1), r.Max.X)-max(int(u.x0), r.Min.X))
		}
	}
	return n >= speck
}
