package lexical

import (
	"strings"

	"github.com/blevesearch/snowballstem"
	stemenglish "github.com/blevesearch/snowballstem/english"
	stemspanish "github.com/blevesearch/snowballstem/spanish"
)

// language is what analysis does differently in each.
type language struct {
	stop map[string]bool
	stem func(folded string) string
	keep string // letters that folding leaves as they are
	dots bool   // 1.000 is a thousand, and 1,5 a half more than one
}

var english = language{
	stop: englishStop,
	stem: func(w string) string {
		if !asciiLetters(w) {
			return w
		}
		env := snowballstem.NewEnv(w)
		stemenglish.Stem(env)
		return env.Current()
	},
}

// In Spanish ñ is a letter of its own (año, ano). Accents are folded as people
// leave them out, and put back where the stemmer looks for them.
var spanish = language{
	stop: spanishStop,
	stem: func(w string) string {
		if greekWords[w] {
			return w
		}
		for i := 0; i < len(w); i++ {
			if (w[i] < 'a' || w[i] > 'z') && !strings.HasPrefix(w[i:], "ñ") && w[i] != "ñ"[1] {
				return w
			}
		}
		if strings.HasSuffix(w, "cion") || strings.HasSuffix(w, "sion") {
			w = w[:len(w)-2] + "ón"
		}
		env := snowballstem.NewEnv(w)
		stemspanish.Stem(env)
		return foldAccents.Replace(env.Current())
	},
	keep: "ñ",
	dots: true,
}

// greekWords are letters spelt out, which Spanish would stem: beta, delta.
var greekWords = func() map[string]bool {
	m := make(map[string]bool)
	for _, n := range greekNames {
		m[n] = true
	}
	return m
}()

var foldAccents = strings.NewReplacer("á", "a", "é", "e", "í", "i", "ó", "o", "ú", "u", "ü", "u")

// languageOf a BCP 47 tag, English where there is none for it.
func languageOf(tag string) *language {
	if len(tag) >= 2 && strings.EqualFold(tag[:2], "es") && (len(tag) == 2 || tag[2] == '-' || tag[2] == '_') {
		return &spanish
	}
	return &english
}

// parseNumber gives the plain form of a number: 2,000 is 2000, 2.50 is 2.5, 0,5
// is 0.5. False where w is no number.
//
// A comma or a point (in languages that group by points) before three digits
// groups them, but not after a 0 that leads: 0,125 and 0.125 are fractions. Any
// other comma is left as it stands: it may be a decimal one (decimalComma), or
// that of 1,3-butadiene.
func (l *language) parseNumber(w string) (string, bool) {
	if w == "" || w[0] < '0' || w[0] > '9' {
		return "", false
	}
	commas, points := 0, 0
	for i := 0; i < len(w); i++ {
		switch c := w[i]; {
		case c == ',':
			commas++
		case c == '.':
			points++
		case c < '0' || c > '9':
			return "", false
		}
	}
	switch {
	case commas > 0 && grouped(w, ",", "."):
		w = strings.ReplaceAll(w, ",", "")
	case l.dots && points > 0 && grouped(w, ".", ","):
		w = strings.Replace(strings.ReplaceAll(w, ".", ""), ",", ".", 1)
	case strings.HasPrefix(w, "0,"):
		if d := decimalComma(w); d != "" {
			return d, true
		}
	}
	return trimZeros(w), true
}

// decimalComma is a number whose only mark is a comma, read as a decimal one; ""
// for any other.
func decimalComma(w string) string {
	if strings.Count(w, ",") != 1 || strings.Contains(w, ".") {
		return ""
	}
	return trimZeros(strings.Replace(w, ",", ".", 1))
}

func trimZeros(w string) string {
	if strings.Count(w, ".") != 1 || strings.Contains(w, ",") {
		return w
	}
	w = strings.TrimRight(strings.TrimRight(w, "0"), ".")
	if w == "" {
		return "0"
	}
	return w
}

// grouped says whether the whole part of a number is written in groups of three
// digits, with at most one decimal mark behind it.
func grouped(w, by, decimal string) bool {
	whole, fraction, _ := strings.Cut(w, decimal)
	if strings.ContainsAny(fraction, ".,") || !strings.Contains(whole, by) {
		return false
	}
	for i, g := range strings.Split(whole, by) {
		if i > 0 && len(g) != 3 || i == 0 && (len(g) > 3 || g == "" || strings.Trim(g, "0") == "") {
			return false
		}
	}
	return true
}

// splitDose splits 500mg into 500 and mg.
func (l *language) splitDose(w string) (number, unit string, ok bool) {
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
	number, ok = l.parseNumber(w[:i])
	if d := decimalComma(number); d != "" {
		number = d
	}
	return number, u, ok
}
