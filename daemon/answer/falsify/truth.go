package falsify

import (
	"regexp"
	"strconv"
	"strings"

	"rxedge/inference/quantity"
)

// Kinds of true sentences.
const (
	Verbatim  = "as it stands"
	Reordered = "clauses in another order"
	Reworded  = "other words"
	Unlisted  = "other words that no list here has"
	Shortened = "shortened"
	Rewritten = "numbers written in another way"
	Several   = "several of these"
)

var truths = []struct {
	kind string
	say  func(*Liar, string) string
}{
	{Verbatim, func(_ *Liar, s string) string { return s }},
	{Reordered, reorder},
	{Reworded, func(l *Liar, s string) string { return reword(l, s, synonyms) }},
	{Unlisted, func(l *Liar, s string) string { return reword(l, s, unlisted) }},
	{Shortened, shorten},
	{Rewritten, rewrite},
	{Several, func(l *Liar, s string) string {
		for _, f := range []func(*Liar, string) string{shorten, reorder, func(l *Liar, s string) string { return reword(l, s, synonyms) }, rewrite} {
			if v := f(l, s); v != "" {
				s = v
			}
		}
		return s
	}},
}

// truth says a sentence in a way that leaves it true, "" where the way does not fit it.
func (l *Liar) truth(s string, _ passage) (kind, text string) {
	t := truths[l.rng.IntN(len(truths))]
	text = t.say(l, s)
	if text == s && t.kind != Verbatim {
		return t.kind, ""
	}
	if n := len(strings.Fields(text)); n < 5 {
		return t.kind, ""
	}
	return t.kind, text
}

var (
	leading  = regexp.MustCompile(`^(In|For|During|If|When|After|Before|Because|While|As|Among|Following) ([^,;:]{6,90}), ([a-z].{15,})\.$`)
	trailing = regexp.MustCompile(`^([^,;:]{20,120}) (if|when|because|while|before|during|until|after) ([^,;:]{8,90})\.$`)
	aside    = regexp.MustCompile(`\s*[(\[][^()\[\]]*[)\]]`)
	tail     = regexp.MustCompile(`^(.{35,}?),? (including|such as|which|e\.g\.,|resulting in|as well as|particularly) [^.]+\.$`)
	adverb   = regexp.MustCompile(`(?i) (generally|usually|typically|also|however,|therefore,|additionally,|subsequently|particularly|clinically|potentially) `)
)

// keeps words without which what is left would say something else.
var keeps = regexp.MustCompile(`(?i)\b(not|no|only|unless|except|without|never|if|than|less|more|but)\b`)

func reorder(_ *Liar, s string) string {
	if m := leading.FindStringSubmatch(s); m != nil {
		return upper(m[3]) + " " + strings.ToLower(m[1]) + " " + m[2] + "."
	}
	if m := trailing.FindStringSubmatch(s); m != nil {
		return upper(m[2]) + " " + m[3] + ", " + lower(m[1]) + "."
	}
	return ""
}

func shorten(_ *Liar, s string) string {
	v := s
	for _, m := range aside.FindAllString(s, -1) {
		if !keeps.MatchString(m) {
			v = strings.Replace(v, m, "", 1)
		}
	}
	if m := tail.FindStringSubmatch(v); m != nil && !keeps.MatchString(v[len(m[1]):]) {
		v = m[1] + "."
	}
	v = adverb.ReplaceAllString(v, " ")
	return flow(v)
}

// synonyms of pharmacists and of patients.
var synonyms = [][2]string{
	{"hypoglycemia", "low blood sugar"}, {"hypotension", "low blood pressure"}, {"renal impairment", "impaired kidney function"}, {"renal function", "kidney function"},
	{"hepatic failure", "liver failure"}, {"hepatic impairment", "impaired liver function"}, {"administered", "taken"}, {"is indicated for", "is used for"},
	{"are indicated for", "are used for"}, {"concurrently", "at the same time"}, {"concomitantly", "together"}, {"coadministered", "given together"},
	{"should be monitored", "need to be monitored"}, {"occurred in", "were seen in"}, {"individuals", "people"}, {"dosage", "dose"}, {"pruritus", "itching"},
	{"edema", "swelling"}, {"fatal", "deadly"}, {"evaluate", "assess"}, {"advise patients", "tell patients"}, {"per day", "daily"}, {"increases the", "raises the"},
	{"decreases the", "lowers the"}, {"elevated", "raised"}, {"during pregnancy", "in pregnancy"}, {"may be", "can be"}, {"such as", "for example"},
	{"is contraindicated in", "must not be used in"}, {"are contraindicated in", "must not be used in"}, {"should be discontinued", "should be stopped"},
	{"discontinue", "stop"}, {"experienced", "had"}, {"initiation of", "starting"}, {"prior to", "before"}, {"approximately", "about"}, {"reported in", "seen in"},
	{"patients", "people"}, {"recommended", "advised"}, {"physicians", "doctors"}, {"in combination with", "together with"}, {"frequently", "often"},
	{"compared to", "compared with"}, {"clinical trials", "clinical studies"}, {"therapy", "treatment"}, {"hypersensitivity", "allergy"}, {"mortality", "death"},
	{"closely", "carefully"}, {"occurrence", "appearance"}, {"necessary", "needed"}, {"select", "choose"}, {"demonstrated", "showed"}, {"manifestations", "signs"}, {"subsequent", "later"}, {"hospitalization", "hospital admission"}, {"caution", "care"},
	{"information", "facts"}, {"discuss", "talk about"}, {"symptoms", "complaints"}, {"serum", "blood"}, {"prolonged", "long"}, {"concentrations", "levels"}, {"incidence", "rate"}, {"response", "effect"}, {"include", "comprise"},
	{"cardiac failure", "heart failure"}, {"adverse reactions", "side effects"}, {"healthcare provider", "doctor"}, {"neonates", "newborns"},
}

