package main

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clipperhouse/uax29/v2/sentences"

	"rxedge/inference/quantity"
)

// Kinds of pairs of a label's sentence, true or changed, and its window.
const (
	asItStands   = label + "as it stands"
	inOtherWords = label + "in other words"
	doseChanged  = label + "changed dose"
	numChanged   = label + "changed number"
	numSwapped   = label + "another number of the window"
	denied       = label + "changed negation"
	otherDrug    = label + "other medicine"
	turned       = label + "other direction"
)

func isLabel(kind string) bool { return strings.HasPrefix(kind, label) }
func isTrue(kind string) bool  { return kind == asItStands || kind == inOtherWords }

// perSection is how many sentences of a section are taken at most.
const perSection = 8

// labels gives sentences of labels as they stand, in other words, and changed so
// that they are wrong, each beside the sentence it was made from, alone or with
// its neighbour.
func labels(c *corpus, rng *rand.Rand) []pair {
	var names []string
	for _, s := range c.sections {
		if w := strings.Fields(s.Drug); len(w) == 1 && !slices.Contains(names, strings.ToLower(s.Drug)) {
			names = append(names, strings.ToLower(s.Drug))
		}
	}
	var out []pair
	for _, s := range c.sections {
		ss := usable(s.Text)
		heading := s.Drug + " " + s.Section
		order := rng.Perm(len(ss))
		for _, i := range order[:min(perSection, len(order))] {
			window := ss[i]
			if rng.IntN(2) == 0 && i+1 < len(ss) {
				window += " " + ss[i+1]
			}
			add := func(claim, kind string) {
				if claim != "" {
					out = append(out, pair{claim: claim, window: window, heading: heading, section: s.Text, kind: kind, group: group("label " + strings.ToLower(s.Drug)),
						weight: 0.3, supports: isTrue(kind), contradicts: !isTrue(kind) && kind != labelOther})
				}
			}
			add(ss[i], asItStands)
			said := reword(ss[i], s.Drug, rng)
			if said != ss[i] {
				add(said, inOtherWords)
			}
			from := func() string {
				if rng.IntN(2) == 0 {
					return ss[i]
				}
				return said
			}
			add(renumber(from(), window, true, rng), doseChanged)
			add(renumber(from(), window, false, rng), numChanged)
			add(swapNumber(from(), window), numSwapped)
			add(deny(from()), denied)
			add(replaceDrug(from(), s.Drug, names, window+" "+heading, rng), otherDrug)
			add(turnRound(from()), turned)
			if len(ss) > 3 {
				j := rng.IntN(len(ss))
				if j < i-1 || j > i+1 {
					window = ss[j]
					if !like(ss[i], window) {
						add(ss[i], labelOther)
					}
				}
			}
		}
	}
	return out
}

// usable sentences of a section: of some length, and no table or heading.
func usable(text string) []string {
	var out []string
	it := sentences.FromString(text)
	for it.Next() {
		s := strings.Join(strings.Fields(it.Value()), " ")
		n := len(strings.Fields(s))
		if n < 6 || n > 60 || !strings.HasSuffix(s, ".") || strings.ToUpper(s) == s {
			continue
		}
		out = append(out, s)
	}
	return out
}

// like says whether two sentences are nearly the same: labels repeat themselves.
func like(a, b string) bool {
	have := map[string]bool{}
	for _, w := range strings.Fields(strings.ToLower(b)) {
		have[w] = true
	}
	n, all := 0, strings.Fields(strings.ToLower(a))
	for _, w := range all {
		if have[w] {
			n++
		}
	}
	return 5*n > 3*len(all)
}

