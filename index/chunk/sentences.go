package chunk

import (
	"strings"

	"github.com/clipperhouse/uax29/v2/sentences"
)

// Sentences returns the spans of the sentences of text, in order, without the
// white space around them.
func Sentences(text string) []Span {
	var out []Span
	it := sentences.FromString(text)
	for it.Next() {
		out = appendTrimmed(out, text, it.Start(), it.End())
	}
	return out
}

func appendTrimmed(out []Span, text string, start, end int) []Span {
	s := text[start:end]
	start += len(s) - len(strings.TrimLeft(s, " \n"))
	end = start + len(strings.TrimSpace(s))
	if start < end {
		out = append(out, Span{start, end})
	}
	return out
}
