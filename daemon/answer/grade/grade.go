// Package grade says of a sentence of a label how bad what it tells of is, what
// it says to do, and how good the evidence is that it names. The three are kept
// apart: a contraindication may ask for a test first, and a mild effect for a
// stop. Each is read from the section's kind and the sentence's own words; what
// a sentence does not say stays empty.
package grade

import (
	"regexp"
	"strings"

	"rxedge/index/document/sheet"
)

// Severities, worst first: how bad it is.
const (
	BoxedWarning     = "boxed_warning"
	Contraindication = "contraindication"
	Warning          = "warning"
	Caution          = "caution"
)

// Actions: what the sentence says to do. Of several the one that is furthest
// from going on as before.
const (
	Avoid      = "avoid"       // do not use, not recommended, contraindicated
	Stop       = "stop"        // for good
	Hold       = "hold"        // for a time
	Taper      = "taper"       // stop by degrees
	Continue   = "continue"    // do not stop
	ReduceDose = "reduce_dose" //
	LimitDose  = "limit_dose"  // at most
	AdjustDose = "adjust_dose" //
	Separate   = "separate"    // in time
	Monitor    = "monitor"     // or test
	Careful    = "caution"     // use with caution
	NoChange   = "no_change"   // nothing has to be done
)

// Levels of evidence, as far as a sentence names them.
const (
	NoData        = "no_data" // it is not known, it was not studied
	Trial         = "trial"
	Observational = "observational"
	Postmarketing = "postmarketing"
	CaseReports   = "case_reports"
	Animal        = "animal"
	InVitro       = "in_vitro"
)

// Grade of a sentence; each is "" where nothing is said of it.
type Grade struct{ Severity, Action, Evidence string }

// Of grades a sentence in a section, by the section's LOINC code, "" where it has
// none, and its title.
func Of(sentence, loinc, title string) Grade {
	text := " " + strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(sentence, "’", "'")), " ")) + " "
	g := Grade{Action: action(text), Evidence: evidence(text)}
	g.Severity = Worse(severity(text, loinc, strings.ToLower(title), g.Action), ofTable[sheet.Level(sentence)])
	return g
}

// ofTable are the severities that a row of a table of interactions states.
var ofTable = map[string]string{"contraindicated": Contraindication, "major": Warning, "moderate": Caution}

