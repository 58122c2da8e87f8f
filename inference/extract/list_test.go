package extract

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// letters cuts at whatever is no letter and leaves a few stop words out; it knows
// every word.
type letters struct{}

func (letters) Terms(s string) []string {
	ws := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.DeleteFunc(ws, func(w string) bool { return strings.Contains(" is in of the to be not ", " "+w+" ") })
}
func (letters) Known(string) bool     { return true }
func (letters) Weight(string) float64 { return 1 }

// Contraindications asked for as such are given whole, special groups included;
// with a patient, a condition or another medicine in the question they are not.
func TestForbiddenWhole(t *testing.T) {
	t.Parallel()
	text := "Warfarin is contraindicated in pregnancy, except with a mechanical valve. Warfarin is contraindicated in active bleeding. " +
		"Warfarin is contraindicated around surgery of the eye. Warfarin is contraindicated in malignant hypertension. Warfarin is contraindicated in hypersensitivity to warfarin."
	p := Passage{SectionID: "w#34070-3", Heading: "Warfarin tablets > Contraindications", Title: "Contraindications", Text: text, About: true, Label: true, Grave: true, Asked: 1, Names: []string{"warfarin"}}
	at := 0
	for _, s := range strings.SplitAfter(text, ". ") {
		p.Sentences = append(p.Sentences, Span{at, at + len(strings.TrimSpace(s))})
		at += len(s)
	}
	for q, want := range map[string]int{
		"What are the contraindications of warfarin?":          5,
		"Who should not take warfarin?":                        5,
		"When must warfarin not be used?":                      5,
		"Is warfarin contraindicated in active bleeding?":      -1,
		"Is warfarin contraindicated in pregnancy?":            -1,
		"Who should not take warfarin before eye surgery?":     -1,
		"Is warfarin contraindicated at an age of 70 years?":   -1,
		"What is the usual dose of warfarin when not to fast?": -1,
	} {
		got := len(Extract(q, []Passage{p}, letters{}, Options{}).Sentences)
		if want > 0 && got != want || want < 0 && got == 5 {
			t.Errorf("%s: %d sentences", q, got)
		}
	}
}
