package quantity_test

import (
	"testing"

	"rxedge/inference/quantity"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	type n struct {
		v float64
		u string
	}
	for text, want := range map[string][]n{
		"1 gram":                                 {{1000, "mg"}},
		"2,000 mg per day":                       {{2000, "mg/day"}},
		"0.5mg":                                  {{0.5, "mg"}},
		"0,5 mg":                                 {{0.5, "mg"}},
		".25 mg":                                 {{0.25, "mg"}},
		"50 mcg":                                 {{0.05, "mg"}},
		"30 to 45 mL/minute/1.73 m 2":            {{30, "ml/min/1.73m2"}, {45, "ml/min/1.73m2"}},
		"30 mL/min/1.73 m²":                      {{30, "ml/min/1.73m2"}},
		"2, 12, and 24 weeks":                    {{336, "h"}, {2016, "h"}, {4032, "h"}},
		"below 50 mL per minute":                 {{50, "ml/min"}},
		"4 sprays":                               {{4, "spray"}},
		"release four sprays":                    {{4, "spray"}},
		"vitamin B12 at 2 to 3 year intervals":   {{2, "year"}, {3, "year"}},
		"up to 85 and 43 percent, respectively.": {{85, "%"}, {43, "%"}},
		"target INR of 2.5 (INR range, 2.0 to 3.0)": {{2.5, ""}, {2, ""}, {3, ""}},
		"30 mg/kg/day":                   {{30, "mg/kg/day"}},
		"every 12-hour dose":             {{12, "h"}},
		"48 tablets in 24 hours":         {{48, "tablet"}, {24, "h"}},
		"aged 3 months or younger is 10": {{3, "month"}, {10, ""}},
	} {
		got := quantity.Numbers(text)
		if len(got) != len(want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
			continue
		}
		for i, w := range want {
			if d := got[i].Value - w.v; d > 1e-9 || d < -1e-9 || got[i].Unit != w.u {
				t.Errorf("%q: number %d is %v %q, want %v %q", text, i, got[i].Value, got[i].Unit, w.v, w.u)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claim, evidence string
		missing         int
	}{
		{"Take 500 mg twice daily.", "The dose is 500 mg two times a day.", 0},
		{"Take 5000 mg twice daily.", "The dose is 500 mg two times a day.", 1},
		{"Take 500 mcg.", "The dose is 500 mg.", 1},
		{"at most 1 g", "not more than 1,000 mg", 0},
		{"30 mL/min", "30 mg/kg", 1},
		{"600 mg", "titrated up to 600 mg/day", 0},
		{"600 mg/day", "600 mg", 1},
	} {
		if got := quantity.Missing(c.claim, c.evidence); len(got) != c.missing {
			t.Errorf("%q in %q: missing %v, want %d", c.claim, c.evidence, got, c.missing)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		in, out float64
	}{
		{"eGFR between 30 and 45 mL/min/1.73 m²", 40, 27},
		{"eGFR between 30 to 45 mL/minute/1.73 m 2", 38, 46},
		{"if eGFR falls below 30 mL/min", 27, 30},
		{"CrCl <=50mL/min", 50, 51},
		{"creatinine clearance < 10 mL/min", 8, 10},
		{"aged 3 months or younger", 3, 4},
		{"10 years of age and older", 14, 9},
		{"QTc >=500 ms", 510, 499},
		{"(CrCl 30-50 mL/min)", 40, 60},
		{"greater than 300 mg", 301, 300},
	} {
		b := quantity.Bounds(c.text)
		if len(b) != 1 || !b[0].Contains(c.in) || b[0].Contains(c.out) {
			t.Errorf("%q: %+v should contain %v and not %v", c.text, b, c.in, c.out)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"give 500 mg twice daily":                   "give   twice daily",
		"an eGFR of 30 to 45 mL/min/1.73 m² is low": "an eGFR of   to   is low",
		"vitamin B12": "vitamin B12",
	} {
		if got := quantity.Words(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"30 to 45 mL/minute/1.73 m 2", "2,000,000 IU", "1.73", "µg ² 5%", "<=", "9-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range quantity.Numbers(s) {
			if n.Start < 0 || n.End > len(s) || n.Start >= n.End {
				t.Fatalf("span [%d,%d) of %d bytes", n.Start, n.End, len(s))
			}
		}
		quantity.Bounds(s)
		quantity.Words(s)
	})
}
