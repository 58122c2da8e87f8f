package extract

import (
	"regexp"
	"slices"
)

// ways of giving a medicine: how a question names one, and how a label that has it
// does. The dose of a tablet is none of a drip.
var ways = []struct{ asked, said *regexp.Regexp }{
	{regexp.MustCompile(`(?i)\b(?:iv|i\.v\.|intravenous(?:ly)?|infusion|infused?|drip|bolus|ivp|ivpb|by injection|injectable)\b`), regexp.MustCompile(`(?i)\b(?:IV|i\.v\.|intravenous(?:ly)?|infusions?|infused?|injections?|parenteral(?:ly)?)\b`)},
	{regexp.MustCompile(`(?i)\b(?:intramuscular(?:ly)?|i\.m\.)\b|\bIM\b`), regexp.MustCompile(`(?i)\b(?:intramuscular(?:ly)?|i\.m\.|injections?|parenteral(?:ly)?)\b|\bIM\b`)},
	{regexp.MustCompile(`(?i)\b(?:subcutaneous(?:ly)?|subq|subcut|sub-?q|sq)\b`), regexp.MustCompile(`(?i)\b(?:subcutaneous(?:ly)?|injections?|s\.c\.)\b|\bSC\b`)},
	{regexp.MustCompile(`(?i)\b(?:nebs?|nebuli[sz]ed?|nebuli[sz]er|nebules?|nebuli[sz]ation)\b`), regexp.MustCompile(`(?i)\bnebul`)},
	{regexp.MustCompile(`(?i)\b(?:suppository|suppositories|rectal(?:ly)?|enema)\b`), regexp.MustCompile(`(?i)\b(?:suppositor|rectal|enema)`)},
	{regexp.MustCompile(`(?i)\b(?:patch|patches|transdermal)\b`), regexp.MustCompile(`(?i)\b(?:patch|transdermal)`)},
	{regexp.MustCompile(`(?i)\b(?:eye ?drops?|ophthalmic|ophth)\b`), regexp.MustCompile(`(?i)\b(?:ophthalmic|eye|ocular)`)},
	{regexp.MustCompile(`(?i)\b(?:ear ?drops?|otic)\b`), regexp.MustCompile(`(?i)\b(?:otic|ears?|aural)\b`)},
	{regexp.MustCompile(`(?i)\b(?:cream|ointment|topical(?:ly)?|gel)\b`), regexp.MustCompile(`(?i)\b(?:cream|ointment|topical|gel|applied|apply|application)`)},
	{regexp.MustCompile(`(?i)\b(?:intrathecal(?:ly)?)\b`), regexp.MustCompile(`(?i)\bintrathecal`)},
	{regexp.MustCompile(`(?i)\b(?:nasal spray|intranasal(?:ly)?|nasal)\b`), regexp.MustCompile(`(?i)\b(?:nasal|intranasal|nostril)`)},
	{regexp.MustCompile(`(?i)\b(?:po|oral|orally|by mouth|tablets?|tabs?|capsules?)\b`), regexp.MustCompile(`(?i)\b(?:oral|orally|mouth|swallow|tablets?|capsules?|dissolve|suspension|syrup|teaspoon|po)`)},
}

// unspokenWay is the way of giving that a dose is asked for, where no passage
// about the medicine speaks of it; "" where there is none.
func (q *question) unspokenWay(text string, passages, rest []Passage) string {
	if !q.wants.dose {
		return ""
	}
	for _, w := range ways {
		asked := w.asked.FindString(text)
		if asked == "" {
			continue
		}
		speaks := func(p Passage) bool { return p.About && (w.said.MatchString(p.Heading) || w.said.MatchString(p.Text)) }
		if !slices.ContainsFunc(passages, speaks) && !slices.ContainsFunc(rest, speaks) {
			return asked
		}
	}
	return ""
}
