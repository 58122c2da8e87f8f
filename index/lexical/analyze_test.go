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
		"Patients were DISCONTINUED":        "patient discontinu",
		"do not take; without food":         "not take without food",
		"500 mg":                            "500 500mg mg",
		"500mg twice":                       "500mg 500 mg twice",
		"2,000 mg":                          "2000 2000mg mg",
		"2000 milligrams":                   "2000 2000mg mg",
		"0,5 mg 1,25 1,000,000 1,2,3 0,125": "0.5 0.5mg mg 1,25 1000000 1,2,3 0.125",
		"1,5 mg, 2,5mg, 1,3-butadiene":      "1,5 1.5mg mg 2.5mg 2.5 mg 1,3butadiene 1,3 butadien",
		"0.50 mg, .5 mg":                    "0.5 0.5mg mg 0.5 0.5mg mg",
		"50 µg or 50 mcg":                   "50 50mcg mcg 50 50mcg mcg",
		"5% and 5 %":                        "5 5% 5 5%",
		"30-45 mL/min/1.73 m²":              "30 45 45ml ml min 1.73 m 2",
		"NDC 0074-3799-02":                  "ndc 0074379902 0074 3799 02",
		"a beta-blocker":                    "betablock beta blocker",
		"co‑trimoxazole":                    "cotrimoxazol co trimoxazol",
		"β-blockers":                        "betablock beta blocker",
		"TNFα TNF-α":                        "tnfalpha tnfalpha tnf alpha",
		"Crohn’s, Crohn's":                  "crohn crohn",
		"naïve Sjögren":                     "naiv sjogren",
		"e.g. U.S.A. dose.The end":          "eg usa dose end",
		"Abilify actos Metformin":           "abilify actos metformin",
		"tablets":                           "tablet",
		"T2DM B12 omega-3":                  "t2dm b12 omega3 omega 3",
		"λ":                                 "lambda",
		"λόγος":                             "λογος",
		"ﬁne":                               "fine",
		"":                                  "",
		" \x00\xff ! ":                      "",
		strings.Repeat("x", 100):            strings.Repeat("x", 64),
		"12 units, 1 unit, 3 liters of it":  "12 12unit unit 1 1unit unit 3 3l l",
	} {
		if got := strings.Join(a.Terms(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestSpanishTerms(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer([]string{"Abilify", "Metformina"})
	for text, want := range map[string]string{
		"No tome más de 0,5 mg":                    "no tom 0.5 0.5mg mg",
		"1.000 mg, 1.234,5 mg y 2,000 mg":          "1000 1000mg mg 1234.5 1234.5mg mg 2000 2000mg mg",
		"0.125 mg, 0,125 mg":                       "0.125 0.125mg mg 0.125 0.125mg mg",
		"Dosificación, dosificacion y dosis":       "dosif dosif dosis",
		"reacciones, reacción, REACCION":           "reaccion reaccion reaccion",
		"de 2,5 a 5 mg, 1,3-butadieno":             "2.5 5 5mg mg 1,3butadieno 1,3 butadien",
		"2 años":                                   "2 años",
		"los niños deberían evitarlo sin alimento": "niñ deberi evit sin aliment",
		"Metformina 850 mg/día":                    "metformina 850 850mg mg dia",
		"pingüino":                                 "pinguin",
		"β-bloqueantes":                            "betabloqu beta bloqueant",
		"10 unidades, 1 comprimido de 20 mcg":      "10 10unit unit 1 comprim 20 20mcg mcg",
	} {
		if got := strings.Join(a.TermsIn("es", text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for tag, want := range map[string]string{"es-MX": "año", "ES": "año", "en": "ano", "": "ano", "est": "ano", "e": "ano"} {
		if got := strings.Join(a.TermsIn(tag, "año"), " "); got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
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

// The terms of a builder, which remembers words, are those of Terms.
func FuzzTerms(f *testing.F) {
	for _, s := range []string{"Take 500 mg.", "a-b-c-d-e", "µg β λόγος 5%", ".5mg 1,0,0", "\xff-\x00-", "x'''s 'S", "año 1.000,5 mg"} {
		f.Add(s, true)
	}
	a := NewAnalyzer([]string{"Abilify"})
	f.Fuzz(func(t *testing.T, s string, es bool) {
		p := Passage{Text: s}
		if es {
			p.Language = "es"
		}
		want := map[string]Counts{}
		terms := a.TermsIn(p.Language, s)
		for _, term := range terms {
			if term == "" || len(term) > 2*maxTerm {
				t.Errorf("%q gives the term %q", s, term)
			}
			c := want[term]
			c[Text]++
			want[term] = c
		}
		have := map[string]Counts{}
		tally := newTally(a)
		tally.count(&p)
		tally.count(&p)
		for _, id := range tally.seen {
			have[tally.terms[id]] = tally.counts[id]
		}
		if !reflect.DeepEqual(want, have) || int(tally.length[Text]) != len(terms) {
			t.Errorf("%q: %v, want %v", s, have, want)
		}
	})
}
