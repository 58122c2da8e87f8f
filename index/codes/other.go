package codes

import (
	"fmt"
	"strings"
)

func digitsOnly(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// maxRxCUI is the longest RxCUI in digits: RxNorm's files give it 8 characters
// (RxNorm Technical Documentation, RXNCONSO.RRF).
const maxRxCUI = 8

func readRxCUI(s string) Code {
	s = strings.TrimSpace(s)
	if !digitsOnly(s) || len(s) > maxRxCUI {
		return Code{}
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		return Code{}
	}
	return Code{System: RxCUI, Value: s}
}

// readUUID reads a UUID (RFC 9562) with its hyphens, in braces or after
// "urn:uuid:", or as 32 hexadecimal digits.
func readUUID(s string) Code {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "urn:uuid:")
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	var b strings.Builder
	for _, r := range s {
		if dash(r) {
			r = '-'
		}
		b.WriteRune(r)
	}
	s = b.String()
	if len(s) == 32 && !strings.Contains(s, "-") {
		s = s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	if !isUUID(s) {
		return Code{}
	}
	return Code{System: SPL, Value: s}
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// readUNII reads a UNII. Its tenth character is the sum of the other nine, 0 to
// 9 and A to Z counting 0 to 35, modulo 36. FDA gives the algorithm on request
// only; this is what the UNIIs of published labels show, all of them.
func readUNII(s string) Code {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 10 {
		return Code{}
	}
	sum := 0
	for i := 0; i < 10; i++ {
		v := strings.IndexByte(base36, s[i])
		if v < 0 {
			return Code{}
		}
		if i < 9 {
			sum += v
		}
	}
	c := Code{System: UNII, Value: s}
	if want := base36[sum%36]; want != s[9] {
		c.Problem = fmt.Sprintf("the last character of this UNII is %c and the others give %c: a character is wrong, type it again", s[9], want)
	}
	return c
}

const base36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// readLOINC reads a LOINC code: a number of up to seven digits, a hyphen, and
// the check digit by mod 10 (Luhn) of the number (LOINC Users' Guide, appendix
// "Calculating Mod 10 Check Digits").
func readLOINC(s string) Code {
	p := segments(strings.TrimSpace(s), 2)
	if len(p) != 2 || len(p[0]) > 7 || len(p[1]) != 1 || strings.ContainsAny(s, "* ") {
		return Code{}
	}
	c := Code{System: LOINC, Value: p[0] + "-" + p[1]}
	if want := luhn(p[0]); want != p[1][0] {
		c.Problem = fmt.Sprintf("the check digit of this LOINC code is %s and the others give %c: a digit is wrong, type it again", p[1], want)
	}
	return c
}

// luhn is the check digit of digits by mod 10.
func luhn(digits string) byte {
	sum := 0
	for i := 0; i < len(digits); i++ {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return byte('0' + (10-sum%10)%10)
}

// atcForm: the characters of an ATC code (WHO Collaborating Centre for Drug
// Statistics Methodology, "Structure and principles"): main group, two digits,
// two letters, two digits. Levels 1 to 5 have 1, 3, 4, 5 and 7 of them.
const atcForm = "A00AA00"

func readATC(s string) Code {
	s = strings.ToUpper(strings.TrimSpace(s))
	switch len(s) {
	case 3, 4, 5, 7:
	default:
		return Code{}
	}
	for i := 0; i < len(s); i++ {
		digit := s[i] >= '0' && s[i] <= '9'
		if digit != (atcForm[i] == '0') || !digit && (s[i] < 'A' || s[i] > 'Z') {
			return Code{}
		}
	}
	if !strings.Contains("ABCDGHJLMNPRSV", s[:1]) {
		return Code{}
	}
	return Code{System: ATC, Value: s}
}
