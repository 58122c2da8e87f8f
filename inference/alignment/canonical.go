// Package alignment compares a claim with the text that it is said to rest on,
// word by word and number by number. It says how much of the claim stands there,
// and whether something was put in another's place: a number, a denial, a limit, a
// medicine. What is replaced shows, because all around it still stands as it was.
package alignment

import (
	_ "embed"
	"regexp"
	"strings"
	"sync"
)

//go:embed synonyms.tsv
var synonymsFile string

// phrases by their first word, longest first.
type phrase struct {
	words []string
	to    string
}

var phrases = sync.OnceValue(func() map[string][]phrase {
	m := map[string][]phrase{}
	for line := range strings.SplitSeq(synonymsFile, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		ways := strings.Split(line, "\t")
		if strings.Contains(ways[0], " ") {
			ways = append(ways, ways[0]) // it stays as it is: a part of it may be a way of saying it
		}
		for _, w := range ways[1:] {
			ws := strings.Fields(w)
			known := false
			for _, p := range m[ws[0]] {
				known = known || strings.Join(p.words, " ") == w
			}
			if !known { // what stands first in the file is meant
				m[ws[0]] = append(m[ws[0]], phrase{ws, ways[0]})
			}
		}
	}
	for _, ps := range m {
		for i := 1; i < len(ps); i++ {
			for k := i; k > 0 && len(ps[k].words) > len(ps[k-1].words); k-- {
				ps[k], ps[k-1] = ps[k-1], ps[k]
			}
		}
	}
	return m
})

// opening words say who says it, and nothing of what is said.
var opening = regexp.MustCompile(`(?i)^(?:according to (?:the |its |their )?(?:label|labels|labeling|labelling|documents?|passages?|prescribing information)(?:,| that)? |` +
	`(?:the |its )?(?:label|labeling|labelling|prescribing information|passages?|documents?) (?:says?|states?|notes?|advises?|warns?)(?: that)?,? |` +
	`(?:please )?note that |based on the (?:label|passages?|documents?),? |it is important to note that |in short, |in summary, )`)

// Canonical puts one way of saying something in the place of its others, and
// leaves out opening words that only name the label. Both sides of a comparison
// are made canonical; the result is for comparing, not for reading.
func Canonical(s string) string {
	if m := opening.FindString(s); m != "" && len(s) > len(m) {
		s = s[len(m):]
	}
	words, gaps := cut(s)
	ps := phrases()
	var b strings.Builder
	for i := 0; i < len(words); {
		b.WriteString(gaps[i])
		took := 0
		for _, p := range ps[strings.ToLower(words[i])] {
			if begins(words[i:], gaps[i:], p.words) {
				b.WriteString(p.to)
				took = len(p.words)
				break
			}
		}
		if took == 0 {
			b.WriteString(words[i])
			took = 1
		}
		i += took
	}
	b.WriteString(gaps[len(words)])
	return b.String()
}

func begins(words, gaps []string, phrase []string) bool {
	if len(words) < len(phrase) {
		return false
	}
	for k, w := range phrase {
		if !strings.EqualFold(words[k], w) || k > 0 && gaps[k] != " " {
			return false
		}
	}
	return true
}

// cut gives the words of a text and what stands before each and behind the last.
func cut(s string) (words, gaps []string) {
	at := 0
	for i := 0; i < len(s); {
		if !wordByte(s[i]) {
			i++
			continue
		}
		j := i
		for j < len(s) && (wordByte(s[j]) || (s[j] == '\'' || s[j] == '-') && j+1 < len(s) && wordByte(s[j+1]) && s[j+1] > '9' && s[i] > '9') {
			j++
		}
		words, gaps = append(words, s[i:j]), append(gaps, s[at:i])
		i, at = j, j
	}
	return words, append(gaps, s[at:])
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}
