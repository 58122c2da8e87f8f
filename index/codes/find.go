package codes

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Find reads the codes in a text, a question or what a scanner sent, in the
// order of their places. Two may lie at one place, where 12 digits are a UPC-A
// and may be an NDC too. What only looks like a code (a dose, a telephone
// number, a date, a range) is left out, or Weak where the form alone can't tell.
// It never fails, and takes time in proportion to the text.
func Find(text string) []Code {
	if strings.IndexFunc(text, func(r rune) bool { return r >= '0' && r <= '9' || r == '|' }) < 0 {
		return nil
	}
	f := finder{text: text}
	if f.alone() {
		return f.out
	}
	f.marked()
	f.words()
	slices.SortStableFunc(f.out, func(a, b Code) int { return cmp.Compare(a.Start, b.Start) })
	return f.out
}

type finder struct {
	text  string
	out   []Code
	taken []bool // bytes that a code lies on; nil until there is one
}

func (f *finder) add(c Code, start, end int) {
	c.As, c.Start, c.End = f.text[start:end], start, end
	f.out = append(f.out, c)
	if f.taken == nil {
		f.taken = make([]bool, len(f.text))
	}
	for i := start; i < end; i++ {
		f.taken[i] = true
	}
}

func (f *finder) isTaken(i int) bool { return f.taken != nil && f.taken[i] }

// around what stands alone: space, quotes, marks of a sentence, and the
// asterisks of a Code 39 bar code.
const around = " \t\r\n\"'“”‘’«».,;:!?()[]*\x1d"

// alone reads a text that is one code and nothing else: then whatever has the
// form of a code is one, and wrong check digits are worth a word.
func (f *finder) alone() bool {
	s := f.text
	start := 0
	if t := strings.TrimLeft(s, around[:4]); strings.HasPrefix(t, "]") {
		if c, n := symbol(t); c.System == "" { // plain data of another symbology
			start = len(s) - len(t) + n
		} else {
			return false
		}
	}
	s = strings.Trim(s[start:], around)
	if s == "" || len(s) > 64 {
		return false
	}
	start += strings.Index(f.text[start:], s)
	end := start + len(s)
	if p := segments(s, 6); p != nil {
		return f.aloneDigits(s, p, start, end)
	}
	if strings.IndexFunc(s, unicode.IsSpace) >= 0 {
		return false
	}
	if c := readUNII(s); c.System != "" && letters(s) > 0 && len(s)-letters(s) > 0 && (c.Problem == "" || len(s)-letters(s) > 2) {
		f.add(c, start, end)
		return true
	}
	if c := readUUID(s); c.System != "" && strings.ContainsAny(s, "-{:") {
		f.add(c, start, end)
		return true
	}
	return false
}

func (f *finder) aloneDigits(s string, p []string, start, end int) bool {
	if len(p) == 2 && len(p[1]) == 1 {
		if c := readLOINC(s); c.System != "" && (c.Problem == "" && len(p[0]) > 2 || len(p[0]) > 3) {
			f.add(c, start, end)
			return true
		}
		return false
	}
	if len(p) == 2 && len(p[0]) == 4 && p[0][0] != '0' { // years, doses: no labeler
		return false
	}
	c := readNDC(s)
	digits := strings.Join(p, "")
	if len(p) == 1 {
		switch len(digits) {
		case 8, 9: // more often a date
			c.Weak = true
		case 12:
			g := readGTIN(digits)
			c.Weak = digits[0] != '0'
			if digits[0] != '0' || g.Problem == "" {
				f.add(g, start, end)
			}
		}
	}
	if c.System != "" {
		f.add(c, start, end)
		return true
	}
	// Bar codes are printed with their first digit set apart: 3 00931 04801 1.
	if len(digits) > 11 && len(digits) < 15 && (len(p) == 1 || len(p[0]) == 1) {
		f.add(readGTIN(digits), start, end)
		return true
	}
	return false
}

