package document

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What a document of pages says of its own date. Wrong is worse than none: a date counts
// only after words that say what it is, at the beginning of a line; the dates in the
// properties of a file say when somebody saved it, and are not asked.

const monthNames = `jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?`

var (
	dateISO  = regexp.MustCompile(`^(\d{4})[-/](\d{2})[-/](\d{2})`)
	dateDMY  = regexp.MustCompile(`^(?i)(\d{1,2})(?:st|nd|rd|th)?\.? +(` + monthNames + `)\.?,? +(\d{4})`)
	dateMDY  = regexp.MustCompile(`^(?i)(` + monthNames + `)\.? +(\d{1,2})(?:st|nd|rd|th)?,? +(\d{4})`)
	dateMY   = regexp.MustCompile(`^(?i)(` + monthNames + `)\.?,? +(\d{4})`)
	dateNums = regexp.MustCompile(`^(\d{1,2})([./])(\d{1,2})([./])(\d{4})`)
	dateNumM = regexp.MustCompile(`^(\d{1,2})[./](\d{4})`)
)

// dateAt reads the date at the beginning of s. day is false where only the month is
// stated; then it is the first of it, since an older date errs on the side of caution.
func dateAt(s string) (date, rest string, day, ok bool) {
	num := func(s string) int { n, _ := strconv.Atoi(s); return n }
	var y, m, d int
	end := 0
	switch {
	case dateISO.MatchString(s):
		g := dateISO.FindStringSubmatch(s)
		y, m, d, end = num(g[1]), num(g[2]), num(g[3]), len(g[0])
	case dateDMY.MatchString(s):
		g := dateDMY.FindStringSubmatch(s)
		y, m, d, end = num(g[3]), monthOf(g[2]), num(g[1]), len(g[0])
	case dateMDY.MatchString(s):
		g := dateMDY.FindStringSubmatch(s)
		y, m, d, end = num(g[3]), monthOf(g[1]), num(g[2]), len(g[0])
	case dateMY.MatchString(s):
		g := dateMY.FindStringSubmatch(s)
		y, m, end = num(g[2]), monthOf(g[1]), len(g[0])
	case dateNums.MatchString(s):
		g := dateNums.FindStringSubmatch(s)
		a, b := num(g[1]), num(g[3])
		switch {
		case g[2] != g[4]:
			return "", s, false, false
		case g[2] == "." || a > 12 || a == b: // with points the day comes first
			d, m = a, b
		case b > 12:
			m, d = a, b
		default: // 03/04/2024 is March or April
			return "", s, false, false
		}
		y, end = num(g[5]), len(g[0])
	case dateNumM.MatchString(s):
		g := dateNumM.FindStringSubmatch(s)
		y, m, end = num(g[2]), num(g[1]), len(g[0])
	default:
		return "", s, false, false
	}
	rest = s[end:]
	if rest != "" && strings.ContainsAny(rest[:1], "0123456789/-") || len(rest) > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' {
		return "", s, false, false
	}
	day = d > 0
	t := time.Date(y, time.Month(m), max(1, d), 0, 0, 0, 0, time.UTC)
	if y < 1950 || y >= 2100 || m < 1 || m > 12 || int(t.Month()) != m || day && t.Day() != d {
		return "", s, false, false
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, m, max(1, d)), rest, day, true
}

var dayless = regexp.MustCompile(`^(\d{4})-(\d{2})$`)
var unparted = regexp.MustCompile(`^(\d{4})(\d{2})(\d{2})$`)

// writtenDate reads a date as people write it where nothing else is meant to stand; ""
// where it is none, or where day and month can't be told apart.
func writtenDate(s string) string {
	s = strings.TrimSuffix(strings.Join(strings.Fields(s), " "), ".")
	if at := strings.IndexByte(s, 'T'); at == len("2006-01-02") {
		s = s[:at] // a time of day behind it
	}
	s = dayless.ReplaceAllString(unparted.ReplaceAllString(s, "$1-$2-$3"), "$1-$2-01")
	if date, rest, _, ok := dateAt(s); ok && rest == "" {
		return date
	}
	return ""
}

func monthOf(name string) int {
	return 1 + strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(name[:3]))/3
}

