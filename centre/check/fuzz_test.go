package check_test

import (
	"testing"
	"unicode/utf8"

	"rxedge/centre/check"
	"rxedge/index/document"
)

// FuzzCheck checks any text beside any other: it does not panic, and a finding is a
// registered one with short, valid quotes.
func FuzzCheck(f *testing.F) {
	f.Add("Take 10 mg.", "Take 100 mg.", "2024-01-02", "1.2")
	f.Add("Â°Ã©", "\uFFFD", "0000-00-00", "-1")
	f.Add("", "1", "", "..")
	known := map[string]bool{}
	for _, c := range check.Codes {
		known[c.Code] = true
	}
	f.Fuzz(func(t *testing.T, a, b, date, version string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) || len(a)+len(b) > 4096 {
			return
		}
		d := func(text, v string) *document.Document {
			return &document.Document{ID: "d", Kind: document.KindSPL, Version: v, Effective: date, Sections: []document.Section{{ID: "d#1", LOINC: "34068-7", Text: text}}}
		}
		for _, x := range checker().Check(d(b, version), d(a, "1")) {
			if !known[x.Code] || x.Reason == "" || x.Fix == "" || len(x.Before) > check.MaxQuote || len(x.After) > check.MaxQuote || !utf8.ValidString(x.Before) || !utf8.ValidString(x.After) {
				t.Errorf("%+v", x)
			}
		}
		check.Sign(d(a, ""))
	})
}
