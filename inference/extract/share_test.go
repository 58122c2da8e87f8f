package extract

import (
	"slices"
	"strings"
	"testing"

	"rxedge/inference/quantity"
)

// Of a label's many percentages only one of what was asked about is shown.
func TestShareOfWhatWasAsked(t *testing.T) {
	t.Parallel()
	const (
		rash  = "Rash occurred in 12% of patients."
		fever = "Fever occurred in 30% of patients."
		grave = "Severe rash occurred in 2% of patients."
		left  = "Of all patients 24% stopped, some for rash."
		died  = "Fatal rash was reported in 0.1% of patients."
		doses = "These were 3% and 9% for 5 and 10 mg of zzol."
	)
	for _, c := range []struct {
		question string
		has, not string // of the answer; has "" for none
	}{
		{"zzol how common is rash", rash, "30%"},
		{"zzol percent with rash", rash, "24%"},
		{"zzol severe rash rate", grave, "12%"},
		{"zzol fatal rash incidence", died, "12%"},
		{"zzol how many stopped for rash", left, "12%"},
		{"zzol how often does rash happen", rash, "30%"},
		{"zzol how common is baldness", "", ""},
		{"zzol chance of rash", doses, "30%"},
	} {
		got := answered(c.question, []string{rash, doses, fever, grave, left, died})
		if !strings.Contains(got, c.has) || (c.has == "") != (got == "") || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: %q", c.question, got)
		}
	}
}

// answered is what is chosen of the sentences of one passage about zzol.
func answered(question string, sentences []string) string {
	lex := plain{}
	text, ps := "", Passage{SectionID: "a#1", Heading: "zzol", About: true, Names: []string{"zzol"}}
	for _, s := range sentences {
		ps.Sentences = append(ps.Sentences, Span{len(text), len(text) + len(s)})
		text += s + " "
	}
	ps.Text = text
	for _, w := range strings.Fields(strings.ToLower(text + question)) {
		lex[strings.Trim(w, ".,")] = true
	}
	got := ""
	for _, s := range Extract(question, []Passage{ps}, trimmed{lex}, Options{}).Sentences {
		got += text[s.Start:s.End] + " "
	}
	return got
}

func numbersOf(s string) []quantity.Number { return quantity.Numbers(s) }

// trimmed cuts as plain, without punctuation and small words.
type trimmed struct{ plain }

func (l trimmed) Terms(s string) []string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune(" .,:", r) })
	return slices.DeleteFunc(words, func(w string) bool {
		return slices.Contains([]string{"of", "in", "for", "with", "is", "was", "were", "and"}, w)
	})
}

func TestHowOftenIsAShareOrAnInterval(t *testing.T) {
	t.Parallel()
	for question, share := range map[string]bool{
		"how often does gilenya cause macular edema": true,
		"macular edema on gilenya, how often":        true,
		"how often to check lfts on gilenya":         false,
		"how often is prolia given":                  false,
		"how many quit zerbaxa":                      true,
		"how many tablets a day":                     false,
		"what % get a rash":                          true,
		"lidocaine 5 % cream on broken skin":         false,
	} {
		if got := wantsOf(question).share; got != share {
			t.Errorf("%q: %v", question, got)
		}
	}
}
