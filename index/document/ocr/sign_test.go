package ocr

import (
	"image"
	"image/draw"
	"slices"
	"strings"
	"testing"
)

// readAs judges a line of which both readings say the same, and returns what then stands
// there; # is lost.
func readAs(t *testing.T, printed, first, second string) string {
	t.Helper()
	s, l := asRead(t, strings.Fields(printed), strings.Fields(first))
	var other []*word
	for i, w := range strings.Fields(second) {
		other = append(other, &word{text: w, box: l.words[i].box, conf: 90})
	}
	s.judge(l, other)
	var got []string
	for _, w := range l.words {
		if w.lost {
			w.text = "#"
		}
		got = append(got, w.text)
	}
	return strings.Join(got, " ")
}

// What no network knows, both read alike: the ink tells, or the word is lost.
func TestSigns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ printed, said, want string }{
		{"aged ≥65 ≥18 years", "aged 265 218 years", "aged ≥65 ≥18 years"},
		{"aged ≥ 65 years", "aged 2 65 years", "aged ≥ 65 years"},
		{"aged (≥75 years", "aged (>75 years", "aged (≥75 years"},
		{"below ≤30 mL", "below <30 mL", "below ≤30 mL"},
		{"about ±2 mL", "about +2 mL", "about ±2 mL"},
		{"take 5µg in µg/mL and later", "take 5ug in ug/mL and later", "take 5µg in µg/mL and later"},
		// And what is plain stays as it is.
		{"aged 265 218 years", "aged 265 218 years", "aged 265 218 years"},
		{"below <30 >4 +2 mL", "below <30 >4 +2 mL", "below <30 >4 +2 mL"},
		{"take 5ug in ug/mL and later", "take 5ug in ug/mL and later", "take 5ug in ug/mL and later"},
		// A sign that the ink does not show is none.
		{"below 30 265 mL", "below 30 ≥65 mL", "below 30 # mL"},
	} {
		if got := readAs(t, c.printed, c.said, c.said); got != c.want {
			t.Errorf("%q, read as %q, is %q, not %q", c.printed, c.said, got, c.want)
		}
	}
}

// What looks alike is told apart by what stands beside it and by the ink, and only there.
func TestAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ printed, first, second, want string }{
		{"rate <1 (%)", "rate <1 (%)", "rate <l (%)", "rate <1 (%)"},
		{"rate <7 (%)", "rate <1 (%)", "rate <l (%)", "rate # (%)"},
		{"give 51 mL", "give 51 mL", "give 5l mL", "give # mL"},
		{"from 20 to 30", "from 20 to 30", "from 20 t0 30", "from 20 to 30"},
		{"from 20 40 30", "from 20 40 30", "from 20 4o 30", "from 20 # 30"},
	} {
		if got := readAs(t, c.printed, c.first, c.second); got != c.want {
			t.Errorf("%q, read as %q and %q, is %q, not %q", c.printed, c.first, c.second, got, c.want)
		}
	}
}

// Two thick rules that meet leave no speck, which would be one shape too many.
func TestNothingIsLeftOfRules(t *testing.T) {
	t.Parallel()
	for _, thick := range []int{2, 3, 5, 8} {
		g := blank(900, 500)
		for i := range 3 {
			draw.Draw(g, image.Rect(100, 100+i*100, 700+thick, 100+i*100+thick), image.Black, image.Point{}, draw.Src)
			draw.Draw(g, image.Rect(100+i*300, 100, 100+i*300+thick, 300+thick), image.Black, image.Point{}, draw.Src)
		}
		s := newSheet(g)
		if len(s.cells) != 4 || len(s.ink.all) > 0 {
			t.Errorf("%d dots thick: %d cells, left is %v", thick, len(s.cells), s.ink.all)
		}
	}
}

// The cells of a table without rules are found before anything is read; those of text
// are none.
func TestColumns(t *testing.T) {
	t.Parallel()
	g := blank(1700, 1400)
	typeset(t, g, 10, 100, 150, "Take the tablets with water in the morning", "before eating anything else unless you were", "told otherwise by whoever prescribed them")
	cells := []string{"9", "15", "<1", "12", "3", "5.5", "7", "8", "23"}
	for i, c := range cells {
		typeset(t, g, 10, 100+i%3*200, 500+i/3*65, c)
	}
	got := newSheet(g).cells
	if len(got) != len(cells) {
		t.Fatalf("%d cells: %v", len(got), got)
	}
	for i, c := range got {
		if at := image.Pt(105+i%3*200, 490+i/3*65); !at.In(c) {
			t.Errorf("cell %d is %v", i, c)
		}
	}
}

