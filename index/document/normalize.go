package document

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// How text is written, whatever it was read from:
//
//   - NFC, not NFKC: m² and 10⁶ keep their superscripts, since 10⁶ is not 106.
//   - Every kind of space (no-break, thin, ideographic, tab) is a space; the
//     line and paragraph separators are line ends.
//   - The Latin ligatures (ﬁ, ﬂ, ﬀ …) are their letters, for search finds no
//     "ﬁbrosis".
//   - What nobody sees is dropped: soft hyphens, zero-width spaces, byte order
//     marks, marks of writing direction, control characters.

// fold maps one rune; -1 drops it.
func fold(r rune) rune {
	switch {
	case r == '\n' || r == ' ':
		return r
	case r < 0x20:
		if r == '\t' || r == '\r' || r == '\f' || r == '\v' {
			return ' '
		}
		return -1
	case r < 0x7f:
		return r
	case r <= 0x9f:
		if r == 0x85 {
			return '\n'
		}
		return -1
	case r == 0x2028 || r == 0x2029:
		return '\n'
	case r == 0xad, r == 0x61c, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r >= 0xfdd0 && r <= 0xfdef, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return -1
	case unicode.Is(unicode.Zs, r):
		return ' '
	}
	return r
}

var ligatures = strings.NewReplacer("ﬀ", "ff", "ﬁ", "fi", "ﬂ", "fl", "ﬃ", "ffi", "ﬄ", "ffl", "ﬅ", "st", "ﬆ", "st")

// clean folds s and leaves its white space otherwise as it is.
func clean(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x7f || c < 0x20 && c != '\n' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(fold, s)
	return norm.NFC.String(ligatures.Replace(s))
}

// oneLine is s, cleaned, on one line: for titles, names and cells.
func oneLine(s string) string {
	w := writer{}
	w.text(strings.Join(strings.Fields(clean(s)), " "))
	return w.String()
}

// superscripts has the raised form of what may stand in a superscript. Only
// digits, signs and single letters are raised: 10⁶, m², Placeboᵃ; a superscript
// that is a word ("th", "®") is written plainly.
var superscripts = map[rune]rune{
	'0': '⁰', '1': '¹', '2': '²', '3': '³', '4': '⁴', '5': '⁵', '6': '⁶', '7': '⁷', '8': '⁸', '9': '⁹',
	'+': '⁺', '-': '⁻', '−': '⁻', '–': '⁻',
	'a': 'ᵃ', 'b': 'ᵇ', 'c': 'ᶜ', 'd': 'ᵈ', 'e': 'ᵉ', 'f': 'ᶠ', 'g': 'ᵍ', 'h': 'ʰ', 'i': 'ⁱ', 'j': 'ʲ', 'k': 'ᵏ', 'l': 'ˡ', 'm': 'ᵐ',
	'n': 'ⁿ', 'o': 'ᵒ', 'p': 'ᵖ', 'r': 'ʳ', 's': 'ˢ', 't': 'ᵗ', 'u': 'ᵘ', 'v': 'ᵛ', 'w': 'ʷ', 'x': 'ˣ', 'y': 'ʸ', 'z': 'ᶻ',
}

func superscript(s string) string {
	if letters := strings.Count(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return 'x'
		}
		return -1
	}, s), "x"); letters > 1 && !markList(s) {
		// A number at its front is raised all the same: 10⁶ cells, never 106 cells.
		n := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsDigit(r) && r != '-' && r != '−' && r != '+' })
		if n <= 0 || !unicode.IsSpace(rune(s[n])) {
			return s
		}
		return superscript(s[:n]) + s[n:]
	}
	out := make([]rune, 0, len(s))
	for _, r := range s {
		up, ok := superscripts[r]
		switch {
		case ok:
			r = up
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			return s
		}
		out = append(out, r)
	}
	return string(out)
}

// markList: letters set apart by commas, such as "a,b": marks of footnotes.
func markList(s string) bool {
	for part := range strings.SplitSeq(s, ",") {
		if n := len([]rune(strings.TrimSpace(part))); n != 1 {
			return false
		}
	}
	return true
}
