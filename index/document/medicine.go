package document

import (
	"regexp"
	"strings"
	"unicode"
)

// The medicine that a document of pages is about, where its title states it in the words
// that the law prescribes. Wrong is worse than none: questions about a name are answered
// from the documents that have it.

var (
	// The title of a US label's highlights (21 CFR 201.57(a)(1), (2)).
	neededToUse = regexp.MustCompile(`(?i)These highlights do not include all the information needed to use (.{2,90}?) safely and effectively`)
	fullFor     = regexp.MustCompile(`(?i)See full prescribing information for (.{2,90}?)\.(?: |$|[A-Z])`)
	// The title of a label as DailyMed shows it.
	dailyMedTitle = regexp.MustCompile(`^([A-Z0-9][A-Z0-9 '.-]{1,40}?) ?- ?([a-z][a-z, -]{3,80}?) (?:tablets?|capsules?|injections?|solutions?|suspensions?|kit|creams?|ointments?|gels?|patch|powders?|sprays?|aerosols?|liquids?|granules?|suppositor\w+|lotions?|syrups?|films?)\b`)
	// Where the form begins, or the strength, a name ends.
	formOrStrength = regexp.MustCompile(`(?i)[ ,]+(?:(?:for )?(?:injections?|oral|intravenous|subcutaneous|intramuscular|topical|ophthalmic|nasal|inhalation|rectal|vaginal|transdermal|sublingual)\b|(?:extended|delayed|modified|prolonged|immediate|sustained)[- ]release|film[- ]coated|orally disintegrating|chewable|effervescent|gastro-resistant|hard\b|soft\b|(?:tablets?|capsules?|solutions?|suspensions?|creams?|ointments?|gels?|lotions?|patch(?:es)?|powders?|sprays?|drops|aerosol|syrup|granules|suppositories|concentrate|kit|pens?|usp|ph\. ?eur)\b|\d)`)
	nameHeading    = regexp.MustCompile(`^(?i)(?:1\.? *)?name of the medicinal product:?$`)
	contentHeading = regexp.MustCompile(`^(?i)(?:2\.? *)?qualitative and quantitative composition:?$`)
)

// documentNames are the names of the medicine that the document states it is about; nil
// where it states none, or several.
func documentNames(d *Document) []Name {
	if n := highlightsNames(d); n != nil {
		return n
	}
	if m := dailyMedTitle.FindStringSubmatch(d.Title); m != nil && plausible(m[1]) {
		return []Name{{strings.TrimSpace(m[1]), "brand"}, {strings.TrimRight(m[2], ", "), "generic"}}
	}
	return smpcNames(d)
}

// highlightsNames reads the title of a US label, which says the name twice.
func highlightsNames(d *Document) []Name {
	var b strings.Builder
	b.WriteString(d.Title)
	for i := range d.Sections {
		if b.Len() > 6000 {
			break
		}
		b.WriteString(" " + d.Sections[i].Title + " " + d.Sections[i].Text)
	}
	text := strings.Join(strings.Fields(strings.NewReplacer("®", "", "™", "", "℠", "").Replace(b.String())), " ")
	used, full := neededToUse.FindAllStringSubmatch(text, 3), fullFor.FindAllStringSubmatch(text, 3)
	if len(used) == 0 || len(full) == 0 {
		return nil
	}
	name := used[0][1]
	for _, m := range append(used, full...) {
		if !strings.EqualFold(m[1], name) {
			return nil
		}
	}
	short := untilForm(name)
	if !plausible(short) {
		return nil
	}
	// "LIPITOR (atorvastatin calcium) tablets, for oral use"
	_, after, _ := strings.Cut(text, full[0][0][:len(full[0][0])-1])
	after = after[:min(len(after), 400)]
	if i := strings.Index(strings.ToUpper(after), strings.ToUpper(short)+" ("); i >= 0 {
		inner, _, ok := strings.Cut(after[i+len(short)+2:], ")")
		inner = untilForm(inner)
		if ok && plausible(inner) && inner == strings.ToLower(inner) && !strings.EqualFold(inner, short) {
			return []Name{{short, "brand"}, {inner, "generic"}}
		}
	}
	if short != name {
		return []Name{{short, "generic"}}
	}
	return []Name{{short, "brand"}}
}

// smpcNames reads section 1 of a summary of product characteristics (Directive
// 2001/83/EC, article 11), which begins with the name; section 2 has to follow it.
func smpcNames(d *Document) []Name {
	var lines []string
	for i := range d.Sections {
		s := &d.Sections[i]
		lines = append(lines, strings.TrimSpace(s.Number+" "+s.Title))
		for l := range strings.SplitSeq(s.Text, "\n") {
			if l = strings.TrimSpace(l); l != "" {
				lines = append(lines, l)
			}
		}
		if len(lines) > 400 {
			break
		}
	}
	var name string
	for i, l := range lines {
		if !nameHeading.MatchString(l) {
			continue
		}
		if name != "" || i+2 >= len(lines) {
			return nil // of several medicines
		}
		// Every line until section 2 is a strength or a form of one medicine.
		end := i + 1
		for end < len(lines) && end < i+12 && !contentHeading.MatchString(lines[end]) {
			n := untilForm(strings.Map(withoutMark, strings.TrimPrefix(lines[end], "• ")))
			if name == "" {
				name = n
			} else if !strings.EqualFold(n, name) {
				return nil
			}
			end++
		}
		if end == len(lines) || !contentHeading.MatchString(lines[end]) {
			return nil
		}
	}
	if !plausible(name) {
		return nil
	}
	return []Name{{name, "brand"}}
}

func withoutMark(r rune) rune {
	if r == '®' || r == '™' || r == '℠' {
		return -1
	}
	return r
}

// untilForm is a name up to its form or strength.
func untilForm(s string) string {
	if m := formOrStrength.FindStringIndex(s); m != nil && m[0] > 0 {
		s = s[:m[0]]
	}
	return strings.TrimRight(strings.TrimSpace(s), ",.;:")
}

// plausible: a name is a few words of letters.
func plausible(s string) bool {
	letters := 0
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r), strings.ContainsRune(" -'/,.+", r):
		default:
			return false
		}
	}
	return letters >= 3 && len(s) <= 60 && len(strings.Fields(s)) <= 6
}