// A lost word is settled only by two networks and the ink, and by no reading that is
// contradicted.
func TestSettle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ printed, first, second, again, other, want string }{
		"both see it now":       {"give 38 mg", "give 935 mg", "give 38 mg", "give 38 mg", "give 38 mg", "give 38 mg"},
		"one and the other":     {"give 38 mg", "give 3s mg", "give 38 mg", "give 38 mg", "give x mg", "give 38 mg"},
		"a unit":                {"give 39 mg", "give 3x mg", "give 3g mg", "give 39 mg", "give 39 mg", "give # mg"},
		"a letter":              {"give 0 mg", "give 0 mg", "give O mg", "give O mg", "give O mg", "give # mg"},
		"another number":        {"give 38 mg", "give 36 mg", "give 38 mg", "give 38 mg", "give 38 mg", "give # mg"},
		"one network only":      {"give 38 mg", "give 3x mg", "give 3y mg", "give 38 mg", "give 3z mg", "give # mg"},
		"no hole where it says": {"give 35 mg", "give 3x mg", "give 3y mg", "give 38 mg", "give 38 mg", "give # mg"},
		"a point is left out":   {"give 3.8 mg", "give 3x mg", "give 3y mg", "give 38 mg", "give 38 mg", "give # mg"},
	} {
		s, l := asRead(t, strings.Fields(c.printed), strings.Fields(c.first))
		said := func(text string) (out []*word) {
			for i, w := range strings.Fields(text) {
				out = append(out, &word{text: w, box: l.words[i].box, conf: 90, shape: shape{marks: s.marksOf(l.words[i].box.Inset(-2))}})
			}
			return out
		}
		p := &lostPart{line: l, box: l.box.Inset(-5), theirs: said(c.second), first: said(c.again), second: said(c.other)}
		s.judge(l, said(c.second))
		s.settle(p)
		var got []string
		for _, w := range l.words {
			if w.lost {
				w.text = "#"
			}
			got = append(got, w.text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSpaced(t *testing.T) {
	t.Parallel()
	g := blank(1600, 200)
	for _, printed := range []string{"11 to 20 kg", "1,000 mg", "5mg", "111 (1.1)"} {
		boxes := typeset(t, g, 10, 40, 120, printed)
		box := image.Rectangle{}
		for _, b := range boxes {
			box = box.Union(b)
		}
		l := &line{words: []*word{{text: strings.ReplaceAll(printed, " ", ""), box: box, conf: 90}}, box: box}
		s := newSheet(g)
		s.measure([]*line{l})
		var got []string
		for _, w := range s.spaced(l, l.words[0]) {
			got = append(got, w.text)
		}
		if strings.Join(got, " ") != printed {
			t.Errorf("%q is %q", printed, got)
		}
		g = blank(1600, 200)
	}
	// As a monospaced face sets it, with room on both sides of the comma.
	a := typeset(t, g, 10, 40, 120, "1")["1"]
	b := typeset(t, g, 10, a.Max.X+14, 120, ",")[","]
	c := typeset(t, g, 10, b.Max.X+15, 120, "200")["200"]
	l := &line{words: []*word{{text: "1,200", box: a.Union(b).Union(c), conf: 90}}, box: a.Union(b).Union(c)}
	s := newSheet(g)
	s.measure([]*line{l})
	if got := s.spaced(l, l.words[0]); len(got) != 1 {
		t.Errorf("1,200 is parted after %q", got[0].text)
	}
}

// What stands beside signs that reach below the line is not raised.
func TestNotRaised(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"(2)", "7 (2)", "(4) (1)"} {
		s, l := asRead(t, strings.Fields(text), strings.Fields(text))
		for _, w := range l.words {
			if !s.inkAgrees(l, w) || slices.Contains(w.raised, true) {
				t.Errorf("%q: %q is raised: %v", text, w.text, w.raised)
			}
		}
	}
}

// No network knows µ, and both may see a p in it: a unit that begins with p counts nowhere.
func TestPico(t *testing.T) {
	t.Parallel()
	for text, lost := range map[string]bool{"5 pg/mL": true, "pg/mL": true, "3pmol/L,": true, "(pCi)": true, "8 pm": false, "pH": false, "5 mg/mL": false, "spg": false, "page": false} {
		if pico.MatchString(text) != lost {
			t.Errorf("%q", text)
		}
	}
	g := blank(900, 200)
	at := typeset(t, g, 10, 40, 120, "take 5 pg/mL now")
	read := func() []*word {
		var out []*word
		for w, box := range at {
			out = append(out, &word{text: w, box: box, conf: 95})
		}
		return out
	}
	s := newSheet(g)
	l := &line{words: read()}
	for _, w := range l.words {
		l.box = l.box.Union(w.box)
	}
	s.measure([]*line{l})
	s.judge(l, read())
	for _, w := range l.words {
		if lost := w.text == "5" || w.text == "pg/mL"; w.text != "5" && w.lost != lost {
			t.Errorf("%q: lost %v", w.text, w.lost)
		}
	}
}
