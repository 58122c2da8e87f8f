package document

import (
	"strings"
	"testing"
	"unicode"
)

// counted is how the numbers and units of a text were read.
type counted struct {
	all, good, unread, gone int
	bad, lost               []string // read as something else; not read and not marked
}

// heavy: a word whose misreading changes a dose.
func heavy(w string) bool {
	if strings.ContainsFunc(w, unicode.IsDigit) {
		return true
	}
	for part := range strings.FieldsFuncSeq(strings.ToLower(w), func(r rune) bool { return !unicode.IsLetter(r) && r != '%' }) {
		switch part {
		case "mg", "mcg", "µg", "g", "kg", "ml", "l", "%", "unit", "units", "iu", "meq", "mmol", "hour", "hours", "day", "days", "week", "weeks", "month", "months", "times":
			return true
		}
	}
	return false
}

// sameSigns: kinds of dashes and quotes are one.
var sameSigns = strings.NewReplacer("–", "-", "—", "-", "−", "-", "’", "'", "‘", "'", "“", "\"", "”", "\"", "μ", "µ")

// bareWord: what closes a clause is no part of a number.
func bareWord(w string) string {
	return strings.TrimRight(sameSigns.Replace(w), ".,;:")
}

// countNumbers lays the words that were read beside those that are there, in the
// way that needs the fewest changes, and counts the numbers and units among them.
// Unreadable stands for any one word.
func countNumbers(truth, got []string) counted {
	const band = 400
	same := func(in []string) (out []string) {
		for _, w := range in {
			out = append(out, bareWord(w))
		}
		return out
	}
	truth, got = same(truth), same(got)
	n, m := len(truth), len(got)
	type cell = int32
	width := 2*band + 1
	cost := make([][]cell, n+1)
	low := func(i int) int { return i*m/max(n, 1) - band }
	at := func(i, j int) cell {
		if k := j - low(i); k >= 0 && k < width && j >= 0 && j <= m {
			return cost[i][k]
		}
		return 1 << 29
	}
	swap := func(i, j int) cell {
		switch {
		case truth[i] == got[j]:
			return 0
		case strings.Contains(got[j], Unreadable):
			return 2
		}
		return 5
	}
	for i := range n + 1 {
		cost[i] = make([]cell, width)
		for k := range width {
			j := low(i) + k
			if j < 0 || j > m {
				cost[i][k] = 1 << 29
				continue
			}
			best := cell(1 << 29)
			if i == 0 && j == 0 {
				best = 0
			}
			if i > 0 {
				best = min(best, at(i-1, j)+3)
			}
			if j > 0 && k > 0 {
				best = min(best, cost[i][k-1]+3)
			}
			if i > 0 && j > 0 {
				best = min(best, at(i-1, j-1)+swap(i-1, j-1))
			}
			cost[i][k] = best
		}
	}
	var c counted
	pair := func(t, g string) {
		if heavy(t) {
			c.all++
		}
		switch {
		case t != "" && t == g:
			if heavy(t) {
				c.good++
			}
		case strings.Contains(g, Unreadable):
			if heavy(t) {
				c.unread++
			}
		case heavy(g):
			c.bad = append(c.bad, t+" → "+g)
		case heavy(t):
			c.gone++
			c.lost = append(c.lost, t+" → "+g)
		}
	}
	for i, j := n, m; i > 0 || j > 0; {
		switch {
		case i > 0 && j > 0 && at(i, j) == at(i-1, j-1)+swap(i-1, j-1):
			i, j = i-1, j-1
			pair(truth[i], got[j])
		case i > 0 && at(i, j) == at(i-1, j)+3:
			i--
			pair(truth[i], "")
		default:
			j--
			pair("", got[j])
		}
	}
	return c
}

func TestCountNumbers(t *testing.T) {
	t.Parallel()
	c := countNumbers(strings.Fields("Take 5 mg (0.5 mL) twice daily for 10 days, 20 mg."), strings.Fields("Take 6 mg (05 mL) twice daily for "+Unreadable+" days, mg."))
	if c.all != 8 || c.good != 4 || c.unread != 1 || c.gone != 1 || strings.Join(c.bad, "|") != "(0.5 → (05|5 → 6" {
		t.Errorf("%+v", c)
	}
}
