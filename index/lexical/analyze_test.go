package lexical

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestTerms(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer([]string{"Abilify", "Metformin Hydrochloride Tablets", "Actos"})
	for text, want := range map[string]string{
		"Patients were DISCONTINUED":       "patient discontinu",
		"do not take; without food":        "not take without food",
		"500 mg":                           "500 500mg mg",
		"500mg twice":                      "500mg 500 mg twice",
		"2,000 mg":                         "2000 2000mg mg",
		"2000 milligrams":                  "2000 2000mg mg",
		"0.50 mg, .5 mg":                   "0.5 0.5mg mg 0.5 0.5mg mg",
		"50 µg or 50 mcg":                  "50 50mcg mcg 50 50mcg mcg",
		"5% and 5 %":                       "5 5% 5 5%",
		"30-45 mL/min/1.73 m²":             "30 45 45ml ml min 1.73 m 2",
		"NDC 0074-3799-02":                 "ndc 0074379902 0074 3799 02",
		"a beta-blocker":                   "betablock beta blocker",
		"co‑trimoxazole":                   "cotrimoxazol co trimoxazol",
		"β-blockers":                       "betablock beta blocker",
		"TNFα TNF-α":                       "tnfalpha tnfalpha tnf alpha",
		"Crohn’s, Crohn's":                 "crohn crohn",
		"naïve Sjögren":                    "naiv sjogren",
		"e.g. U.S.A. dose.The end":         "eg usa dose end",
		"Abilify actos Metformin":          "abilify actos metformin",
		"tablets":                          "tablet",
		"T2DM B12 omega-3":                 "t2dm b12 omega3 omega 3",
		"λ":                                "lambda",
		"λόγος":                            "λογος",
		"ﬁne":                              "fine",
		"":                                 "",
		" \x00\xff ! ":                     "",
		strings.Repeat("x", 100):           strings.Repeat("x", 64),
		"12 units, 1 unit, 3 liters of it": "12 12unit unit 1 1unit unit 3 3l l",
	} {
		if got := strings.Join(a.Terms(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Each spelling meets the others.
func TestSpellingsMeet(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	for _, same := range [][]string{
		{"500 mg", "500mg", "500-mg", "500 milligrams"},
		{"2,000 mg", "2000mg"},
		{"0.5 mg", "0.50mg", ".5 mg"},
		{"beta-blocker", "β-blocker", "betablocker"},
		{"Crohn's", "Crohn’s", "crohn"},
		{"co-trimoxazole", "cotrimoxazole"},
	} {
		for _, s := range same {
			for _, r := range same {
				ts := a.Terms(r)
				if !slices.ContainsFunc(a.Terms(s), func(t string) bool { return slices.Contains(ts, t) }) {
					t.Errorf("%q %q and %q %q share no term", s, a.Terms(s), r, ts)
				}
			}
		}
	}
}

func FuzzTerms(f *testing.F) {
	for _, s := range []string{"Take 500 mg.", "a-b-c-d-e", "µg β λόγος 5%", ".5mg 1,0,0", "\xff-\x00-", "x'''s 'S"} {
		f.Add(s)
	}
	a := NewAnalyzer([]string{"Abilify"})
	f.Fuzz(func(t *testing.T, s string) {
		for _, term := range a.Terms(s) {
			if term == "" || len(term) > 2*maxTerm {
				t.Errorf("%q gives the term %q", s, term)
			}
		}
		if !reflect.DeepEqual(a.Terms(s), a.appendTerms(nil, s, map[string]string{})) {
			t.Errorf("%q: the cache of stems changes the terms", s)
		}
	})
}
