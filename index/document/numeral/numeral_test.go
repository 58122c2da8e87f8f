package numeral

import "testing"

func TestRoman(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "i", 4: "iv", 9: "ix", 14: "xiv", 40: "xl", 90: "xc", 400: "cd", 1999: "mcmxcix", 2026: "mmxxvi", 3999: "mmmcmxcix", 0: "0", -3: "-3", 4000: "4000"} {
		if got := Roman(n); got != want {
			t.Errorf("%d: %s, wanted %s", n, got, want)
		}
	}
}
