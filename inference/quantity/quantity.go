// Package quantity reads the numbers of medicine out of text: doses, times,
// rates and limits, each with its unit in one canonical form, so that "1 gram"
// equals "1,000 mg" and "30 mL/minute/1.73 m 2" equals "30 mL/min/1.73 m²". A
// number is compared by value and unit, never by how it is spelled.
package quantity

import (
	"math"
	"slices"
	"strings"
)

// Number is one number of a text.
type Number struct {
	Value float64 // in Unit
	// Unit is canonical: mass in mg, volume in ml, time up to weeks in h;
	// compound units are joined by "/", as "mg/kg/day"; "" where there is none.
	Unit  string
	Start int // byte span of the number as written, its unit left out
	End   int
	// UnitEnd is where the unit ends, End where none follows directly.
	UnitEnd int
}

// Words is text without its numbers and their units, which are compared by
// value and not as words.
func Words(text string) string {
	var b strings.Builder
	at := 0
	for _, n := range Numbers(text) {
		if n.Start < at {
			continue
		}
		b.WriteString(text[at:n.Start])
		b.WriteByte(' ')
		at = n.UnitEnd
	}
	b.WriteString(text[at:])
	return b.String()
}

// Bound is what a text says about a measure: a range or a one-sided limit.
type Bound struct {
	Low, High         float64 // ±Inf where the side is open
	LowOpen, HighOpen bool    // whether the limit itself is outside
	Unit              string
	Start, End        int
}

// Contains says whether v (in the bound's unit) lies within.
func (b Bound) Contains(v float64) bool {
	if v < b.Low || v > b.High {
		return false
	}
	return !(b.LowOpen && v == b.Low) && !(b.HighOpen && v == b.High)
}

// Numbers returns the numbers of text in order. In a range or a list
// ("2, 12, and 24 weeks", "30 to 45 mL/min") the unit at the end belongs to
// every number of it.
func Numbers(text string) []Number {
	toks := lex(text)
	var out []Number
	for i := 0; i < len(toks); i++ {
		if toks[i].kind != number {
			continue
		}
		n := Number{Value: toks[i].value, Start: toks[i].start, End: toks[i].end}
		unit, scale, next := unitFrom(toks, i+1)
		n.UnitEnd = toks[next-1].end
		if unit == "" {
			unit, scale = unitOfSeries(toks, i)
		}
		n.Unit, n.Value = unit, round(n.Value*scale)
		out = append(out, n)
	}
	return out
}

// unitOfSeries looks past joining words and further numbers for the unit that
// a list or range shares.
func unitOfSeries(toks []token, i int) (string, float64) {
	for j := i + 1; j < len(toks); j++ {
		switch toks[j].kind {
		case joiner:
			continue
		case number:
			if j == i+1 { // two numbers side by side are not a series
				return "", 1
			}
			if u, s := unitAfter(toks, j+1); u != "" {
				return u, s
			}
		default:
			return "", 1
		}
	}
	return "", 1
}

// Missing returns the numbers of claim that evidence does not hold with the
// same value and unit. A number without a unit is looked for by value alone.
func Missing(claim, evidence string) []Number {
	have := Numbers(evidence)
	var out []Number
	for _, n := range Numbers(claim) {
		if !slices.ContainsFunc(have, func(h Number) bool { return Same(n, h) }) {
			out = append(out, n)
		}
	}
	return out
}

// Same says whether have states want: the same value and unit. A number without
// a unit is compared by value alone.
func Same(want, have Number) bool {
	if want.Unit == "" {
		return near(want.Value, have.Value)
	}
	if want.Unit == have.Unit {
		return near(want.Value, have.Value)
	}
	// "600 mg" is said by "600 mg/day" only where the claim leaves the rate
	// out; the other way round something was added.
	rest, ok := strings.CutPrefix(have.Unit, want.Unit+"/")
	return ok && (rest == "day" || rest == "dose") && near(want.Value, have.Value)
}

func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

