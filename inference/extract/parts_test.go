package extract

import (
	"math"
	"strings"
	"testing"
)

func TestPatients(t *testing.T) {
	t.Parallel()
	for question, want := range map[string]struct {
		groups population
		age    float64
	}{
		"max dose for a 14 year old":             {child, 14},
		"6 week old baby":                        {child, 6.0 / 52},
		"an 18-month-old":                        {child, 1.5},
		"72 yo with CrCl 20":                     {elderly | renal, 72},
		"38 y/o in pregnancy":                    {adult | pregnancy, 38},
		"how many baby aspirins a day":           {0, math.NaN()},
		"abiraterone liver monitoring":           {0, math.NaN()},
		"Child-C with ascites":                   {hepatic, math.NaN()},
		"nursing mother":                         {lactation, math.NaN()},
		"metformin for 7 days":                   {0, math.NaN()},
		"renal transplant on sirolimus":          {0, math.NaN()},
		"kid with 22 kg":                         {child, math.NaN()},
		"positive hCG, what now":                 {pregnancy, math.NaN()},
		"adults and children":                    {adult | child, math.NaN()},
		"patients with a reduced renal function": {renal, math.NaN()},
	} {
		p := patientOf(question)
		if p.groups != want.groups || p.age != want.age && !(math.IsNaN(p.age) && math.IsNaN(want.age)) {
			t.Errorf("%q: %b, %v; want %b, %v", question, p.groups, p.age, want.groups, want.age)
		}
	}
	for _, c := range []struct {
		question, sentence string
		limits, holds      bool
	}{
		{"a 14 year old", "pediatric patients 10 years of age and older", true, true},
		{"a 3 year old", "patients aged 4 years and older", true, false},
		{"a 4 year old", "children 3 to 4 years of age", true, true},
		{"a 9 y/o", "OCD 25 mg per day (ages 6 to 12)", true, true},
		{"an infant of 2 months", "infants", false, false},
		{"a 5 year old", "take it for 3 to 4 days", false, false},
	} {
		if l, h := patientOf(c.question).aged(c.sentence); l != c.limits || h != c.holds {
			t.Errorf("%q, %q: limits %v, holds %v", c.question, c.sentence, l, h)
		}
	}
}

func TestOfOthers(t *testing.T) {
	t.Parallel()
	const evidence = "Pediatric Patients Aged 10 Years and Older: dosage range is 10 to 20 mg once daily"
	for claim, want := range map[string]bool{
		"The dosage range is 10 mg to 20 mg once daily.":               true,
		"In children the dosage range is 10 mg to 20 mg once daily.":   false,
		"The dosage is given once daily.":                              false,
		"In pediatric patients the dosage range is 10 to 20 mg daily.": false,
	} {
		if OfOthers(claim, evidence) != want || OfOthers(claim, "Adult and pediatric patients: 10 to 20 mg once daily") {
			t.Errorf("%q: %v", claim, !want)
		}
	}
}

func TestAbbreviations(t *testing.T) {
	t.Parallel()
	text := "Cases of medullary thyroid carcinoma (MTC) and drug-induced liver injury (DILI). C. difficile (CDAD), Table (A) and long-acting beta2-adrenergic agonists (LABAs)."
	abbr := abbreviations(func(yield func(string)) { yield(text) })
	for short, long := range map[string]string{"MTC": "medullary thyroid carcinoma", "DILI": "drug induced liver injury", "CDAD": "", "A": ""} {
		if abbr[short] != long {
			t.Errorf("%s: %q, want %q", short, abbr[short], long)
		}
	}
	if got := expand("a family history of MTC", abbr); !strings.HasSuffix(got, "medullary thyroid carcinoma") {
		t.Errorf("%q", got)
	}
}

func TestDiffer(t *testing.T) {
	t.Parallel()
	lex := plain{}
	for _, c := range []struct {
		one, two string
		differs  bool
	}{
		{"The maximum dose in adults is 2550 mg per day", "The maximum dose in adults is 2000 mg per day", true},
		{"The maximum dose in adults is 2.5 g per day", "The maximum dose in adults is 2500 mg per day", false},
		{"The maximum dose in children is 1000 mg per day", "The maximum dose in adults is 2000 mg per day", false},
		{"Monitor liver enzymes every 2 weeks", "Monitor liver enzymes every 4 weeks", true},
		{"Monitor liver enzymes every 2 weeks", "Nausea was seen in patients after 4 weeks", false},
		{"Take 5 mg or 10 mg with food daily", "Take 10 mg or 20 mg with food daily", true},
		{"Take 5 mg with food daily", "Take 5 mg or 10 mg with food daily", false}, // more beside the same
	} {
		a, b := Differ(c.one, c.two, lex, nil)
		if (len(a) > 0 && len(b) > 0) != c.differs {
			t.Errorf("%q, %q: %q %q", c.one, c.two, a, b)
		}
	}
	if !Opposed("Use in severe asthma is recommended", "Use in severe asthma is not recommended", lex, nil) || Opposed("Use is safe", "Nausea is not common at all", lex, nil) {
		t.Error("the contrary")
	}
}

// What is said of the patients asked about comes before what is said of others,
// and the dose of all alone is none.
func TestPatientsDecide(t *testing.T) {
	t.Parallel()
	const text = "Adults: the zzol dose is 100 mg daily. Children 6 to 12 years of age: the zzol dose is 20 mg daily."
	lex := plain{}
	ps, words := passage("dose", "zzol", text, true)
	for _, w := range words {
		lex[w] = true
	}
	ps.Sentences = []Span{{0, 38}, {39, len(text)}}
	ps.Names = []string{"zzol"}
	for question, want := range map[string]string{"zzol dose for an 8 year old": "20 mg", "zzol dose in adults": "100 mg", "zzol dose for a 2 year old": "", "zzol dose in dialysis": ""} {
		r := Extract(question, []Passage{ps}, lex, Options{})
		got := ""
		for _, s := range r.Sentences {
			got += text[s.Start:s.End]
		}
		if !strings.Contains(got, want) || (want == "") != (got == "") || want == "20 mg" && strings.Contains(got, "100 mg") {
			t.Errorf("%q: %q, want %q (absent %q)", question, got, want, r.Absent)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("max dose of zzol for a 3 yo", "Zzol (Z): 5 mg. It is not for children. • a | b\n5 | 6", "zzol")
	f.Add("how often? mg/kg in CKD rather than 10", "Monitor (MON every 2 weeks. To prime it, release.", "")
	f.Fuzz(func(t *testing.T, question, text, name string) {
		p := Passage{SectionID: "a#1", Heading: name, Text: text, About: true, Names: []string{name}, Partners: []string{question}}
		for at := 0; at < len(text); at += 20 {
			p.Sentences = append(p.Sentences, Span{at, min(len(text), at+20)})
		}
		for _, s := range Extract(question, []Passage{p, p}, plain{}, Options{}).Sentences {
			if s.Start < 0 || s.End > len(text) || s.Start >= s.End {
				t.Fatalf("span %+v of %d bytes", s, len(text))
			}
		}
		Differ(question, text, plain{}, nil)
	})
}