// marked reads what says itself which system it is of: system|code, GS1 strings
// with brackets, symbology identifiers, FNC1 or a GTIN that checks, GS1 Digital
// Links, URNs.
func (f *finder) marked() {
	t := f.text
	for i := 0; i < len(t); i++ {
		if f.isTaken(i) {
			continue
		}
		switch c := t[i]; {
		case c == '|':
			f.bar(i)
		case c == '(':
			if es, n := bracketed(t[i:]); n > 0 {
				if c := fromElements(es); c.System != "" {
					f.add(c, i, i+n)
				}
				i += n - 1 // no part of it is looked at again
			}
		case c == ']':
			if c, n := symbol(t[i:]); c.System != "" {
				f.add(c, i, i+n)
			}
		case c == '0' && strings.HasPrefix(t[i:], "01") && (i == 0 || !wordByte(t[i-1])):
			f.plainGS1(i)
		case c == '/' && strings.HasPrefix(t[i:], "/01/"):
			start, end := f.token(i)
			if c := digitalLink(t[start:end]); c.System != "" && strings.HasPrefix(t[start:end], "http") {
				f.add(c, start, end)
			}
		}
	}
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || c == '-' || c == '.' || c == ','
}

// maxToken is the longest word that is looked at on one side of a '|' or '/'.
const maxToken = 128

// token is the word around i, up to space, quotes or brackets.
func (f *finder) token(i int) (start, end int) {
	stop := func(c byte) bool { return c <= ' ' || strings.IndexByte("\"'<>()[],;", c) >= 0 }
	for start = i; start > 0 && i-start < maxToken && !stop(f.text[start-1]); start-- {
	}
	for end = i; end < len(f.text) && end-i < maxToken && !stop(f.text[end]); end++ {
	}
	return start, end
}

// bar reads system|code as FHIR writes tokens.
func (f *finder) bar(i int) {
	start, end := f.token(i)
	if j := strings.LastIndexByte(f.text[start:i], '|'); j >= 0 {
		start += j + 1
	}
	if j := strings.IndexByte(f.text[i+1:end], '|'); j >= 0 {
		end = i + 1 + j
	}
	sys := System(f.text[start:i])
	if sys == "" {
		return
	}
	value := strings.TrimRight(f.text[i+1:end], ".?!:")
	if value == "" {
		return
	}
	c := read(sys, value)
	if c.System == "" {
		c = Code{System: sys, Value: value, Problem: "this is no code of its system: " + forms[sys]}
	}
	f.add(c, start, i+1+len(value))
}

// plainGS1 reads an element string without brackets or symbology identifier,
// which begins with the GTIN. What follows it must be elements too. Where the
// check digit is wrong it is still one if FNC1 or a date follows.
func (f *finder) plainGS1(i int) {
	s := f.text[i:]
	if len(s) < 16 || !digitsOnly(s[:16]) {
		return
	}
	es, n, ok := elements(s)
	if !ok {
		return
	}
	if n < len(s) { // a bound that is no part of a word
		if r, _ := utf8.DecodeRuneInString(s[n:]); !unicode.IsSpace(r) {
			return
		}
	}
	c := fromElements(es)
	if c.Problem != "" && !strings.Contains(s[:n], "\x1d") && (len(es) < 2 || es[1].ai != "17") {
		return
	}
	if len(es) == 1 && c.Problem == "" && len(c.Readings) == 0 {
		c.Weak = true
	}
	f.add(c, i, i+n)
}

// word is a run of letters, digits and asterisks, with single dashes in it.
type word struct {
	start, end int
	s          string // in lower case, dashes as '-'
	digits     int
	letters    int
}

func (f *finder) split() []word {
	var out []word
	w := word{start: -1}
	odd := false // a dash that is no hyphen is in it
	flush := func() {
		if w.start >= 0 {
			w.s = strings.ToLower(f.text[w.start:w.end])
			if odd {
				w.s = strings.Map(func(r rune) rune {
					if dash(r) {
						return '-'
					}
					return r
				}, w.s)
			}
			out = append(out, w)
		}
		w, odd = word{start: -1}, false
	}
	n := 0
	for i := 0; i < len(f.text); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(f.text[i:])
		switch {
		case f.isTaken(i):
			flush()
			continue
		case r >= '0' && r <= '9':
			w.digits++
		case r == '*':
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			w.letters++
		case w.start >= 0 && dash(r):
			next, _ := utf8.DecodeRuneInString(f.text[i+n:])
			if next != '*' && !unicode.IsLetter(next) && !unicode.IsDigit(next) {
				flush()
				continue
			}
			odd = odd || r != '-'
		default:
			flush()
			continue
		}
		if w.start < 0 {
			w.start = i
		}
		w.end = i + n
	}
	flush()
	return out
}

func letters(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}
