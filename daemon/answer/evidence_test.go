package answer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/index"
	"rxedge/index/document"
)

// madeLabel makes a label with sections of (LOINC, title, text).
func madeLabel(id, effective, brand, generic string, sections ...[3]string) *document.Document {
	d := &document.Document{ID: id, Version: "1", Title: brand + " (" + generic + ") tablets", Effective: effective, Kind: document.KindSPL, Source: id + ".xml",
		Names: []document.Name{{Text: brand, Kind: "brand"}, {Text: generic, Kind: "generic"}}}
	for i, s := range sections {
		d.Sections = append(d.Sections, document.Section{ID: fmt.Sprintf("%s#%d", id, i+1), LOINC: s[0], Title: s[1], Text: s[2]})
	}
	return d
}

func indexOf(t testing.TB, docs ...*document.Document) *index.Index {
	t.Helper()
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ix.Close() })
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	return ix
}

const dosing, renalSection, interactions = "34068-7", "88828-9", "34073-7"

func metforminLabel(id, effective, most string) *document.Document {
	return madeLabel(id, effective, "Brand "+id, "metformin hydrochloride",
		[3]string{dosing, "Dosage and Administration", "The recommended starting dose of metformin in adults is 500 mg twice daily. The maximum dose of metformin in adults is " + most + " per day in divided doses. Pediatric patients 10 years of age and older: the maximum dose of metformin is 2000 mg per day."},
		[3]string{renalSection, "Dosage in Renal Impairment", "Metformin is contraindicated in patients with an eGFR below 30 mL/min/1.73 m². Starting metformin is not recommended in patients with an eGFR between 30 and 45 mL/min/1.73 m²."},
		[3]string{"34084-4", "Adverse Reactions", "The most common adverse reactions of metformin are diarrhea and nausea."})
}

var lisinoprilLabel = madeLabel("lisinopril", "2025-06-01", "Zestril", "lisinopril",
	[3]string{dosing, "Dosage and Administration", "The recommended starting dose of lisinopril in adults with hypertension is 10 mg once daily. The maximum dose of lisinopril is 80 mg per day."},
	[3]string{interactions, "Drug Interactions", "Nonsteroidal anti-inflammatory drugs such as ibuprofen may reduce the effect of lisinopril; monitor renal function."})

var ibuprofenLabel = madeLabel("ibuprofen", "2025-06-01", "Motrin", "ibuprofen",
	[3]string{dosing, "Dosage and Administration", "Do not exceed 3200 mg of ibuprofen total daily dose."},
	[3]string{interactions, "Drug Interactions", "ACE inhibitors: ibuprofen may diminish the effect of ACE inhibitors such as lisinopril. Monitor blood pressure."})

func clock() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

func texts(a *Answer) string {
	var out []string
	for _, c := range a.Claims {
		out = append(out, c.Text)
	}
	return strings.Join(out, "\n")
}

func TestConflictingLabels(t *testing.T) {
	t.Parallel()
	const question = "max dose of metformin?"
	for _, c := range []struct {
		name      string
		docs      []*document.Document
		conflicts int
	}{
		{"other numbers", []*document.Document{metforminLabel("one", "2025-01-01", "2550 mg"), metforminLabel("two", "2019-02-03", "3000 mg")}, 1},
		{"the same", []*document.Document{metforminLabel("one", "2025-01-01", "2550 mg"), metforminLabel("two", "2019-02-03", "2550 mg")}, 0},
		{"the same in another unit", []*document.Document{metforminLabel("one", "2025-01-01", "2550 mg"), metforminLabel("two", "2019-02-03", "2.55 g")}, 0},
		{"another medicine", []*document.Document{metforminLabel("one", "2025-01-01", "2550 mg"), lisinoprilLabel}, 0},
	} {
		a, err := (&Service{Index: indexOf(t, c.docs...), Now: clock, StaleAfter: 3 * 365 * 24 * time.Hour}).Ask(t.Context(), Question{Text: question}, Events{})
		if err != nil || a.Status != StatusAnswered || a.Conflicting != (c.conflicts > 0) || len(a.Conflicts) != c.conflicts {
			t.Errorf("%s: %v %+v", c.name, err, a)
			continue
		}
		for _, x := range a.Conflicts {
			dates := []string{x.Sides[0].Citation.EffectiveDate, x.Sides[1].Citation.EffectiveDate}
			slices.Sort(dates)
			if !slices.Equal(dates, []string{"2019-02-03", "2025-01-01"}) || !strings.Contains(x.About, "2550 mg") || !strings.Contains(x.About, "3000 mg") {
				t.Errorf("%s: %+v", c.name, x)
			}
			if !slices.ContainsFunc(a.Notices, func(n string) bool { return strings.Contains(n, "2019-02-03") && strings.Contains(n, "2025-01-01") }) {
				t.Errorf("%s: no notice of both dates: %q", c.name, a.Notices)
			}
		}
	}
}

