package extract

import (
	"regexp"
	"slices"
	"strings"
)

var (
	interacting = regexp.MustCompile(`(?i)\b(?:interact|interacts|interacting|interactions?)\b|\bcontraindicated (?:with|alongside|together)\b`)
	pairing     = map[string]bool{}
	// levels that a word of the question asks for; "severe" is not "moderate".
	levels = map[string][]string{
		"contraindicated": {"contraindicated"},
		"major":           {"contraindicated", "major"},
		"moderate":        {"moderate"},
		"minor":           {"minor"},
	}
)

func init() {
	for _, w := range strings.Fields(`interact interacts interacting interaction interactions ddi ddis known list lists listed all any every full complete
		with to for of on the a an and or is are be been there do does has have had can could may might will would should i we it its that this other others else
		drug drugs drug-drug medicine medicines medicinal medication medications product products agent agents substance substances together alongside combined
		main important clinically clinical relevant significant possible potential`) {
		pairing[w] = true
	}
	for _, w := range strings.Fields("severe serious dangerous grave worst") {
		levels[w] = levels["major"]
	}
}

// ListsInteractions says whether nothing but what a medicine interacts with is asked for
// by a text, from which the medicine's names were taken out, and which severities, by
// their words; nil: any. Then some alone would read as if there were no others.
func ListsInteractions(text string) (severities []string, ok bool) {
	if !interacting.MatchString(text) {
		return nil, false
	}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" \t\r\n,.;:?!()\"“”", r) }) {
		of, leveled := levels[w]
		switch {
		case leveled:
			for _, l := range of {
				if !slices.Contains(severities, l) {
					severities = append(severities, l)
				}
			}
		case !pairing[w] && !filler[w]:
			return nil, false
		}
	}
	return severities, true
}

// asksPairs says whether nothing but what the medicine interacts with is asked for. A
// section of interactions answers that, though its sentences do not hold the word.
func (q *question) asksPairs(passages []Passage) bool {
	text := q.text
	for i := range passages {
		if len(passages[i].Partners) > 0 {
			return false
		}
		for _, n := range passages[i].Names {
			text = strings.ReplaceAll(text, n, " ")
		}
	}
	_, ok := ListsInteractions(text)
	return ok
}

// ungraded leaves out the words for a severity: labels do not sort their interactions by
// those, and "major surgery" is none.
func (q *question) ungraded() {
	q.order = slices.DeleteFunc(q.order, func(t string) bool {
		w := strings.ToLower(q.words[t])
		if levels[w] == nil || w == "contraindicated" {
			return false
		}
		q.total -= q.terms[t]
		delete(q.terms, t)
		return true
	})
}