var rewordings = [][2]string{
	{"administered", "given"}, {"administer", "give"}, {"administration of", "giving"}, {"discontinued", "stopped"}, {"discontinue", "stop"},
	{"patients", "people"}, {"pediatric patients", "children"}, {"initiate", "start"}, {"initiated", "started"}, {"approximately", "about"},
	{"prior to", "before"}, {"concomitant", "combined"}, {"hepatic", "liver"}, {"renal", "kidney"}, {"should be", "must be"}, {"it is recommended that", ""},
	{"hydrochloride", ""}, {"sodium", ""}, {"tablets", "tablet"}, {"increased risk of", "higher risk of"}, {"associated with", "linked to"},
	{"twice daily", "two times a day"}, {"twice a day", "twice daily"}, {"three times daily", "three times a day"}, {"once daily", "once a day"},
	{"contraindicated in", "contraindicated for"}, {"do not", "never"}, {"may cause", "can cause"}, {"reported", "seen"}, {"monitor", "watch"},
	{"following", "after"}, {"commonly", "frequently"}, {"adverse reactions", "side effects"}, {"treatment with", "use of"}, {"therapy", "treatment"},
	{"recommended dose", "usual dose"}, {"maximum dose", "highest dose"}, {"in patients with", "with"}, {"have been", "were"}, {"physician", "doctor"},
	{"infants", "babies"}, {"myocardial infarction", "heart attack"}, {"elderly", "older"}, {"hemorrhage", "bleeding"}, {"intravenously", "by vein"},
}

var (
	parentheses = regexp.MustCompile(`\s*[(\[][^()\[\]]*[)\]]`)
	leading     = regexp.MustCompile(`^(In|For|During|If|When|After|Before) ([^,]{8,80}), (.+)\.$`)
	trailing    = regexp.MustCompile(`^(.{40,}), (including|such as|which|and|particularly|especially) [^,]+\.$`)
)

// reword says a sentence in other words, as far as rules can: synonyms, clauses
// moved and left out, words left out that carry little.
func reword(s, drug string, rng *rand.Rand) string {
	had := s
	if rng.IntN(2) == 0 {
		s = parentheses.ReplaceAllString(s, "")
	}
	if m := leading.FindStringSubmatch(s); m != nil && rng.IntN(2) == 0 {
		s = m[3] + " " + strings.ToLower(m[1]) + " " + m[2] + "."
	}
	if m := trailing.FindStringSubmatch(s); m != nil && rng.IntN(3) == 0 {
		s = m[1] + "."
	}
	for _, r := range rewordings {
		if rng.IntN(3) > 0 {
			s = replaceWord(s, r[0], r[1])
		}
	}
	if rng.IntN(3) == 0 {
		s = replaceWord(s, strings.ToLower(drug), "it")
	}
	words := strings.Fields(s)
	kept := words[:0:0]
	for i, w := range words {
		if i > 0 && rng.IntN(6) == 0 && plain(w) {
			continue
		}
		kept = append(kept, w)
	}
	if len(kept) < 5 || len(quantity.Missing(strings.Join(kept, " "), had)) > 0 {
		return had
	}
	return strings.Join(kept, " ")
}

// plain says whether a word can be left out without changing what is said.
func plain(w string) bool {
	switch strings.ToLower(w) {
	case "the", "a", "an", "also", "generally", "usually", "such", "these", "those", "other", "clinical", "some", "been", "significant", "their", "serious", "potential", "certain", "any":
		return true
	}
	return false
}

func replaceWord(s, from, to string) string {
	if from == "" {
		return s
	}
	lower := strings.ToLower(s)
	at := strings.Index(lower, from)
	if at < 0 || len(lower) != len(s) || at > 0 && isLetter(lower[at-1]) || at+len(from) < len(lower) && isLetter(lower[at+len(from)]) {
		return s
	}
	return strings.Join(strings.Fields(s[:at]+to+s[at+len(from):]), " ")
}

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-' }

// dose says whether a number is of what is given: an amount, a volume, a count.
func dose(n quantity.Number) bool {
	for _, u := range []string{"mg", "ml", "unit", "meq", "mmol", "tablet", "capsule", "dose", "drop", "spray", "inhalation", "patch", "vial"} {
		if n.Unit == u || strings.HasPrefix(n.Unit, u+"/") {
			return true
		}
	}
	return false
}

