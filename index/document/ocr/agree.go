package ocr

import (
	"image"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// Confidence, of 100, below which a word is lost.
const (
	leastAgreed = 25 // where both readings say the same
	leastAlone  = 85 // where they do not, and it holds no number or unit
	leastNumber = 55 // of a number or unit, where both say the same
)

// units are what stands beside a number. A wrong one is as bad as a wrong number.
var units = func() map[string]bool {
	m := map[string]bool{}
	for _, u := range strings.Fields(`mg mcg µg ug g kg ng pg gm gram grams milligram milligrams microgram micrograms ml l dl cl µl mcl liter liters litre litres
		iu u unit units meq mmol mol mmhg mosm mm cm m in kcal cal kj hz h hr hrs hour hours min mins minute minutes sec second seconds
		day days week weeks month months year years daily weekly monthly hourly once twice thrice times every bid tid qid qd qod prn
		drop drops tablet tablets capsule capsules puff puffs spray sprays vial vials ampule ampules teaspoon tablespoon teaspoonful
		percent ppm bpm auc cmax half quarter one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty
		sixty ninety hundred thousand million not no never nor without except unless`) {
		m[u] = true
	}
	return m
}()

// matters says that a word holds a number or a unit, or turns round what is said.
func matters(s string) bool {
	if strings.ContainsFunc(s, unicode.IsDigit) || strings.ContainsAny(s, "%<>≤≥±½¼¾") {
		return true
	}
	for part := range strings.FieldsFuncSeq(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if units[part] {
			return true
		}
	}
	return false
}

// plainly is a word as the two readings are compared: kinds of dashes and quotes,
// and what closes a clause, make no difference.
func plainly(s string) string {
	s = strings.Map(func(r rune) rune {
		switch r {
		case '–', '—', '−', '‐', '‑', '~':
			return '-'
		case '’', '‘', '`', '´':
			return '\''
		case '“', '”', '„':
			return '"'
		case 'μ':
			return 'µ'
		case '•', '·', '*', '°', '»', '«', '®', '©', '™':
			return '•'
		}
		return r
	}, s)
	s = strings.ReplaceAll(s, "''", "\"")
	return strings.TrimRight(s, ".,;:")
}

// cluster is words of both readings that stand over the same ink.
type cluster struct {
	ours, theirs []*word
	x0, x1       int
}

// clusters parts a line where both readings do.
func clusters(ours, theirs []*word) []*cluster {
	type end struct {
		w   *word
		own bool
	}
	var all []end
	for _, w := range ours {
		all = append(all, end{w, true})
	}
	for _, w := range theirs {
		all = append(all, end{w, false})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].w.box.Min.X < all[j].w.box.Min.X })
	var out []*cluster
	for _, e := range all {
		b := e.w.box
		slack := max(2, b.Dy()/8)
		if n := len(out); n == 0 || b.Min.X >= out[n-1].x1-slack {
			out = append(out, &cluster{x0: b.Min.X, x1: b.Max.X})
		}
		c := out[len(out)-1]
		c.x1 = max(c.x1, b.Max.X)
		if e.own {
			c.ours = append(c.ours, e.w)
		} else {
			c.theirs = append(c.theirs, e.w)
		}
	}
	return out
}

func texts(in []*word) (joined string, least float64) {
	least = 100
	var b strings.Builder
	for i, w := range in {
		if i > 0 { // a space between two digits parts two numbers
			if p, q := lastRune(in[i-1].text), firstRune(w.text); isNumeric(p) && isNumeric(q) {
				b.WriteByte(' ')
			}
		}
		b.WriteString(w.text)
		least = min(least, w.conf)
	}
	return plainly(b.String()), least
}

func isNumeric(r rune) bool { return unicode.IsDigit(r) || r == '.' || r == ',' }

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

func lastRune(s string) rune {
	r := []rune(s)
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1]
}

// judge holds a line beside its second reading, and its ink, and loses what does
// not agree.
func (s *sheet) judge(l *line, other []*word) {
	for _, w := range l.words {
		s.mendSigns(l, w)
	}
	for _, w := range other {
		w.shape.marks = s.marksOf(w.box.Inset(-2))
		s.mendSigns(l, w)
	}
	byX := slices.Clone(l.words)
	sort.SliceStable(byX, func(i, j int) bool { return byX[i].box.Min.X < byX[j].box.Min.X })
	for _, c := range clusters(byX, other) {
		a, confA := texts(c.ours)
		b, confB := texts(c.theirs)
		heavy := matters(a) || matters(b) || slices.ContainsFunc(c.ours, func(w *word) bool { return matters(w.text) }) ||
			slices.ContainsFunc(c.theirs, func(w *word) bool { return matters(w.text) })
		if len(c.ours) == 0 {
			// The first reading has left something out.
			if heavy && confB >= leastAgreed {
				w := &word{text: b, box: c.theirs[0].box, lost: true}
				for _, t := range c.theirs {
					w.box = w.box.Union(t.box)
				}
				l.words = append(l.words, w)
			}
			continue
		}
		agree, lost := a == b, false
		for _, w := range c.ours {
			switch {
			case agree && (!heavy || !matters(w.text)):
				w.lost = w.conf < leastAgreed
			case agree:
				w.lost = confA < leastNumber || confB < leastNumber/2 || !s.inkAgrees(l, w)
			case s.alike(l, c):
				w.lost = confA < leastNumber || confB < leastNumber/2 || !s.inkAgrees(l, w)
			case s.isBullet(l, w):
				w.text = "•"
			case heavy:
				w.lost = true
			default:
				w.lost = w.conf < leastAlone
			}
			lost = lost || w.lost
		}
		if lost && heavy { // of a number that was read in pieces, no piece is one
			for _, w := range c.ours {
				w.lost = true
			}
		}
	}
	slices.SortStableFunc(l.words, func(a, b *word) int { return a.box.Min.X - b.box.Min.X })
	for _, w := range l.words {
		w.lost = w.lost || pico.MatchString(w.text)
	}
	s.spread(l)
	for i, w := range l.words[:max(0, len(l.words)-1)] {
		if next := plainly(l.words[i+1].text); measures[strings.ToLower(next)] && strings.Trim(w.text, "OoQIl|SBZ.,") == "" {
			w.lost = true // letters where a number stands: "S mg"
		}
	}
}

