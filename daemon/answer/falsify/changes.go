package falsify

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rxedge/inference/quantity"
)

// change makes a sentence wrong; "" where it does not fit.
type change struct {
	kind   string
	dose   bool
	change func(l *Liar, s string, p passage, all []passage) string
}

var changes = []change{
	{"dose: another amount", true, func(l *Liar, s string, _ passage, _ []passage) string { return renumber(l, s, isDose, amounts) }},
	{"dose: decimal point moved", true, func(l *Liar, s string, _ passage, _ []passage) string { return renumber(l, s, isDose, decimals) }},
	{"dose: another unit", true, reunit},
	{"dose: another frequency", true, refrequent},
	{"dose: of another population", true, func(_ *Liar, s string, _ passage, _ []passage) string { return swapTwo(s, isDose) }},
	{"dose: from elsewhere in the passage", true, func(l *Liar, s string, p passage, _ []passage) string { return elsewhere(l, s, p, isDose) }},
	{"number: percent", false, func(l *Liar, s string, _ passage, _ []passage) string { return renumber(l, s, isPercent, amounts) }},
	{"number: age or kidney function", true, func(l *Liar, s string, _ passage, _ []passage) string { return renumber(l, s, isLimit, amounts) }},
	{"number: end of a range", false, rerange},
	{"number: another", false, func(l *Liar, s string, _ passage, _ []passage) string { return renumber(l, s, isOther, amounts) }},
	{"number: of another population", false, func(_ *Liar, s string, _ passage, _ []passage) string { return swapTwo(s, isNoDose) }},
	{"number: from elsewhere in the passage", false, func(l *Liar, s string, p passage, _ []passage) string { return elsewhere(l, s, p, isNoDose) }},
	{"limit: other side", true, func(l *Liar, s string, _ passage, _ []passage) string { return oneOf(l, s, sides) }},
	{"denial dropped", false, func(l *Liar, s string, _ passage, _ []passage) string { return oneOf(l, s, dropped) }},
	{"denial put in", false, func(l *Liar, s string, _ passage, _ []passage) string { return oneOf(l, s, put) }},
	{"direction: more for less", false, func(l *Liar, s string, _ passage, _ []passage) string { return oneOf(l, s, directions) }},
	{"medicine: of the same class", false, classmate},
	{"medicine: another of the passage", false, neighbour},
	{"medicine: any other", false, stranger},
	{"source invented", false, source},
	{"two sentences spliced", false, splice},
	{"sentence invented", false, invent},
	{"sentence of another medicine's label", false, borrowed},
}

func isDose(n quantity.Number) bool {
	for _, u := range []string{"mg", "ml", "unit", "meq", "mmol", "tablet", "capsule", "dose", "drop", "spray", "inhalation", "patch", "vial"} {
		if n.Unit == u || strings.HasPrefix(n.Unit, u+"/") {
			return n.Unit != "ml/min" && !strings.HasPrefix(n.Unit, "ml/min/")
		}
	}
	return false
}

func isNoDose(n quantity.Number) bool  { return !isDose(n) }
func isPercent(n quantity.Number) bool { return n.Unit == "%" }
func isLimit(n quantity.Number) bool {
	return n.Unit == "year" || n.Unit == "month" || strings.HasPrefix(n.Unit, "ml/min")
}
func isOther(n quantity.Number) bool { return !isDose(n) && !isPercent(n) && !isLimit(n) }

func amounts(v float64) []float64  { return []float64{v * 2, v / 2, v * 1.5, v + 5, v + 1, v * 3} }
func decimals(v float64) []float64 { return []float64{v * 10, v / 10, v * 100} }

// numbersOf a sentence that are written in digits and stand for themselves.
func numbersOf(s string, want func(quantity.Number) bool) []quantity.Number {
	var out []quantity.Number
	for _, n := range quantity.Numbers(s) {
		if want(n) && s[n.Start] >= '0' && s[n.Start] <= '9' && n.Value > 0 && (n.Start == 0 || s[n.Start-1] == ' ' || s[n.Start-1] == '(') {
			out = append(out, n)
		}
	}
	return out
}

