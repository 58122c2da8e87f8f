// Package lexical turns text into terms and finds passages by them: BM25F over
// immutable segments whose blocks of postings are searched as they lie. It
// touches no disk. DESIGN.md says what was tried and why it is as it is.
package lexical

import (
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/clipperhouse/uax29/v2/words"
)

// Version of the analyser and of the segments; change it with any change of
// Terms or of what Builder writes. An index made by another version is to be
// built again.
const Version = "en-es-3"

// Analyzer turns text into terms: Unicode words (UAX 29), case, accents and
// apostrophes folded, stop words left out, Snowball stems of all but names of
// medicines. Beside their parts, hyphenated words ("beta-blocker": betablocker,
// beta, blocker) and numbers with units ("500 mg": 500, mg, 500mg) are terms as
// a whole, so that each spelling meets the others. Stop words and stems are
// those of the language. Safe for concurrent use.
type Analyzer struct {
	names map[string]struct{}
	// recent words of questions, by hash: each is asked for several times in one
	// question, and many in the next.
	recent [recentWords]atomic.Pointer[recentWord]
}

const recentWords = 1 << 12

type recentWord struct {
	raw string
	l   *language
	w   *word
}

// NewAnalyzer makes an analyser that knows the words of these names and does
// not stem them.
func NewAnalyzer(names []string) *Analyzer {
	a := &Analyzer{names: make(map[string]struct{})}
	for _, w := range NameWords(names) {
		a.names[w] = struct{}{}
	}
	return a
}