// pico are units that begin with p. No network knows µ, and where its leg is seen both may
// read p: a millionth of what is printed, which nothing here can tell from a true one.
var pico = regexp.MustCompile(`(?:^|[^\pL])p(?:g|mol|Ci|kat|M|l|L)(?:$|[^\pL])`)

// alike says that two readings of one word differ in what looks alike only, and that
// the ink and what stands beside it tell which it is: a 1 after < or >, which one of the
// networks likes to read as l, and the o of "to", which one reads as 0 among numbers.
func (s *sheet) alike(l *line, c *cluster) bool {
	var a, b []rune
	var slots []slot
	var to []bool // it is of the word "to"
	for _, w := range c.ours {
		runes, have := []rune(w.text), s.slots(w)
		if len(runes) != len(have) {
			return false
		}
		for range runes {
			to = append(to, w.text == "to")
		}
		a, slots = append(a, runes...), append(slots, have...)
	}
	for _, w := range c.theirs {
		b = append(b, []rune(w.text)...)
	}
	if len(a) != len(b) {
		return false
	}
	high := l.size * capShare
	for i := range a {
		switch {
		case a[i] == b[i]:
		case a[i] == '1' && strings.ContainsRune("lıI|", b[i]) && i > 0 && strings.ContainsRune("<>≤≥", a[i-1]) && s.isStem(slots[i]):
		case to[i] && a[i] == 'o' && b[i] == '0' && float64(slots[i].box.Dy()) < 0.82*high:
		default:
			return false
		}
	}
	return len(c.theirs) > 0
}

// spread loses what is printed on to a number or unit that is lost, without the room
// of a space or after a dash: of "0.1-138" no part is a number.
func (s *sheet) spread(l *line) {
	joined := func(a, b *word) bool {
		if strings.ContainsRune("-–—/", lastRune(a.text)) && b.box.Min.X-a.box.Max.X < int(l.size) {
			return true
		}
		return float64(b.box.Min.X-a.box.Max.X) < 0.14*l.size && (matters(a.text) || matters(b.text))
	}
	for i := 1; i < len(l.words); i++ {
		if a, b := l.words[i-1], l.words[i]; a.lost && joined(a, b) {
			b.lost = true
		}
	}
	for i := len(l.words) - 1; i > 0; i-- {
		if a, b := l.words[i-1], l.words[i]; b.lost && joined(a, b) {
			a.lost = true
		}
	}
}

// measures are units that only a number stands before.
var measures = map[string]bool{"mg": true, "mcg": true, "µg": true, "g": true, "kg": true, "ml": true, "l": true, "dl": true, "%": true, "mg/kg": true,
	"mcg/kg": true, "mg/ml": true, "mg/day": true, "mg/kg/day": true, "meq": true, "mmol": true, "units": true, "iu": true}

// overlooked finds ink that looks like writing and that no word covers.
func (s *sheet) overlooked(lines []*line) []*line {
	var lost []image.Rectangle
	for i, b := range s.ink.all {
		h := float64(b.box.Dy())
		if s.marks[int32(i)] || b.area < speck || h < 0.55*s.cap || h > 2.2*s.cap || float64(b.box.Dx()) > 6*s.cap {
			continue
		}
		if slices.ContainsFunc(s.rules, func(r rule) bool { return b.box.Overlaps(image.Rect(r.X0-6, r.Y0-6, r.X1+7, r.Y1+7)) }) {
			continue // what is left of a rule
		}
		lost = append(lost, b.box)
	}
	// A few blots are no text; a row of shapes of one height is.
	sort.Slice(lost, func(i, j int) bool { return lost[i].Min.X < lost[j].Min.X })
	used := make([]bool, len(lost))
	var out []*line
	for i := range lost {
		if used[i] {
			continue
		}
		box, n := lost[i], 1
		for j := i + 1; j < len(lost) && float64(lost[j].Min.X) < float64(box.Max.X)+0.8*s.cap; j++ {
			if !used[j] && min(box.Max.Y, lost[j].Max.Y)-max(box.Min.Y, lost[j].Min.Y) > lost[j].Dy()/2 {
				used[j] = true
				box = box.Union(lost[j])
				n++
			}
		}
		inLine := slices.ContainsFunc(lines, func(l *line) bool {
			mid := (box.Min.Y + box.Max.Y) / 2
			return mid > l.box.Min.Y && mid < l.box.Max.Y && float64(box.Max.X) > float64(l.box.Min.X)-3*s.cap && float64(box.Min.X) < float64(l.box.Max.X)+3*s.cap
		})
		if n < 3 && !inLine || n > 400 {
			continue
		}
		l := &line{box: box, base: float64(box.Max.Y), size: s.cap / 0.7}
		for _, o := range lines { // on the line in which it stands
			if mid := (box.Min.Y + box.Max.Y) / 2; mid > o.box.Min.Y && mid < o.box.Max.Y {
				l.base, l.size = o.base, o.size
			}
		}
		l.words = []*word{{text: "?", box: box, lost: true}}
		out = append(out, l)
	}
	return out
}
