// Package lexical turns text into terms and finds passages by them: BM25 over
// delta-coded postings that are searched as they lie, without being unpacked.
// It touches no disk. DESIGN.md says what was tried and why it is as it is.
package lexical

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
	"github.com/clipperhouse/uax29/v2/words"
	"golang.org/x/text/unicode/norm"
)

// Version of the analyser and of the segments; change it with any change of Terms
// or of what Builder writes. An index made by
// another version is to be built again.
const Version = "en-2"

// Analyzer turns text into terms: Unicode words (UAX 29), case, accents and
// apostrophes folded, stop words left out, English stems (Porter 2) of all but
// names of medicines. Beside their parts, hyphenated words ("beta-blocker":
// betablocker, beta, blocker) and numbers with units ("500 mg": 500, mg, 500mg)
// are terms as a whole, so that each spelling meets the others. Safe for
// concurrent use.
type Analyzer struct {
	names map[string]struct{}
}

// NewAnalyzer makes an analyser that knows the words of these names and does
// not stem them.
func NewAnalyzer(names []string) *Analyzer {
	a := &Analyzer{names: make(map[string]struct{})}
	for _, w := range NameWords(names) {
		a.names[w] = struct{}{}
	}
	return a
}

// NameWords gives the words of names that an analyser protects, folded: those
// of four letters and more that are not words for a form, a salt or a strength.
func NameWords(names []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, n := range names {
		it := words.FromString(n)
		for it.Next() {
			w := fold(it.Value())
			if len(w) < 4 || seen[w] || genericWords[w] || stopWords[w] || !asciiLetters(w) {
				continue
			}
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// Terms of a text, in order, repeated as often as they occur.
func (a *Analyzer) Terms(text string) []string {
	return a.appendTerms(nil, text, nil)
}

// maxTerm is the longest term in bytes; what is longer (a DNA sequence, binary
// noise) is cut, so that one hostile word cannot fill the dictionary.
const maxTerm = 64

// token is a word of the text or a mark between words.
type token struct {
	text       string // folded; "" for a mark or space
	raw        string
	start, end int
	word       bool
}

// appendTerms is Terms with a cache of stems, which may be nil.
func (a *Analyzer) appendTerms(dst []string, text string, stems map[string]string) []string {
	var (
		chain []token // words joined by hyphens, the last one still open
		last  token   // the token before this one
	)
	emitChain := func() {
		dst = a.appendChain(dst, chain, stems)
		chain = chain[:0]
	}
	it := words.FromString(text)
	hyphen := false    // the token before was a hyphen right after a word
	decimal := false   // the token before was a point with space before it
	var number string  // the number just emitted, which waits for a unit
	numberEnd := -1    // and where it ended
	spaceOnly := false // nothing but space since the number
	for it.Next() {
		v := it.Value()
		start := it.Start()
		end := it.End()
		r, _ := utf8.DecodeRuneInString(v)
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			switch {
			case len(chain) > 0 && isHyphen(v) && last.word:
				hyphen = true
			case v == "%" && number != "" && numberEnd >= 0:
				emitChain()
				dst = append(dst, number+"%")
				number = ""
			case isSpace(v) && number != "" && end-numberEnd <= 2:
				spaceOnly = true
				emitChain()
				hyphen = false
			default:
				emitChain()
				hyphen = false
				number = ""
			}
			decimal = v == "." && (start == 0 || isSpace(last.raw))
			last = token{raw: v, start: start, end: end}
			continue
		}
		t := token{text: fold(v), raw: v, start: start, end: end, word: true}
		if !hyphen {
			emitChain()
		}
		hyphen = false
		if decimal && allDigits(t.text) {
			t.text = "0." + t.text
		}
		decimal = false
		if number != "" && (spaceOnly || last.word) && end-start <= 12 {
			if u, ok := units[t.text]; ok {
				t.text = u
				dst = append(dst, number+u)
			}
		}
		number, spaceOnly = "", false
		if n, ok := parseNumber(t.text); ok {
			t.text = n
			number, numberEnd = n, end
		}
		chain = append(chain, t)
		last = t
	}
	emitChain()
	return dst
}

// appendChain emits the words of a chain joined by hyphens, mostly a chain of one.
func (a *Analyzer) appendChain(dst []string, chain []token, stems map[string]string) []string {
	if len(chain) == 0 {
		return dst
	}
	if len(chain) > 1 && len(chain) <= 4 {
		digits := 0
		var b strings.Builder
		for _, t := range chain {
			if allDigits(t.text) {
				digits++
			}
			b.WriteString(t.text)
		}
		// 30-45 is a range; 0074-3799-02 is a code.
		if whole := b.String(); (digits < len(chain) || digits > 2) && len(whole) <= maxTerm {
			dst = append(dst, a.stem(whole, stems))
		}
	}
	for _, t := range chain {
		dst = a.appendWord(dst, t.text, stems)
	}
	return dst
}

// appendWord emits one folded word.
func (a *Analyzer) appendWord(dst []string, w string, stems map[string]string) []string {
	if w == "" || stopWords[w] {
		return dst
	}
	if strings.IndexByte(w, '.') > 0 && !allNumber(w) {
		// "e.g" and "u.s.a" are letters with points; "dose.The" lacks a space.
		parts := strings.Split(w, ".")
		single := true
		for _, p := range parts {
			single = single && len(p) <= 1
		}
		if single {
			return a.appendWord(dst, strings.Join(parts, ""), stems)
		}
		for _, p := range parts {
			dst = a.appendWord(dst, p, stems)
		}
		return dst
	}
	if n, u, ok := splitDose(w); ok { // 500mg
		return append(dst, n+u, n, u)
	}
	return append(dst, a.stem(w, stems))
}

func (a *Analyzer) stem(w string, stems map[string]string) string {
	if len(w) > maxTerm {
		cut := maxTerm
		for !utf8.RuneStart(w[cut]) {
			cut--
		}
		w = w[:cut]
	}
	if len(w) < 3 || !asciiLetters(w) {
		return w
	}
	if _, ok := a.names[w]; ok {
		return w
	}
	if s, ok := stems[w]; ok {
		return s
	}
	env := snowballstem.NewEnv(w)
	english.Stem(env)
	s := env.Current()
	if stems != nil {
		w = strings.Clone(w)
		stems[w] = s
	}
	return s
}

// fold lowers case, strips accents and apostrophes, spells Greek letters out.
func fold(w string) string {
	ascii := true
	upper := false
	mark := false
	for i := 0; i < len(w); i++ {
		c := w[i]
		ascii = ascii && c < utf8.RuneSelf
		upper = upper || 'A' <= c && c <= 'Z'
		mark = mark || c == '\'' || c == '_'
	}
	if ascii && !mark {
		if upper {
			return strings.ToLower(w)
		}
		return w
	}
	if !ascii {
		w = foldUnicode(w)
	} else {
		w = strings.ToLower(w)
	}
	w = strings.TrimSuffix(w, "'s")
	if strings.ContainsAny(w, "'_") {
		w = strings.NewReplacer("'", "", "_", "").Replace(w)
	}
	return w
}

func foldUnicode(w string) string {
	w = strings.ToLower(norm.NFKD.String(strings.ReplaceAll(w, "’", "'")))
	switch w {
	case "μg": // NFKD makes the micro sign the Greek letter
		return "mcg"
	case "μl":
		return "mcl"
	case "μm", "μmol":
		return "mc" + strings.TrimPrefix(w, "μ")
	}
	letters, greek := 0, 0
	for _, r := range w {
		if unicode.IsLetter(r) {
			letters++
			if _, ok := greekNames[r]; ok {
				greek++
			}
		}
	}
	spell := greek > 0 && (greek < letters || letters == 1) // a word in Greek stays Greek
	var b strings.Builder
	b.Grow(len(w))
	for _, r := range w {
		switch name, ok := greekNames[r]; {
		case unicode.Is(unicode.Mn, r):
		case r == '‘' || r == 'ʼ' || r == '＇':
			b.WriteByte('\'')
		case r == 'ø':
			b.WriteByte('o')
		case r == 'ß':
			b.WriteString("ss")
		case r == 'æ':
			b.WriteString("ae")
		case r == 'œ':
			b.WriteString("oe")
		case ok && spell:
			b.WriteString(name)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// parseNumber normalises a number: 2,000 is 2000, 2.50 is 2.5. False where w is
// no plain number.
func parseNumber(w string) (string, bool) {
	if w == "" || w[0] < '0' || w[0] > '9' {
		return "", false
	}
	for i := 0; i < len(w); i++ {
		if c := w[i]; (c < '0' || c > '9') && c != '.' && c != ',' {
			return "", false
		}
	}
	if strings.IndexByte(w, ',') > 0 {
		whole, _, _ := strings.Cut(w, ".")
		for i, g := range strings.Split(whole, ",") {
			if i > 0 && len(g) != 3 || i == 0 && len(g) > 3 {
				return w, true // a list or a decimal comma: as it stands
			}
		}
		w = strings.ReplaceAll(w, ",", "")
	}
	if strings.Count(w, ".") == 1 {
		w = strings.TrimRight(strings.TrimRight(w, "0"), ".")
		if w == "" {
			w = "0"
		}
	}
	return w, true
}

// splitDose splits 500mg into 500 and mg.
func splitDose(w string) (number, unit string, ok bool) {
	i := 0
	for i < len(w) && (w[i] >= '0' && w[i] <= '9' || w[i] == '.' || w[i] == ',') {
		i++
	}
	if i == 0 || i == len(w) {
		return "", "", false
	}
	u, known := units[w[i:]]
	if !known {
		return "", "", false
	}
	n, ok := parseNumber(w[:i])
	return n, u, ok
}

func isHyphen(s string) bool {
	return s == "-" || s == "‐" || s == "‑" || s == "\u00ad" || s == "−"
}

func isSpace(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsSpace(r)
}

func asciiLetters(w string) bool {
	for i := 0; i < len(w); i++ {
		if w[i] < 'a' || w[i] > 'z' {
			return false
		}
	}
	return w != ""
}

func allDigits(w string) bool {
	for i := 0; i < len(w); i++ {
		if w[i] < '0' || w[i] > '9' {
			return false
		}
	}
	return w != ""
}

func allNumber(w string) bool {
	for i := 0; i < len(w); i++ {
		if (w[i] < '0' || w[i] > '9') && w[i] != '.' && w[i] != ',' {
			return false
		}
	}
	return w != ""
}
