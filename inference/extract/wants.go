package extract

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"rxedge/inference/quantity"
)

// wants is what a question asks to be told: a number of some kind, or what to
// do. A sentence that states such a thing beside the question's words answers
// more of it than one that only shares the words.
type wants struct {
	dose, time, count, share, limit, act bool
	perKg                                bool // a dose by weight
	rate                                 bool // an amount by the hour or minute
	often                                bool // an interval
	begin                                bool // the dose to begin with
	most                                 bool // the greatest dose
	usual                                bool // the usual one
	amount                               bool // a dose, in so many words
	unit                                 bool // a dose, by its unit: "mcg for …"
	clock                                bool // the time of day
	age                                  bool // from what age
	content                              bool // how much of something is in it
	ends, onset                          bool // when something is over, when it begins
	tests                                bool // how often something is measured
}

// askedBy are the ways to ask, matched as whole words of the question in lower
// case, punctuation aside. "7 days" in a question is a fact of the patient, so
// words alone count here.
var askedBy = []struct {
	phrases string
	mark    func(*wants)
}{
	{"how much|max|maximum|max dose|dose|doses|dosing|dosage|how high|how low|starting|start at|begin at|go up to|titrate|target|mg|mcg|how many mg|strength|amount", func(w *wants) { w.dose = true }},
	{"what age|which age|what ages|which ages|youngest|minimum age|min age|age limit|age cutoff|how old|from age|lowest age", func(w *wants) { w.age = true }},
	{"content|contain|contains|contained", func(w *wants) { w.content = true }},
	{"within what|within how|how quickly|how fast|onset|no later than", func(w *wants) { w.time = true }},
	{"when|how often|how frequent|how frequently|how long|how soon|how early|how late|how far|wait|interval|schedule|hrs|hours|duration|days|weeks|months|time|spacing|space|apart|until|every|washout|timing|frequency", func(w *wants) { w.time = true }},
	{"how many|number of|total|count|limit|max number", func(w *wants) { w.count = true }},
	{"how common|how likely|incidence|percent|percentage|rate|risk of|what share|share of|proportion|what fraction|odds|chance|chances|likelihood|%", func(w *wants) { w.share = true }},
	{"how often|how frequent|how frequently|schedule|interval|intervals|frequency|how far", func(w *wants) { w.often = true }},
	{"dose|dosing|dosage|how much|max dose|how many mg", func(w *wants) { w.amount = true }},
	{"how high|max|maximum|max dose|ceiling|upper limit|highest|at most|most|limit|cap", func(w *wants) { w.most = true }},
	{"usual|normal|typical|recommended|suggested|standard", func(w *wants) { w.usual = true }},
	{"start|starts|begin|begins|initiate|starting|initial|first dose", func(w *wants) { w.begin = true }},
	{"cutoff|cut-off|cut off|threshold|how low|below what|above what|what level|limit|egfr|gfr|crcl|platelets|inr", func(w *wants) { w.limit = true }},
	{"ok|okay|can|could|should|safe|hold|stop|avoid|problem|allowed|contraindicated|needed|need|must|do|what now|give|use|adjust|reduce|restart|resume|switch|combine|together|with|pair|mix|keep|now what|what next|what to do|next step", func(w *wants) { w.act = true }},
}

