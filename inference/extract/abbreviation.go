package extract

import "strings"

// abbreviations finds what texts define in brackets, "medullary thyroid
// carcinoma (MTC)": the words that each short form stands for.
func abbreviations(texts func(yield func(string))) map[string]string {
	m := map[string]string{}
	texts(func(text string) {
		for at := 0; ; {
			i := strings.IndexByte(text[at:], '(')
			if i < 0 {
				return
			}
			open := at + i
			at = open + 1
			end := strings.IndexByte(text[at:min(len(text), at+10)], ')')
			if end < 2 {
				continue
			}
			short := strings.TrimSuffix(text[at:at+end], "s")
			if m[short] != "" || !capitals(short) {
				continue
			}
			if long := spelledOut(text[max(0, open-100):open], short); long != "" {
				m[short] = long
			}
		}
	})
	return m
}

// capitals: two letters or more, most of them capitals.
func capitals(s string) bool {
	upper := 0
	for _, c := range []byte(s) {
		switch {
		case isUpper(c):
			upper++
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-':
		default:
			return false
		}
	}
	return upper >= 2
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// spelledOut are the last words of before whose initials are those of short;
// small words between them may be left out of it.
func spelledOut(before, short string) string {
	words := strings.FieldsFunc(before, func(r rune) bool { return r == ' ' || r == '-' || r == '/' || r == '\n' || r == ',' })
	letters := strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, short))
	k := len(letters) - 1
	for i := len(words) - 1; i >= 0 && k >= 0; i-- {
		w := strings.ToLower(words[i])
		switch {
		case w[0] == letters[k]:
			k--
		case w == "of" || w == "and" || w == "the" || w == "for" || w == "in":
		default:
			return ""
		}
		if k < 0 {
			return strings.Join(words[i:], " ")
		}
	}
	return ""
}

// expand gives text with what its abbreviations stand for after it.
func expand(text string, abbr map[string]string) string {
	if len(abbr) == 0 {
		return text
	}
	var more []string
	for _, w := range strings.FieldsFunc(text, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}) {
		if len(w) >= 2 && isUpper(w[0]) {
			if long := abbr[strings.TrimSuffix(w, "s")]; long != "" {
				more = append(more, long)
			}
		}
	}
	if more == nil {
		return text
	}
	return text + " " + strings.Join(more, " ")
}
