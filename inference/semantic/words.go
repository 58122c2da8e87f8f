package semantic

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
)

// longestWord in bytes; what is longer says nothing.
const longestWord = 64

// stemmer gives the stems of words and remembers them. Not safe for concurrent use.
type stemmer struct {
	env   *snowballstem.Env
	known map[string]string
}

const mostKnown = 1 << 16

func newStemmer() *stemmer {
	return &stemmer{env: snowballstem.NewEnv(""), known: map[string]string{}}
}

// words calls emit with the stem of each word of text, lower-case runs of
// letters and digits.
func (s *stemmer) words(text string, emit func(string)) {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool {
		if r < utf8.RuneSelf {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
		}
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		if len(word) < 2 || len(word) > longestWord {
			continue
		}
		word = strings.ToLower(word)
		stem, ok := s.known[word]
		if !ok {
			word = strings.Clone(word) // not the text it is part of
			s.env.SetCurrent(word)
			english.Stem(s.env)
			stem = s.env.Current()
			if len(s.known) < mostKnown {
				s.known[word] = stem
			}
		}
		emit(stem)
	}
}

// counted stems of a text, in order.
func (s *stemmer) counted(text string, add func(stem string, n int)) {
	var all []string
	s.words(text, func(w string) { all = append(all, w) })
	slices.Sort(all)
	for i := 0; i < len(all); {
		w, n := all[i], 1
		for i++; i < len(all) && all[i] == w; i++ {
			n++
		}
		add(w, n)
	}
}
