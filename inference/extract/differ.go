package extract

import (
	"slices"
	"strings"

	"rxedge/inference/quantity"
)

// What two sentences must share, of the shorter one's words, for them to be
// about the same thing; less where both say how much at most, or with how much
// to begin.
const (
	sameThing = 0.7
	sameFrame = 0.4
	leastSame = 3 // words
)

// Differ says whether two sentences of labels of one medicine are about the same
// thing and state other numbers for it; a and b are then the numbers of each
// that the other has not, as written. leave are words that say nothing here, the
// medicine's names. Another wording of the same numbers, more numbers beside the
// same ones, and other patients are no difference.
func Differ(one, two string, lex Lexicon, leave map[string]bool) (a, b []string) {
	if populationOf(one)&^adult != populationOf(two)&^adult {
		return nil, nil
	}
	x, y := contentOf(one, lex, leave), contentOf(two, lex, leave)
	least := min(len(x), len(y))
	both := 0
	for t := range x {
		if y[t] {
			both++
		}
	}
	need := sameThing
	if tops(one) && tops(two) || begins(one) && begins(two) {
		need = sameFrame
	} else if least < leastSame {
		return nil, nil
	}
	if float64(both) < need*float64(least) || both == 0 {
		return nil, nil
	}
	return lacking(one, two), lacking(two, one)
}

// Opposed says whether two sentences about the same thing say the contrary: one
// forbids or denies what the other does not.
func Opposed(one, two string, lex Lexicon, leave map[string]bool) bool {
	x, y := contentOf(one, lex, leave), contentOf(two, lex, leave)
	if len(x) < leastSame || len(y) < leastSame || populationOf(one) != populationOf(two) {
		return false
	}
	both := 0
	for t := range x {
		if y[t] {
			both++
		}
	}
	return float64(both) >= 0.85*float64(max(len(x), len(y))) && denies(one) != denies(two)
}

func denies(s string) bool {
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && r != '\'' }) {
		switch w {
		case "not", "no", "never", "cannot", "avoid", "contraindicated":
			return true
		}
	}
	return false
}

// contentOf are a sentence's words without its numbers and what negates it.
func contentOf(s string, lex Lexicon, leave map[string]bool) map[string]bool {
	m := map[string]bool{}
	for _, t := range lex.Terms(quantity.Words(s)) {
		if len(t) > 1 && !leave[t] && t != "not" && t != "no" && t != "avoid" && (t[0] < '0' || t[0] > '9') {
			m[t] = true
		}
	}
	return m
}

// lacking are the numbers with a unit in one, as written, that two has not,
// though it has another of that unit.
func lacking(one, two string) []string {
	have := quantity.Numbers(two)
	var out []string
	for _, n := range quantity.Numbers(one) {
		if n.Unit == "" || slices.ContainsFunc(have, func(h quantity.Number) bool { return quantity.Same(n, h) || quantity.Same(h, n) }) ||
			!slices.ContainsFunc(have, func(h quantity.Number) bool { return rootUnit(h.Unit) == rootUnit(n.Unit) }) {
			continue
		}
		out = append(out, strings.Join(strings.Fields(one[n.Start:n.UnitEnd]), " "))
	}
	return out
}

// rootUnit is a unit without the rate that labels say or leave out.
func rootUnit(u string) string {
	u = strings.TrimSuffix(u, "/day")
	return strings.TrimSuffix(u, "/dose")
}