// Worse gives the worse of two severities.
func Worse(a, b string) string {
	rank := map[string]int{BoxedWarning: 4, Contraindication: 3, Warning: 2, Caution: 1}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

var (
	contraindicated    = regexp.MustCompile(`\bcontraindicat`)
	notContraindicated = regexp.MustCompile(`\bnot (?:be )?contraindicated`)
	grave              = regexp.MustCompile(`\b(?:fatal|fatalit\w+|life[- ]threatening|deaths?|serious|severe (?:reaction|hypersensitivity|bronchospasm|hypotension|bleeding|hepat\w+)|anaphyla\w+|permanent|irreversible)\b`)
	denied             = regexp.MustCompile(`\b(?:no|not|without)\b[^.;]{0,40}\b(?:fatal|serious|deaths?)\b`)
)

func severity(text, loinc, title, action string) string {
	switch {
	case loinc == "34066-1" || strings.Contains(title, "boxed warning"):
		return BoxedWarning
	case loinc == "34070-3" || strings.HasPrefix(title, "contraindication"),
		contraindicated.MatchString(text) && !notContraindicated.MatchString(text):
		return Contraindication
	case grave.MatchString(text) && !denied.MatchString(text):
		return Warning
	}
	switch loinc {
	case "43685-7", "34071-1":
		if action != "" && action != NoChange {
			return Warning
		}
		return Caution
	case "42232-9", "34073-7", "43684-0", "42228-7", "34080-2", "77290-5", "88828-9", "88829-7":
		if action != "" && action != NoChange {
			return Caution
		}
	}
	if action == Avoid || action == Careful {
		return Caution
	}
	return ""
}

// imperative matches a verb where it tells somebody to do it: at the beginning
// of a clause, after "should be" and the like, never in what was done in a trial.
func imperative(verb, participle string) string {
	s := `(?:^ ?|[.;:,•*(] ?|\b(?:and|or|then|to|promptly|immediately|permanently|temporarily|consider|closely|carefully|periodically) )(?:promptly |immediately |permanently |temporarily |closely |carefully |periodically |routinely )?(?:` + verb + `)\b`
	if participle != "" {
		s += `|\b(?:should|must|may need to|need to|needs to)(?: promptly| immediately)? be (?:\w+ly )?(?:` + participle + `)\b`
		s += `|\b(?:should|must) (?:\w+ly )?be (?:` + participle + `)\b|, (?:\w+ly )?(?:` + verb + `)\b`
	}
	return s
}

// rules in the order in which they are tried; the first that matches is it.
var rules = []struct {
	action string
	match  *regexp.Regexp
	unless *regexp.Regexp // nil: never
}{
	{NoChange, regexp.MustCompile(`\bno (?:dos(?:e|age|ing) )?(?:adjustments?|changes?|modifications?)(?: of \w+)? (?:is|are|was) (?:necessary|needed|required|recommended)|\b(?:dos(?:e|age) )?(?:adjustments?|modification)[^.;]{0,60} (?:is|are) not (?:necessary|needed|required)|\bdo(?:es)? not (?:suggest the need|require)[^.;]{0,20}(?:dose|dosage) adjustment|\bneed not be (?:discontinued|stopped|interrupted)`), nil},
	{Taper, regexp.MustCompile(`\b(?:taper|tapered|gradually reduc\w+|gradual reduction|reduc\w+ (?:the )?(?:dos(?:e|age) )?gradually|withdrawn gradually|reduced over a period|discontinued gradually)\b|\bavoid (?:the )?abrupt|\babrupt (?:discontinuation|withdrawal|cessation)[^.;]{0,40}should be avoided|\bdo not (?:abruptly )?(?:discontinue|stop|withdraw)[^.;]{0,40}abrupt`), nil},
	{Continue, regexp.MustCompile(`\b(?:do not|should not|must not)(?: be)? (?:routinely |abruptly )?(?:discontinued?|stop(?:ped)?|interrupt(?:ed)?|withdrawn?)\b|\bnot to (?:interrupt|stop|discontinue)\b`), nil},
	{LimitDose, regexp.MustCompile(`\b(?:do not exceed|not to exceed|should not exceed|must not exceed|no more than|not more than|do not give more than|limited to|limit the (?:\w+ )?(?:dos(?:e|age))|maximum (?:recommended |daily |total )?(?:daily )?(?:dos(?:e|age)|single dose)|maximum of \d|up to a maximum|maximum is \d)`), nil},
	{Separate, regexp.MustCompile(`\bat least \S+ (?:hours?|days?|weeks?|months?) (?:before|after|apart|prior|following|of)\b|\bwithin \S+ (?:hours?|days?|weeks?|months?) (?:of|before or after|before|after)\b[^.;]{0,60}\b(?:switching|dose|administ|vaccin|stopping)|\b(?:hours?|days?|weeks?) apart\b|\bseparate\w* (?:the )?(?:administration|dos)`), regexp.MustCompile(`\bwithin \S+ (?:months?|weeks?|years?|hours?|days?) (?:of|after) (?:the )?(?:initial|start|first|injection|initiat|myocardial|mi)`)},
	{Avoid, regexp.MustCompile(`\bcontraindicat(?:ed|ion)|\bavoid(?:ed)?\b|\b(?:do|should|must) not (?:be )?(?:use|used|give|given|administer\w*|co-?administer\w*|start|started|initiate|initiated|take|taken|combined|instilled|restart\w*|rechallenge\w*|breast-?feed)\b|\bnot (?:be )?recommended\b|\bnot approved\b|\bnot indicated\b|\b(?:is|are) not (?:a substitute|appropriate)\b`), regexp.MustCompile(`\bnot (?:be )?contraindicated`)},
	{Stop, regexp.MustCompile(imperative(`discontinue|stop|terminate|is to discontinue`, `discontinued|stopped|terminated|withdrawn`) + `|\bdiscontinu(?:e|ation) (?:is|of \w+ is) (?:recommended|required|necessary)`), nil},
	{Hold, regexp.MustCompile(imperative(`withhold|interrupt|hold|delay|suspend`, `withheld|interrupted|held|delayed|suspended`) + `|\bconsider interruption`), nil},
	{ReduceDose, regexp.MustCompile(`\b(?:reduce|halve|lower|decrease) (?:the )?(?:usual )?(?:\w+ )?(?:initial |starting |daily )?dos(?:e|age)|\bdos(?:e|age) (?:reduction|should be reduced)|\bdecrease in dosage\b|\blower (?:starting )?dos(?:e|age)|\breduced dos(?:e|age)|\bhalf (?:the )?recommended`), nil},
	{Monitor, regexp.MustCompile(imperative(`monitor|measure|obtain|assess|evaluate|observe|check|test|screen|perform`, `monitored|measured|obtained|assessed|evaluated|observed|checked|tested|screened|performed|followed`) + `|\b(?:closer?|more frequent|frequent|periodic|regular|careful|clinical) (?:\w+ )?monitoring\b|\bmonitored (?:closely|carefully|frequently|periodically)|\bmonitoring is\b`), nil},
	{AdjustDose, regexp.MustCompile(`\b(?:adjust|titrate|titrated|adjusted|individualized?)\b|\bdos(?:e|age) adjustments?\b|\b(?:starting|initial|initiate\w*|recommended|usual) [^.;]{0,40}\b\d[\d.,]* ?(?:mg|mcg|g|units|ml)\b|\bstart(?:ed)? (?:treatment )?at \d`), nil},
	{Careful, regexp.MustCompile(`\bcaution(?:s|ary)?\b|\bcautiously\b|\bcarefully (?:consider|weigh)|\bconsider\b|\bshould be considered\b|\bbe alert\b`), nil},
}

func action(text string) string {
	for _, r := range rules {
		if r.match.MatchString(text) && (r.unless == nil || !r.unless.MatchString(text)) {
			return r.action
		}
	}
	return ""
}

var levels = []struct {
	level string
	match *regexp.Regexp
}{
	{Animal, regexp.MustCompile(`\b(?:animal (?:stud\w+|data|reproduction)|rats?|mice|rabbits?|dogs?|monkeys?|rodents?)\b`)},
	{InVitro, regexp.MustCompile(`\bin vitro\b`)},
	{NoData, regexp.MustCompile(`\b(?:not known|unknown|no data|no (?:adequate and well-controlled |specific |formal |clinical )?studies|not (?:been )?(?:\w+ )?(?:studied|established|evaluated)|insufficient (?:data|information|evidence)|limited data|no information|no evidence)\b`)},
	{Postmarketing, regexp.MustCompile(`\bpost-?marketing|\bspontaneous\w* (?:report|postmarketing)`)},
	{Observational, regexp.MustCompile(`\b(?:observational|epidemiolog\w+|cohort|case-control|registr(?:y|ies)|retrospective|literature reports?)\b`)},
	{Trial, regexp.MustCompile(`\b(?:clinical (?:trials?|stud\w+)|randomi[sz]ed|placebo|controlled (?:trials?|stud\w+)|pooled analys\w+|trials?|study [a-z0-9-]+ ?[1-9]?)\b`)},
	{CaseReports, regexp.MustCompile(`\b(?:case reports?|rare(?:ly)? (?:cases|reports|reported)|cases (?:of|have)|(?:been|were) reported|reports of|isolated reports)\b`)},
}

func evidence(text string) string {
	for _, l := range levels {
		if l.match.MatchString(text) {
			return l.level
		}
	}
	return ""
}
