package layout

import (
	"strings"
	"testing"
)

// FuzzLayout: words that stand anywhere are all there afterwards, and nothing else.
func FuzzLayout(f *testing.F) {
	f.Add([]byte("0a1b2c0d2e1f3g0h4i5j0k6l1m7n2o8p"), false)
	f.Add([]byte{10, 10, 60, 10, 110, 10, 10, 30, 60, 30, 110, 30, 10, 50, 60, 50, 110, 50, 10, 70, 60, 70, 110, 70}, true)
	f.Fuzz(func(t *testing.T, at []byte, figures bool) {
		p := Page{Number: 1}
		for i := 0; i+1 < len(at) && i < 400; i += 2 {
			text := "word"
			if figures {
				text = "<12"
			}
			x, y := 4*float64(at[i]), 3*float64(at[i+1])
			p.Words = append(p.Words, Word{Text: text, X0: x, X1: x + 5*float64(len(text)), Y0: y - 7, Y1: y + 2, Base: y, Size: 9, Bold: at[i]%7 == 0})
		}
		Aligned(p.Words)
		r := NewReader()
		r.Add(p)
		n := 0
		count := func(s string) {
			n += strings.Count(s, "word") + strings.Count(s, "<12")
		}
		for _, e := range r.Elements() {
			for _, run := range e.Runs {
				count(run.Text)
			}
			for _, row := range e.Rows {
				for _, c := range row.Cells {
					count(c)
				}
			}
		}
		if n != len(p.Words) {
			t.Errorf("%d words of %d", n, len(p.Words))
		}
	})
}
