package document

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// writer builds a Section's Text: white space folds, breaks are written only
// between things, and a space that stands before a closing mark (an artefact
// of indented XML) goes.
type writer struct {
	b       strings.Builder
	pending byte   // what to write before the next character: 0, ' ', 'l'ine, 'p'aragraph
	last    rune   // last character written
	soft    bool   // a pending line break came from <br/>: it may join a sentence
	mark    string // of the place that the next character comes from
}

func (w *writer) String() string { return w.b.String() }
func (w *writer) Len() int       { return w.b.Len() }

// line and para ask for a break before whatever comes next.
func (w *writer) line() {
	if w.pending != 'p' {
		w.pending = 'l'
	}
	w.soft = false
}

func (w *writer) para() { w.pending, w.soft = 'p', false }

// br is a line break of the source: two of them part paragraphs, and one in
// the middle of a sentence is a space.
func (w *writer) br() {
	switch {
	case w.pending == 'l' && w.soft:
		w.para()
	case w.pending == 0 || w.pending == ' ':
		w.pending, w.soft = 'l', true
	}
}

// text writes s with its white space folded. s has been cleaned.
func (w *writer) text(s string) {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == ' ' || r == '\n' || r == '\t' {
			if w.pending == 0 {
				w.pending = ' '
			}
			i += n
			continue
		}
		if r == placeStart {
			var rest string
			if w.mark, rest = leadingMark(s[i:]); w.mark == "" {
				i += n
			} else {
				i = len(s) - len(rest)
			}
			continue
		}
		w.break_(r, s[i+n:])
		w.b.WriteString(s[i : i+n])
		w.last = r
		i += n
	}
}

// break_ writes the pending break before r, and where r comes from.
func (w *writer) break_(r rune, rest string) {
	w.pause(r, rest)
	w.b.WriteString(w.mark)
	w.mark = ""
}

func (w *writer) pause(r rune, rest string) {
	p := w.pending
	w.pending = 0
	if w.b.Len() == 0 || p == 0 {
		return
	}
	switch {
	case p == 'l' && w.soft && (unicode.IsLower(w.last) || w.last == ',') && unicode.IsLower(r):
		w.b.WriteByte(' ')
	case p == 'l':
		w.b.WriteByte('\n')
	case p == 'p':
		w.b.WriteString("\n\n")
	case w.last == '(' || w.last == '[':
	case r == ',' || r == ';' || r == ')' || r == ']':
	case r == '.' && (rest == "" || rest[0] == ' ' || rest[0] == '\n'):
	default:
		w.b.WriteByte(' ')
	}
	w.soft = false
}

// raw writes s as it is, after the pending break; s is one line or paragraphs
// already in order.
func (w *writer) raw(s string) {
	if mark, text := leadingMark(s); mark != "" {
		w.mark, s = mark, text
	}
	if s == "" {
		return
	}
	r, n := utf8.DecodeRuneInString(s)
	w.break_(r, s[n:])
	w.b.WriteString(s)
	w.last, _ = utf8.DecodeLastRuneInString(s)
}
