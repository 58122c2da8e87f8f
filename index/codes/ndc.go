package codes

import "strings"

// layout of an NDC: digits of its labeler, product and package segment; pack 0
// for the code of a product.
type layout struct{ labeler, product, pack int }

// Layouts with hyphens. 10 digits: 21 CFR 207.33(b), 4-4-2, 5-3-2, 5-4-1, and
// for labeler codes of six digits, not issued yet, 6-3-2 and 6-4-1. 11 digits,
// 5-4-2: HIPAA billing (45 CFR 162.1002; NCPDP). 12 digits, 6-4-2: 91 FR 10749
// (5 March 2026), in force from 7 March 2033; there existing codes get leading
// zeros in each segment, which is the canonical form here. It is also how the
// VA writes NDCs now.
var layouts = []layout{{4, 4, 2}, {5, 3, 2}, {5, 4, 1}, {5, 4, 2}, {6, 4, 2}, {6, 4, 1}, {6, 3, 2},
	{4, 4, 0}, {5, 3, 0}, {5, 4, 0}, {6, 4, 0}, {6, 3, 0}}

// Layouts that so many digits without hyphens can have. A labeler code of four
// digits begins with 0 (21 CFR 207.35(b)(1) of 1975 to 2016 made them by a zero
// before the three characters of earlier codes), so that tells which of the
// layouts of ten digits is likely; unlikely ones are given all the same.
var (
	tenZero    = []layout{{4, 4, 2}, {5, 3, 2}, {5, 4, 1}}
	tenOther   = []layout{{5, 3, 2}, {5, 4, 1}, {4, 4, 2}}
	plainEight = []layout{{4, 4, 0}, {5, 3, 0}}
	plainNine  = []layout{{5, 4, 0}}
	plain11    = []layout{{5, 4, 2}}
	plain12    = []layout{{6, 4, 2}}
)

func plainLayouts(digits string) []layout {
	switch len(digits) {
	case 8:
		return plainEight
	case 9:
		return plainNine
	case 10:
		if digits[0] == '0' {
			return tenZero
		}
		return tenOther
	case 11:
		return plain11
	case 12:
		return plain12
	}
	return nil
}

const zeros = "000000"

// canonical puts the segments into 6-4-2 digits, or 6-4 for a product.
func canonical(labeler, product, pack string) string {
	s := zeros[len(labeler):6] + labeler + "-" + zeros[len(product):4] + product
	if pack != "" {
		s += "-" + zeros[len(pack):2] + pack
	}
	return s
}

// readings of digits in the layouts.
func readings(digits string, ls []layout) []string {
	out := make([]string, 0, len(ls))
	for _, l := range ls {
		r := canonical(digits[:l.labeler], digits[l.labeler:l.labeler+l.product], digits[l.labeler+l.product:])
		known := false
		for _, o := range out {
			known = known || o == r
		}
		if !known {
			out = append(out, r)
		}
	}
	return out
}

// segments splits at dashes or single spaces; nil where anything but digits and
// the placeholder '*', which stands for a zero (FDA's NDC directory writes it to
// fill a segment), is in it, or more than limit segments.
func segments(s string, limit int) []string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == '*':
			b.WriteByte('0')
		case r == ' ' || dash(r):
			b.WriteByte('-')
		default:
			return nil
		}
	}
	parts := strings.Split(b.String(), "-")
	if len(parts) > limit {
		return nil
	}
	for _, p := range parts {
		if p == "" {
			return nil
		}
	}
	return parts
}

// dash: the hyphens and dashes that word processors and labels put for one.
func dash(r rune) bool {
	return r == '-' || r >= '\u2010' && r <= '\u2015' || r == '\u2212' || r == '\uff0d' || r == '\ufe63'
}

// readNDC reads an NDC with or without hyphens. Asterisks around it are those
// of a Code 39 bar code.
func readNDC(s string) Code {
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == '*' && s[len(s)-1] == '*' {
		s = s[1 : len(s)-1]
	}
	p := segments(s, 3)
	switch len(p) {
	case 1:
		ls := plainLayouts(p[0])
		if ls == nil {
			return Code{}
		}
		c := Code{System: NDC, Value: p[0], Readings: readings(p[0], ls)}
		if len(c.Readings) == 1 {
			c.Value = c.Readings[0]
		}
		return c
	case 2, 3:
		l := layout{labeler: len(p[0]), product: len(p[1])}
		pack := ""
		if len(p) == 3 {
			l.pack, pack = len(p[2]), p[2]
		}
		for _, k := range layouts {
			if k == l {
				v := canonical(p[0], p[1], pack)
				return Code{System: NDC, Value: v, Readings: []string{v}}
			}
		}
	}
	return Code{}
}

// Product gives the product of a canonical NDC of a package: 6-4 digits. That
// of a product is given back.
func Product(ndc string) string {
	if len(ndc) == len("000000-0000-00") {
		return ndc[:len("000000-0000")]
	}
	return ndc
}

// NDC11 writes a canonical NDC of a package as the 11 digits that claims use,
// 5-4-2 without hyphens; "" where its labeler code has six digits.
func NDC11(ndc string) string {
	if len(ndc) != len("000000-0000-00") || ndc[0] != '0' {
		return ""
	}
	return ndc[1:6] + ndc[7:11] + ndc[12:]
}

// ten gives the ten digits of an NDC without hyphens in a code: those that were
// typed, or those in a GTIN; "" where there are none.
func (c *Code) ten() string {
	switch {
	case c.System == NDC && len(c.Value) == 10:
		return c.Value
	case c.System == GTIN && len(c.Readings) > 0 && len(c.Value) == 14 && c.Value[1:3] == usDrug:
		return c.Value[3:13]
	}
	return ""
}

// likely are the readings that the rule on labeler codes leaves, and the others.
func (c *Code) likely() (likely, others []string) {
	ten := c.ten()
	n := 1
	if ten != "" && ten[0] != '0' {
		n = 2
	}
	if ten == "" || n > len(c.Readings) {
		return c.Readings, nil
	}
	return c.Readings[:n], c.Readings[n:]
}
