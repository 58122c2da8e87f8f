package extract

import (
	"regexp"
	"slices"
	"strings"

	"rxedge/inference/quantity"
)

// How often something happens to those who take a medicine is a percentage, of which
// a label has dozens. One counts only where the sentence, or what it stands under,
// speaks of the same thing, as bad as it was asked about.

// occurring is how a question about "how often" asks for a share of patients and not
// for an interval.
var occurring = regexp.MustCompile(`(?i)\b(?:happens?|occurs?|causes?|seen|develops?|experienced?|shows? up|gets?)\b`)

// repeating are things done again and again: how often they are is an interval.
var repeating = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`check checks checked checking recheck monitor monitored monitoring test tests tested testing exam exams lab labs level levels
		measure measured draw draws take takes taken taking give given giving dose doses dosed dosing inject injects injected infuse infused infusion infusions
		use used apply applied change changed replace replaced repeat repeated redo refill visit visits scan scans ecg ekg xray mammogram cbc inr lft lfts tsh
		shot shots jab jabs come see hold wait puff puffs drop drops patch eat drink schedule interval apart space spacing`) {
		m[w] = true
	}
	return m
}()

// leaving: it was stopped.
var leaving = regexp.MustCompile(`(?i)\b(?:stop|stops|stopped|stopping|quit|quits|quitting|drop(?:ped|s)? out|came off|come off|went off|discontinu\w*|withdr[ae]w\w*)\b`)

// degrees are how bad it was, as questions and labels say it.
var degrees = []struct{ asked, said *regexp.Regexp }{
	{regexp.MustCompile(`(?i)\b(?:fatal|deadly|die|dies|died|dying|deaths?|killed|mortality)\b`), regexp.MustCompile(`(?i)\b(?:fatal\w*|died|deaths?|mortality)\b`)},
	{regexp.MustCompile(`(?i)\b(?:severe|serious|grades? ?(?:3|4|iii|iv))\b`), regexp.MustCompile(`(?i)\b(?:severe|serious|life-threatening|hospitali[sz]\w*|grades? ?(?:≥|>=|&gt;=)? ?(?:3|4|iii|iv))\b|\bgrade ?[≥>]`)},
	{regexp.MustCompile(`(?i)\bgrades? ?4\b`), regexp.MustCompile(`(?i)\bgrades? [^.;%]{0,16}\b4\b`)},
	{leaving, leaving},
}

// counts are the words by which a label tells how common something is.
var counts = regexp.MustCompile(`(?i)\b(?:occurr|report|experienc|develop|inciden|observed|frequen|common|seen)\w*`)

// eventless are words of a question about a share that name nothing that happens.
var eventless = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`how many much often common commonly likely likelihood frequent frequently rate rates risk risks chance chances odds incidence
		percent percentage percentages share proportion fraction number people folks subjects person persons anyone anybody overall total any all
		study studies trial trials phase placebo compared versus than arm group combo alone plus added cause causes causing caused happens happen occur occurs
		seen side effect effects adverse reaction reactions event events because due problem problems trouble issue issues weird new
		drops tablet tablets pill pills capsule capsules shot shots cream gel dose doses mg label`) {
		m[w] = true
	}
	return m
}()

// bound is the share, by weight, of what was asked about that a sentence and what it
// stands under must have for its percentage to be of that.
const bound = 0.5

// heard is the same of all that a medicine's labels say.
const heard = 0.4

// What counts of the sentence before, where this one points back to it or it is a
// heading and where not, and of the section's heading.
const (
	fromBefore  = 0.8
	fromBeside  = 0.4
	fromHeading = 0.7
	mostShares  = 2 // more than the best: each trial has its own
)

// eventOf gives the question's terms for what happens, leaving out the medicines.
func (q *question) eventOf() []string {
	if !q.wants.share {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(q.order), func(t string) bool {
		if eventless[strings.ToLower(q.words[t])] || eventless[t] {
			return true
		}
		for _, cut := range q.cut {
			if slices.Contains(cut, t) {
				return true
			}
		}
		return leaving.MatchString(q.words[t])
	})
}

// ofEvent says whether sentence i of a passage speaks of what a share was asked of,
// and of cases as bad. A question with no more than "side effects" asks about all.
func (q *question) ofEvent(p *Passage, r *read1, i int) bool {
	text, before := p.sentence(i), fromBeside
	if pointsBack(text) || i > 0 && leadOf(p.sentence(i-1)) != "" {
		before = fromBefore
	}
	for _, d := range degrees {
		if d.asked.MatchString(q.text) && !d.said.MatchString(text) {
			return false
		}
	}
	if !leaving.MatchString(q.text) && leaving.MatchString(text) && !counts.MatchString(text) {
		return false
	}
	all, has := 0.0, 0.0
	for _, t := range q.event {
		w := q.terms[t]
		h := max(q.has(t, r.own[i]), fromHeading*q.has(t, r.heading))
		if i > 0 {
			h = max(h, before*q.has(t, r.own[i-1]))
		}
		all += w
		has += w * h
	}
	return has >= bound*all
}

// ofShare says whether a question about how often, or how many, asks for a share of
// patients: text is the question in lower case, its words between spaces.
func ofShare(w *wants, text string) bool {
	switch {
	case w.often && !w.act:
		return !slices.ContainsFunc(strings.Fields(text), func(word string) bool { return repeating[word] })
	case w.count && !w.dose:
		return occurring.MatchString(text) || leaving.MatchString(text)
	}
	return false
}

func percentages(numbers []quantity.Number) bool {
	return slices.ContainsFunc(numbers, func(n quantity.Number) bool { return n.Unit == "%" })
}

// unheard are the words for what a share was asked of, where the medicine's labels
// do not speak of it.
func (q *question) unheard(passages, rest []Passage, lex Lexicon) []string {
	all, has := 0.0, 0.0
	var out []string
	for _, t := range q.event {
		all += q.terms[t]
		if q.spoken(t, passages, lex) || q.spoken(t, rest, lex) {
			has += q.terms[t]
		} else if w := q.words[t]; w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	if all == 0 || has >= heard*all {
		return nil
	}
	return out
}
