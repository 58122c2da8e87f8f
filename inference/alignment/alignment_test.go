package alignment

import (
	"strings"
	"testing"
)

// words weighs each word alike and cuts a plural s.
type words struct{}

func (words) Stem(w string) string   { return strings.TrimSuffix(w, "s") }
func (words) Weight(string) float64  { return 1 }
func read(s string) *Text            { return Read(Canonical(s), words{}, nil) }
func against(claim, w string) Result { return Compare(read(claim), read(w), nil) }

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ claim, window, conflict string }{
		{"Give 500 mg to adults and 250 mg to children.", "Give 500 mg to adults and 250 mg to children.", ""},
		{"Give 250 mg to adults and 500 mg to children.", "Give 500 mg to adults and 250 mg to children.", "number"},
		{"Give adults 20 or 20 mg.", "Give adults 10 or 20 mg.", "number said twice"},
		{"Children get 250 mg.", "Adults get 500 mg and children get 250 mg.", ""},
		{"Children get 500 mg.", "Adults get 500 mg and children get 250 mg.", "number"},
		{"Take it twice daily.", "Take it two times a day.", ""},
		{"Take it once daily.", "Take it twice daily.", "count"},
		{"Take it weekly.", "Take it daily.", "period"},
		{"Use is recommended in pregnancy.", "Use is not recommended in pregnancy.", "denial"},
		{"Use is not recommended in pregnancy.", "Use is recommended in pregnancy.", "denial"},
		{"The effect was not seen in adults and was seen in children.", "The effect was seen in adults and was not seen in children.", "people"},
		{"It may decrease the risk of bleeding.", "It may increase the risk of bleeding.", "direction"},
		{"It may raise the risk of hemorrhage.", "It may increase the risk of bleeding.", ""},
		{"Stop it if the rate is above 50 mL/min.", "Stop it if the rate is below 50 mL/min.", "limit"},
		{"Stop it if the rate is under treatment.", "Stop it unless the rate is under treatment.", "condition"},
		{"Low blood sugar was seen in people with kidney disease.", "Hypoglycemia was observed in patients with renal impairment.", ""},
		{"Liver failure ought to be treated with steroids.", "Liver failure occurred in men. Asthma ought to be treated with steroids.", "spliced"},
		{"According to the label, severe rash occurred.", "Severe rash occurred.", ""},
		{"Mild rash occurred.", "Severe rash occurred.", "degree"},
		{"The range is 10 to 20 mg daily.", "In children the range is 10 to 20 mg daily.", "people left out"},
		{"In kids the range is 10 to 20 mg daily.", "In children the range is 10 to 20 mg daily.", ""},
		{"Gonococcal urethritis gets 1 g.", "Non-gonococcal urethritis gets 1 g.", "denial"},
	} {
		got := against(c.claim, c.window).Conflict
		if c.conflict == "" && got != "" || !strings.HasPrefix(got, c.conflict) {
			t.Errorf("%q beside %q: %q, want %q", c.claim, c.window, got, c.conflict)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	if r := against("Severe rash and fever occurred.", "Severe rash occurred."); r.Share < 0.6 || r.Share > 0.7 || r.Missing != 1 {
		t.Errorf("%+v", r)
	}
}

// Whatever two texts are, they compare with themselves without a conflict, and
// being canonical is final.
func FuzzCompare(f *testing.F) {
	f.Add("Give 500 mg twice daily, not 10-20 mL/min.", "unless (below 30) don't")
	f.Add("µ² [3] 1.5.2 and/or", "’s n't without without")
	f.Fuzz(func(t *testing.T, a, b string) {
		against(a, b)
		if r := against(a, a); r.Share < 0.999 && r.Missing > 0 {
			t.Fatalf("%q has not its own words: %+v", a, r)
		}
	})
}

// What is canonical stays: "trials" and "clinical trials" are one, and the latter
// does not grow each time it is read.
func TestCanonicalTwice(t *testing.T) {
	t.Parallel()
	for line := range strings.SplitSeq(synonymsFile, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		for _, way := range strings.Split(line, "\t") {
			once := Canonical("in " + way + " of it")
			if twice := Canonical(once); twice != once {
				t.Errorf("%q: %q, then %q", way, once, twice)
			}
		}
	}
	if got := Canonical("in clinical trials and in studies"); got != "in clinical trials and in clinical trials" {
		t.Errorf("got %q", got)
	}
}
