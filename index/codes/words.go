package codes

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// cues are the words before a code that say its system, by the first of them.
var cues = func() map[string][]cue {
	m := map[string][]cue{}
	for system, phrases := range map[string]string{
		NDC:   "ndc, ndcs, ndc10, ndc11, ndc12, ndc-10, ndc-11, ndc-12, national drug code",
		GTIN:  "gtin, gtin-14, gtin14, gtin-13, gtin-12, upc, upc-a, upca, ean, ean-13, ean13, barcode, bar-code, bar code",
		RxCUI: "rxcui, rxcuis, rx-cui, rx cui, rxnorm, rx norm",
		SPL:   "setid, set-id, set id, document id, doc id, label id, spl",
		UNII:  "unii",
		LOINC: "loinc",
		ATC:   "atc",
	} {
		for _, p := range strings.Split(phrases, ", ") {
			ws := strings.Fields(p)
			m[ws[0]] = append(m[ws[0]], cue{ws[1:], system})
		}
	}
	return m
}()

type cue struct {
	more   []string
	system string
}

// attached cues stand before a code without a space: NDC0093-1048-01.
var attached = []struct{ cue, system string }{{"ndc", NDC}, {"gtin", GTIN}, {"upc", GTIN}, {"ean", GTIN}, {"rxcui", RxCUI}, {"unii-", UNII}, {"loinc-", LOINC}}

// fillers stand between a cue and its code, joiners between codes of one cue.
var (
	fillers = []string{"code", "codes", "number", "numbers", "no", "nr", "num", "id", "ids", "is", "cui", "cuis"}
	joiners = []string{"and", "or", "vs", "with", "plus", "to"}
)

// units after a number say that it is no code.
var units = strings.Fields(`mg mcg ug µg g gm gram grams kg ng ml l dl cc iu unit units u meq mmol mol mosm mmhg cm mm m lb lbs oz tsp tbsp
 tablet tablets tab tabs capsule capsules cap caps dose doses patch patches puff puffs drop drops gtt vial vials pen pens
 year years yr yrs yo y month months mo week weeks wk wks day days hour hours hr hrs h min minutes sec seconds am pm
 percent cells cfu bpm kcal cal calories kilocalories copies patients people participants subjects women men children cases
 mgs mls kgs mcgs mg-kg steps dollars usd times x`)

// words reads codes by the words before them or by their own form.
func (f *finder) words() {
	ws := f.split()
	for i := 0; i < len(ws); i++ {
		if n, sys := cueAt(ws, i, f.text); n > 0 {
			if got := f.cued(ws, i+n, sys); got > 0 {
				i += n + got - 1
				continue
			}
			i += n - 1
			continue
		}
		if n := f.attached(ws, i); n > 0 {
			i += n - 1
			continue
		}
		i += f.bare(ws, i)
	}
}

// gap is what stands between two words.
func gap(text string, a, b word) string { return text[a.end:b.start] }

// cueAt says of how many words a cue at word i is, and of which system.
func cueAt(ws []word, i int, text string) (int, string) {
	for _, c := range cues[ws[i].s] {
		ok := len(ws)-i > len(c.more)
		for k := 0; ok && k < len(c.more); k++ {
			ok = ws[i+k+1].s == c.more[k] && len(gap(text, ws[i+k], ws[i+k+1])) < 3
		}
		if ok {
			return 1 + len(c.more), c.system
		}
	}
	return 0, ""
}

