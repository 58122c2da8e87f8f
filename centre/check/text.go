package check

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"rxedge/centre/compare"
	"rxedge/index/document"
)

// leastText of a document, in letters, and of each of its pages where it has several: a
// scan without OCR gives page numbers and little else.
const (
	leastText    = 40
	leastPerPage = 50
)

// text checks that there is some, and that its characters are those of the source.
func text(d *document.Document) []Finding {
	var out []Finding
	letters, pages := 0, 0
	for i := range d.Sections {
		s := &d.Sections[i]
		for _, r := range s.Text {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		for _, p := range s.Places {
			pages = max(pages, p.Page)
		}
		if f := damaged(s); f != nil {
			out = append(out, *f)
		}
	}
	switch {
	case letters < leastText && (letters == 0 || !d.Tabular()): // a row of a table is short
		out = append(out, Found(TextMissing, "", fmt.Sprintf("it has %s in all", plural(letters, "letter")), "", ""))
	case pages > 1 && letters < leastPerPage*pages:
		out = append(out, Found(TextMissing, "", fmt.Sprintf("it has %s on %s", plural(letters, "letter"), plural(pages, "page")), "", ""))
	}
	return out
}

func plural(n int, what string) string {
	if n == 1 || strings.HasPrefix(what, "more") {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// damaged finds replacement characters, and UTF-8 that was read as Windows-1252.
func damaged(s *document.Section) *Finding {
	for at, r := range s.Text {
		if r == utf8.RuneError {
			f := Found(TextDamaged, s.ID, fmt.Sprintf("%s lost in this section (U+FFFD)", plural(strings.Count(s.Text, "\uFFFD"), "character")), "", around(s.Text, at))
			return &f
		}
	}
	start := -1
	for at := 0; at <= len(s.Text); {
		r, n := rune(0), 1
		if at < len(s.Text) {
			r, n = utf8.DecodeRuneInString(s.Text[at:])
		}
		switch {
		case r >= utf8.RuneSelf && start < 0:
			start = at
		case r < utf8.RuneSelf && start >= 0:
			if read := misread(s.Text[start:at]); read != "" {
				f := Found(TextDamaged, s.ID, fmt.Sprintf("%q stands where %q was meant: UTF-8 that was read as Windows-1252", s.Text[start:at], read), "", around(s.Text, start))
				return &f
			}
			start = -1
		}
		at += n
	}
	return nil
}

// misread is what a run of characters beyond ASCII is as UTF-8, where its Windows-1252
// bytes are that; "" where they are not. A run of real text hardly ever is: its
// first letter would have to be Â to ô, and a sign, not a letter, to follow.
func misread(run string) string {
	if utf8.RuneCountInString(run) < 2 {
		return ""
	}
	b := make([]byte, 0, len(run))
	for _, r := range run {
		c, ok := charmap.Windows1252.EncodeRune(r)
		if !ok {
			if r < 0x80 || r > 0x9f { // bytes that Windows-1252 leaves open pass as controls
				return ""
			}
			c = byte(r)
		}
		b = append(b, c)
	}
	// The run may hold a real sign beside: look for one whole character in it.
	for i := 0; i < len(b); i++ {
		if r, n := utf8.DecodeRune(b[i:]); n > 1 && r != utf8.RuneError {
			return string(r)
		}
	}
	return ""
}

func around(s string, at int) string {
	from, to := max(0, at-60), min(len(s), at+60)
	for from > 0 && !utf8.RuneStart(s[from]) {
		from--
	}
	for to < len(s) && !utf8.RuneStart(s[to]) {
		to++
	}
	return s[from:to]
}

// stopWords are the commonest function words of languages that labels come in (the
// heads of the Snowball project's lists), without those that English has too. Half of
// a text's words are such words; few are of another language.
var stopWords = map[string][]string{
	"English":    strings.Fields("the of and to in is for with that be or are by on not as this at from it was have has which if been when may should these who can were their"),
	"Spanish":    strings.Fields("de la que el en y los del se las por un para con una su al lo como más pero sus le ya este sí porque esta entre cuando muy sin sobre también hasta"),
	"French":     strings.Fields("de la le les des et du un une que qui dans en est pour pas sur au par avec ce se sont ou plus ne il être aux vous cette à ces chez"),
	"German":     strings.Fields("der die und den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer oder"),
	"Portuguese": strings.Fields("de que do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou quando muito nos já eu também"),
	"Italian":    strings.Fields("di che la il un del una in per non sono da con si al le dei della nel è gli alla più anche come ma lo delle essere questo ha"),
	"Dutch":      strings.Fields("de het een van en dat te die niet op aan met er om dan zijn maar bij ook uit wordt voor of naar heeft hebben deze kan worden"),
}

// others are the languages but English, and inLanguages the bits of those that have a word,
// English's first.
var others, inLanguages = func() ([]string, map[string]uint) {
	ls, m := []string{}, map[string]uint{}
	for lang := range stopWords {
		if lang != "English" {
			ls = append(ls, lang)
		}
	}
	slices.Sort(ls)
	for i, lang := range append([]string{"English"}, ls...) {
		for _, w := range stopWords[lang] {
			m[w] |= 1 << i
		}
	}
	return ls, m
}()

const (
	leastWords = 40   // of a text that is looked at
	leastShare = 0.08 // of words of another language
	foreign    = 0.5  // of letters that are not Latin
)

// languageOf a text and the share of its words that say so; "" where it is English, or
// nothing can be said.
func languageOf(texts ...string) (lang string, share float64) {
	n, latin, other := 0, 0, 0
	hits := make([]int, len(stopWords))
	for _, t := range texts {
		for w := range strings.FieldsFuncSeq(strings.ToLower(t), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
			n++
			for is, i := inLanguages[w], 0; is > 0; is, i = is>>1, i+1 {
				hits[i] += int(is & 1)
			}
			for _, r := range w {
				if unicode.Is(unicode.Latin, r) || r < utf8.RuneSelf || unicode.Is(unicode.Common, r) {
					latin++
				} else {
					other++
				}
			}
		}
	}
	if latin+other >= leastWords && float64(other) > foreign*float64(latin+other) {
		return "a script that is not Latin", float64(other) / float64(latin+other)
	}
	if n < leastWords {
		return "", 0
	}
	best := 1
	for i := range hits[1:] {
		if hits[1+i] > hits[best] {
			best = 1 + i
		}
	}
	if share = float64(hits[best]) / float64(n); share < leastShare || 2*hits[best] < 3*hits[0] {
		return "", 0
	}
	return others[best-1], share
}

func language(d *document.Document) []Finding {
	var texts []string
	for i := range d.Sections {
		texts = append(texts, d.Sections[i].Text)
	}
	if lang, share := languageOf(texts...); lang != "" {
		return []Finding{Found(TextOtherLanguage, "", fmt.Sprintf("it looks to be in %s: so say %.0f %% of it", lang, 100*share), "", first(texts))}
	}
	var out []Finding
	for i := range d.Sections {
		s := &d.Sections[i]
		if lang, share := languageOf(s.Text); lang != "" {
			f := Found(SectionOtherLanguage, s.ID, fmt.Sprintf("the section %q looks to be in %s: so say %.0f %% of it", s.Title, lang, 100*share), "", s.Text)
			if compare.ClassOf(s).Critical() {
				f.Severity = Quarantine
			}
			out = append(out, f)
		}
	}
	return out
}

func first(ts []string) string {
	for _, t := range ts {
		if t != "" {
			return t
		}
	}
	return ""
}
