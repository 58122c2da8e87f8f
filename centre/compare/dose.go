package compare

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"rxedge/inference/quantity"
)

// Dose is a number, or a frequency, that is another one in the later version.
type Dose struct {
	Before string `json:"before,omitempty"` // as written, with its unit; "" where there was none
	After  string `json:"after,omitempty"`
	Kind   Kind   `json:"kind"`
	// About are the words around it that both versions have.
	About string `json:"about,omitempty"`
	// Ratio of the later value to the earlier where both have one unit, else 0.
	Ratio float64 `json:"ratio,omitempty"`
	// Unit of the later one, canonical (see quantity.Number), or of the earlier where
	// that is gone; "" for a frequency.
	Unit string `json:"unit,omitempty"`
}

// Kind of a difference.
type Kind string

// Kinds.
const (
	Value     Kind = "value"     // another number
	UnitLost  Kind = "unit lost" // the same number without its unit
	Unit      Kind = "unit"      // the same number in another unit
	Frequency Kind = "frequency" // twice daily, three times daily
	Gone      Kind = "gone"
	Come      Kind = "come"
)

// Slip says whether the value is ten, a hundred or a thousand times the other: what a
// decimal point in the wrong place, or mg for mcg, makes.
func (d Dose) Slip() bool {
	if d.Ratio <= 0 {
		return false
	}
	e := math.Log10(d.Ratio)
	return math.Abs(e) > 0.5 && math.Abs(e-math.Round(e)) < 1e-9
}

// Tenfold says whether one value is at least ten times the other.
func (d Dose) Tenfold() bool {
	return d.Ratio > 0 && math.Abs(math.Log10(d.Ratio)) > 1-1e-9
}

var amounts = []string{"mg", "ml", "kg", "unit", "meq", "mmol", "tablet", "capsule", "drop", "spray", "inhalation", "patch", "teaspoon", "ampule", "vial", "dose"}

// counted are units that an amount may stand before: "a 5 mg tablet".
var counted = []string{"tablet", "capsule", "dose", "vial", "ampule", "patch"}

// OfMedicine says whether the number is an amount of a medicine: "mg", "mg/kg/day",
// "tablet", not "%", "year" or "mmhg"; nor a concentration in blood.
func OfMedicine(unit string) bool {
	first, rest, _ := strings.Cut(unit, "/")
	return slices.Contains(amounts, first) && rest != "dl" && unit != "kg" && !strings.HasPrefix(unit, "mmol/l") && !strings.HasPrefix(unit, "ml/min")
}

// reference to another section: "[see Warnings and Precautions (5.1)]", "(5.1, 8.6)".
var reference = regexp.MustCompile(`(?i)[\[(]\s*see [^\])]*(\([^)]*\)[^\])]*)*[\])]|\(\s*\d{1,2}\.\d{1,2}(\s*,\s*\d{1,2}(\.\d{1,2})?)*\s*\)`)

func unreferred(s string) string {
	if !strings.ContainsAny(s, "([") {
		return s
	}
	return reference.ReplaceAllString(s, " ")
}

// plain is s as it is compared: lower case, without references and without signs that
// say nothing. Signs beside numbers and units are kept.
func plain(s string) string {
	s = unreferred(s)
	var b strings.Builder
	space := true
	rs := []rune(strings.ToLower(s))
	for i, r := range rs {
		keep := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("<>≤≥=%/+−±µ", r)
		// a point or a comma within a number, and a minus before one
		if (r == '.' || r == ',') && i+1 < len(rs) && unicode.IsDigit(rs[i+1]) || (r == '-' || r == '–') && i+1 < len(rs) && unicode.IsDigit(rs[i+1]) {
			keep = true
		}
		switch {
		case keep:
			b.WriteRune(r)
			space = false
		case !space:
			b.WriteByte(' ')
			space = true
		}
	}
	return strings.TrimSpace(b.String())
}

// Plain is a text as sentences are compared: equal for texts that differ in case, spaces,
// references and signs alone.
func Plain(s string) string { return plain(s) }

// words of a sentence, its numbers and their units apart.
func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(quantity.Words(unreferred(s))), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// alike is the Dice coefficient of two sentences' words.
func alike(a, b sentence) float64 { return dice(words(a.text), words(b.text)) }

