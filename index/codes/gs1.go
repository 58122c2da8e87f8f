package codes

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// separator of elements: FNC1, which scanners send as GS (0x1d). What keyboards
// and terminals make of it is read too.
var separators = []string{"\x1d", "␝", "<GS>", "{GS}", "^]"}

// Symbology identifiers of data with application identifiers: GS1 DataMatrix,
// GS1-128, GS1 DataBar and composite, GS1 QR, GS1 DotCode (ISO/IEC 15424).
var gs1Symbols = []string{"]d2", "]C1", "]e0", "]e1", "]e2", "]Q3", "]J1"}

// aiDigits is how many digits the application identifiers have that begin with
// two given ones (GS1 General Specifications, "GS1 Application Identifier
// lengths"); 0 where none begins so.
func aiDigits(first string) int {
	switch n := int(first[0]-'0')*10 + int(first[1]-'0'); {
	case n <= 2, n >= 10 && n <= 13, n >= 15 && n <= 17, n >= 20 && n <= 22, n == 30, n == 37, n >= 90:
		return 2
	case n >= 23 && n <= 25, n >= 40 && n <= 42, n == 71:
		return 3
	case n >= 31 && n <= 36, n == 39, n == 43, n == 70, n == 72, n >= 80 && n <= 82:
		return 4
	}
	return 0
}

// fixedDigits is the length of a value whose identifier begins with two given
// digits and has a predefined length, so that no FNC1 ends it (GS1 General
// Specifications, "Element strings with predefined length"); 0 for the others,
// which FNC1 or the end of the data ends.
func fixedDigits(ai string) int {
	switch n := int(ai[0]-'0')*10 + int(ai[1]-'0'); {
	case n == 0:
		return 18
	case n == 4:
		return 16
	case n >= 1 && n <= 3:
		return 14
	case n >= 11 && n <= 19:
		return 6
	case n == 20:
		return 2
	case n >= 31 && n <= 36:
		return 10 - 4
	case n == 41:
		return 16 - 3
	}
	return 0
}

// element is an application identifier with its value.
type element struct{ ai, value string }

// maxGS1 is the most that a symbol of GS1 holds that is read here (GS1
// DataMatrix, 3,116 digits).
const maxGS1 = 3116

// elements reads an element string without brackets up to a space or the end.
// It gives what it could read, how far that goes, and whether all of it could be
// read.
func elements(s string) (out []element, n int, ok bool) {
	for n < len(s) && n < maxGS1 {
		if k := separator(s[n:]); k > 0 {
			n += k
			continue
		}
		if r, _ := utf8.DecodeRuneInString(s[n:]); unicode.IsSpace(r) {
			break
		}
		if len(s)-n < 2 || !digitsOnly(s[n:n+2]) {
			return out, n, false
		}
		k := aiDigits(s[n : n+2])
		if k == 0 || len(s)-n < k || !digitsOnly(s[n:n+k]) {
			return out, n, false
		}
		ai := s[n : n+k]
		v := n + k
		end := v
		if fixed := fixedDigits(ai); fixed > 0 {
			if len(s)-v < fixed || !digitsOnly(s[v:v+fixed]) {
				return out, n, false
			}
			end = v + fixed
		} else {
			for end < len(s) && s[end] > ' ' && s[end] < 0x7f && separator(s[end:]) == 0 {
				end++
			}
			if end == v || end-v > 90 {
				return out, n, false
			}
		}
		out = append(out, element{ai, s[v:end]})
		n = end
	}
	return out, n, len(out) > 0
}

func separator(s string) int {
	for _, sep := range separators {
		if strings.HasPrefix(s, sep) {
			return len(sep)
		}
	}
	return 0
}

// bracketed reads an element string as it is printed, with its identifiers in
// brackets, and gives how far it goes.
func bracketed(s string) (out []element, n int) {
	for {
		ai := bracket(s[n:])
		if ai == "" {
			return out, n
		}
		v := n + len(ai) + 2
		for v < len(s) && s[v] == ' ' {
			v++
		}
		end := v
		for end < len(s) && s[end] > ' ' && s[end] < 0x7f && bracket(s[end:]) == "" {
			end++
		}
		if end == v {
			return out, n
		}
		out = append(out, element{ai, s[v:end]})
		n = end
		for k := n; k < len(s); k++ {
			if s[k] == ' ' || s[k] == 0x1d {
				continue
			}
			if s[k] == '(' && bracket(s[k:]) != "" {
				n = k
			}
			break
		}
	}
}