func wantsOf(question string) wants {
	text := " " + strings.Join(strings.FieldsFunc(strings.ToLower(question), func(r rune) bool {
		return r != '-' && r != '\'' && r != '%' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && r < 0x80
	}), " ") + " "
	text = concentration.ReplaceAllString(text, "$1%")
	var w wants
	for _, a := range askedBy {
		for _, p := range strings.Split(a.phrases, "|") {
			if strings.Contains(text, " "+p+" ") {
				a.mark(&w)
				break
			}
		}
	}
	for _, p := range []string{" mg kg ", " mcg kg ", " per kg ", " units kg ", " ml kg ", " meq kg ", " mg m2 ", " per m2 "} {
		w.perKg = w.perKg || strings.Contains(text, p)
	}
	for _, p := range []string{" per hour ", " per hr ", " per min ", " per minute ", " ml hr ", " ml h ", " mg hr ", " mg h ", " mcg min ", " mg min ", " infusion rate ", " drip rate ", " rate of infusion ", " flow rate "} {
		w.rate = w.rate || strings.Contains(text, p)
	}
	w.share = w.share || ofShare(&w, text)
	// "Drowsy on 1200 mg, how common?": the dose is known.
	if w.share && !w.amount && !w.begin && !w.most {
		w.dose = false
	}
	if w.rate {
		w.dose, w.amount, w.share = true, true, false
	}
	for _, p := range []string{" time of day ", " time of the day ", " best time ", " what time ", " am or pm ", " morning or "} {
		w.clock = w.clock || strings.Contains(text, p)
	}
	if w.clock {
		w.time, w.dose, w.amount = true, false, false
	}
	// "MRI must be finished within?"
	w.time = w.time || strings.HasSuffix(text, " within ")
	if unitAsked.MatchString(strings.ToLower(question)) {
		w.dose, w.amount, w.unit = true, true, true
	}
	w.asksWhen(question)
	return w
}

// concentration, "5 % cream", asks for no percentage.
var concentration = regexp.MustCompile(`(\d) %`)

var clock = regexp.MustCompile(`(?i)\b(?:\d{1,2} ?[ap]\.?m\b|morning|evening|bedtime|night|noon|breakfast)`)

// firstTime is a time without a figure.
var firstTime = regexp.MustCompile(`(?i)\b(?:first|within an?|within) (?:minutes?|hours?|days?|weeks?|months?|year)\b`)

// rated says whether a sentence gives an amount by the hour or minute, or a time
// over which it is given.
func rated(sentence string) bool {
	return over.MatchString(sentence) || slices.ContainsFunc(quantity.Numbers(sentence), func(n quantity.Number) bool {
		return strings.HasSuffix(n.Unit, "/h") || strings.HasSuffix(n.Unit, "/min")
	})
}

var over = regexp.MustCompile(`(?i)\b(?:over|for at least) (?:a period of )?\S+(?: to \S+)? (?:minutes?|hours?)\b`)

// unitAsked is a unit of medicine without its number: what is asked for.
var unitAsked = regexp.MustCompile(`(?:^|[^0-9., ] ?)\b(?:mg|mcg|units|ml|meq|grams|ounces|puffs)(?:/kg|/m2| per | for | in |[?]|$)`)

func (w wants) number() bool {
	return w.dose || w.time || w.count || w.share || w.limit || w.age || w.content
}

// states says whether a sentence has a number of the kind that is wanted.
func (w wants) states(numbers []quantity.Number, sentence string) bool {
	if w.often && !w.dose && !(w.share && percentages(numbers)) {
		switch s := strings.ToLower(sentence); {
		case !intervals(s):
			return false
		case strings.Contains(s, "daily") || strings.Contains(s, "weekly") || strings.Contains(s, "monthly") || strings.Contains(s, "annual") || strings.Contains(s, "yearly"):
			return true
		}
	}
	if w.clock {
		return clock.MatchString(sentence)
	}
	if w.time && !w.dose && firstTime.MatchString(sentence) {
		return true
	}
	var trial []int
	if w.time {
		trial = ofTrial.FindStringIndex(sentence)
	}
	for _, n := range numbers {
		if trial != nil && n.Start >= trial[0] && n.Start < trial[1] {
			continue
		}
		head, per, rate := strings.Cut(n.Unit, "/")
		switch {
		case w.dose && (head == "mg" || head == "ml" || head == "unit" || head == "meq" || head == "mmol") && !strings.HasPrefix(per, "dl") && !strings.HasPrefix(per, "min"):
			return true
		case (w.dose || w.count) && (head == "tablet" || head == "capsule" || head == "dose" || head == "drop" || head == "spray" || head == "inhalation" || head == "patch" || head == "vial" || head == "time" || head == "teaspoon"):
			return true
		case w.time && !rate && (head == "h" || head == "month" || head == "year"):
			return true
		case w.share && head == "%":
			return true
		case w.limit && (strings.HasPrefix(per, "min") || strings.HasPrefix(per, "dl") || strings.HasPrefix(per, "mm") || head == "mmhg" || head == "ms" || rate && per == "ml" && head == "mg"):
			return true
		case w.age && !rate && (head == "year" || head == "month") && aging(sentence):
			return true
		case w.content && (head == "mg" && (per == "ml" || per == "tablet" || per == "capsule") || head == "%"):
			return true
		}
	}
	return false
}

