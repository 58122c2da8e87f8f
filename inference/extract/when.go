package extract

import (
	"regexp"
	"slices"

	"rxedge/inference/quantity"
)

// When something begins and when it is over are two times, and labels give both.

var (
	lastDose     = regexp.MustCompile(`(?i)\blast (?:dose|time|shot|injection|infusion|tablet)\b`)
	endingAsked  = regexp.MustCompile(`(?i)\b(?:go(?:es|ing)? away|gone|resolv\w*|clears?|get(?:s|ting)? better|recover\w*|lasts?|lasting|persists?|wears? off|back to normal|subsid\w*|heals?)\b`)
	endingSaid   = regexp.MustCompile(`(?i)\b(?:resol\w*|recover\w*|return\w* to|subsid\w*|disappear\w*|lasts?|lasted|lasting|persist\w*|duration|reversib\w*|cleared|heal\w*|continu\w*|remain\w*|until|no longer|up to|improve\w*)\b`)
	onsetAsked   = regexp.MustCompile(`(?i)\b(?:when|how (?:soon|early|late|fast|quickly|long)|what (?:week|day|month)s?|which (?:week|day|month)s?|after how|how many (?:hours|days|weeks|months))\b.*\b(?:go(?:es)? up|rises?|happens?|occurs?|appears?|comes?|shows? up|develops?|kicks? in|peaks?|sets? in)\b|\b(?:rises?|happens?|occurs?|appears?|comes?|shows? up|develops?|peaks?)\b.*\b(?:when|how (?:soon|early|late|fast|quickly|long)|(?:what|which|after how many) (?:week|day|month|hour)s?)\b`)
	onsetSaid    = regexp.MustCompile(`(?i)\b(?:occur\w*|onset|appear\w*|develop\w*|began|peak\w*|observed|seen|maximum|as early as)\b`)
	testingAsked = regexp.MustCompile(`(?i)\b(?:check\w*|recheck\w*|monitor\w*|tests?|testing|exams?|labs?|levels?|measure\w*|draws?|ecgs?|ekgs?|cbcs?|inrs?|lfts?|tsh|a1c|electrolytes)\b`)
)

// ofTrial is how long a study was.
var ofTrial = regexp.MustCompile(`(?i)\b\d+[- ](?:year|month|week|day|hour)s?\b,? (?:[\w-]+,? ){0,3}(?:trials?|stud(?:y|ies))\b`)

// asksWhen sets what a question about a time asks it of.
func (w *wants) asksWhen(question string) {
	question = lastDose.ReplaceAllString(question, "dose")
	w.ends = w.time && !w.dose && endingAsked.MatchString(question)
	w.onset = w.time && !w.dose && !w.ends && onsetAsked.MatchString(question)
	w.tests = w.often && testingAsked.MatchString(question)
}

// otherTime says whether the time that a sentence gives is the end where the
// beginning was asked for, or the other way round.
func (w *wants) otherTime(sentence string, numbers []quantity.Number) bool {
	if !w.ends && !w.onset || !slices.ContainsFunc(numbers, func(n quantity.Number) bool { return n.Unit == "h" || n.Unit == "month" || n.Unit == "year" }) && !firstTime.MatchString(sentence) {
		return false
	}
	if w.ends {
		return !endingSaid.MatchString(sentence)
	}
	return endingSaid.MatchString(sentence) && !onsetSaid.MatchString(sentence)
}
