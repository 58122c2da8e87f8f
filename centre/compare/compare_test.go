package compare_test

import (
	"fmt"
	"strings"
	"testing"

	"rxedge/centre/compare"
	"rxedge/index/document"
)

func doc(loinc, text string) *document.Document {
	return &document.Document{ID: "d", Sections: []document.Section{{ID: "d#1", LOINC: loinc, Title: "t", Text: text}}}
}

func TestDoses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, after, want string }{
		{"Take 10 mg twice daily with food.", "Take 20 mg twice daily with food.", "value 10 mg > 20 mg"},
		{"Take 10 mg twice daily with food.", "Take 10 mg three times daily with food.", "frequency twice daily > three times daily"},
		{"Take 10 mg twice daily with food.", "Take 10 mg once daily with food.", "frequency twice > once"},
		{"Take 10 mg once daily with food.", "Take 10 mg once weekly with food.", "frequency daily > weekly"},
		{"Take 50 mcg each morning.", "Take 50 mg each morning.", "unit 50 mcg > 50 mg"},
		{"Take 50 mcg each morning.", "Take 50 each morning.", "unit lost 50 mcg > 50"},
		{"Take 0.5 g each morning.", "Take 500 mg each morning.", ""},
		{"Take 5 mg each morning [see Warnings (5.1)].", "Take 5 mg each morning [see Warnings (5.2)].", ""},
		{"The dose is 5 to 10 mg each day.", "The dose is 5 to 15 mg each day.", "value 10 mg each day > 15 mg each day"},
		{"Start with 2.5 mg and go to 10 mg after 4 weeks.", "Start with 2.5 mg, and go to 20 mg after 6 weeks.", "value 10 mg > 20 mg; value 4 weeks > 6 weeks"},
		{"Take 10 mg daily with food.", "Take 10 mg daily with food for at most 5 days.", "come 5 days"},
	} {
		var got []string
		for _, ch := range compare.Documents(doc("34068-7", c.before), doc("34068-7", c.after)).Changes {
			for _, d := range ch.Doses {
				switch {
				case d.Before == "":
					got = append(got, fmt.Sprintf("%s %s", d.Kind, d.After))
				case d.After == "":
					got = append(got, fmt.Sprintf("%s %s", d.Kind, d.Before))
				default:
					got = append(got, fmt.Sprintf("%s %s > %s", d.Kind, d.Before, d.After))
				}
			}
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%q → %q: %q, want %q", c.before, c.after, s, c.want)
		}
	}
}

func TestSlips(t *testing.T) {
	t.Parallel()
	for ratio, want := range map[float64][2]bool{10: {true, true}, 0.1: {true, true}, 1000: {true, true}, 12: {false, true}, 2: {}, 5: {}, 1: {}, 0: {}} {
		d := compare.Dose{Ratio: ratio}
		if d.Slip() != want[0] || d.Tenfold() != want[1] {
			t.Errorf("%v times: slip %v, tenfold %v", ratio, d.Slip(), d.Tenfold())
		}
	}
}

func TestSectionsAndSentences(t *testing.T) {
	t.Parallel()
	before := &document.Document{ID: "a", Sections: []document.Section{
		{ID: "a#34067-9", LOINC: "34067-9", Title: "Indications", Text: "For pain. For fever."},
		{ID: "a#5.1", LOINC: "43685-7", Number: "5.1", Title: "Liver", Text: "It harms the liver. Watch enzymes."},
		{ID: "a#5.2", LOINC: "43685-7", Number: "5.2", Title: "Kidney", Text: "It harms the kidney."},
	}}
	after := &document.Document{ID: "b", Sections: []document.Section{
		{ID: "b#34066-1", LOINC: "34066-1", Title: "Boxed Warning", Text: "It may kill."},
		{ID: "b#34067-9", LOINC: "34067-9", Title: "INDICATIONS", Text: "for  pain."},
		{ID: "b#5.1", LOINC: "43685-7", Number: "5.1", Title: "Liver", Text: "Watch enzymes."},
		{ID: "b#5.2", LOINC: "43685-7", Number: "5.2", Title: "Kidneys", Text: "It harms the kidney. It harms the liver."},
	}}
	c := compare.Documents(before, after)
	if len(c.Added) != 1 || c.Added[0].Class != compare.Boxed || len(c.Removed) != 0 {
		t.Errorf("sections: %+v", c)
	}
	if len(c.Changes) != 2 || c.Changes[0].Before != "For fever." || c.Changes[0].After != "" || c.Changes[1].After != "It may kill." {
		t.Errorf("changes: %+v", c.Changes)
	}
	if c := compare.Documents(before, before); len(c.Changes)+len(c.Added)+len(c.Removed) > 0 {
		t.Errorf("itself: %+v", c)
	}
}

func BenchmarkDocuments(b *testing.B) {
	var s strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&s, "Sentence %d speaks of %d mg of the medicine and of nothing else at all. ", i, i)
	}
	x, y := doc("34068-7", s.String()), doc("34068-7", strings.ReplaceAll(s.String(), "7 mg", "8 mg"))
	for b.Loop() {
		compare.Documents(x, y)
	}
}