func dice(a, b []string) float64 {
	if len(a)+len(b) == 0 {
		return 1 // numbers alone
	}
	has := map[string]int{}
	for _, w := range a {
		has[w]++
	}
	n := 0
	for _, w := range b {
		if has[w] > 0 {
			has[w]--
			n++
		}
	}
	share := 2 * float64(n) / float64(len(a)+len(b))
	if least := min(len(a), len(b)); n == least && least > 1 {
		share = max(share, leastAlike) // one has all words of the other: something was added
	}
	return share
}

// leastAlike is how alike two sentences must be to be one that was changed; found on
// pairs of real labels, where below it other sentences begin to be paired.
const leastAlike = 0.6

// mostPairs bounds the work of pairing.
const mostPairs = 250_000

// pairUp pairs sentences that are versions of one another, the most alike first.
func pairUp(left, right []sentence) (done [][2]sentence, gone, come []sentence) {
	if len(left)*len(right) > mostPairs {
		return nil, left, right
	}
	lw, rw := make([][]string, len(left)), make([][]string, len(right))
	for i := range left {
		lw[i] = words(left[i].text)
	}
	for j := range right {
		rw[j] = words(right[j].text)
	}
	type candidate struct {
		i, j  int
		alike float64
	}
	var cs []candidate
	for i := range left {
		for j := range right {
			if a := dice(lw[i], rw[j]); a >= leastAlike {
				cs = append(cs, candidate{i, j, a})
			}
		}
	}
	// Of equally alike ones those that stand at the same place: rows of a table.
	slices.SortStableFunc(cs, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.alike, a.alike), cmp.Compare(max(a.i-a.j, a.j-a.i), max(b.i-b.j, b.j-b.i)))
	})
	li, rj := make([]bool, len(left)), make([]bool, len(right))
	for _, c := range cs {
		if !li[c.i] && !rj[c.j] {
			li[c.i], rj[c.j] = true, true
			done = append(done, [2]sentence{left[c.i], right[c.j]})
		}
	}
	for i, s := range left {
		if !li[i] {
			gone = append(gone, s)
		}
	}
	for j, s := range right {
		if !rj[j] {
			come = append(come, s)
		}
	}
	return done, gone, come
}

// frequencies are words that say how often.
var frequencies = map[string]bool{"once": true, "twice": true, "thrice": true, "daily": true, "weekly": true, "monthly": true, "hourly": true, "nightly": true,
	"biweekly": true, "bid": true, "tid": true, "qid": true, "qd": true, "qod": true, "prn": true}

type item struct {
	word   string // "" for a number
	number *quantity.Number
	text   string // as written
}

func (x item) about() bool { return x.number == nil && !frequencies[x.word] }

// items are the words and numbers of a sentence in order.
func items(s string) []item {
	var out []item
	rest := func(t string) {
		for _, w := range strings.FieldsFunc(t, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			out = append(out, item{word: strings.ToLower(w), text: w})
		}
	}
	s = unreferred(s)
	at := 0
	for _, n := range quantity.Numbers(s) {
		if n.Start < at {
			continue
		}
		rest(s[at:n.Start])
		out = append(out, item{number: &n, text: s[n.Start:n.UnitEnd]})
		at = n.UnitEnd
	}
	rest(s[at:])
	return out
}

// score of two items in one place; negative where they can't be.
func score(a, b item) int {
	switch {
	case a.number != nil && b.number != nil:
		switch {
		case a.number.Value == b.number.Value && a.number.Unit == b.number.Unit:
			return 4
		case a.number.Unit == b.number.Unit:
			return 2
		}
		return 1
	case a.number != nil || b.number != nil:
		return -1
	case a.word == b.word:
		return 3
	case frequencies[a.word] && frequencies[b.word]:
		return 1
	}
	return -1
}

