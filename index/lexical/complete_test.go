package lexical

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer([]string{"metformin"})
	var texts []string
	for i := range 6000 { // a dictionary that is large enough to keep what it found
		texts = append(texts, fmt.Sprintf("renx%dqv %s", i, []string{"renal impairment", "renal", "500 mg", "kidney metformin"}[i%4]))
	}
	var parts []Part
	base := uint32(0)
	for _, half := range [][]string{texts[:5000], texts[5000:]} {
		var ps []Passage
		for _, x := range half {
			ps = append(ps, Passage{Text: x})
		}
		s, _, err := Build(a, ps)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, Part{Segment: s, Base: base})
		base += uint32(len(half))
	}
	dead, err := (*Dead)(nil).With(parts[1].Segment, a, []Withdrawn{{0, Passage{Text: texts[5000]}}})
	if err != nil {
		t.Fatal(err)
	}
	parts[1].Dead = dead
	s, err := NewSearcher(DefaultParams, parts...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, c := range []struct {
			prefix string
			want   []Completion
		}{
			{"re", []Completion{{"renal", 2999}}},
			{"i", []Completion{{"impair", 1499}}},
			{"met", []Completion{{"metformin", 1500}}},
			{"5", []Completion{{"500", 1500}, {"500mg", 1500}}},
			{"zz", nil},
			{"", []Completion{{"renal", 2999}, {"kidney", 1500}, {"metformin", 1500}}},
		} {
			got, err := s.Complete(c.prefix, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) > len(c.want) && got[0] != (Completion{"renal", 2999}) || !reflect.DeepEqual(got[:min(len(got), len(c.want))], c.want) && len(c.want) > 0 {
				t.Errorf("%q completes to %v, want %v", c.prefix, got, c.want)
			}
		}
	}
	var having []uint32
	if err := s.Having("impair", func(p uint32) bool { having = append(having, p); return true }); err != nil {
		t.Fatal(err)
	}
	if len(having) != 1499 || slices.Contains(having, 5000) || !slices.Contains(having, 5004) || !slices.IsSorted(having) {
		t.Errorf("%d passages have the term, want 1499 live ones in order", len(having))
	}
}

func TestSpelling(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	p := Passage{Heading: "Renal Impairment", Text: "In impairment, impaired impairment. THERAPIES and therapy."}
	for _, c := range []struct{ term, prefix, want string }{
		{"impair", "impai", "impairment"}, {"impair", "impaire", "impaired"}, {"therapi", "therapy", "therapy"},
		{"therapi", "th", "therapies"}, {"renal", "ren", "renal"}, {"renal", "im", ""}, {"renal", "", ""},
	} {
		if got := a.Spelling(p, c.term, c.prefix); got != c.want {
			t.Errorf("%s, typed %q, is spelt %q, want %q", c.term, c.prefix, got, c.want)
		}
	}
	if got := a.Stems("impairm"); !slices.Equal(got, []string{"impair", "impai", "impa", "imp"}) {
		t.Errorf("impairm may be of %v", got)
	}
	if got := a.Stems("therapy"); got[0] != "therapi" {
		t.Errorf("therapy may be of %v", got)
	}
}

