package lexical

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Phrase is words that follow one another in a field. Stop words between them do
// not count, nor how words are joined: "beta blocker" is in beta-blockers, and
// "500 mg" in 500mg. Where passages have it is read from their text; DESIGN.md
// says why. Not safe for concurrent use.
type Phrase struct {
	a     *Analyzer
	words map[*language][]string
	terms []string
	pair  pair                    // of its English words; zero where it has none
	read  map[*language]*sequence // that look for it
}

// Phrase of a text.
func (a *Analyzer) Phrase(text string) *Phrase {
	p := &Phrase{a: a, words: make(map[*language][]string), read: make(map[*language]*sequence)}
	for _, l := range []*language{&english, &spanish} {
		s := sequence{a: a, l: l}
		a.run(text, l, &s)
		p.words[l] = s.out
	}
	p.pair = pairOf(p.words[&english])
	p.terms = slices.Clone(p.words[&english])
	slices.Sort(p.terms)
	p.terms = slices.Compact(p.terms)
	return p
}

// Words of the phrase that count, in English.
func (p *Phrase) Words() int { return len(p.words[&english]) }

// Terms that a passage in English with the phrase has, each once.
func (p *Phrase) Terms() []string { return p.terms }

// In says whether a field of a passage has the phrase. The passage's texts are read
// until the next one is asked for.
func (p *Phrase) In(passage *Passage) bool {
	l := languageOf(passage.Language)
	want := p.words[l]
	if len(want) == 0 {
		return false
	}
	s := p.read[l]
	if s == nil {
		s = &sequence{a: p.a, l: l, only: want, known: new([knownWords]knownWord), letters: new([256]bool)}
		for _, w := range want {
			s.letters[w[0]] = true
		}
		p.read[l] = s
	}
	for f := range fields {
		text := passage.field(f)
		if text == "" || l == &english && !p.pair.maybeIn(text) {
			continue
		}
		s.out, s.found = s.out[:0], false
		p.a.run(text, l, s)
		if s.found {
			return true
		}
	}
	return false
}

// pair is two words of a phrase that follow one another: the beginnings that any
// word has that gives them. Most passages that have all words of a phrase have no
// such pair, and need not be analysed.
type pair struct{ first, second string }

// cutFromStem letters, at the end of a stem, may be others than the word has.
const cutFromStem = 2

// pairOf the longest two neighbours that plain words give.
func pairOf(words []string) (p pair) {
	plain := func(w string) bool {
		return len(w) >= 4 && asciiLetters(w) && !unitTerms[w]
	}
	for i := 1; i < len(words); i++ {
		one, other := words[i-1], words[i]
		if plain(one) && plain(other) && len(one)+len(other)-2*cutFromStem > len(p.first)+len(p.second) {
			p = pair{one[:len(one)-cutFromStem], other[:len(other)-cutFromStem]}
		}
	}
	return p
}

// unitTerms are what is indexed of a unit, however it is spelt.
var unitTerms = func() map[string]bool {
	m := make(map[string]bool)
	for _, u := range units {
		m[u] = true
	}
	return m
}()

// maybeIn is false only where an English text can't have the pair. Words with other
// than ASCII letters in them may be anything.
func (p *pair) maybeIn(text string) bool {
	if p.first == "" {
		return true
	}
	before := false // the last word that is no stop word may be the first
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf && classes[c] != letter && classes[c] != digit && classes[c] != underscore {
			i++
			continue
		}
		start, plain := i, true
		for i < len(text) {
			c = text[i]
			if c|0x20-'a' < 26 {
				i++
				continue
			}
			if c < utf8.RuneSelf {
				switch classes[c] {
				case digit, underscore:
				case midLetter, midNumber, midBoth:
					if i+1 == len(text) || text[i+1] < utf8.RuneSelf && classes[text[i+1]] != letter && classes[text[i+1]] != digit && classes[text[i+1]] != underscore {
						c = ' '
					}
				default:
					c = ' '
				}
				if c == ' ' {
					break
				}
			}
			plain = false
			i++
		}
		word := text[start:i]
		switch {
		case !plain:
			if before || len(word) > len(p.first)+len(p.second) { // it may be both
				return true
			}
			before = true
		case before && beginsWith(word, p.second):
			return true
		case beginsWith(word, p.first):
			before = true
		case before && !isStop(word, &english):
			before = false
		}
	}
	return false
}

// beginsWith says whether an ASCII word begins with lower-case letters, in either
// case.
func beginsWith(word, prefix string) bool {
	if len(word) < len(prefix) || word[0]|0x20 != prefix[0] {
		return false
	}
	for i := 1; i < len(prefix); i++ {
		if word[i]|0x20 != prefix[i] {
			return false
		}
	}
	return true
}

// sequence is a sink that lists the terms of a text by their words: a dose or a
// word with hyphens gives its parts alone.
type sequence struct {
	a   *Analyzer
	l   *language
	out []string

	// Looking for a phrase, words that can't be of it are not analysed.
	only    []string
	letters *[256]bool // that its terms begin with
	known   *[knownWords]knownWord
	found   bool
}

// knownWords of the texts are remembered while a phrase is looked for.
const knownWords = 1 << 12

type knownWord struct {
	raw string
	w   *word
}

// another word, of which all that matters is that it stands there.
var anotherWord = &word{terms: []string{""}}

func (s *sequence) word(raw string) token {
	// A stem begins as its word does, but for some short ones and units.
	if s.only != nil && len(raw) > 5 && raw[0] < utf8.RuneSelf && !s.letters[raw[0]|0x20] && classes[raw[0]] == letter &&
		notASCII(raw, 0) == len(raw) && strings.IndexByte(raw, '.') < 0 {
		if !isStop(raw, s.l) {
			return anotherWord.token()
		}
	}
	if s.known == nil {
		return s.a.newWord(raw, s.l).token()
	}
	k := &s.known[xxhash.Sum64String(raw)%knownWords]
	if k.w == nil || k.raw != raw {
		*k = knownWord{strings.Clone(raw), nil} // the text may be gone before it is asked for again
		k.w = s.a.newWord(k.raw, s.l)
	}
	return k.w.token()
}

// isStop says whether an ASCII word is a stop word.
func isStop(raw string, l *language) bool {
	const longest = 16
	if len(raw) > longest {
		return false
	}
	var b [longest]byte
	for i := range len(raw) {
		b[i] = raw[i] | 0x20
	}
	return l.stop[string(b[:len(raw)])]
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
