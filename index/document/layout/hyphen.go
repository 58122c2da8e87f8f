package layout

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// joint is what stands between two lines of one text: a space, nothing after a
// dash, or the mark of a word that may be broken.
func joint(a, b string) string {
	if from, ok := strings.CutSuffix(a, "–"); ok { // "20–" "40 mg"
		before, _ := utf8.DecodeLastRuneInString(from)
		after, _ := utf8.DecodeRuneInString(b)
		if unicode.IsDigit(before) && unicode.IsDigit(after) {
			return ""
		}
	}
	if !strings.HasSuffix(a, "-") && !strings.HasSuffix(a, "\u2010") {
		if strings.HasSuffix(a, "/") && len(a) > 1 && a[len(a)-2] != ' ' {
			return ""
		}
		return " "
	}
	before, _ := utf8.DecodeLastRuneInString(strings.TrimRight(a, "-\u2010"))
	after, _ := utf8.DecodeRuneInString(b)
	if strings.HasSuffix(a, " -") || strings.HasSuffix(a, "--") || !(unicode.IsLetter(before) || unicode.IsDigit(before)) {
		return " "
	}
	if unicode.IsLetter(before) && unicode.IsLower(after) {
		return string(wordBreak)
	}
	return "" // "10-" "20 mg", "Stevens-" "Johnson"
}

// vocabulary counts the words that stand whole in a document.
type vocabulary map[string]int

const maxVocabulary = 200_000

func (v vocabulary) add(text string) {
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return !unicode.IsLetter(r) && r != '-' && r != wordBreak
	}) {
		if strings.ContainsRune(w, wordBreak) || strings.HasSuffix(w, "-") || len(v) > maxVocabulary {
			continue
		}
		w = strings.ToLower(strings.Trim(w, "-"))
		v[w]++
		if a, b, ok := strings.Cut(w, "-"); ok {
			v[a]++
			v[b]++
		}
	}
}

// lines adds the words of lines but for those that may be halves of a word.
func (v vocabulary) lines(lines []*Line) {
	broken := false
	for _, l := range lines {
		text := l.Text
		if broken {
			_, text = firstWord(text)
		}
		broken = strings.HasSuffix(l.Text, "-")
		v.add(text)
	}
}

// mend decides at each broken word whether the hyphen belongs to it: it stays
// where the document writes the word so elsewhere, or where both halves are words
// and the whole is none.
func (v vocabulary) mend(text string) string {
	if !strings.ContainsRune(text, wordBreak) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.IndexRune(text, wordBreak)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		head, tail := text[:i], text[i+utf8.RuneLen(wordBreak):]
		bare := strings.TrimRight(head, "-\u2010")
		left := bare
		if j := strings.LastIndexFunc(bare, func(r rune) bool { return !unicode.IsLetter(r) }); j >= 0 {
			_, n := utf8.DecodeRuneInString(bare[j:])
			left = bare[j+n:]
		}
		right := tail
		if j := strings.IndexFunc(tail, func(r rune) bool { return !unicode.IsLetter(r) }); j >= 0 {
			right = tail[:j]
		}
		capitals := len(left) > 1 && left == strings.ToUpper(left)
		if capitals || v.keeps(strings.ToLower(left), strings.ToLower(right)) {
			b.WriteString(bare + "-")
		} else {
			b.WriteString(bare)
		}
		text = tail
	}
}

func (v vocabulary) keeps(a, b string) bool {
	whole, hyphened := v[a+b], v[a+"-"+b]
	switch {
	case hyphened != whole:
		return hyphened > whole
	case whole > 0:
		return false
	}
	return len(a) >= 4 && len(b) >= 4 && v[a] > 0 && v[b] > 0
}
