package pdf

import (
	"strings"
	"testing"
)

// set is a line as a face sets it: each glyph's ink in the middle of its advance.
func set(size, advance float64, fixed bool, text string) (out []Glyph) {
	ink := map[rune]float64{'.': 0.12, ',': 0.12, '1': 0.2, '(': 0.15, ')': 0.15, '-': 0.25, 'm': 0.55}
	x := 50.0
	for _, r := range text {
		if r == ' ' {
			out = append(out, Glyph{R: ' ', X0: x, X1: x + advance*size, Size: size})
		} else if r != '_' { // a space that is nowhere but in the distance
			w := ink[r]
			if w == 0 {
				w = 0.45
			}
			m := x + advance*size/2
			out = append(out, Glyph{R: r, X0: m - w*size/2, X1: m + w*size/2, Y0: 100 - 0.7*size, Y1: 100, Size: size, Fixed: fixed})
		}
		x += advance * size
	}
	return out
}

// "11 mg" is not "1 1 mg", nor "0.5" "0 . 5", however much room the face leaves beside
// the ink.
func TestNumbersAreNotTakenApart(t *testing.T) {
	t.Parallel()
	for _, advance := range []float64{0.5, 0.6, 0.64, 0.7} {
		for _, text := range []string{"11 mg", "0.5 mg", "1.11 (1.1-11.1) 1,111", "1 1 mg"} {
			var got []string
			for _, w := range wordsOf(set(9, advance, true, text)) {
				got = append(got, w.Text)
			}
			if strings.Join(got, " ") != text {
				t.Errorf("advance %v: %q is read as %q", advance, text, got)
			}
		}
		if got := wordsOf(set(9, advance, true, "5_5_mg")); len(got) != 3 {
			t.Errorf("advance %v: words without a space between them are one: %v", advance, got)
		}
	}
	// Elsewhere a point is narrow, and what is as far from it stands behind a space.
	if got := wordsOf([]Glyph{{R: ',', X0: 10, X1: 11, Y1: 9, Size: 9}, {R: 'a', X0: 13.5, X1: 17, Y1: 9, Size: 9}}); len(got) != 2 {
		t.Errorf("%v", got)
	}
}