// renumber puts another value in the place of one of a sentence's numbers, one
// that the window does not state.
func renumber(s, window string, doses bool, rng *rand.Rand) string {
	var ns []quantity.Number
	for _, n := range quantity.Numbers(s) {
		if dose(n) == doses && s[n.Start] >= '0' && s[n.Start] <= '9' {
			ns = append(ns, n)
		}
	}
	if len(ns) == 0 {
		return ""
	}
	n := ns[rng.IntN(len(ns))]
	v, err := strconv.ParseFloat(strings.ReplaceAll(s[n.Start:n.End], ",", ""), 64)
	if err != nil || v == 0 {
		return ""
	}
	for _, k := range rng.Perm(6) {
		w := []float64{v * 10, v / 10, v * 2, v / 2, v + 1, v * 1.5}[k]
		if w != float64(int(w)) && v == float64(int(v)) && v < 10 && k != 3 {
			continue
		}
		changed := s[:n.Start] + strconv.FormatFloat(w, 'f', -1, 64) + s[n.End:]
		if len(quantity.Missing(changed, window)) > 0 {
			return changed
		}
	}
	return ""
}

// swapNumber puts another number of the window, of the same unit, in the place of
// one of the sentence's: each is there, and yet it is wrong.
func swapNumber(s, window string) string {
	for _, n := range quantity.Numbers(s) {
		if n.Unit == "" || s[n.Start] < '0' || s[n.Start] > '9' {
			continue
		}
		for _, o := range quantity.Numbers(window) {
			if o.Unit == n.Unit && !quantity.Same(n, o) && o.Value > 0 && n.UnitEnd > n.End && o.UnitEnd > o.End &&
				strings.TrimSpace(s[n.End:n.UnitEnd]) == strings.TrimSpace(window[o.End:o.UnitEnd]) {
				return s[:n.Start] + window[o.Start:o.End] + s[n.End:]
			}
		}
	}
	return ""
}

var denials = [][2]string{
	{" do not ", " do "}, {" does not ", " does "}, {" should not ", " should "}, {" is not ", " is "}, {" are not ", " are "}, {" not ", " "}, {" cannot ", " can "},
	{" without ", " with "}, {"contraindicated", "recommended"}, {"avoid ", "use "}, {"Avoid ", "Use "}, {" no ", " a "}, {"Do not ", "Always "}, {" discontinue ", " continue "}, {"Discontinue ", "Continue "},
	{" should ", " should not "}, {" may ", " may not "}, {" can ", " cannot "}, {" is ", " is not "}, {" are ", " are not "}, {" was ", " was not "}, {" were ", " were not "}, {" has ", " has not "}, {" have ", " have not "},
}

// deny turns what a sentence allows into what it forbids, or the other way round.
func deny(s string) string {
	for _, d := range denials {
		if at := strings.Index(s, d[0]); at >= 0 {
			return s[:at] + d[1] + s[at+len(d[0]):]
		}
	}
	return ""
}

// replaceDrug names another medicine.
func replaceDrug(s, drug string, names []string, near string, rng *rand.Rand) string {
	near = strings.ToLower(near)
	other := names[rng.IntN(len(names))]
	for strings.Contains(near, other) {
		other = names[rng.IntN(len(names))]
	}
	if r := replaceWord(s, strings.ToLower(drug), other); r != s {
		return r
	}
	return ""
}

var directions = [][2]string{
	{"increases", "decreases"}, {"increased", "decreased"}, {"increase", "decrease"}, {"higher", "lower"}, {"greater than", "less than"}, {"more than", "less than"},
	{"above", "below"}, {"maximum", "minimum"}, {"before", "after"}, {"prior to", "after"}, {"once", "twice"}, {"daily", "weekly"}, {"hypotension", "hypertension"},
	{"hyperkalemia", "hypokalemia"}, {"hypoglycemia", "hyperglycemia"}, {"orally", "intravenously"}, {"elevated", "reduced"}, {"reduce", "increase"}, {"at least", "at most"},
}

// turnRound turns a word of direction, time or frequency into its opposite.
func turnRound(s string) string {
	for _, d := range directions {
		for k := range 2 {
			if r := replaceWord(s, d[k], d[1-k]); r != s {
				return r
			}
		}
	}
	return ""
}
