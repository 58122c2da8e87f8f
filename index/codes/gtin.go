package codes

import (
	"fmt"
	"strings"
)

// usDrug are the digits of a GTIN-14, after its indicator, that say that the
// ten digits behind them are a US NDC: GS1 US gives a labeler the company prefix
// 03 with its labeler code behind it, in UPC-A number system 3, and 21 CFR
// 201.25(c) asks for the NDC in a label's bar code.
const usDrug = "03"

// checkDigit of a GTIN without it: weights 3 and 1 in turn from the right, the
// distance to the next ten (GS1 General Specifications, 7.9).
func checkDigit(digits string) byte {
	sum := 0
	for i := 0; i < len(digits); i++ {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			d *= 3
		}
		sum += d
	}
	return byte('0' + (10-sum%10)%10)
}

func checks(gtin string) bool {
	n := len(gtin) - 1
	return checkDigit(gtin[:n]) == gtin[n]
}

// readGTIN reads a GTIN of 8, 12, 13 or 14 digits; spaces and hyphens, as they
// are printed under a bar code, are passed over.
func readGTIN(s string) Code {
	p := segments(strings.TrimSpace(s), 6)
	if p == nil || strings.Contains(s, "*") {
		return Code{}
	}
	d := strings.Join(p, "")
	switch len(d) {
	case 8, 12, 13, 14:
	default:
		return Code{}
	}
	c := Code{System: GTIN, Value: d}
	if !checks(d) {
		c.Problem = fmt.Sprintf("the check digit of this GTIN is %c and the others give %c: a digit is wrong, scan or type it again", d[len(d)-1], checkDigit(d[:len(d)-1]))
		return c
	}
	c.Value = strings.Repeat("0", 14-len(d)) + d
	c.Readings = insideGTIN(c.Value)
	return c
}

// insideGTIN gives the readings of the NDC in a GTIN-14, nil where it holds
// none. The indicator before it (packaging level) says nothing about the NDC.
func insideGTIN(gtin string) []string {
	if gtin[1:3] != usDrug || gtin[0] == '9' { // 9: of variable measure
		return nil
	}
	ten := gtin[3:13]
	return readings(ten, plainLayouts(ten))
}