func TestStaleLabels(t *testing.T) {
	t.Parallel()
	old, young := metforminLabel("old", "2019-02-03", "2550 mg"), metforminLabel("young", "2025-01-01", "2550 mg")
	for _, c := range []struct {
		name     string
		docs     []*document.Document
		after    time.Duration
		abstains bool
		status   string
		stale    bool
	}{
		{"old", []*document.Document{old}, 3 * 365 * 24 * time.Hour, false, StatusAnswered, true},
		{"young", []*document.Document{young}, 3 * 365 * 24 * time.Hour, false, StatusAnswered, false},
		{"never", []*document.Document{old}, 0, false, StatusAnswered, false},
		{"old, strictly", []*document.Document{old}, 3 * 365 * 24 * time.Hour, true, StatusAbstained, false},
		{"both, strictly", []*document.Document{old, young}, 3 * 365 * 24 * time.Hour, true, StatusAnswered, false},
		{"another threshold", []*document.Document{old}, 10 * 365 * 24 * time.Hour, true, StatusAnswered, false},
		{"no date", []*document.Document{metforminLabel("undated", "", "2550 mg")}, time.Hour, true, StatusAnswered, false},
	} {
		s := &Service{Index: indexOf(t, c.docs...), Now: clock, StaleAfter: c.after, StaleAbstains: c.abstains}
		a, err := s.Ask(t.Context(), Question{Text: "max dose of metformin?"}, Events{Claim: func(cl Claim) {
			if cl.Citations[0].Stale != c.stale {
				t.Errorf("%s: a streamed claim is stale: %v", c.name, !c.stale)
			}
		}})
		if err != nil || a.Status != c.status || a.Stale != c.stale || (a.Reason == ReasonStale) != (c.status == StatusAbstained) {
			t.Errorf("%s: %v %+v", c.name, err, a)
		}
		if c.name == "both, strictly" && (a.LabelDate != "2025-01-01" || strings.Contains(fmt.Sprint(a.Claims), "old#")) {
			t.Errorf("%s: rests on %s, %+v", c.name, a.LabelDate, a.Claims)
		}
	}
	if a, err := (&Service{Index: indexOf(t, old), Now: clock, StaleAfter: time.Hour, StaleAbstains: true}).Ask(t.Context(), Question{Text: "metformin and hiccups"}, Events{}); err != nil || a.Reason != ReasonNoEvidence {
		t.Errorf("what no label says is not stale: %v %+v", err, a)
	}
}

