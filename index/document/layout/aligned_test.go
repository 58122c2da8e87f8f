package layout

import (
	"fmt"
	"strings"
	"testing"
)

// setting places lines on a page: cells at the given places, words of a cell a space apart.
// advance is the width of a letter as a share of the size, space that of a space.
type setting struct {
	size, advance, space float64
	page                 Page
	y                    float64
}

func (s *setting) row(bold bool, at []float64, cells ...string) {
	s.y += 1.7 * s.size
	for i, c := range cells {
		x := at[i]
		for w := range strings.FieldsSeq(c) {
			end := x + s.advance*s.size*float64(len([]rune(w)))
			s.page.Words = append(s.page.Words, Word{Text: w, X0: x, X1: end, Y0: s.y - 0.75*s.size, Y1: s.y + 0.2*s.size, Base: s.y, Size: s.size, Bold: bold})
			x = end + s.space*s.size
		}
	}
}

func tablesOf(p Page) (out []string) {
	p.Number = 1
	r := NewReader()
	r.Add(p)
	for _, e := range r.Elements() {
		if e.Kind != Table {
			continue
		}
		var rows []string
		for _, row := range e.Rows {
			rows = append(rows, strings.Join(row.Cells, "|"))
		}
		out = append(out, strings.Join(rows, "/"))
	}
	return out
}

func TestTablesWithoutRules(t *testing.T) {
	t.Parallel()
	for _, face := range []struct {
		name           string
		advance, space float64
		at             float64 // how far columns stand from one another, in letters
	}{{"narrow", 0.45, 0.25, 1.4}, {"wide", 0.6, 0.35, 1.3}, {"monospaced", 0.5, 0.62, 1.4}} {
		t.Run(face.name, func(t *testing.T) {
			t.Parallel()
			s := &setting{size: 9, advance: face.advance, space: face.space, y: 50}
			at := func(letters ...float64) (out []float64) {
				for _, l := range letters {
					out = append(out, 60+l*face.at*face.advance*9)
				}
				return out
			}
			// Nothing but a number in each cell: all gaps of a row are alike.
			bare := at(0, 4, 8, 12, 16)
			s.row(true, bare, "9", "15", "23", "32", "23")
			for i := range 5 {
				s.row(false, bare, fmt.Sprint(i), "<1", "5.5", "12", "NS")
			}
			// Another table below it, with other columns.
			s.y += 8
			named := at(0, 16, 30, 48)
			s.row(true, named, "Reaction", "Drug", "Hazard ratio", "n")
			for i := range 6 {
				s.row(false, named, "Back pain", fmt.Sprintf("%d (3%%)", i), "0.5", "7")
			}
			got := tablesOf(s.page)
			want := []string{
				"9|15|23|32|23/0|<1|5.5|12|NS/1|<1|5.5|12|NS/2|<1|5.5|12|NS/3|<1|5.5|12|NS/4|<1|5.5|12|NS",
				"Reaction|Drug|Hazard ratio|n/Back pain|0 (3%)|0.5|7/Back pain|1 (3%)|0.5|7/Back pain|2 (3%)|0.5|7/Back pain|3 (3%)|0.5|7/Back pain|4 (3%)|0.5|7/Back pain|5 (3%)|0.5|7",
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%d tables:\n%s", len(got), strings.Join(got, "\n"))
			}
		})
	}
}

// Lines whose spaces are stretched are text, even where these stand above one another.
func TestStretchedLinesAreNoTable(t *testing.T) {
	t.Parallel()
	s := &setting{size: 9, advance: 0.5, space: 1.2, y: 50}
	for range 3 {
		s.row(false, []float64{60}, "labeling includes paradox")
		s.row(false, []float64{60}, "headache vomiting cramping")
	}
	if got := tablesOf(s.page); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// A line that ends within a range of numbers goes on with it.
func TestRangeOverLines(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"the 20–", "40 mg group", ""}, {"the 20-", "40 mg group", ""}, {"the 20 –", "40 mg", " "}, {"the group –", "40 mg", " "}} {
		if got := joint(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q are joined by %q", c[0], c[1], got)
		}
	}
}
