package sheet

import (
	"slices"
	"strings"
)

// Level of a row's text as Lines writes it, one of Severities; "" where the table has
// none. It is the third part, since the two medicines stand before it.
func Level(row string) string {
	parts := strings.SplitN(row, " | ", 4)
	if len(parts) < 3 {
		return ""
	}
	_, text, _ := strings.Cut(parts[2], ": ")
	word, _, _ := strings.Cut(text, " (")
	if word = strings.ToLower(word); slices.Contains(Severities, word) {
		return word
	}
	return ""
}