// bracket gives the identifier of "(01)…", "" where there is none.
func bracket(s string) string {
	if len(s) < 4 || s[0] != '(' {
		return ""
	}
	end := strings.IndexByte(s[:min(len(s), 6)], ')')
	if end < 3 || !digitsOnly(s[1:end]) || aiDigits(s[1:3]) != end-1 {
		return ""
	}
	return s[1:end]
}

// fromElements makes a Code of what an element string says; the zero Code where
// it names no trade item.
func fromElements(es []element) Code {
	var c Code
	var pack Pack
	for _, e := range es {
		switch e.ai {
		case "01", "02": // of the item; of the items in a case
			if len(e.value) == 14 && digitsOnly(e.value) && (c.System == "" || e.ai == "01") {
				ndcs := c.Readings
				c = readGTIN(e.value)
				if len(c.Readings) == 0 {
					c.Readings = ndcs
				}
			}
		case "10":
			pack.Lot = e.value
		case "21":
			pack.Serial = e.value
		case "17", "7003": // date, with time
			d, ok := expiry(e.value)
			if !ok {
				pack.Problem = "the expiry date in this bar code is no date: read it from the pack"
			}
			pack.Expires = d
		case "715": // the NDC, as national healthcare reimbursement number
			if n := readNDC(e.value); n.System == NDC {
				if c.System == "" {
					c = n
				}
				if c.Problem == "" {
					c.Readings = n.Readings
				}
			}
		}
	}
	if c.System == "" {
		return Code{}
	}
	if pack != (Pack{}) {
		c.Pack = &pack
	}
	return c
}

// expiry reads YYMMDD; day 00 is the last of the month (GS1 General
// Specifications, 3.4.7). The year is of this century: nothing that is sold
// expires 50 years from now, which is where the rule of 7.12 would tell another.
func expiry(v string) (string, bool) {
	if len(v) < 6 || !digitsOnly(v[:6]) {
		return "", false
	}
	two := func(i int) int { return int(v[i]-'0')*10 + int(v[i+1]-'0') }
	year, month, day := 2000+two(0), time.Month(two(2)), two(4)
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if month < time.January || month > time.December || day > last {
		return "", false
	}
	if day == 0 {
		day = last
	}
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), true
}

// symbol reads what a scanner sends after a symbology identifier at the
// beginning of s. n is how far it goes; with n 3 and no code the identifier
// alone was read, and data of no system of GS1 follows.
func symbol(s string) (c Code, n int) {
	if len(s) < 4 || s[0] != ']' {
		return Code{}, 0
	}
	id := s[:3]
	for _, g := range gs1Symbols {
		if id == g {
			es, n, ok := elements(s[3:])
			c := fromElements(es)
			if !ok && c.System == "" {
				return Code{}, 3
			}
			if !ok {
				if c.Pack == nil {
					c.Pack = &Pack{}
				}
				c.Pack.Problem = "this bar code can't be read to its end: scan it again for its lot, serial number and date"
			}
			for n += 3; n < len(s) && s[n] > ' ' && !ok; n++ {
			}
			return c, n
		}
	}
	if id == "]E0" || id == "]E4" || id == "]E3" { // EAN-13 and UPC-A, EAN-8, EAN-13 with add-on
		end := 3
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		d := s[3:end]
		if id == "]E3" && len(d) > 13 {
			d = d[:13]
		}
		return readGTIN(d), end
	}
	if s[1] >= 'A' && s[1] <= 'z' && s[2] >= '0' && s[2] <= '9' {
		return Code{}, 3
	}
	return Code{}, 0
}

// digitalLink reads the GTIN of a GS1 Digital Link, "https://id.gs1.org/01/…"
// (GS1 Digital Link standard, URI syntax): GTIN, then lot (10) and serial (21)
// in the path, expiry (17) among the parameters.
func digitalLink(uri string) Code {
	_, path, ok := strings.Cut(uri, "/01/")
	if !ok {
		return Code{}
	}
	path, query, _ := strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	g := readGTIN(parts[0])
	if g.System == "" || strings.ContainsAny(parts[0], " -") {
		return Code{}
	}
	if g.Problem != "" {
		return g
	}
	es := []element{{"01", g.Value}}
	for i := 1; i+1 < len(parts); i += 2 {
		es = append(es, element{parts[i], parts[i+1]})
	}
	for _, p := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		if ai, v, ok := strings.Cut(p, "="); ok {
			es = append(es, element{ai, v})
		}
	}
	return fromElements(es)
}
