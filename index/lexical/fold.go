package lexical

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold lowers case, strips accents and apostrophes, spells Greek letters out.
func fold(w string, l *language) string {
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
		w = foldUnicode(w, l)
	} else {
		w = strings.ToLower(w)
	}
	w = strings.TrimSuffix(w, "'s")
	if strings.ContainsAny(w, "'_") {
		w = strings.NewReplacer("'", "", "_", "").Replace(w)
	}
	return w
}

func foldUnicode(w string, l *language) string {
	w = strings.ReplaceAll(w, "’", "'")
	if l.keep == "" {
		return foldMarks(strings.ToLower(norm.NFKD.String(w)))
	}
	w = strings.ToLower(norm.NFKC.String(w))
	var b strings.Builder
	for w != "" {
		i := strings.IndexAny(w, l.keep)
		if i < 0 {
			i = len(w)
		}
		b.WriteString(foldMarks(w[:i]))
		_, n := utf8.DecodeRuneInString(w[i:])
		b.WriteString(w[i : i+n])
		w = w[i+n:]
	}
	return b.String()
}

// foldMarks folds what is in lower case.
func foldMarks(w string) string {
	w = norm.NFKD.String(w)
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

// startsWord says whether a token that begins with no ASCII is a word.
func startsWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r) || unicode.IsNumber(r)
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
