package codes

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// short writes what was found, for tables.
func short(cs []Code) string {
	var out []string
	for _, c := range cs {
		s := c.System + ":" + c.Value
		if len(c.Readings) > 0 && !(len(c.Readings) == 1 && c.Readings[0] == c.Value) {
			s += "=" + strings.Join(c.Readings, "/")
		}
		if c.Weak {
			s += " weak"
		}
		if c.Problem != "" {
			s += " problem"
		}
		if c.Pack != nil {
			s += fmt.Sprintf(" {%s %s %s}", c.Pack.Expires, c.Pack.Lot, c.Pack.Serial)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

const teva = "000093-1048-01" // 0093-1048-01 in 6-4-2

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		// NDC: the three layouts of ten digits, eleven, twelve.
		{"0093-1048-01", "ndc:" + teva},
		{"max dose of 0093-1048-01?", "ndc:" + teva},
		{"ndc 00093-1048-01", "ndc:" + teva},
		{"000093-1048-01", "ndc:" + teva},
		{"00093104801", "ndc:" + teva},
		{"000093104801", "ndc:" + teva},
		{"67046-268-30 storage", "ndc:067046-0268-30"},
		{"12345-6789-1 storage", "ndc:012345-6789-01"},
		{"123456-789-12 and 123456-7891-2", "ndc:123456-0789-12; ndc:123456-7891-02"},
		{"NDC 0074–4339–71", "ndc:000074-4339-71"}, // en dashes, as a label prints it
		{"NDC-0069-4220-66", "ndc:000069-4220-66"},
		{"NDC#0069-4220-66.", "ndc:000069-4220-66"},
		{"(NDC0069-4220-66)", "ndc:000069-4220-66"},
		{"NDC: 0093 1048 01", "ndc:" + teva},
		{"0093 1048 01", "ndc:" + teva},
		{"is 0093 1048 01 a tablet", "ndc:" + teva + " weak"},
		{"*0093-1048-01*", "ndc:" + teva},
		{"*0093104801*", "ndc:0093104801=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"54868-*123-45", "ndc:054868-0123-45"}, // the placeholder of FDA's directory
		{"54868-1234-*5", "ndc:054868-1234-05"},
		{"NDC 0093104801 renal dose", "ndc:0093104801=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"6704626830", "ndc:6704626830=067046-0268-30/067046-2683-00/006704-6268-30"},
		{"call 3015928573 about it", "ndc:3015928573=030159-0285-73/030159-2857-03/003015-9285-73 weak"},
		// Product NDC.
		{"0093-1048", "ndc:000093-1048"},
		{"ndc 0093-1048 max dose", "ndc:000093-1048"},
		{"is 0093-1048 scored", "ndc:000093-1048 weak"},
		{"ndc 67046-268", "ndc:067046-0268"},
		{"national drug code 12345-6789", "ndc:012345-6789"},
		{"ndc 00931048", "ndc:00931048=000093-1048/000931-0048"},
		// Several, and lists behind one word.
		{"ndc 0093-1048-01, 0093-1048-05 and 67046-268-30", "ndc:" + teva + "; ndc:000093-1048-05; ndc:067046-0268-30"},
		{"rxcui 11289 and 1191 interaction", "rxcui:11289; rxcui:1191"},
		{"rxcui 11289 with 500 mg", "rxcui:11289"},
		// No NDC, and said to be one.
		{"ndc 0093-1048-1", "ndc:0093-1048-1 problem"},
		{"ndc 1234567", "ndc:1234567 problem"},
		{"ndc 500 mg tablets", ""},
		// GTIN: GTIN-14, EAN-13, UPC-A with an NDC inside, with and without its spaces.
		{"300931048011", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01; ndc:300931-0480-11 weak"},
		{"0300931048011", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"00300931048011", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"upc 3 00931 04801 1", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"3 00931 04801 1", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"N 3 0093-1048-01 1", "ndc:" + teva},
		{"has 50300931048016 glucose", "gtin:50300931048016=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"gtin 6291041500213", "gtin:06291041500213"},
		{"6291041500213 stored", "gtin:06291041500213 weak"},
		{"upc 0093-1048-01", "ndc:" + teva},
		{"0300931048012", "gtin:0300931048012 problem"},
		{"UPC 300931048012 dose", "gtin:300931048012 problem"},
		{"we saw 300931048012 cells", ""},
		{"012345678905", "gtin:00012345678905; ndc:012345-6789-05"},
		// RxCUI.
		{"rxcui 6809", "rxcui:6809"}, {"RxNorm:6809", "rxcui:6809"}, {"RXCUI6809", "rxcui:6809"}, {"RxNorm code 6809 in CKD", "rxcui:6809"},
		{"rx cui #6809", "rxcui:6809"}, {"rxcui = 0006809", "rxcui:6809"}, {"rxnorm 500 mg", ""}, {"6809", ""},
		// As FHIR writes them.
		{"http://www.nlm.nih.gov/research/umls/rxnorm|6809", "rxcui:6809"},
		{"dose of http://hl7.org/fhir/sid/ndc|0093-1048-01?", "ndc:" + teva},
		{"urn:oid:2.16.840.1.113883.6.69|0093-1048-01", "ndc:" + teva},
		{"2.16.840.1.113883.6.88|6809|metformin", "rxcui:6809"},
		{"http://loinc.org|34070-3", "loinc:34070-3"},
		{"http://loinc.org|34070-4", "loinc:34070-4 problem"},
		{"http://www.whocc.no/atc|A10BA02", "atc:A10BA02"},
		{"http://fdasis.nlm.nih.gov|9100l32l2n", "unii:9100L32L2N"},
		{"http://hl7.org/fhir/sid/ndc|metformin", "ndc:metformin problem"},
		{"http://snomed.info/sct|372567009", ""}, {"ndc|", ""}, {"ndc|!", ""},
		// Labels.
		{"608d4f0d-b19f-46d3-749a-7159aa5f933d", "spl:608d4f0d-b19f-46d3-749a-7159aa5f933d"},
		{"set id 608D4F0D-B19F-46D3-749A-7159AA5F933D, boxed warning", "spl:608d4f0d-b19f-46d3-749a-7159aa5f933d"},
		{"setid=608d4f0db19f46d3749a7159aa5f933d", "spl:608d4f0d-b19f-46d3-749a-7159aa5f933d"},
		{"urn:uuid:608d4f0d-b19f-46d3-749a-7159aa5f933d", "spl:608d4f0d-b19f-46d3-749a-7159aa5f933d"},
		{"set id 608d4f0d-b19f-46d3-749a-7159aa5f933", "spl:608d4f0d-b19f-46d3-749a-7159aa5f933 problem"},
		// LOINC, UNII, ATC.
		{"34070-3", "loinc:34070-3"}, {"34070-4", "loinc:34070-4 problem"}, {"34070-3 of warfarin", "loinc:34070-3"},
		{"34070-4 of warfarin", ""}, {"loinc 34070-4 of warfarin", "loinc:34070-4 problem"}, {"loinc code: 8-3", "loinc:8-3"},
		{"UNII 9100L32L2N", "unii:9100L32L2N"}, {"9100l32l2n", "unii:9100L32L2N"}, {"what is 9100L32L2N", "unii:9100L32L2N weak"},
		{"UNII 9100L32L2M", "unii:9100L32L2M problem"}, {"059QF0KO0X", "unii:059QF0KO0X problem"}, {"lot 059QF0KO0X", ""},
		{"A10BA02 in pregnancy", "atc:A10BA02"}, {"atc A10B", "atc:A10B"}, {"A10B", ""},
	} {
		got := Find(c.text)
		if short(got) != c.want {
			t.Errorf("%q: %s\nwant %s", c.text, short(got), c.want)
		}
		for _, g := range got {
			if c.text[g.Start:g.End] != g.As {
				t.Errorf("%q: %q does not lie at %d to %d", c.text, g.As, g.Start, g.End)
			}
		}
	}
}

// What only looks like a code is none, or weak where nobody could tell.
func TestFindNothing(t *testing.T) {
	t.Parallel()
	for text, weak := range map[string]string{
		"1000-2000 mg a day": "", "start 500-1000 mg BID": "", "0.5-1 mg/kg": "", "5-1": "", "10-2": "", "2-3 tablets": "",
		"from 5-10 to 20-40 mg": "", "ANC 1500-2000": "", "INR 2-3": "", "INR 2.0-3.0": "", "2019-2020": "", "in 2019-2020 season": "",
		"call 800-555-1234": "", "(800) 555-1234": "", "+1 800 555 1234": "", "1-800-222-1222": "", "555-1234": "", "+18005551234": "",
		"2024-01-15": "", "01-15-2024": "", "15.01.2024": "", "1/15/2024": "", "20240115 labs": "", "DOB 01/02/1950, MRN 1234567": "",
		"SSN 123-45-6789": "", "CAS 657-24-9": "", "CAS 1115-70-4": "", "Na 135-145 mEq/L": "", "BP 120/80": "", "WBC 12345": "",
		"platelets 150,000-450,000": "", "1234567890 units": "", "12345678901 mg": "", "$1234567890": "", "1.2345678901": "", "3.14159265358": "",
		"eGFR 30-45": "", "CrCl 15-29 mL/min": "", "q8-12h": "", "HbA1c 6-7": "", "B12": "", "CYP3A4": "", "H1N1": "", "COVID-19": "",
		"aged 18-64": "", "1234-5678-90-12": "", "1234-5678-9012-3456": "", "NCT01234567": "", "PMID 12345678": "", "J1100": "", "G0008": "",
		"the NDC of metformin 500": "", "what is an ndc": "", "rxnorm": "", "barcode won't scan": "", "atc": "", "loinc please": "",
		"NDC 10 mg tablets": "", "upc or ndc?": "", "10.1016/j.x.2012.01.001": "", "v2.3.4-5": "", "0093.1048.01": "", "dose 34068-7.5": "", "": "", " ": "",
		"12 345 67": "", "0093-1048-01mg": "", "5000-10000 units": "", "65-80 kg": "",
		// The form is that of a code; only the documents can tell.
		"open 0800-1200":           "ndc:000800-1200 weak",
		"Boston MA 02115-1234 zip": "ndc:002115-1234 weak",
		"fax 8005551234 today":     "ndc:8005551234=080055-0512-34/080055-5123-04/008005-5512-34 weak",
		"8000-9 of them":           "",
	} {
		if got := short(Find(text)); got != weak {
			t.Errorf("%q: %s, want %q", text, got, weak)
		}
	}
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ system, value, want string }{
		{"ndc", "0093-1048-01", "ndc:" + teva},
		{"http://hl7.org/fhir/sid/ndc", "00093104801", "ndc:" + teva},
		{"urn:oid:2.16.840.1.113883.6.69", "0093-1048", "ndc:000093-1048"},
		{"NDC", " 0093 1048 01 ", "ndc:" + teva},
		{"ndc", "0093104801", "ndc:0093104801=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"upc", "0300931048011", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"1.3.160", "300931048011", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01"},
		{"gtin", "96385074", "gtin:00000096385074"},
		{"gtin", "96385075", "gtin:96385075 problem"},
		{"RxNorm", "6809", "rxcui:6809"},
		{"spl_set_id", "{608D4F0D-B19F-46D3-749A-7159AA5F933D}", "spl:608d4f0d-b19f-46d3-749a-7159aa5f933d"},
		{"https://loinc.org/", "34068-7", "loinc:34068-7"},
		{"unii", "059qf0ko0r", "unii:059QF0KO0R"},
		{"atc", "a10", "atc:A10"},
		{"", "0093-1048-01", "ndc:" + teva},
		{"", "]d2010030093104801117261130\x1d10A1", "gtin:00300931048011=000093-1048-01/000931-0048-01/000931-0480-01 {2026-11-30 A1 }"},
		{"", "rxcui 6809", "error"}, {"", "metformin", "error"}, {"ndc", "metformin", "error"}, {"ndc", "", "error"}, {"rxcui", "0", "error"},
		{"rxcui", "123456789", "error"}, {"snomed", "372567009", "error"}, {"ndc", "1-1-1", "error"}, {"gtin", "12345", "error"},
		{"loinc", "12345", "error"}, {"unii", "059QF0KO0", "error"}, {"atc", "X10", "error"}, {"atc", "A1", "error"}, {"spl", "x", "error"},
	} {
		got, err := Normalise(c.system, c.value)
		s := short([]Code{got})
		if err != nil {
			s = "error"
			if !errors.Is(err, ErrForm) && !errors.Is(err, ErrSystem) || len(c.value) > 3 && strings.Contains(err.Error(), c.value) {
				t.Errorf("%s %q: %v", c.system, c.value, err)
			}
		}
		if c.want != s {
			t.Errorf("%s %q: %s, want %s", c.system, c.value, s, c.want)
		}
	}
}

func TestProductAndNDC11(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{teva, "000093-1048", "00093104801"}, {"123456-0789-12", "123456-0789", ""}, {"000093-1048", "000093-1048", ""}, {"067046-0268-30", "067046-0268", "67046026830"}} {
		if p, n := Product(c[0]), NDC11(c[0]); p != c[1] || n != c[2] {
			t.Errorf("%s: product %q, 11 digits %q; want %q, %q", c[0], p, n, c[1], c[2])
		}
	}
}

// Published examples, and the same sums in another form.
func TestCheckDigits(t *testing.T) {
	t.Parallel()
	// GS1 (check digit calculator; the 614141 examples of the General
	// Specifications), EAN-8 of ISO/IEC 15420.
	for _, g := range []string{"6291041500213", "00614141123452", "614141123452", "96385074", "4006381333931"} {
		if !checks(g) {
			t.Errorf("GTIN %s does not check", g)
		}
		for i := range g { // one digit wrong is always noticed
			for d := byte('0'); d <= '9'; d++ {
				if w := g[:i] + string(d) + g[i+1:]; w != g && checks(w) {
					t.Errorf("GTIN %s checks as %s does", w, g)
				}
			}
		}
	}
	for n := range 3000 {
		s := fmt.Sprintf("%013d", n*7919*104729%10_000_000_000_000)
		sum := 0 // from the left: 13 digits begin with weight 3
		for i, r := range s {
			sum += int(r-'0') * (3 - 2*(i%2))
		}
		if got := checkDigit(s); int(got-'0') != (1000-sum)%10 {
			t.Fatalf("check digit of %s is %c", s, got)
		}
		// The LOINC guide's own words: join the digits at odd places from the
		// right, double that number, put the even ones before it, add up.
		s = s[6:]
		odd, even := "", ""
		for i := range s {
			if p := len(s) - i; p%2 == 1 {
				odd = odd + s[i:i+1]
			} else {
				even = even + s[i:i+1]
			}
		}
		number, _ := strconv.Atoi(odd)
		sum = 0
		for _, r := range even + fmt.Sprint(2*number) {
			sum += int(r - '0')
		}
		if got := luhn(s); int(got-'0') != (1000-sum)%10 {
			t.Fatalf("mod 10 of %s is %c", s, got)
		}
	}
	for _, l := range []string{"12345-5", "34066-1", "34070-3", "34068-7", "34073-7", "43685-7", "43684-0", "88828-9", "88829-7", "8867-4"} {
		if c := readLOINC(l); c.System == "" || c.Problem != "" {
			t.Errorf("LOINC %s: %+v", l, c)
		}
	}
	// Water, methadone and its hydrochloride, metformin.
	for _, u := range []string{"059QF0KO0R", "UC6VBE7V1Z", "229809935B", "9100L32L2N"} {
		if c := readUNII(u); c.System == "" || c.Problem != "" {
			t.Errorf("UNII %s: %+v", u, c)
		}
	}
}

// Time grows with the text alone: none of these may take long.
func TestFindLongTexts(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"(10)a", "(01)00300931048011", "]d2", "01", "01 ", "0100300931048011", "|", "a|", "ndc|", "/01/", "ndc ", "ndc 1 ", "0093 1048 ", "1-", "–", "*", "rxcui 1 and ", "\x1d", "(((", "set id "} {
		Find(strings.Repeat(part, 50_000/len(part)))
	}
}
