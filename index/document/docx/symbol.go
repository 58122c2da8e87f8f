package docx

import "strings"

// greek are the letters of the Symbol font from A to Z, then from a to z (Adobe,
// Symbol encoding). Those that stand for no letter are the symbols of the font.
const (
	greekUpper = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ"
	greekLower = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ"
)

// symbols of the Symbol font above its letters, by code.
var symbols = map[byte]rune{
	0x22: '∀', 0x24: '∃', 0x27: '∋', 0x2a: '∗', 0x2d: '−', 0x40: '≅', 0x5c: '∴', 0x5e: '⊥', 0x7e: '∼',
	0xa0: '€', 0xa1: 'ϒ', 0xa2: '′', 0xa3: '≤', 0xa4: '⁄', 0xa5: '∞', 0xa6: 'ƒ', 0xa7: '♣', 0xa8: '♦', 0xa9: '♥', 0xaa: '♠',
	0xab: '↔', 0xac: '←', 0xad: '↑', 0xae: '→', 0xaf: '↓', 0xb0: '°', 0xb1: '±', 0xb2: '″', 0xb3: '≥', 0xb4: '×', 0xb5: '∝',
	0xb6: '∂', 0xb7: '•', 0xb8: '÷', 0xb9: '≠', 0xba: '≡', 0xbb: '≈', 0xbc: '…', 0xbf: '↵', 0xc0: 'ℵ', 0xc4: '⊗', 0xc5: '⊕',
	0xc6: '∅', 0xc7: '∩', 0xc8: '∪', 0xc9: '⊃', 0xca: '⊇', 0xcb: '⊄', 0xcc: '⊂', 0xcd: '⊆', 0xce: '∈', 0xcf: '∉', 0xd0: '∠',
	0xd1: '∇', 0xd2: '®', 0xd3: '©', 0xd4: '™', 0xd5: '∏', 0xd6: '√', 0xd7: '⋅', 0xd8: '¬', 0xd9: '∧', 0xda: '∨', 0xdb: '⇔',
	0xdc: '⇐', 0xdd: '⇑', 0xde: '⇒', 0xdf: '⇓', 0xe0: '◊', 0xe2: '®', 0xe3: '©', 0xe4: '™', 0xe5: '∑', 0xf2: '∫',
}

// dingbats are what documents use of the Wingdings font.
var dingbats = map[byte]rune{
	0x6c: '●', 0x6e: '■', 0x6f: '□', 0x71: '❑', 0x73: '⬧', 0x75: '◆', 0x76: '❖', 0x77: '⬥', 0x9f: '•', 0xa0: '▫', 0xa1: '○', 0xa7: '▪', 0xa8: '◻',
	0xd8: '➢', 0xdf: '←', 0xe0: '→', 0xe1: '↑', 0xe2: '↓', 0xe8: '➔', 0xef: '⇦', 0xf0: '⇨', 0xf1: '⇧', 0xf2: '⇩', 0xfb: '✗', 0xfc: '✓', 0xfd: '☒', 0xfe: '☑',
}

// unknown stands for a character of a font whose picture is not known.
const unknown = '\uFFFD'

// symbol is what a font of symbols shows for a code; codes from U+F000 are the
// font's own, 0x100 lower.
func symbol(font string, code rune) rune {
	if code >= 0xf000 && code <= 0xf0ff {
		code -= 0xf000
	}
	if code > 0xff {
		return code
	}
	c := byte(code)
	switch f := strings.ToLower(font); {
	case f == "symbol":
		switch {
		case c >= 'A' && c <= 'Z':
			return []rune(greekUpper)[c-'A']
		case c >= 'a' && c <= 'z':
			return []rune(greekLower)[c-'a']
		}
		if r, ok := symbols[c]; ok {
			return r
		}
		if c >= 0x20 && c < 0x7f {
			return rune(c)
		}
		return unknown
	case strings.HasPrefix(f, "wingdings"), strings.HasPrefix(f, "webdings"):
		if r, ok := dingbats[c]; ok && f == "wingdings" {
			return r
		}
		if c == ' ' {
			return ' '
		}
		return unknown
	}
	return code
}

// shown is a run's text as its font shows it.
func shown(font, s string) string {
	f := strings.ToLower(font)
	special := f == "symbol" || strings.HasPrefix(f, "wingdings") || strings.HasPrefix(f, "webdings")
	if !special && strings.IndexFunc(s, private) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case special && (r <= 0xff || private(r)):
			return symbol(font, r)
		case private(r):
			if r == 0xf0b7 || r == 0xf0a7 {
				return '•'
			}
			return unknown // its font is not named
		}
		return r
	}, s)
}

func private(r rune) bool { return r >= 0xf020 && r <= 0xf0ff }