// unlisted are ways to say the same that inference/alignment does not list.
var unlisted = [][2]string{
	{"appropriate", "suitable"}, {"develop", "get"}, {"consider", "think about"}, {"majority", "most"}, {"duration", "length"}, {"ingestion", "swallowing"}, {"prompt", "quick"}, {"hazardous", "dangerous"}, {"potential", "possible"},
	{"significant", "marked"}, {"events", "incidents"}, {"multiple", "many"}, {"ensure", "make sure"}, {"history of", "past"}, {"affect", "influence"}, {"established", "shown"}, {"agents", "products"}, {"included", "comprised"},
}

func reword(l *Liar, s string, list [][2]string) string {
	v, n := s, 0
	for _, i := range l.rng.Perm(len(list)) {
		if r := replaceWord(v, list[i][0], list[i][1]); r != v && n < 3 {
			v, n = r, n+1
		}
	}
	if len(list) == len(synonyms) && (n == 0 || l.rng.IntN(4) == 0) {
		v = []string{"According to the label, ", "The label says that ", "Note that "}[l.rng.IntN(3)] + lower(v)
	}
	return v
}

// rewrite writes numbers in another way of the same value.
func rewrite(l *Liar, s string) string {
	v := s
	for _, r := range [][2]string{{"twice daily", "two times a day"}, {"once daily", "once a day"}, {"percent", "%"}, {"twice a day", "two times daily"}, {"24 hours", "1 day"},
		{"three times", "3 times"}, {"seven days", "7 days"}, {"one week", "7 days"}, {"12 months", "twelve months"}, {"two weeks", "2 weeks"}, {"four weeks", "4 weeks"}} {
		v = replaceWord(v, r[0], r[1])
	}
	ns := quantity.Numbers(v)
	for i := len(ns) - 1; i >= 0; i-- {
		n := ns[i]
		written := v[n.Start:n.End]
		switch {
		case strings.Contains(written, ","):
			v = v[:n.Start] + strings.ReplaceAll(written, ",", "") + v[n.End:]
		case strings.HasPrefix(v[n.End:], " mg ") && !strings.HasPrefix(v[n.End:], " mg per ") && n.Value >= 1000 && n.Value == float64(int(n.Value/500))*500:
			v = v[:n.Start] + strconv.FormatFloat(n.Value/1000, 'f', -1, 64) + " g" + v[n.End+3:]
		case strings.HasPrefix(v[n.End:], " to ") && i+1 < len(ns) && ns[i+1].Start == n.End+4 && v[n.End+4] >= '0' && v[n.End+4] <= '9':
			v = v[:n.End] + "-" + v[n.End+4:]
		case strings.HasPrefix(v[n.End:], "%"):
			v = v[:n.End] + " percent" + v[n.End+1:]
		}
	}
	return v
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// lower puts the first letter in lower case, but for names and abbreviations.
func lower(s string) string {
	w, _, _ := strings.Cut(s, " ")
	if len(w) > 1 && w[1:] != strings.ToLower(w[1:]) {
		return s
	}
	switch strings.ToLower(w) {
	case "the", "a", "an", "in", "for", "patients", "it", "if", "when", "this", "these", "most", "some", "all", "do", "use", "avoid", "discontinue", "monitor", "because", "there", "serious", "severe", "treatment":
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// replaceWord puts to in the place of the first from that stands as a word,
// whatever its case.
func replaceWord(s, from, to string) string {
	low := strings.ToLower(s)
	if from == "" || len(low) != len(s) {
		return s
	}
	for at := 0; ; {
		i := strings.Index(low[at:], from)
		if i < 0 {
			return s
		}
		i += at
		end := i + len(from)
		if (i == 0 || !letter(low[i-1])) && (end == len(low) || !letter(low[end])) {
			if i == 0 && to != "" {
				to = upper(to)
			}
			return strings.Join(strings.Fields(s[:i]+to+s[end:]), " ")
		}
		at = end
	}
}

func letter(b byte) bool { return b >= 'a' && b <= 'z' || b == '-' || b >= '0' && b <= '9' }
