package lexical

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Phrase is words that follow one another in a field. Stop words between them do
// not count, nor how words are joined: "beta blocker" is in beta-blockers, and
// "500 mg" in 500mg. Where passages have it is read from their text; DESIGN.md
// says why. Safe for concurrent use.
type Phrase struct {
	a     *Analyzer
	words map[*language][]string
	terms []string
}

// Phrase of a text.
func (a *Analyzer) Phrase(text string) *Phrase {
	p := &Phrase{a: a, words: make(map[*language][]string)}
	for _, l := range []*language{&english, &spanish} {
		s := sequence{a: a, l: l}
		a.run(text, l, &s)
		p.words[l] = s.out
	}
	p.terms = slices.Clone(p.words[&english])
	slices.Sort(p.terms)
	p.terms = slices.Compact(p.terms)
	return p
}

// Words of the phrase that count, in English.
func (p *Phrase) Words() int { return len(p.words[&english]) }

// Terms that a passage in English with the phrase has, each once.
func (p *Phrase) Terms() []string { return p.terms }

// In says whether a field of a passage has the phrase.
func (p *Phrase) In(passage *Passage) bool {
	l := languageOf(passage.Language)
	want := p.words[l]
	if len(want) == 0 {
		return false
	}
	s := sequence{a: p.a, l: l, only: want}
	for _, w := range want {
		s.letters[w[0]] = true
	}
	for f := range fields {
		text := passage.field(f)
		if text == "" {
			continue
		}
		s.out, s.found = s.out[:0], false
		p.a.run(text, l, &s)
		if s.found {
			return true
		}
	}
	return false
}

// sequence is a sink that lists the terms of a text by their words: a dose or a
// word with hyphens gives its parts alone.
type sequence struct {
	a   *Analyzer
	l   *language
	out []string

	// Looking for a phrase, words that can't be of it are not analysed.
	only    []string
	letters [256]bool // that its terms begin with
	found   bool
}

// another word, of which all that matters is that it stands there.
var anotherWord = &word{terms: []string{""}}

func (s *sequence) word(raw string) token {
	// A stem begins as its word does, but for some short ones and units.
	if s.only != nil && len(raw) > 5 && raw[0] < utf8.RuneSelf && !s.letters[raw[0]|0x20] && classes[raw[0]] == letter &&
		notASCII(raw, 0) == len(raw) && strings.IndexByte(raw, '.') < 0 {
		if !s.stop(raw) {
			return anotherWord.token()
		}
	}
	return s.a.newWord(raw, s.l).token()
}

// stop says whether an ASCII word is a stop word.
func (s *sequence) stop(raw string) bool {
	const longest = 16
	if len(raw) > longest {
		return false
	}
	var b [longest]byte
	for i := range len(raw) {
		b[i] = raw[i] | 0x20
	}
	return s.l.stop[string(b[:len(raw)])]
}

func (s *sequence) term(string) {}

func (s *sequence) emit(w token) {
	terms := w.terms
	if len(terms) == 3 && len(terms[0]) == len(terms[1])+len(terms[2]) && strings.HasPrefix(terms[0], terms[1]) {
		terms = terms[1:] // 500mg, 500, mg
	}
	s.out = append(s.out, terms...)
	if s.only == nil || s.found {
		return
	}
	for i := range terms {
		end := len(s.out) - i
		if n := len(s.only); end >= n && s.out[end-1] == s.only[n-1] && slices.Equal(s.out[end-n:end], s.only) {
			s.found = true
		}
	}
}
