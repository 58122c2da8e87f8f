package chunk

import "testing"

// Two blanks where a sentence may begin are no word.
func TestTwoBlanks(t *testing.T) {
	t.Parallel()
	const text = "the dose is raised by steps of ten in most of those who take it  Renal Impairment: give half of it to those with a low rate"
	spans := Sentences(text)
	if len(spans) == 0 || spans[len(spans)-1].End != len(text) {
		t.Errorf("%v", spans)
	}
}