func TestFollowUps(t *testing.T) {
	t.Parallel()
	ix := indexOf(t, metforminLabel("metformin", "2025-01-01", "2550 mg"), lisinoprilLabel, ibuprofenLabel)
	for _, c := range []struct {
		previous []string
		question string
		document string // of the first claim; "" for an abstention
		says     string
		carried  string // medicines
	}{
		{[]string{"max dose of metformin?"}, "and in renal impairment?", "metformin", "eGFR", "metformin"},
		{[]string{"max dose of metformin?"}, "and in a 12 year old?", "metformin", "2000 mg", "metformin"},
		{[]string{"max dose of metformin?", "and in renal impairment?"}, "and in a 12 year old?", "metformin", "2000 mg", "metformin"},
		// A new medicine replaces it.
		{[]string{"max dose of metformin?"}, "max dose of lisinopril?", "lisinopril", "80 mg", ""},
		{[]string{"max dose of metformin?", "starting dose of lisinopril?"}, "and the maximum?", "lisinopril", "80 mg", "lisinopril"},
		// Beside it, where the question says so.
		{[]string{"starting dose of lisinopril?"}, "can it be combined with ibuprofen?", "lisinopril", "ibuprofen", "lisinopril"},
		{[]string{"starting dose of lisinopril?"}, "what about ibuprofen, max daily dose?", "ibuprofen", "3200 mg", ""},
		// Without what was asked before there is nothing to go by.
		{nil, "and in a 12 year old?", "", "", ""},
		{[]string{"is the pharmacy open?"}, "and on sunday?", "", "", ""},
	} {
		a, err := (&Service{Index: ix, Cache: &memory{}}).Ask(t.Context(), Question{Text: c.question, Previous: c.previous}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		carried := ""
		if p := a.Explain.Previous; p != nil {
			carried = strings.Join(p.Medicines, " ")
			if p.From == "" || p.ReadAs == "" {
				t.Errorf("%q: %+v", c.question, p)
			}
		}
		document := ""
		if len(a.Claims) > 0 {
			document = a.Claims[0].Citations[0].SetID
		}
		if document != c.document || carried != c.carried || !strings.Contains(texts(a), c.says) || a.Question != c.question {
			t.Errorf("%q after %q: from %q, carried %q, %q (%s)", c.question, c.previous, document, carried, texts(a), a.Message)
		}
	}
	// The same words after another question are another question to the cache.
	m := &memory{}
	s := &Service{Index: ix, Cache: m}
	for _, before := range []string{"max dose of metformin?", "max dose of lisinopril?"} {
		for range 2 {
			a, err := s.Ask(t.Context(), Question{Text: "and the starting dose?", Previous: []string{before}}, Events{})
			if err != nil || len(a.Claims) == 0 || !strings.Contains(before, a.Claims[0].Citations[0].SetID) || a.Explain.Previous == nil {
				t.Errorf("after %q: %v %+v", before, err, a)
			}
		}
	}
	if _, err := s.Ask(t.Context(), Question{Text: "and?", Previous: []string{strings.Repeat("x", MaxQuestionBytes+1)}}, Events{}); err == nil || !strings.Contains(err.Error(), "previous") {
		t.Errorf("a question before that is too long: %v", err)
	}
}

// A code of any kind stands for its medicine, through to the answer.
func TestCodesAreAnswered(t *testing.T) {
	t.Parallel()
	coded := metforminLabel("608d4f0d-b19f-46d3-749a-7159aa5f933d", "2025-01-01", "2550 mg")
	coded.Names = []document.Name{{Text: "Zzmet", Kind: "brand"}}
	coded.Title = "Zzmet"
	coded.Codes = []document.Code{{System: "ndc", Value: "0093-1048-01"}, {System: "rxcui", Value: "861007"}, {System: "gtin", Value: "00300931048011"},
		{System: "spl", Value: "2f1c9c2e-8a70-4b1e-9d52-6a1f0b7c3d44"}}
	ix := indexOf(t, coded, lisinoprilLabel, ibuprofenLabel)
	for _, code := range []string{
		"0093-1048-01", "00093-1048-01", "NDC 00093104801", "0093-1048", "NDC 000093104801", // 10, 11, product, 12 digits
		"00300931048011", "300931048011", "(01)00300931048011(17)270131(10)A1B2", "010030093104801117270131" + "10A1B2\x1d21XYZ", "]d20100300931048011",
		"RxCUI 861007", "608d4f0d-b19f-46d3-749a-7159aa5f933d", "2f1c9c2e-8a70-4b1e-9d52-6a1f0b7c3d44",
	} {
		for _, q := range []string{code + " max dose", "what is the maximum daily dose of " + code + "?"} {
			a, err := (&Service{Index: ix}).Ask(t.Context(), Question{Text: q}, Events{})
			if err != nil || a.Status != StatusAnswered || a.Claims[0].Citations[0].SetID != coded.ID || !strings.Contains(texts(a), "2550 mg") {
				t.Errorf("%q: %v %s %q %+v", q, err, a.Status, a.Message, texts(a))
			}
		}
		// A follow-up question to one that had only a code.
		a, err := (&Service{Index: ix}).Ask(t.Context(), Question{Text: "and for a 12 year old?", Previous: []string{code + " max dose"}}, Events{})
		if err != nil || !strings.Contains(texts(a), "2000 mg") {
			t.Errorf("after %q: %v %q %q", code, err, a.Message, texts(a))
		}
	}
}

func TestCodesThatFindNothing(t *testing.T) {
	t.Parallel()
	ix := indexOf(t, metforminLabel("metformin", "2025-01-01", "2550 mg"))
	for code, says := range map[string]string{
		"(01)00300931048019": "check", // the last digit is one off
		"NDC 0093-9999-01":   "has the code",
		"00300931048019":     "Nothing in the documents",
		"the":                "names no medicine",
	} {
		a, err := (&Service{Index: ix}).Ask(t.Context(), Question{Text: code + " max dose"}, Events{})
		if err != nil || a.Status != StatusAbstained || !strings.Contains(a.Message, says) {
			t.Errorf("%q: %v %+v", code, err, a)
		}
	}
}

// Both labels are looked up for an interaction, and sections by what is asked.
func TestSectionsOfWhatIsAsked(t *testing.T) {
	t.Parallel()
	ix := indexOf(t, metforminLabel("metformin", "2025-01-01", "2550 mg"), lisinoprilLabel, ibuprofenLabel)
	ask := func(q string) *Answer {
		a, err := (&Service{Index: ix}).Ask(t.Context(), Question{Text: q}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := ask("lisinopril and ibuprofen interaction")
	from := map[string]bool{}
	for _, c := range a.Claims {
		from[c.Citations[0].SetID] = true
		if c.Citations[0].LOINC != interactions {
			t.Errorf("interaction: %+v", c)
		}
	}
	if !from["lisinopril"] || !from["ibuprofen"] {
		t.Errorf("interaction: from %v: %q", from, texts(a))
	}
	for q, loinc := range map[string]string{"metformin with an eGFR of 35": renalSection, "metformin starting dose": dosing, "common side effects of metformin": "34084-4"} {
		if a := ask(q); len(a.Claims) == 0 || a.Claims[0].Citations[0].LOINC != loinc {
			t.Errorf("%q: %+v", q, a.Claims)
		}
	}
}

// The dose of everybody is no answer to the dose of a child or of one whose
// kidneys fail.
func TestDoseOfOthersAlone(t *testing.T) {
	t.Parallel()
	ix := indexOf(t, metforminLabel("metformin", "2025-01-01", "2550 mg"), lisinoprilLabel, ibuprofenLabel)
	for q, want := range map[string]string{
		"max dose of metformin in a 12 year old":          "2000 mg",
		"max dose of metformin in an adult":               "2550 mg",
		"lisinopril starting dose in a 5 year old":        "",
		"lisinopril dose in dialysis":                     "",
		"ibuprofen max daily dose with CrCl 20":           "",
		"max dose of lisinopril in cirrhosis":             "",
		"max dose of metformin in a 4 year old":           "",
		"max dose of ibuprofen for hidradenitis":          "",
		"lisinopril starting dose in hypertension":        "10 mg",
		"dose of lisinopril while breastfeeding":          "",
		"ibuprofen mg per kg":                             "",
		"what is the maximum daily dose of ibuprofen?":    "3200 mg",
		"max dose of metformin in a pregnant woman":       "",
		"max dose of metformin in a 12 year old on a PPI": "2000 mg",
	} {
		a, err := (&Service{Index: ix}).Ask(t.Context(), Question{Text: q}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if (a.Status == StatusAnswered) != (want != "") || !strings.Contains(texts(a), want) {
			t.Errorf("%q: %s %q, want %q (%s)", q, a.Status, texts(a), want, a.Message)
		}
	}
}