func renumber(l *Liar, s string, want func(quantity.Number) bool, to func(float64) []float64) string {
	ns := numbersOf(s, want)
	if len(ns) == 0 {
		return ""
	}
	n := ns[l.rng.IntN(len(ns))]
	v, err := strconv.ParseFloat(strings.ReplaceAll(s[n.Start:n.End], ",", ""), 64)
	if err != nil {
		return ""
	}
	vs := to(v)
	w := vs[l.rng.IntN(len(vs))]
	if v == float64(int(v)) && v > 9 {
		w = float64(int(w + 0.5))
	}
	if w == v || w == 0 {
		return ""
	}
	return s[:n.Start] + strconv.FormatFloat(w, 'f', -1, 64) + s[n.End:]
}

var unitChanges = map[string][]string{"mg": {"mcg", "g", "mL"}, "mcg": {"mg"}, "mL": {"L", "mg"}, "g": {"mg"}, "units": {"mg"}, "tablets": {"mg"}, "mg/day": {"mcg/day"}, "mg/kg": {"mg", "g/kg"}}

func reunit(l *Liar, s string, _ passage, _ []passage) string {
	for _, n := range numbersOf(s, isDose) {
		unit := strings.TrimSpace(s[n.End:n.UnitEnd])
		if to := unitChanges[unit]; len(to) > 0 {
			return s[:n.End] + " " + to[l.rng.IntN(len(to))] + s[n.UnitEnd:]
		}
	}
	return ""
}

var (
	frequencies = [][2]string{{"twice daily", "once daily"}, {"once daily", "twice daily"}, {"twice a day", "four times a day"}, {"once a day", "three times a day"},
		{"three times a day", "twice a day"}, {"four times a day", "twice a day"}, {"times daily", "times weekly"}, {"weekly", "daily"}, {"daily", "weekly"}, {"once a week", "once a day"},
		{"per day", "per hour"}, {"every day", "every other day"}, {"a day", "a week"}, {"at bedtime", "in the morning"}, {"daily dose", "single dose"}, {"monthly", "weekly"}}
	everyHours = regexp.MustCompile(`every (\d+)( to \d+)? hours`)
)

func refrequent(l *Liar, s string, _ passage, _ []passage) string {
	if m := everyHours.FindStringSubmatchIndex(s); m != nil && l.rng.IntN(2) == 0 {
		n, _ := strconv.Atoi(s[m[2]:m[3]])
		return s[:m[2]] + strconv.Itoa([]int{n * 2, n + 2, max(1, n/2)}[l.rng.IntN(3)]) + s[m[3]:]
	}
	return oneOf(l, s, frequencies)
}

// oneOf makes one of the replacements that fit.
func oneOf(l *Liar, s string, of [][2]string) string {
	for _, i := range l.rng.Perm(len(of)) {
		if v := replaceWord(s, of[i][0], of[i][1]); v != s {
			return v
		}
	}
	return ""
}

// swapTwo lets two numbers of the same unit change places where other words stand
// by each: what held for one is said of the other.
func swapTwo(s string, want func(quantity.Number) bool) string {
	ns := numbersOf(s, want)
	for i := 0; i+1 < len(ns); i++ {
		for _, b := range ns[i+1:] {
			a := ns[i]
			if a.Unit != b.Unit || quantity.Same(a, b) || s[a.Start:a.End] == s[b.Start:b.End] {
				continue
			}
			between := strings.Fields(strings.ToLower(s[a.UnitEnd:b.Start]))
			words := 0
			for _, w := range between {
				w = strings.Trim(w, ".,;:()")
				if len(w) > 3 && w != "daily" && w != "than" && w != "with" && w != "maximum" && w != "total" && w != "dose" && w != "doses" {
					words++
				}
			}
			if words < 2 {
				continue
			}
			return s[:a.Start] + s[b.Start:b.End] + s[a.End:b.Start] + s[a.Start:a.End] + s[b.End:]
		}
	}
	return ""
}

// elsewhere says another number of the passage, of the same unit, that the
// sentence has not.
func elsewhere(l *Liar, s string, p passage, want func(quantity.Number) bool) string {
	ns := numbersOf(s, want)
	others := numbersOf(p.text, want)
	for _, i := range l.rng.Perm(len(ns)) {
		n := ns[i]
		for _, j := range l.rng.Perm(len(others)) {
			o := others[j]
			if o.Unit != n.Unit || n.Unit == "" || slices.ContainsFunc(quantity.Numbers(s), func(m quantity.Number) bool { return quantity.Same(m, o) }) {
				continue
			}
			if written := p.text[o.Start:o.End]; strings.TrimSpace(p.text[o.End:o.UnitEnd]) == strings.TrimSpace(s[n.End:n.UnitEnd]) {
				return s[:n.Start] + written + s[n.End:]
			}
		}
	}
	return ""
}

