package pdf

import (
	"math"
	"sort"
	"strings"
	"unicode"

	"rxedge/index/document/layout"
)

// Layouts are the words and rules of the page in the way in which they are read:
// one for the text that stands upright, one for each other direction (a table
// that lies on its side), what is aslant (a stamp across the page) last.
func (p Page) Layouts(number int) []layout.Page {
	byTurn := map[int][]Glyph{}
	for _, g := range p.Glyphs {
		byTurn[g.Turn] = append(byTurn[g.Turn], g)
	}
	turns := make([]int, 0, len(byTurn))
	for t := range byTurn {
		turns = append(turns, t)
	}
	sort.Slice(turns, func(i, j int) bool {
		a, b := turns[i], turns[j]
		if (a < 0) != (b < 0) {
			return b < 0
		}
		return len(byTurn[a]) > len(byTurn[b]) || len(byTurn[a]) == len(byTurn[b]) && a < b
	})
	var out []layout.Page
	for i, t := range turns {
		glyphs := byTurn[t]
		for i := range glyphs {
			g := &glyphs[i]
			g.X0, g.Y0, g.X1, g.Y1 = upright(t, g.X0, g.Y0, g.X1, g.Y1)
		}
		l := layout.Page{Number: number, Words: wordsOf(glyphs)}
		if i == 0 || t > 0 {
			for _, r := range p.Rules {
				x0, y0, x1, y1 := upright(t, r.X0, r.Y0, r.X1, r.Y1)
				l.Rules = append(l.Rules, layout.Rule{X0: x0, Y0: y0, X1: x1, Y1: y1})
			}
		}
		if len(l.Words) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// upright turns a box back by t quarter turns.
func upright(t int, x0, y0, x1, y1 float64) (float64, float64, float64, float64) {
	switch t {
	case 1: // text runs downwards
		return y0, -x1, y1, -x0
	case 2:
		return -x1, -y1, -x0, -y0
	case 3: // text runs upwards
		return -y1, x0, -y0, x1
	}
	return x0, y0, x1, y1
}

const (
	descending = "gjpqyQ,;()[]{}/|_$@ç"
	floating   = "-–—•·*'\"’‘“”^°®™~=+<>≤≥±×→"
)

// onLine says that the foot of r stands on the line of writing.
func onLine(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !strings.ContainsRune(descending, r) || r == '.'
}

// wordsOf groups glyphs into words. A change of height inside a word, as before a
// superscript, begins a new one that is glued to it.
func wordsOf(glyphs []Glyph) []layout.Word {
	var out []layout.Word
	var cur []Glyph
	glue := false
	flush := func() {
		if len(cur) > 0 {
			out = append(out, wordOf(cur, glue))
			cur = nil
		}
		glue = false
	}
	space := false
	for _, g := range glyphs {
		if g.R == ' ' {
			space = true
			continue
		}
		if space {
			// PDFium sees spaces where letters of text that lies on its side are kerned.
			if n := len(cur); n == 0 || math.Abs(g.X0-cur[n-1].X1) > 0.06*cur[n-1].Size || math.Abs(mid(g)-mid(cur[n-1])) > 0.9*g.Size {
				flush()
			}
			space = false
		}
		if n := len(cur); n > 0 {
			last := cur[n-1]
			size := max(last.Size, g.Size)
			gap := g.X0 - last.X1
			switch {
			case gap > 0.25*size && !oneWord(last, g) || gap < -0.6*size || math.Abs(mid(g)-mid(last)) > 0.9*size:
				flush()
			case raised(cur, g):
				flush()
				glue = true
			}
		}
		cur = append(cur, g)
	}
	flush()
	return out
}

// oneWord: the ink of a "1", or of a point in a face of one width, leaves as much room
// beside it as a space takes. Where PDFium sees no space, the way from the middle of one
// to the middle of the next tells: digits are at most .71 of the size wide, as all is in
// a face of one width, and with a space the way is at least .75, but in condensed faces.
func oneWord(a, b Glyph) bool {
	digits := unicode.IsDigit(a.R) && unicode.IsDigit(b.R)
	return (digits || a.Fixed && b.Fixed) && (b.X0+b.X1-a.X0-a.X1)/2 < 0.74*max(a.Size, b.Size)
}

func mid(g Glyph) float64 { return (g.Y0 + g.Y1) / 2 }

// raised says that g is of another size than cur, or at another height.
func raised(cur []Glyph, g Glyph) bool {
	if last := cur[len(cur)-1]; math.Abs(last.Size-g.Size) > 0.15*max(last.Size, g.Size) {
		return true
	}
	if !onLine(g.R) {
		return false
	}
	for i := len(cur) - 1; i >= 0; i-- {
		if onLine(cur[i].R) {
			return math.Abs(cur[i].Y1-g.Y1) > 0.13*max(cur[i].Size, g.Size)
		}
	}
	return false
}

func wordOf(cur []Glyph, glue bool) layout.Word {
	w := layout.Word{X0: math.Inf(1), Y0: math.Inf(1), X1: math.Inf(-1), Y1: math.Inf(-1), Glue: glue}
	var b strings.Builder
	var feet []float64
	bold := 0
	low := math.Inf(-1)
	for _, g := range cur {
		b.WriteRune(g.R)
		w.X0, w.Y0, w.X1, w.Y1 = min(w.X0, g.X0), min(w.Y0, g.Y0), max(w.X1, g.X1), max(w.Y1, g.Y1)
		w.Size = max(w.Size, g.Size)
		if g.Bold {
			bold++
		}
		if onLine(g.R) {
			feet = append(feet, g.Y1)
		} else if !strings.ContainsRune(floating, g.R) {
			low = max(low, g.Y1-0.21*g.Size)
		}
	}
	w.Text, w.Bold, w.Hyphen = b.String(), bold*2 > len(cur), cur[len(cur)-1].Hyphen
	switch {
	case len(feet) > 0:
		sort.Float64s(feet)
		w.Base = feet[len(feet)/2]
	case !math.IsInf(low, -1):
		w.Base = low
	default: // a dash or bullet floats at about the middle of small letters
		w.Base = (w.Y0+w.Y1)/2 + 0.27*w.Size
	}
	return w
}
