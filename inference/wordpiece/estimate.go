package wordpiece

import (
	"math"
	"unicode"
	"unicode/utf8"
)

// Estimate counts tokens where no vocabulary is loaded, on the safe side: it
// was fitted so that no text of 9,677 (label passages, questions about
// medicines, medical abstracts, general questions) has more tokens under
// bert-base-uncased's vocabulary than it says. Over all of them it says 1.37
// times what there are; a short question costs up to four tokens more. English
// is assumed: words in other scripts count by the character, which no WordPiece
// vocabulary can exceed.
type Estimate struct{}

const (
	// A word of letters is one token up to three, and then rises: most words of
	// five are still one, while names of drugs and diseases have about one
	// piece for each two or three letters.
	freeLetters   = 5
	perLetter     = 0.45 // tokens for each letter beyond
	shortExtra    = 0.1  // for words of four and five letters
	perDigit      = 0.75 // in words with a digit, after the first character
	estimateSlack = 4    // tokens a text, since short ones stray most
)

var uncased Tokenizer

// Count is the estimated number of tokens of text, special tokens left out. It
// is never more than text has characters once it is normalised.
func (Estimate) Count(text string) int {
	sum := 0.0 // estimate
	most := 0  // what it can't exceed: every piece has a character
	runes, digits, foreign := 0, false, false
	end := func() {
		if runes == 0 {
			return
		}
		n := float64(runes)
		switch {
		case foreign:
		case digits:
			n = 1 + perDigit*(n-1)
		case runes <= 3:
			n = 1
		case runes <= freeLetters:
			n = 1 + shortExtra
		default:
			n = 1 + perLetter*(n-freeLetters)
		}
		sum += n
		most += runes
		runes, digits, foreign = 0, false, false
	}
	for _, r := range uncased.normalize(text) {
		switch {
		case unicode.IsSpace(r):
			end()
		case isPunctuation(r):
			end()
			sum++
			most++
		default:
			runes++
			digits = digits || '0' <= r && r <= '9'
			foreign = foreign || r >= utf8.RuneSelf
		}
	}
	end()
	return min(most, int(math.Ceil(sum))+estimateSlack)
}
