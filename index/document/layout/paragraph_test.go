package layout

import "testing"

// A short paragraph in a file whose text is small for the most part (a table's, a
// note's) is no heading, however large it is; a heading is one.
func TestSentencesAreNoHeadings(t *testing.T) {
	t.Parallel()
	of := func(text string, size float64, bold bool) *para {
		return &para{runs: []Run{{Text: text}}, size: size, bold: bold, lines: 1}
	}
	all := []*para{
		of("Dosage and Administration", 14, true),
		of("The starting dose of examplol is 5 mg once daily.", 12, false),
		of("2.1 Adults", 12, false),
		of("Age, dose", 9, false),
	}
	levels(all, 9)
	for i, heading := range []bool{true, false, true, false} {
		if (all[i].level > 0) != heading {
			t.Errorf("%q has level %d", all[i].runs[0].Text, all[i].level)
		}
	}
}
