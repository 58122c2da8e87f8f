package ocr

import "unicode"

// spaced parts a word where its ink leaves the room of a space that a network has left
// out, between a number and what is no number: "11to20kg". Never between digits, nor
// after a comma: that of a monospaced "1,200" has as much room.
func (s *sheet) spaced(l *line, w *word) []*word {
	runes := []rune(w.text)
	slots := s.slots(w)
	if w.lost || len(slots) != len(runes) || len(w.raised) > 0 && len(w.raised) != len(runes) {
		return []*word{w}
	}
	var out []*word
	from := 0
	take := func(to int) {
		part := *w
		part.text, part.box = string(runes[from:to]), slots[from].box
		part.shape.marks = nil
		for _, q := range slots[from:to] {
			part.box = part.box.Union(q.box)
			part.shape.marks = append(part.shape.marks, q.marks...)
		}
		if len(w.raised) > 0 {
			part.raised = w.raised[from:to]
		}
		out = append(out, &part)
		from = to
	}
	for i := 1; i < len(runes); i++ {
		a, b := runes[i-1], runes[i]
		room := float64(slots[i].box.Min.X-slots[i-1].box.Max.X) / l.size
		switch {
		case unicode.IsDigit(a) && unicode.IsLetter(b) && room > 0.22, unicode.IsLetter(a) && unicode.IsDigit(b) && room > 0.22:
			take(i)
		case unicode.IsDigit(a) && b == '(' && room > 0.3:
			take(i)
		}
	}
	if from == 0 {
		return []*word{w}
	}
	take(len(runes))
	return out
}