// round removes what binary fractions leave after scaling, 0.3 g for example.
func round(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) {
		return v
	}
	p := math.Pow(10, 12-math.Ceil(math.Log10(math.Abs(v))))
	return math.Round(v*p) / p
}

// Bounds returns the ranges and limits of text in order: "between 30 and 45",
// "30 to 45", "< 10 mL/min", "falls below 30", "at least 18 years".
func Bounds(text string) []Bound {
	toks := lex(text)
	var out []Bound
	for i := 0; i < len(toks); i++ {
		if toks[i].kind != number {
			continue
		}
		// a range: number [unit] (to|-|and) number unit
		j := i + 1
		_, _, j = unitFrom(toks, j)
		if j < len(toks) && toks[j].kind == joiner && j+1 < len(toks) && toks[j+1].kind == number {
			between := i > 0 && toks[i-1].kind == word && toks[i-1].text == "between"
			if toks[j].text == "to" || toks[j].text == "-" || (between && toks[j].text == "and") {
				unit, scale := unitAfter(toks, j+2)
				b := Bound{Low: round(toks[i].value * scale), High: round(toks[j+1].value * scale), Unit: unit,
					Start: toks[i].start, End: toks[j+1].end}
				if b.Low <= b.High {
					out = append(out, b)
				}
				i = j + 1
				continue
			}
		}
		side, open := limitBefore(toks, i)
		after, afterOpen := limitAfter(toks, i)
		if side == 0 {
			side, open = after, afterOpen
		}
		if side == 0 {
			continue
		}
		unit, scale := unitAfter(toks, i+1)
		b := Bound{Low: math.Inf(-1), High: math.Inf(1), Unit: unit, Start: toks[i].start, End: toks[i].end}
		if v := round(toks[i].value * scale); side < 0 {
			b.High, b.HighOpen = v, open
		} else {
			b.Low, b.LowOpen = v, open
		}
		out = append(out, b)
	}
	return out
}

// limitBefore reads "<", "below", "at least", "greater than" before toks[i]:
// -1 for an upper limit, 1 for a lower one, 0 for none.
func limitBefore(toks []token, i int) (side int, open bool) {
	if i > 0 && toks[i-1].kind == comparison {
		switch toks[i-1].text {
		case "<":
			return -1, true
		case "<=", "≤":
			return -1, false
		case ">":
			return 1, true
		case ">=", "≥":
			return 1, false
		}
	}
	if i > 0 && toks[i-1].kind == word {
		switch toks[i-1].text {
		case "below", "under":
			return -1, true
		case "above", "over", "exceeding", "exceeds":
			return 1, true
		}
	}
	if i > 1 && toks[i-1].kind == word && toks[i-2].kind == word {
		switch toks[i-2].text + " " + toks[i-1].text {
		case "less than", "lower than", "fewer than", "younger than", "smaller than":
			return -1, true
		case "greater than", "more than", "higher than", "older than", "larger than":
			return 1, true
		case "at least":
			return 1, false
		case "at most", "up to":
			return -1, false
		}
	}
	return 0, false
}

// limitAfter reads "3 months or younger", "50 mL/min or less" after toks[i].
func limitAfter(toks []token, i int) (side int, open bool) {
	_, _, j := unitFrom(toks, i+1)
	// "years of age and older"
	for j < len(toks) && toks[j].kind == word && (toks[j].text == "of" || toks[j].text == "age") {
		j++
	}
	if j+1 >= len(toks) || (toks[j].text != "or" && toks[j].text != "and") {
		return 0, false
	}
	switch toks[j+1].text {
	case "less", "lower", "younger", "below", "under", "fewer":
		return -1, false
	case "more", "greater", "higher", "older", "above", "over":
		return 1, false
	}
	return 0, false
}

// Stated says whether every number of gold is among said, by value and unit.
func Stated(gold string, said []Number) bool {
	want := Numbers(gold)
	for _, n := range want {
		if !slices.ContainsFunc(said, func(h Number) bool { return Same(n, h) }) {
			return false
		}
	}
	return len(want) > 0
}