// What stands before a date, by how much it says of the document's effective date.
var dateLabels = []*regexp.Regexp{
	regexp.MustCompile(`^(?i)(?:(?:date )?effective(?: date)?|date of effect|valid from|in force from|effective (?:from|as of))` + sign),
	regexp.MustCompile(`^(?i)(?:(?:last )?revised|(?:last )?revision date|date of (?:the )?(?:last )?revision(?: of the text)?|(?:last )?updated|last update|last reviewed|date of last review|version date|date updated|revised edition)` + sign),
	regexp.MustCompile(`^(?i)(?:issued|issue date|date of issue|date issued|published|publication date|date of publication|date published)` + sign),
}

// lastRevised is how leaflets and monographs say it in a sentence.
var lastRevised = regexp.MustCompile(`^(?i)(?:this (?:package )?(?:leaflet|document|guideline|monograph|label|labeling|medication guide) was )?last (?:revised|updated|approved) (?:in|on) `)

const (
	sign = ` *(?:[:|] *| [-–] | (?:on|in) )(?:\| *)?`
	// Issued and effective dates are looked for at the beginning alone, in bytes of text,
	// effective ones at the end, too: in between they are of other things.
	atStart, atEnd = 3000, 1500
)

// revisedAtEnd is how a US label ends its highlights (21 CFR 201.57(a)(15)).
var revisedAtEnd = regexp.MustCompile(`(?:^|[.)\]] )Revised: ?(\d{1,2}/\d{4})$`)

var revisionHeading = regexp.MustCompile(`^(?i)(?:10\.? *)?date of (?:the )?(?:last )?revision of the text:?$`)

// documentDate is the date that the document states of itself, "" where it states none or
// several.
func documentDate(d *Document) string {
	type found struct {
		date string
		day  bool
	}
	var by [3][]found
	size, at := 0, 0
	for i := range d.Sections {
		size += len(d.Sections[i].Text)
	}
	headed := false // by the words that announce the date of the text
	line := func(l string, pos int) {
		l = strings.TrimSpace(strings.TrimPrefix(l, "• "))
		if l == "" {
			return
		}
		if headed {
			if date, _, day, ok := dateAt(l); ok {
				by[1] = append(by[1], found{date, day})
			}
		}
		if headed = revisionHeading.MatchString(l); headed {
			return
		}
		if g := revisedAtEnd.FindStringSubmatch(l); g != nil {
			if date, _, day, ok := dateAt(g[1]); ok {
				by[1] = append(by[1], found{date, day})
			}
			return
		}
		if m := lastRevised.FindString(l); m != "" {
			if date, _, day, ok := dateAt(l[len(m):]); ok {
				by[1] = append(by[1], found{date, day})
			}
			return
		}
		for class, label := range dateLabels {
			m := label.FindString(l)
			if m == "" || class == 2 && pos > atStart || class == 0 && pos > atStart && pos < size-atEnd {
				continue
			}
			if date, rest, day, ok := dateAt(l[len(m):]); ok && !goesOnAsText(rest) {
				by[class] = append(by[class], found{date, day})
			}
			return
		}
	}
	line(d.Title, 0)
	for i := range d.Sections {
		s := &d.Sections[i]
		line(strings.TrimSpace(s.Number+" "+s.Title), at)
		pos := at
		for l := range strings.SplitSeq(s.Text, "\n") {
			line(l, pos)
			pos += len(l) + 1
		}
		at += len(s.Text)
	}
	for _, all := range by {
		if len(all) == 0 {
			continue
		}
		// A label and what is attached to it have each their own: that of the whole comes
		// first, and is the latest. Any other order says nothing for certain.
		best := all[0]
		for _, f := range all[1:] {
			switch {
			case f.date[:7] == best.date[:7] && (!best.day || !f.day):
				if f.day {
					best = f
				}
			case f.date > best.date:
				return ""
			}
		}
		return best.date
	}
	return ""
}

// goesOnAsText: what follows a date makes of it a part of a sentence, or of a span of time.
func goesOnAsText(rest string) bool {
	rest = strings.TrimLeft(rest, " ")
	if rest == "" || strings.ContainsAny(rest[:1], ".,;|)") || strings.HasPrefix(rest, "(") {
		return false
	}
	// "Effective date: 1 May 2024 Review date: …": a front page in one line.
	word, _, ok := strings.Cut(rest, ":")
	return !ok || len(word) > 30 || strings.ContainsAny(word, ".,;")
}