var ranges = regexp.MustCompile(`(\d+(?:\.\d+)?)( to |-|–| and )(\d+(?:\.\d+)?)`)

func rerange(l *Liar, s string, _ passage, _ []passage) string {
	m := ranges.FindStringSubmatchIndex(s)
	if m == nil {
		return ""
	}
	at, end := m[2], m[3]
	if l.rng.IntN(2) == 0 {
		at, end = m[6], m[7]
	}
	v, err := strconv.ParseFloat(s[at:end], 64)
	if err != nil {
		return ""
	}
	return s[:at] + strconv.FormatFloat(v+[]float64{5, 10, 1, v}[l.rng.IntN(4)], 'f', -1, 64) + s[end:]
}

var (
	sides = [][2]string{{"below", "above"}, {"above", "below"}, {"less than", "more than"}, {"greater than", "less than"}, {"more than", "less than"}, {"at least", "at most"},
		{"and older", "and younger"}, {"or older", "or younger"}, {"younger than", "older than"}, {"up to", "at least"}, {"or less", "or more"}, {"or greater", "or less"}, {"maximum", "minimum"}, {"before", "after"}}
	dropped = [][2]string{{"is not", "is"}, {"are not", "are"}, {"do not", ""}, {"does not", "does"}, {"should not", "should"}, {"not", ""}, {"avoid", "consider"}, {"contraindicated", "recommended"},
		{"without", "with"}, {"no", "a"}, {"cannot", "can"}, {"discontinue", "continue"}, {"discontinued", "continued"}, {"unless", "if"}, {"never", "always"}}
	put = [][2]string{{"should", "should not"}, {"is recommended", "is not recommended"}, {"is indicated", "is contraindicated"}, {"are indicated", "are contraindicated"}, {"may", "does not"},
		{"can", "cannot"}, {"is", "is not"}, {"are", "are not"}, {"was", "was not"}, {"were", "were not"}, {"has", "has never"}, {"monitor", "do not monitor"}, {"with", "without"}, {"if", "unless"}}
	directions = [][2]string{{"increase", "decrease"}, {"increased", "decreased"}, {"increases", "decreases"}, {"decrease", "increase"}, {"decreased", "increased"}, {"reduced", "increased"}, {"reduces", "increases"},
		{"higher", "lower"}, {"lower", "higher"}, {"more common", "less common"}, {"hypotension", "hypertension"}, {"hypoglycemia", "hyperglycemia"}, {"hyperkalemia", "hypokalemia"}, {"worsen", "improve"},
		{"greater", "smaller"}, {"elevated", "lowered"}, {"mild", "severe"}, {"severe", "mild"}, {"inhibitors", "inducers"}, {"rare", "common"}, {"common", "rare"}, {"before", "after"}, {"acute", "chronic"}}
)

// medicineOf a passage, as its label is called.
func medicineOf(p passage) string {
	t, _, _ := strings.Cut(p.title, ":")
	return strings.ToLower(strings.TrimSpace(t))
}

func classmate(l *Liar, s string, p passage, _ []passage) string {
	mates := l.Others.Classes[medicineOf(p)]
	if len(mates) == 0 {
		return ""
	}
	return changed(s, replaceWord(s, medicineOf(p), mates[l.rng.IntN(len(mates))]))
}

// brand names of what is also called otherwise in these labels.
var brand = map[string]string{"pradaxa": "dabigatran", "eliquis": "apixaban", "farxiga": "dapagliflozin", "invokana": "canagliflozin", "jardiance": "empagliflozin"}

// neighbour puts another medicine of the same passages in the place of the label's,
// or the label's in the place of another.
func neighbour(l *Liar, s string, p passage, all []passage) string {
	own := medicineOf(p)
	low := " " + strings.ToLower(s) + " "
	for _, i := range l.rng.Perm(len(l.Others.Medicines)) {
		m := l.Others.Medicines[i]
		if m == own || strings.Contains(m, own) || strings.Contains(own, m) || brand[m] == own || brand[own] == m || brand[m] != "" && strings.Contains(low, brand[m]) {
			continue
		}
		inS := strings.Contains(low, " "+m+" ")
		if inS && !strings.Contains(low, own) {
			return changed(s, replaceWord(s, m, own))
		}
		if !inS && slices.ContainsFunc(all, func(q passage) bool { return strings.Contains(strings.ToLower(q.text), " "+m+" ") }) {
			if v := replaceWord(s, own, m); v != s {
				return v
			}
		}
	}
	return ""
}