// doses that differ between two versions of a sentence: both are aligned (Needleman and
// Wunsch, without a price for gaps), and what stands in another's place is compared.
func doses(before, after string) []Dose {
	a, b := items(before), items(after)
	if len(a)*len(b) > mostCells {
		return nil
	}
	m := len(b) + 1
	t := make([]int32, (len(a)+1)*m)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			best := max(t[(i+1)*m+j], t[i*m+j+1])
			if s := score(a[i], b[j]); s >= 0 {
				best = max(best, t[(i+1)*m+j+1]+int32(s))
			}
			t[i*m+j] = best
		}
	}
	var out []Dose
	var about []string
	note := func(d *Dose) {
		if d != nil {
			out = append(out, *d)
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i < len(a) && j < len(b) {
			if s := score(a[i], b[j]); s >= 0 && t[i*m+j] == t[(i+1)*m+j+1]+int32(s) {
				if d := differ(&a[i], &b[j]); d != nil {
					note(d)
				} else if a[i].about() {
					about = append(about, b[j].text)
				}
				i, j = i+1, j+1
				continue
			}
		}
		if j >= len(b) || i < len(a) && t[i*m+j] == t[(i+1)*m+j] {
			note(differ(&a[i], nil))
			i++
		} else {
			note(differ(nil, &b[j]))
			j++
		}
	}
	out = rejoin(out)
	for i := range out {
		out[i].About = strings.Join(about[:min(len(about), 12)], " ")
	}
	return out
}

// rejoin makes one change of what is gone and what has come beside it: "twice daily" and
// "three times daily", which is a number with its unit.
func rejoin(ds []Dose) []Dose {
	often := func(d Dose) bool { return d.Unit == "" || strings.HasPrefix(d.Unit, "time") }
	var out []Dose
	for i := 0; i < len(ds); {
		j := i
		for j < len(ds) && ds[j].Kind == Gone && often(ds[j]) == often(ds[i]) {
			j++
		}
		k := j
		for k < len(ds) && j > i && ds[k].Kind == Come && often(ds[k]) == often(ds[i]) {
			k++
		}
		if j == i || k == j {
			out = append(out, ds[i])
			i++
			continue
		}
		d := Dose{Before: ds[i].Before, After: ds[j].After, Kind: Value, Unit: ds[j].Unit}
		for _, x := range ds[i+1 : j] {
			d.Before += " " + x.Before
		}
		for _, x := range ds[j+1 : k] {
			d.After += " " + x.After
		}
		if often(d) {
			d.Kind, d.Unit = Frequency, ""
		}
		out, i = append(out, d), k
	}
	return out
}

func differ(a, b *item) *Dose {
	switch {
	case a == nil || b == nil:
		x, kind := a, Gone
		if a == nil {
			x, kind = b, Come
		}
		if x.about() {
			return nil
		}
		d := &Dose{Kind: kind}
		if x.number != nil {
			d.Unit = x.number.Unit
		}
		if kind == Gone {
			d.Before = x.text
		} else {
			d.After = x.text
		}
		return d
	case a.number == nil:
		if a.word == b.word {
			return nil
		}
		return &Dose{Before: a.text, After: b.text, Kind: Frequency}
	}
	x, y := a.number, b.number
	near := math.Abs(x.Value-y.Value) <= 1e-9*math.Max(1, math.Abs(x.Value))
	// "5 mg to 60 mg per day", "5 to 60 mg per day": the range shares its unit
	shares := func(a, b *quantity.Number) bool { return a.UnitEnd == a.End && strings.HasPrefix(a.Unit, b.Unit+"/") }
	if near && (x.Unit == y.Unit || shares(x, y) || shares(y, x)) {
		return nil
	}
	d := &Dose{Before: a.text, After: b.text, Kind: Value, Unit: cmp.Or(y.Unit, x.Unit)}
	same := a.text[:x.End-x.Start] == b.text[:y.End-y.Start]
	switch {
	case x.Unit == y.Unit:
		if x.Value > 0 && y.Value > 0 {
			d.Ratio = y.Value / x.Value
		}
		if same { // 50 mcg, 50 mg: both are of mass
			d.Kind = Unit
		}
	case same && (y.UnitEnd == y.End && x.UnitEnd > x.End || slices.Contains(counted, y.Unit)): // "5 mg tablet", "5 tablet"
		d.Kind, d.Unit = UnitLost, x.Unit
	case same && x.Unit != "":
		d.Kind = Unit
	}
	return d
}
