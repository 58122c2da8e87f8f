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

// words calls emit with the stem of each word of text.
func (s *stemmer) words(text string, emit func(string)) {
	s.each(text, func(_, stem string) { emit(stem) })
}

// stems of a text's words, in order.
func (s *stemmer) stems(text string) (out []string) {
	s.each(text, func(_, stem string) { out = append(out, stem) })
	return out
}

// each calls emit with each word of text, lower-case runs of letters and digits,
// and its stem.
func (s *stemmer) each(text string, emit func(word, stem string)) {
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
		emit(word, stem)
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

// grammar are words that no text is about.
var grammar = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a about above after again all also am an and any are as at be because been before being below
		between both but by can could did do does doing don down during each few for from further get give go goes going had has have having he
		her here hers him his how if in into is it its just let ll many may me might more most much must my no nor not now of off ok on once one
		only or other our ours out over own please re same shall she should so some such than that the their them then there these they this
		those through to too under until up us use used using ve very was we were what when where which while who whom whose why will with
		without would you your yours`) {
		m[w] = true
	}
	return m
}()
