package extract

import (
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