func stranger(l *Liar, s string, p passage, _ []passage) string {
	m := l.Others.Medicines[l.rng.IntN(len(l.Others.Medicines))]
	if strings.Contains(strings.ToLower(s), m) || brand[m] != "" && brand[m] == medicineOf(p) || brand[medicineOf(p)] == m && m != "" || strings.Contains(medicineOf(p), m) || strings.Contains(m, medicineOf(p)) {
		return ""
	}
	return changed(s, replaceWord(s, medicineOf(p), m))
}

func changed(had, has string) string {
	if had == has {
		return ""
	}
	return has
}

func source(l *Liar, s string, _ passage, all []passage) string {
	body := strings.TrimSuffix(s, ".")
	return []string{
		fmt.Sprintf("%s [%d].", body, len(all)+1+l.rng.IntN(40)),
		fmt.Sprintf("%s (Smith et al., 20%d).", body, 10+l.rng.IntN(15)),
		fmt.Sprintf("%s (PMID %d).", body, 10000000+l.rng.IntN(20000000)),
		"According to the 2021 guideline of the ADA, " + lower(body) + ".",
		fmt.Sprintf("%s (section %d.%d of the label).", body, 20+l.rng.IntN(30), 1+l.rng.IntN(9)),
		body + ", as the NICE guideline says.",
	}[l.rng.IntN(6)]
}

var predicate = regexp.MustCompile(`^(.{8,80}?) (should be|is|are|may|can|was|were|has|have|must) (.{15,})$`)

// splice says of one subject what another sentence of the passage says of its own.
func splice(l *Liar, s string, p passage, _ []passage) string {
	a := predicate.FindStringSubmatch(s)
	b := predicate.FindStringSubmatch(p.sentences[l.rng.IntN(len(p.sentences))])
	if a == nil || b == nil || strings.EqualFold(a[1], b[1]) || strings.EqualFold(a[3], b[3]) {
		return ""
	}
	// Of the same medicine it could be true.
	if m := medicineOf(p); strings.Contains(strings.ToLower(a[1]), m) && strings.Contains(strings.ToLower(b[1]), m) || len(strings.Fields(a[1])) < 2 || len(strings.Fields(b[1])) < 2 {
		return ""
	}
	return a[1] + " " + b[2] + " " + b[3]
}

func invent(l *Liar, _ string, p passage, _ []passage) string {
	m := medicineOf(p)
	return fmt.Sprintf([]string{
		"Take %[1]s with a full glass of grapefruit juice for best absorption.",
		"%[2]s can safely be combined with alcohol in most adults.",
		"The usual dose of %[1]s is %[3]d mg every %[4]d hours.",
		"%[2]s is safe in pregnancy and needs no monitoring.",
		"Missed doses of %[1]s should be doubled at the next opportunity.",
		"No dose adjustment of %[1]s is needed in renal impairment.",
		"Store %[1]s in the freezer and discard after %[4]d days.",
		"%[2]s has been shown to cure hypertension in %[3]d %% of patients.",
		"Children under %[4]d years can take the adult dose of %[1]s.",
		"The maximum dose of %[1]s is %[3]d mg per day.",
	}[l.rng.IntN(10)], m, upper(m), 50*(1+l.rng.IntN(60)), 2+l.rng.IntN(22))
}

// borrowed is a sentence of any label, said of this medicine.
func borrowed(l *Liar, _ string, p passage, all []passage) string {
	s := l.Others.Sentences[l.rng.IntN(len(l.Others.Sentences))]
	for _, m := range l.Others.Medicines {
		if v := replaceWord(s, m, medicineOf(p)); v != s {
			// Labels of a class share sentences.
			if slices.ContainsFunc(all, func(q passage) bool { return overlap(v, q.text) > 0.7 }) {
				return ""
			}
			return v
		}
	}
	return ""
}

func overlap(s, text string) float64 {
	have := map[string]bool{}
	for _, w := range strings.Fields(strings.ToLower(text)) {
		have[w] = true
	}
	n, ws := 0, strings.Fields(strings.ToLower(s))
	for _, w := range ws {
		if have[w] {
			n++
		}
	}
	return float64(n) / float64(max(1, len(ws)))
}
