package chunk

import (
	"strings"

	"github.com/clipperhouse/uax29/v2/sentences"
)

// boundaries gives the ends of the sentences of a line by UAX 29. Most lines are
// ASCII, for which the rules are few and mostly nothing has to be looked at
// between two full stops; a library takes the others.
type boundaries struct {
	line  string
	ascii bool
	at    int
	other *sentences.Iterator[string]
}

func newBoundaries(line string) boundaries {
	b := boundaries{line: line, ascii: isASCII(line)}
	if !b.ascii {
		b.other = sentences.FromString(line)
	}
	return b
}

// next end; false after the last.
func (b *boundaries) next() (int, bool) {
	if !b.ascii {
		if !b.other.Next() {
			return 0, false
		}
		return b.other.End(), true
	}
	if b.at == len(b.line) {
		return 0, false
	}
	b.at += asciiSentence(b.line[b.at:])
	return b.at, true
}

func isASCII(s string) bool {
	var or byte
	for i := range len(s) {
		or |= s[i]
	}
	return or < 0x80
}

// Classes of ASCII in UAX 29's rules for sentences.
const (
	lower = 1 << iota
	upper
	digit
	space
	closing
	goesOn // SContinue
	aTerm
	sTerm
	carriage
	feed

	terminal = aTerm | sTerm
	newLine  = carriage | feed
)

var classes = func() (c [128]uint16) {
	for i := range c {
		switch {
		case 'a' <= i && i <= 'z':
			c[i] = lower
		case 'A' <= i && i <= 'Z':
			c[i] = upper
		case '0' <= i && i <= '9':
			c[i] = digit
		}
	}
	set := func(chars string, class uint16) {
		for _, r := range chars {
			c[r] = class
		}
	}
	set("\t\v\f ", space)
	set(`"'()[]{}`, closing)
	set(",-:;", goesOn)
	c['.'], c['!'], c['?'], c['\r'], c['\n'] = aTerm, sTerm, sTerm, carriage, feed
	return c
}()

// asciiSentence is the length of the first sentence of s, which is ASCII and not
// empty. The names of the rules are those of UAX 29. It goes as the library does,
// whatever that is: a test holds the two to the same ends.
func asciiSentence(s string) int {
	// What stands before pos: the class of the last character, and of the one
	// before; of the last that is no space; no closing; no closing before spaces.
	var last, before, noSpace, noClosing, core uint16
	var current uint16
	pos := 0
	skip := func() bool {
		n := strings.IndexAny(s[pos:], ".!?\r\n")
		if n < 0 {
			return false
		}
		if n > 0 {
			last = classes[s[pos+n-1]]
		}
		current = classes[s[pos+n]]
		pos += n + 1
		return true
	}
	if !skip() {
		return len(s)
	}
	for pos < len(s) {
		before, last = last, current
		if last&space == 0 {
			noSpace = last
		}
		if last&closing == 0 {
			noClosing = last
		}
		if noSpace&closing == 0 {
			core = noSpace
		}
		if (last|noSpace|noClosing|core)&(terminal|newLine) == 0 {
			if !skip() {
				return len(s)
			}
			continue
		}
		current = classes[s[pos]]
		switch {
		case current == feed && last == carriage: // SB3
		case last&newLine != 0: // SB4
			return pos
		case current == digit && last == aTerm: // SB6
		case current == upper && last == aTerm && before&(upper|lower) != 0: // SB7
		default:
			if core == aTerm { // SB8
				p := pos
				for p < len(s) && classes[s[p]]&(upper|lower|newLine|terminal) == 0 {
					p++
				}
				if p < len(s) && classes[s[p]] == lower {
					pos = p
					continue
				}
			}
			switch {
			case current&(goesOn|terminal) != 0 && core&terminal != 0: // SB8a
			case current&(closing|space|newLine) != 0 && noClosing&terminal != 0: // SB9
			case current&(space|newLine) != 0 && core&terminal != 0: // SB10
			case last&terminal != 0 || last == closing && noClosing&terminal != 0 || last == space && core&terminal != 0: // SB11
				return pos
			}
		}
		pos++
	}
	return len(s)
}