func TestPhrase(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer([]string{"metformin"})
	for _, c := range []struct {
		phrase, text, language string
		want                   bool
	}{
		{"renal impairment", "Patients with Renal impairments.", "", true},
		{"renal impairment", "impairment, renal", "", false},
		{"renal impairment", "renal or hepatic impairment", "", false},
		{"signs of toxicity", "signs toxicity", "", true},
		{"beta blocker", "with beta-blockers", "", true},
		{"beta-blocker", "with beta blockers", "", true},
		{"500 mg twice", "take 500mg twice", "", true},
		{"500mg", "500 milligrams", "", true},
		{"500mg", "50 mg", "", false},
		{"use in pregnancy", "Use during pregnancy", "", true},
		{"the cat", "cat", "", true},
		{"no sé", "dosis", "es", false},
		{"insuficiencia renal", "la insuficiencia renal grave", "es", true},
		{"renal renal impairment", "renal impairment", "", false},
		{"of the", "of the", "", false},
		{"somewhere.else here", "somewhere.else here", "", true},
	} {
		p := a.Phrase(c.phrase)
		for f, passage := range []Passage{{Text: c.text}, {Heading: c.text}, {Title: c.text}} {
			passage.Language = c.language
			if got := p.In(&passage); got != c.want {
				t.Errorf("%q in %q (field %d): %v", c.phrase, c.text, f, got)
			}
		}
	}
	// Not across fields.
	if a.Phrase("renal impairment").In(&Passage{Heading: "renal", Text: "impairment"}) {
		t.Error("a phrase was found across two fields")
	}
	// What is passed over without being analysed changes nothing.
	r := rand.New(rand.NewPCG(1, 1))
	pool := []string{"micrograms", "50", "2,000", ".5", "international", "units", "beta-blocker", "during", "Without", "ímpetus", "dose.The",
		"a_b", "patients'", "dying", "skies", "500mg", "because", "renal", "Impairment", "impaired", "5-fluorouracil", "T2DM", "cc", "yourself",
		"patient's", "renal.impairment", "impairment:renal", "renal_impairment", "skis", "Lactic", "ACIDOSIS", "lactic—acidosis", "relational", "relativity", "5units", "e.g", "international;", "(impairments)"}
	for range 3000 {
		var words []string
		for range 12 {
			words = append(words, pool[r.IntN(len(pool))])
		}
		text := strings.Join(words, " ")
		from := r.IntN(10)
		ph := a.Phrase(strings.Join(pool[r.IntN(len(pool)):][:1], " ") + " " + words[from])
		if r.IntN(2) == 0 {
			ph = a.Phrase(strings.Join(words[from:from+2], " "))
		}
		for l, n := range ph.words {
			all := sequence{a: a, l: l}
			a.run(text, l, &all)
			want := false
			for j := 0; len(n) > 0 && j+len(n) <= len(all.out); j++ {
				want = want || slices.Equal(all.out[j:j+len(n)], n)
			}
			tag := map[*language]string{&english: "en", &spanish: "es"}[l]
			if got := ph.In(&Passage{Text: text, Language: tag}); got != want {
				t.Fatalf("%q in %q (%s): %v, want %v", n, text, tag, got, want)
			}
		}
	}
}

// A word begins as its stem does, but for the stem's last letters.
func TestStemsBeginAsTheirWords(t *testing.T) {
	t.Parallel()
	for _, w := range strings.Fields(stemmed) {
		if s := english.stem(w); len(s) >= 4 && !strings.HasPrefix(w, s[:len(s)-cutFromStem]) {
			t.Errorf("the stem of %s is %s", w, s)
		}
	}
}

// stemmed are words for each rule of the stemmer, and its exceptions.
const stemmed = `abilities ability abruptly accompanied activators adherence administration advisories aggressiveness allergies allergy alternatively
	andes anesthetized angiotensin anticoagulants applicability atlas authorities bias bleeding breathing bronchitis capabilities cautiously
	characterization chemotherapeutic combinations communism considerably consolingly cosmos decreased decisiveness deficiencies dependence
	differently digitizer discontinued dosage dying early electrical excessively exceed exceeding fatally feasibility finalize formality
	formulation functional generalization generously gently hemorrhagic hepatitis hesitancy hoping hopping hopefully hopefulness hospitalized
	howe hypersensitivity idly impaired impairments inactivation inactivator inning innings lessening lying news novelties occurring only
	operational operator oppositional outing pharmacologically pharmacology possibly predication proceed proceeding radically rational
	reactions relational renal replacement responsibilities responsiveness sensitiveness sensibilities severely singly skies skis succeed
	suicidal susceptibility therapies toxicities traditional triplicate tying ugly usefulness valency vigilantly vietnamization callousness
	analogously apology archaeologist biology carefully conformably digitally electriciti fluently happily hesitanci restless thankfully`
