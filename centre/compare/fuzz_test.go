package compare_test

import (
	"testing"
	"unicode/utf8"

	"rxedge/centre/compare"
)

// FuzzDocuments compares any two texts: a text with itself differs in nothing, and what is
// said to be before or after stands there.
func FuzzDocuments(f *testing.F) {
	f.Add("Take 10 mg twice daily [see Warnings (5.1)].", "Take 20 mg three times daily (5.1, 8.6).")
	f.Add("5 to 10 mg | 0.5 mcg", "1,000 mg/kg/day − ½ tablet")
	f.Add("", "(((see [5.1")
	f.Add("0 mg", "0.0000001 g")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) || len(a)+len(b) > 4096 {
			return // a document is valid text
		}
		if c := compare.Documents(doc("34068-7", a), doc("34068-7", a)); len(c.Changes) > 0 {
			t.Errorf("%q differs from itself: %+v", a, c.Changes)
		}
		for _, ch := range compare.Documents(doc("34068-7", a), doc("34068-7", b)).Changes {
			if ch.Before == "" && ch.After == "" {
				t.Errorf("%q, %q: a change of nothing", a, b)
			}
			for _, d := range ch.Doses {
				if d.Before == "" && d.After == "" || d.Ratio < 0 {
					t.Errorf("%q, %q: %+v", a, b, d)
				}
			}
		}
	})
}