// cued reads the code, or the list of them, behind a cue, and says how many
// words that took.
func (f *finder) cued(ws []word, first int, sys string) int {
	i := first
	for n := 0; n < 2 && i < len(ws) && slices.Contains(fillers, ws[i].s); n++ {
		i++
	}
	if i == 0 || i >= len(ws) || strings.Trim(gap(f.text, ws[i-1], ws[i]), " \t\u00a0:=#.(-–\"'/") != "" || len(gap(f.text, ws[i-1], ws[i])) > 5 {
		return 0
	}
	n := f.value(ws, i, sys, true)
	if n == 0 {
		return 0
	}
	i += n
	for i < len(ws) { // more of them
		k := i
		g := strings.TrimSpace(gap(f.text, ws[k-1], ws[k]))
		if g == "" && slices.Contains(joiners, ws[k].s) && k+1 < len(ws) && strings.TrimSpace(gap(f.text, ws[k], ws[k+1])) == "" {
			k++
		} else if g != "," && g != ";" && g != "/" && g != "&" && g != "+" {
			break
		}
		n := f.value(ws, k, sys, false)
		if n == 0 {
			break
		}
		i = k + n
	}
	return i - first
}

// value reads one code of a system at word i and says how many words it took.
// Where it has not the form but was meant to be one, it is reported.
func (f *finder) value(ws []word, i int, sys string, direct bool) int {
	if sys == NDC || sys == GTIN {
		for n := min(5, len(ws)-i); n > 1; n-- { // segments with spaces between
			if j, ok := spaced(f.text, ws, i, n); ok && f.bounded(ws[i].start, ws[j].end) {
				if c := read(sys, f.text[ws[i].start:ws[j].end]); c.System != "" {
					f.add(c, ws[i].start, ws[j].end)
					return n
				}
			}
		}
	}
	w := ws[i]
	if !f.bounded(w.start, w.end) {
		return 0
	}
	as := f.text[w.start:w.end]
	c := read(sys, as)
	if c.System == "" && sys == GTIN { // under a cue of bar codes NDCs stand too
		c = readNDC(as)
	}
	if c.System == "" && sys == NDC && len(as) > 11 {
		c = readGTIN(as)
	}
	switch {
	case c.System == "" && (!direct || !attempt(sys, w)):
		return 0
	case c.System == "":
		c = Code{System: sys, Value: w.s, Problem: "this is no code of its system: " + forms[sys]}
	case w.letters == 0 && (sys == RxCUI || len(as) < 10 || !direct) && f.unitFollows(ws, i):
		return 0
	case !direct && sys == RxCUI && w.digits < 3:
		return 0
	}
	f.add(c, w.start, w.end)
	return 1
}

// attempt: a word that was meant to be a code of the system, and is none.
func attempt(sys string, w word) bool {
	switch sys {
	case NDC, GTIN:
		return w.letters == 0 && w.digits > 6
	case SPL:
		return len(w.s) > 24 && strings.Count(w.s, "-") > 2
	case UNII:
		return w.digits > 1 && w.letters > 1 && len(w.s) > 8 && len(w.s) < 12
	}
	return false
}

// spaced: words i to i+n-1 are digits with one space between each two.
func spaced(text string, ws []word, i, n int) (last int, ok bool) {
	for k := i; k < i+n; k++ {
		if ws[k].letters > 0 || ws[k].digits == 0 || k > i && gap(text, ws[k-1], ws[k]) != " " {
			return 0, false
		}
	}
	return i + n - 1, true
}

// bounded: no decimal point, money, percent or address goes on at either end.
func (f *finder) bounded(start, end int) bool {
	t := f.text
	digit := func(i int) bool { return i >= 0 && i < len(t) && t[i] >= '0' && t[i] <= '9' }
	if start > 0 {
		switch c := t[start-1]; {
		case (c == '.' || c == ',') && digit(start-2), c == '$', c == '@', c == '_', c == '+', c == '-', c == '<', c == '>', c == '~':
			return false
		}
		if r, _ := utf8.DecodeLastRuneInString(t[:start]); r == '£' || r == '€' || r == '±' || r == '≥' || r == '≤' || r == '≈' || dash(r) {
			return false
		}
	}
	if end < len(t) {
		switch c := t[end]; {
		case (c == '.' || c == ',' || c == ':') && digit(end+1), c == '%', c == '@', c == '_', c == '^':
			return false
		}
	}
	return true
}

