package codes

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func FuzzFind(f *testing.F) {
	for _, s := range []string{"ndc 0093-1048-01, 0093-1048-05", "]d20100300931048011172611301010ABC\x1d2121XYZ", "(01) 00300931048011 (17) 261130 (10) A", "*0093104801*",
		"http://hl7.org/fhir/sid/ndc|0093-1048-01|x", "https://id.gs1.org/01/00300931048011/10/A?17=261130", "rxcui 11289 and 1191", "set id 608D4F0D-B19F-46D3-749A-7159AA5F933D",
		"34070-3", "UNII 9100L32L2N", "A10BA02", "3 00931 04801 1", "NDC 0074–4339–71", "a\xff-1–\xe2\x80", "||", "((01)", "0100300931048011715", "]C0]d2", "upc upc 0093 1048 01", "１２３４-5678-90"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Find(s)
		if !reflect.DeepEqual(got, Find(s)) {
			t.Error("found differently the second time")
		}
		last := 0
		for _, c := range got {
			if c.Start < last || c.End > len(s) || c.Start >= c.End || s[c.Start:c.End] != c.As {
				t.Fatalf("%q: %+v after %d", s, c, last)
			}
			last = c.Start
			wellFormed(t, s, c)
		}
	})
}

// wellFormed checks what is promised of every Code.
func wellFormed(t *testing.T, of string, c Code) {
	t.Helper()
	if forms[c.System] == "" || c.Value == "" {
		t.Fatalf("%q: %+v", of, c)
	}
	if c.Problem != "" {
		if len(c.Readings) > 0 {
			t.Fatalf("%q: readings of a code that does not check: %+v", of, c)
		}
		return
	}
	for _, r := range c.Readings {
		n, err := Normalise(NDC, r)
		if err != nil || n.Value != r || !slices.Equal(n.Readings, []string{r}) {
			t.Fatalf("%q: reading %q is not canonical: %+v, %v", of, r, n, err)
		}
		if p := Product(r); len(p) != 11 || !strings.HasPrefix(r, p) {
			t.Fatalf("%q: product of %q is %q", of, r, p)
		}
	}
	if c.System == NDC && len(c.Readings) == 0 {
		t.Fatalf("%q: an NDC without readings: %+v", of, c)
	}
	again, err := Normalise(c.System, c.Value)
	if err != nil || again.Value != c.Value || again.Problem != "" {
		t.Fatalf("%q: %+v is read again as %+v, %v", of, c, again, err)
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range [][2]string{{"ndc", "0093-1048-01"}, {"", "]d20100300931048011"}, {"gtin", "3 00931 04801 1"}, {"urn:oid:2.16.840.1.113883.6.1", "34070-3"}, {"spl", "{608D4F0D-B19F-46D3-749A-7159AA5F933D}"}, {"atc", "A10"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, system, value string) {
		c, err := Normalise(system, value)
		if err != nil {
			if c.System != "" || err.Error() == "" {
				t.Fatalf("%q %q: %+v, %v", system, value, c, err)
			}
			return
		}
		if c.As != value || c.Start != 0 || c.End != len(value) {
			t.Fatalf("%q %q: %+v", system, value, c)
		}
		wellFormed(t, value, c)
	})
}