// intervals says whether a sentence tells how often.
func intervals(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{"every", "weekly", "monthly", "annual", "yearly", "daily", "interval", "periodic", "once a", "once per", "twice", "times a", "times per", "first", "after"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// tops says whether a sentence tells how much at most.
func tops(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{"maximum", "up to", "exceed", "more than", "limit", "highest", "doses above", "dosages above", "range", "upper"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

var usually = regexp.MustCompile(`(?i)\b(?:usual|recommended|suggested|standard)\b.{0,60}\bdos(?:e|age|ing)`)

// spans says whether a sentence states a range of amounts of a medicine.
func spans(sentence string) bool {
	return slices.ContainsFunc(quantity.Bounds(sentence), func(b quantity.Bound) bool {
		return !math.IsInf(b.Low, 0) && !math.IsInf(b.High, 0) && strings.HasPrefix(b.Unit, "mg")
	})
}

// begins says whether a sentence tells with which dose to begin.
func begins(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{"starting dos", "start at", "start treatment at", "started on", "started at", "initial dos", "initiat", "begin", "initially"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// doses says whether a sentence is about a dose, with or without a number.
func doses(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{"dose", "dosage", "dosing", " mg"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return refuses(s)
}

// refuses says whether a sentence says that there is no dose: it is not to be
// given, or nobody knows how much.
func refuses(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{"not recommended", "avoid", "contraindicated", "discontinue", "do not", "should not", "not indicated", "not be used", "not been established", "not established",
		"not been studied", "no dose", "no dosage", "no initial dos", "dose adjustment", "dosage adjustment", "dosing adjustment", "withhold", "individuali", "cannot be", "not interchangeable"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// undosed says whether a sentence says that there is no dose or no other one.
func undosed(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{"not recommended", "contraindicated", "not indicated", "not be used", "not been established", "not established", "not been studied", "no dos", "no initial dos",
		"no adjustment", "dose adjustment", "dosage adjustment", "dosing adjustment", "individuali", "not interchangeable", "same dos"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// aging says whether a sentence speaks of an age.
func aging(sentence string) bool {
	s := strings.ToLower(sentence)
	return strings.Contains(s, " old") || strings.Contains(s, "of age") || strings.Contains(s, " aged ") || strings.Contains(s, "ages ") || strings.Contains(s, "years and older") || strings.Contains(s, "pediatric") || strings.Contains(s, "children")
}

// acts are the words with which labels say what to do.
var acts = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`avoid avoided contraindicated discontinue discontinued discontinuing stop stopped withhold withheld
		interrupt interrupted recommended recommend should must monitor monitored reduce reduced caution initiate initiated
		measure consider administer administered adjust adjusted limit advise instruct obtain assess evaluate restrict
		inappropriate contact exceed required necessary unnecessary withdraw withdrawn held`) {
		m[w] = true
	}
	return m
}()

// directs says whether a sentence tells what to do.
func directs(sentence string) bool {
	for _, f := range strings.FieldsFunc(strings.ToLower(sentence), func(r rune) bool { return (r < 'a' || r > 'z') && r < 0x80 }) {
		if acts[f] {
			return true
		}
	}
	s := strings.ToLower(sentence)
	return strings.Contains(s, "do not") || strings.Contains(s, "may be started") || strings.Contains(s, "may be given") || strings.Contains(s, "may start")
}

// reports says whether a sentence tells of a trial: what was seen in it, not
// what to do.
func reports(sentence string) bool {
	s := strings.ToLower(sentence)
	for _, w := range []string{" trial", " study", " studies", "were reported in", "was reported in", "were observed in", "was observed in", "randomized", "placebo", "unknown whether", "were taking", "was taking", "had received", "patients received", "cases of", "postmarketing"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
