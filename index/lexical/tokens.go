package lexical

import (
	"github.com/clipperhouse/uax29/v2/words"
)

// Classes of ASCII in UAX 29's rules for words.
const (
	other = iota
	letter
	digit
	underscore
	midLetter // : joins letters
	midNumber // , and ; join digits
	midBoth   // . and ' join either
	space
	carriage
)

var classes = func() (c [128]uint8) {
	for i := range c {
		switch {
		case 'a' <= i|0x20 && i|0x20 <= 'z':
			c[i] = letter
		case '0' <= i && i <= '9':
			c[i] = digit
		}
	}
	c['_'], c[':'], c[','], c[';'], c['.'], c['\''], c[' '], c['\r'] = underscore, midLetter, midNumber, midNumber, midBoth, midBoth, space, carriage
	return c
}()

// asciiToken gives the end of the token that begins at i, by the rules of UAX 29
// as they are for ASCII. s has nothing else.
func asciiToken(s string, i int) int {
	last := classes[s[i]&127]
	i++
	switch last {
	case letter, digit, underscore:
		for i < len(s) {
			c := classes[s[i]&127]
			if c-letter <= underscore-letter { // of other it wraps
				last = c
				i++
				continue
			}
			joins := c == midBoth && last != underscore || c == midLetter && last == letter || c == midNumber && last == digit
			if !joins || i+1 == len(s) || classes[s[i+1]&127] != last {
				return i
			}
			i += 2
		}
	case space:
		for i < len(s) && s[i] == ' ' {
			i++
		}
	case carriage:
		if i < len(s) && s[i] == '\n' {
			i++
		}
	}
	return i
}

// eachToken splits text into the words of UAX 29 and what is between them. Most
// text is ASCII, for which the rules are few; a library takes the stretches
// around anything else. They begin at a space and end before one: there is
// always a boundary between a space and an ASCII character that is none.
func eachToken(text string, fn func(start, end int)) {
	for at := 0; at < len(text); {
		wide := notASCII(text, at)
		from := wide
		if wide < len(text) {
			for from > at && text[from-1] != ' ' {
				from--
			}
			for from > at && text[from-1] == ' ' {
				from--
			}
		}
		for s := text[:from]; at < from; {
			end := asciiToken(s, at)
			fn(at, end)
			at = end
		}
		if wide == len(text) {
			return
		}
		to := wide + 1
		for to < len(text) && !(text[to] == ' ' && text[to-1] < 0x80 && text[to-1] != ' ') {
			to++
		}
		for it := words.FromString(text[from:to]); it.Next(); {
			fn(from+it.Start(), from+it.End())
		}
		at = to
	}
}

// notASCII is where the first byte from i on that is not ASCII is.
func notASCII(s string, i int) int {
	for len(s)-i >= 8 && load64(s[i:])&0x8080808080808080 == 0 {
		i += 8
	}
	for i < len(s) && s[i] < 0x80 {
		i++
	}
	return i
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
