package extract

import (
	"strings"
	"testing"
)

// When something begins is not answered with when it is over, nor the other way round,
// nor either with how long a trial was.
func TestWhenItBeginsAndEnds(t *testing.T) {
	t.Parallel()
	const (
		began = "Rash occurred within 6 weeks of zzol."
		ended = "Rash from zzol resolved within 1 week."
		trial = "In 2-year controlled trials rash was common with zzol."
	)
	for _, c := range []struct{ question, has, not string }{
		{"zzol rash, how soon does it appear", began, "1 week"},
		{"zzol rash goes away in how long", ended, "6 weeks"},
		{"how long zzol rash lasts", ended, "6 weeks"},
	} {
		got := answered(c.question, []string{trial, began, ended})
		if !strings.Contains(got, c.has) || strings.Contains(got, c.not) {
			t.Errorf("%s: %q", c.question, got)
		}
	}
	if w := wantsOf("zzol rash, when does it appear"); w.states(numbersOf(trial), trial) {
		t.Error("how long a trial was is no time of a rash")
	}
	if got := answered("how often to check ecg on zzol", []string{"ECG findings are those of zzol 400 mg twice daily.", "With zzol check the ECG every 3 months."}); !strings.Contains(got, "3 months") {
		t.Errorf("how often it is measured: %q", got)
	}
}

// A question for nothing but the dose is answered by an amount to give or not at all.
func TestNothingButTheDose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, question, text, want string }{
		{"a trial's amount", "zzol dose bid", "Adverse reactions of patients who took zzol were dose-related.", ""},
		{"an amount on leaving off", "zzol dose", "Reduce the dose to 600 mg of zzol daily before it is discontinued.", ""},
		{"an amount", "zzol dose bid", "The dose of zzol is 5 mg twice daily.", "5 mg"},
		{"none was found", "zzol usual dose", "A dose of zzol has not been established.", "not been established"},
		{"more than the dose", "zzol rash next dose", "After a rash the next dose of zzol is to be delayed.", "delayed"},
	} {
		got := answered(c.question, []string{c.text})
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