// NameWords gives the words of names that an analyser protects, folded: those
// of four letters and more that are not words for a form, a salt or a strength.
func NameWords(names []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, n := range names {
		it := words.FromString(n)
		for it.Next() {
			w := fold(it.Value(), &english)
			if len(w) < 4 || seen[w] || genericWords[w] || english.stop[w] || !asciiLetters(w) {
				continue
			}
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// Terms of an English text, in order, repeated as often as they occur.
func (a *Analyzer) Terms(text string) []string { return a.TermsIn("", text) }

// TermsIn is Terms of a text in a language (BCP 47). One that has no analyser
// here is taken for English.
func (a *Analyzer) TermsIn(language, text string) []string {
	l := termList{a: a, l: languageOf(language)}
	a.run(text, l.l, &l)
	return l.out
}

// termList is a sink that lists terms.
type termList struct {
	a   *Analyzer
	l   *language
	out []string
}

func (t *termList) word(raw string) token {
	slot := &t.a.recent[xxhash.Sum64String(raw)%recentWords]
	if r := slot.Load(); r != nil && r.raw == raw && r.l == t.l {
		return r.w.token()
	}
	raw = strings.Clone(raw)
	w := t.a.newWord(raw, t.l)
	slot.Store(&recentWord{raw, t.l, w})
	return w.token()
}
func (t *termList) emit(w token)  { t.out = append(t.out, w.terms...) }
func (t *termList) term(s string) { t.out = append(t.out, s) }

// maxTerm is the longest term in bytes; what is longer (a DNA sequence, binary
// noise) is cut, so that one hostile word cannot fill the dictionary.
const maxTerm = 64

// word is what the analyser knows of a word.
type word struct {
	text   string   // folded; of a number its plain form
	terms  []string // that it gives
	unit   string   // it is a unit, which is indexed as this
	number string   // of digits, points and commas: what it is with a unit
	comma  bool     // its comma may be a decimal one
	digits bool     // of digits alone
	plain  bool     // and was written so

	ids []uint32 // of the terms, in a tally
}

// token is a word in a text. What is asked of every word lies in it, so that
// the word itself is mostly left alone.
type token struct {
	*word
	id     uint32 // of its only term, in a tally
	single bool   // it has only that
	number bool   // it is one
}

func (w *word) token() token { return token{word: w, number: w.number != ""} }

// sink takes what the analyser finds.
type sink interface {
	word(raw string) token // may remember them
	emit(w token)          // the terms of a word
	term(t string)         // a term made of several words
}

// newWord reads a word of the text.
func (a *Analyzer) newWord(raw string, l *language) *word { return a.folded(fold(raw, l), l) }

// folded is newWord of text that is folded.
func (a *Analyzer) folded(text string, l *language) *word {
	w := &word{text: text, unit: units[text], plain: allDigits(text)}
	if n, ok := l.parseNumber(text); ok {
		w.text, w.number = n, n
		if d := decimalComma(n); d != "" {
			w.number, w.comma = d, true
		}
	}
	w.digits = allDigits(w.text)
	w.terms = a.appendWord(nil, w.text, l)
	return w
}

// run sends the terms of a text to a sink.
func (a *Analyzer) run(text string, l *language, to sink) {
	r := reader{a: a, l: l, to: to, numberEnd: -1}
	eachToken(text, func(start, end int) { r.token(text[start:end], start, end) })
	r.close()
}

// reader is the state of an analyser within a text.
type reader struct {
	a  *Analyzer
	l  *language
	to sink

	chain     []token // words joined by hyphens, the last one still open
	buf       [4]token
	last      string // the token before this one
	lastWord  bool   // it is a word
	hyphen    bool   // it is a hyphen right after a word
	decimal   bool   // it is a point with space before it
	number    string // the number just emitted, which waits for a unit
	numberEnd int    // and where it ended
	spaceOnly bool   // nothing but space since the number
}

func (r *reader) token(v string, start, end int) {
	c := v[0]
	isWord := c < utf8.RuneSelf && (classes[c] == letter || classes[c] == digit)
	if c >= utf8.RuneSelf {
		isWord = startsWord(v)
	}
	if !isWord {
		switch {
		case c == ' ' && r.number == "":
			r.close()
			r.hyphen = false
		case len(r.chain) > 0 && r.lastWord && isHyphen(v):
			r.hyphen = true
		case v == "%" && r.number != "":
			r.close()
			r.to.term(r.number + "%")
			r.number = ""
		case r.number != "" && end-r.numberEnd <= 2 && isSpace(v):
			r.spaceOnly = true
			r.close()
			r.hyphen = false
		default:
			r.close()
			r.hyphen = false
			r.number = ""
		}
		r.decimal = v == "." && (start == 0 || isSpace(r.last))
		r.last, r.lastWord = v, false
		return
	}
	w := r.to.word(v)
	if !r.hyphen {
		r.close()
	}
	r.hyphen = false
	if r.decimal && w.digits && w.plain {
		w = r.a.folded("0."+w.text, r.l).token()
	}
	r.decimal = false
	if r.number != "" && (r.spaceOnly || r.lastWord) && end-start <= 12 && w.unit != "" {
		if w.unit != w.text {
			w = r.a.folded(w.unit, r.l).token()
		}
		r.to.term(r.number + w.unit)
	}
	r.number, r.spaceOnly = "", false
	if w.number {
		r.number, r.numberEnd = w.word.number, end
	}
	if r.chain == nil {
		r.chain = r.buf[:0]
	}
	r.chain = append(r.chain, w)
	r.last, r.lastWord = v, true
}

// close emits the words of the chain, mostly a chain of one.
func (r *reader) close() {
	chain := r.chain
	if len(chain) == 0 {
		return
	}
	if len(chain) > 1 && len(chain) <= 4 {
		digits, size := 0, 0
		for _, w := range chain {
			if w.digits {
				digits++
			}
			size += len(w.text)
		}
		// 30-45 is a range; 0074-3799-02 is a code.
		if (digits < len(chain) || digits > 2) && size <= maxTerm {
			var b strings.Builder
			for _, w := range chain {
				b.WriteString(w.text)
			}
			r.to.term(r.a.stem(b.String(), r.l))
		}
	}
	if w := chain[0]; w.number && w.comma && r.l.dots && len(chain) == 1 {
		chain[0] = r.a.folded(w.word.number, r.l).token()
	}
	for _, w := range chain {
		r.to.emit(w)
	}
	r.chain = chain[:0]
}

// appendWord gives the terms of one folded word.
func (a *Analyzer) appendWord(dst []string, w string, l *language) []string {
	if w == "" || l.stop[w] {
		return dst
	}
	if strings.IndexByte(w, '.') > 0 && !allNumber(w) {
		// "e.g" and "u.s.a" are letters with points; "dose.The" lacks a space.
		parts := strings.Split(w, ".")
		single := true
		for _, p := range parts {
			single = single && len(p) <= 1
		}
		if single {
			return a.appendWord(dst, strings.Join(parts, ""), l)
		}
		for _, p := range parts {
			dst = a.appendWord(dst, p, l)
		}
		return dst
	}
	if n, u, ok := l.splitDose(w); ok { // 500mg
		return append(dst, n+u, n, u)
	}
	return append(dst, a.stem(w, l))
}

// stem of a folded word.
func (a *Analyzer) stem(w string, l *language) string {
	if len(w) > maxTerm {
		cut := maxTerm
		for !utf8.RuneStart(w[cut]) {
			cut--
		}
		w = w[:cut]
	}
	if len(w) < 3 {
		return w
	}
	if _, ok := a.names[w]; ok {
		return w
	}
	return l.stem(w)
}
