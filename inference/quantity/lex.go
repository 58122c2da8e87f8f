package quantity

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	word kind = iota
	number
	joiner     // to, -, and, or, comma
	comparison // < <= > >= ≤ ≥
	slash
	percent
	stop // anything that ends a series
)

type token struct {
	kind       kind
	text       string // lower case
	value      float64
	start, end int
}

var numberWords = map[string]float64{
	"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
	"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fourteen": 14, "fifteen": 15,
	"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90,
}

// lex cuts text into tokens. "1.73 m2" in its spellings is one word, as it is
// part of a unit.
func lex(text string) []token {
	var out []token
	for i := 0; i < len(text); {
		if n := surface(text[i:]); n > 0 {
			out = append(out, token{kind: word, text: "1.73m2", start: i, end: i + n})
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unicode.IsSpace(r):
			i += size
		case r >= '0' && r <= '9' || r == '.' && i+1 < len(text) && digit(text[i+1]) && (i == 0 || !wordByte(text[i-1])):
			v, n := readNumber(text[i:])
			// Digits glued after a letter (B12, T4, m2) are a name, not a number.
			if i > 0 && letterBefore(text[:i]) {
				if k := len(out) - 1; k >= 0 && out[k].end == i && out[k].kind == word {
					out[k].text += text[i : i+n]
					out[k].end = i + n
				}
				i += n
				continue
			}
			out = append(out, token{kind: number, text: text[i : i+n], value: v, start: i, end: i + n})
			i += n
		case unicode.IsLetter(r):
			j := i + size
			for j < len(text) {
				r, s := utf8.DecodeRuneInString(text[j:])
				if !unicode.IsLetter(r) && r != '²' {
					break
				}
				j += s
			}
			w := strings.ToLower(text[i:j])
			t := token{kind: word, text: w, start: i, end: j}
			switch {
			case w == "to" || w == "and" || w == "or" || w == "through":
				t.kind = joiner
				if w == "through" {
					t.text = "to"
				}
			case numberWords[w] > 0:
				t.kind, t.value = number, numberWords[w]
			}
			out = append(out, t)
			i = j
		case r == '<' || r == '>' || r == '≤' || r == '≥':
			n := size
			if (r == '<' || r == '>') && i+1 < len(text) && text[i+1] == '=' {
				n++
			}
			out = append(out, token{kind: comparison, text: text[i : i+n], start: i, end: i + n})
			i += n
		case r == '-' || r == '–' || r == '—' || r == '−':
			out = append(out, token{kind: joiner, text: "-", start: i, end: i + size})
			i += size
		case r == ',':
			out = append(out, token{kind: joiner, text: ",", start: i, end: i + size})
			i += size
		case r == '/':
			out = append(out, token{kind: slash, text: "/", start: i, end: i + size})
			i += size
		case r == '%':
			out = append(out, token{kind: percent, text: "%", start: i, end: i + size})
			i += size
		default:
			out = append(out, token{kind: stop, text: string(r), start: i, end: i + size})
			i += size
		}
	}
	return out
}

// surface returns the length of "1.73 m2", "1.73 m 2", "1.73m²" at the start of s.
func surface(s string) int {
	rest, ok := strings.CutPrefix(s, "1.73")
	if !ok {
		return 0
	}
	rest = strings.TrimLeft(rest, " \u00a0\t\n")
	if rest, ok = strings.CutPrefix(rest, "m"); !ok {
		return 0
	}
	t := strings.TrimLeft(rest, " \u00a0")
	t = strings.TrimPrefix(t, "^")
	for _, p := range []string{"2", "²"} {
		if u, ok := strings.CutPrefix(t, p); ok && (u == "" || !digit(u[0])) {
			return len(s) - len(u)
		}
	}
	return 0
}

// readNumber reads "2,000", "0.5", ".5", "0,5" at the start of s.
func readNumber(s string) (float64, int) {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	whole := s[:i]
	// thousands: groups of exactly three digits after one to three
	if len(whole) >= 1 && len(whole) <= 3 {
		j := i
		for j+3 < len(s) && s[j] == ',' && digit(s[j+1]) && digit(s[j+2]) && digit(s[j+3]) && (j+4 >= len(s) || !digit(s[j+4])) {
			j += 4
		}
		// "0,500" is a decimal comma: no one writes a thousand as 0,500.
		if j > i && whole != "0" {
			whole = strings.ReplaceAll(s[:j], ",", "")
			i = j
		}
	}
	frac := ""
	if i+1 < len(s) && (s[i] == '.' || s[i] == ',' && whole == s[:i] && decimalComma(s[i:])) && digit(s[i+1]) {
		j := i + 1
		for j < len(s) && digit(s[j]) {
			j++
		}
		frac = "." + s[i+1:j]
		i = j
	}
	v, err := strconv.ParseFloat("0"+whole+frac, 64)
	if err != nil {
		v = 0
	}
	return v, i
}

// decimalComma says whether ",d" or ",dd" follows: one or two digits, not a
// list such as "2,3,4".
func decimalComma(s string) bool {
	n := 0
	for 1+n < len(s) && digit(s[1+n]) {
		n++
	}
	if n == 0 {
		return false
	}
	return 1+n >= len(s) || s[1+n] != ','
}

func digit(b byte) bool { return b >= '0' && b <= '9' }
func wordByte(b byte) bool {
	return digit(b) || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}
func letterBefore(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return unicode.IsLetter(r)
}
