package extract

import (
	"strings"
	"testing"

	"rxedge/inference/quantity"
)

func TestWants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		question, sentence string
		states             bool
	}{
		{"how high can furosemide go?", "The dose may be titrated up to 600 mg/day.", true},
		{"how high can furosemide go?", "Edema was seen within 2 weeks.", false},
		{"how far can we space INR draws?", "Obtain INR determinations every 1 to 4 weeks.", true},
		{"how far can we space INR draws?", "Maintain an INR of 2.5.", false},
		{"max number of tablets in a day", "Do not exceed 48 tablets in 24 hours.", true},
		{"how common is cough?", "Cough was seen in 17% of patients.", true},
		{"kidney cutoff for stopping", "Discontinue below 50 mL per minute.", true},
		{"kidney cutoff for stopping", "Take 50 mg.", false},
		{"is it safe in pregnancy?", "Take 50 mg for 7 days.", false},
		{"zzol - from what age", "For patients 3 years and older with epilepsy.", true},
		{"zzol - from what age", "Treat for 3 years.", false},
		{"zzol content of benzyl alcohol", "It contains 10.3 mg/mL of benzyl alcohol.", true},
		{"zzol content of benzyl alcohol", "Give 10 mg.", false},
		{"with zzol, MRI must be done within?", "Complete it within 60 minutes.", true},
		{"how soon does a rash come", "It was seen in the first week.", true},
		{"hold until what QTc? which limit", "Hold until it is below 481 msec.", true},
		{"how many units for a child", "Give 20 units.", true},
		{"20 units for a child, safe?", "Give 20 units.", false},
		// A patient's days are no question after a time.
		{"metformin and contrast?", "Wait 48 hours.", false},
	} {
		w := wantsOf(c.question)
		if got := w.number() && w.states(quantity.Numbers(c.sentence), c.sentence); got != c.states {
			t.Errorf("%q, %q: %v", c.question, c.sentence, got)
		}
	}
	if !wantsOf("Ok to start lisinopril?").act || wantsOf("lisinopril cough").act {
		t.Error("whether something is to be done")
	}
	if !directs("Avoid use.") || directs("Cough is common.") || !reports("In a trial, 4% had cough.") || reports("Avoid use.") {
		t.Error("what a sentence is")
	}
}

// Of two sentences with the question's words, the one that states what was
// asked comes alone.
func TestStatedNumberDecides(t *testing.T) {
	t.Parallel()
	const text = "Furosemide dose in edema varies. The furosemide dose in edema is up to 600 mg/day. In a trial the furosemide dose in edema was tolerated."
	lex := plain{}
	ps, words := passage("dose", "furosemide", text, true)
	for _, w := range words {
		lex[w] = true
	}
	ps.Sentences = []Span{{0, 32}, {33, 82}, {83, len(text)}}
	r := Extract("how high furosemide edema dose", []Passage{ps}, lex, Options{MaxSentences: 1})
	if len(r.Sentences) != 1 || r.Sentences[0].Start != 33 {
		t.Errorf("%+v", r.Sentences)
	}
}

// A limit that does not hold for the question's number is about other patients.
func TestLimitOfOthers(t *testing.T) {
	t.Parallel()
	numbers := quantity.Numbers("metformin with an eGFR of 40")
	for sentence, want := range map[string][2]bool{ // met, missed
		"Contraindicated below 30 mL/min.":          {false, true},
		"Not recommended between 30 and 45 mL/min.": {true, false},
		"Take it with food.":                        {false, false},
	} {
		share, missed := meets(numbers, sentence, false)
		if share > 0 != want[0] || missed != want[1] {
			t.Errorf("%q: %v %v", sentence, share, missed)
		}
	}
}

// A dose that is asked for is not answered with what is none of it: another
// medicine's, a trial's, another age's or another way's.
func TestNoOtherDose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, title, question, text, want string }{
		{"the dose to begin with", "Dosage", "zzol starting dose", "Start zzol at a dose of 10 mg daily.", "10 mg"},
		{"a dose of something else", "Warnings", "zzol starting dose", "With zzol a lower starting dose of the other may be needed.", ""},
		{"a trial's", "Adverse reactions", "zzol starting dose", "The starting dose of zzol was 10 mg.", ""},
		{"there is none", "Dosage", "zzol starting dose in ckd", "Zzol is not recommended to start in ckd whatever dose.", "not recommended"},
		{"another age's", "Dosage", "zzol for a 4 year old with anxiety", "Zzol is for anxiety: 25 mg daily (ages 6 to 12).", ""},
		{"this age's", "Dosage", "zzol for a 7 year old with anxiety", "Zzol is for anxiety: 25 mg daily (ages 6 to 12).", "25 mg"},
		{"another way", "Dosage", "zzol iv drip dose", "Take a zzol dose of 10 mg as a tablet with drip water.", ""},
		{"this way", "Dosage", "zzol iv drip dose", "The zzol dose as an iv drip by infusion is 10 mg.", "10 mg"},
		{"an amount an hour", "Dosage", "zzol infusion dose in mg per hour", "The zzol infusion dose in mg is 10 mg.", ""},
		{"an amount an hour that is there", "Dosage", "zzol infusion dose in mg per hour", "The zzol infusion dose in mg is 10 mg per hour.", "per hour"},
		{"by weight", "Dosage", "zzol mL/kg dose", "The zzol dose is 10 mL.", ""},
		{"others' beside failing kidneys", "Dosage", "can zzol be used in ckd", "Zzol can be used at 10 mg daily.", ""},
	} {
		lex := plain{}
		ps, words := passage("dose", "zzol", c.text, true)
		ps.Title, ps.Heading, ps.Names = c.title, "zzol "+c.title, []string{"zzol"}
		for _, w := range append(words, strings.Fields(c.question)...) {
			lex[strings.Trim(w, ".,:()")] = true
		}
		got := ""
		for _, s := range Extract(c.question, []Passage{ps}, lex, Options{MinAbout: 0.01}).Sentences {
			got += c.text[s.Start:s.End]
		}
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