// fraction: a stroke at either end.
func (f *finder) fraction(start, end int) bool {
	return start > 0 && f.text[start-1] == '/' || end < len(f.text) && f.text[end] == '/'
}

func (f *finder) unitFollows(ws []word, i int) bool {
	if i+1 >= len(ws) {
		return false
	}
	return strings.Trim(gap(f.text, ws[i], ws[i+1]), " \u00a0") == "" && slices.Contains(units, ws[i+1].s)
}

// attached reads a cue and a code in one word.
func (f *finder) attached(ws []word, i int) int {
	w := ws[i]
	if w.digits == 0 || w.letters == 0 {
		return 0
	}
	for _, a := range attached {
		rest, ok := strings.CutPrefix(w.s, a.cue)
		if !ok || rest == "" {
			continue
		}
		rest = strings.TrimPrefix(rest, "-")
		if a.system != UNII && (rest == "" || rest[0] < '0' || rest[0] > '9') && !strings.HasPrefix(rest, "*") {
			continue
		}
		if c := read(a.system, rest); c.System != "" && f.bounded(w.start, w.end) && !(a.system == RxCUI && f.unitFollows(ws, i)) {
			f.add(c, w.start, w.end)
			return 1
		}
	}
	return 0
}

// bare reads a code without a word that says so, and gives how many further
// words it took.
func (f *finder) bare(ws []word, i int) int {
	w := ws[i]
	if w.digits == 0 || !f.bounded(w.start, w.end) {
		return 0
	}
	as := f.text[w.start:w.end]
	if w.letters > 0 {
		f.lettered(ws, i, as)
		return 0
	}
	p := segments(as, 4)
	switch {
	case len(p) == 3:
		if c := readNDC(as); c.System != "" {
			f.add(c, w.start, w.end)
		}
		return 0
	case len(p) == 0 || f.fraction(w.start, w.end) || f.unitFollows(ws, i):
		return 0
	case len(p) == 2 && len(p[1]) == 1:
		if c := readLOINC(as); c.System != "" && c.Problem == "" && len(p[0]) > 3 {
			c.Weak = len(p[0]) == 4
			f.add(c, w.start, w.end)
		}
		return 0
	case len(p) == 2:
		if c := readNDC(as); c.System != "" && (len(p[0]) != 4 || p[0][0] == '0') {
			c.Weak = true
			f.add(c, w.start, w.end)
		}
		return 0
	case len(p) != 1:
		return 0
	}
	if _, ok := spaced(f.text, ws[i:], 0, min(3, len(ws)-i)); ok && len(ws)-i > 2 {
		if c := readNDC(f.text[w.start:ws[i+2].end]); c.System != "" && f.bounded(w.start, ws[i+2].end) && !f.unitFollows(ws, i+2) {
			c.Weak = true
			f.add(c, w.start, ws[i+2].end)
			return 2
		}
	}
	f.plain(p[0], w)
	return 0
}

// plain reads digits without anything in or around them.
func (f *finder) plain(digits string, w word) {
	g := readGTIN(digits)
	if g.System != "" && g.Problem == "" && len(digits) > 11 {
		g.Weak = len(g.Readings) == 0
		f.add(g, w.start, w.end)
	}
	switch len(digits) {
	case 10, 11, 12:
		if c := readNDC(digits); len(digits) < 12 || digits[0] == '0' {
			c.Weak = true
			f.add(c, w.start, w.end)
		}
	}
}

// lettered reads UUIDs, UNIIs and ATC codes.
func (f *finder) lettered(ws []word, i int, as string) {
	w := ws[i]
	if c := readUUID(as); c.System != "" && strings.Contains(w.s, "-") {
		f.add(c, w.start, w.end)
		return
	}
	if c := readUNII(as); c.System != "" && c.Problem == "" && w.digits > 1 {
		c.Weak = true
		f.add(c, w.start, w.end)
		return
	}
	if c := readATC(as); c.System != "" && len(as) == 7 {
		f.add(c, w.start, w.end)
	}
}
