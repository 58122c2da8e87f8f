package codes

import (
	"strings"
	"testing"
)

const (
	gtinTeva = "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"
	gs       = "\x1d"
)

func TestGS1(t *testing.T) {
	t.Parallel()
	full := gtinTeva + " {2026-11-30 10ABC 21XYZ}"
	for _, c := range []struct{ text, want string }{
		{"]d2010030093104801117261130" + "1010ABC" + gs + "2121XYZ", full},
		{"]C1010030093104801117261130" + "1010ABC" + gs + "2121XYZ", full},
		{"]e0010030093104801117261130" + "1010ABC" + gs + "2121XYZ", full},
		{"]Q3010030093104801117261130" + "2121XYZ" + gs + "1010ABC", full},
		{"]d22121XYZ" + gs + "1010ABC" + gs + "172611300100300931048011", full},
		{gs + "010030093104801117261130" + "1010ABC" + gs + "2121XYZ", full},
		{"010030093104801117261130" + "1010ABC" + gs + "2121XYZ\r\n", full},
		{"010030093104801117261130" + "1010ABC<GS>2121XYZ", full},
		{"010030093104801117261130" + "1010ABC␝2121XYZ", full},
		{"(01)00300931048011(17)261130(10)10ABC(21)21XYZ", full},
		{"(01) 00300931048011 (17) 261130 (10) 10ABC (21) 21XYZ", full},
		{"scan says (01)00300931048011(17)261130(10)10ABC(21)21XYZ, expired?", gtinTeva + " {2026-11-30 10ABC 21XYZ,}"},
		{"https://id.gs1.org/01/00300931048011/10/10ABC/21/21XYZ?17=261130", full},
		{"(01)00300931048011", gtinTeva},
		{"is (01)00300931048011 ok", gtinTeva},
		{"0100300931048011", gtinTeva},
		{"]E00300931048011", gtinTeva},
		{"]E496385074", "gtin:00000096385074"},
		{"]C0*0093-1048-01*", "ndc:" + teva},
		// Dates: last of the month; a leap day; none.
		{"(01)00300931048011(17)280200", gtinTeva + " {2028-02-29  }"},
		{"(01)00300931048011(17)280229", gtinTeva + " {2028-02-29  }"},
		{"(01)00300931048011(17)270229", gtinTeva + " {  }"},
		{"(01)00300931048011(17)261301", gtinTeva + " {  }"},
		{"(01)00300931048011(7003)2611301200", gtinTeva + " {2026-11-30  }"},
		// Other identifiers are stepped over by their lengths.
		{"]d2" + "00106141412345678908" + "0100300931048011" + "11240101" + "3102000500" + "240ADD" + gs + "10L1", gtinTeva + " { L1 }"},
		{"]d2" + "0200300931048011" + "3712" + gs + "10L1", gtinTeva + " { L1 }"},
		{"]d2" + "0106291041500213" + "715" + "0093-1048-01" + gs + "10L1", "gtin:06291041500213"},
		{"]d2" + "0106141411234527" + "7150093104801" + gs + "10L1", ""},
		{"(01)06291041500213(715)00093104801", "gtin:06291041500213"},
		// Wrong check digit, and too little.
		{"(01)00300931048012(17)261130", "gtin:00300931048012 problem {2026-11-30  }"},
		{"]d20100300931048012", "gtin:00300931048012 problem"},
		{"010030093104801217261130", "gtin:00300931048012 problem {2026-11-30  }"},
		{"0100300931048012", ""},
		{"]d2010030093104801117261130(", gtinTeva + " {2026-11-30  }"},
		{"]d20100300931048011XX", gtinTeva + " {  }"},
		{"]d20", ""}, {"]d2", ""}, {"]", ""}, {"(01)", ""}, {"(01)1", ""}, {"(17)261130", ""}, {"(10) and (20) patients", ""}, {"patients (12) 50 (13) 60", ""},
		{"01 of 14", ""}, {"0112345678901231", "gtin:12345678901231 weak"},
	} {
		got := Find(c.text)
		s := short(got)
		if strings.Contains(c.text, "715") { // readings of the NDC beside the GTIN
			if c.want == "" {
				continue
			}
			if len(got) != 1 || got[0].System+":"+got[0].Value != c.want || strings.Join(got[0].Readings, "/") != teva {
				t.Errorf("%q: %s", c.text, s)
			}
			continue
		}
		if s != c.want {
			t.Errorf("%q: %s\nwant %s", c.text, s, c.want)
		}
	}
	for _, bad := range []string{"(01)00300931048011(17)270229", "]d20100300931048011XX"} {
		if got := Find(bad); len(got) != 1 || got[0].Pack == nil || got[0].Pack.Problem == "" || got[0].Problem != "" {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
