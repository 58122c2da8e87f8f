package document

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// dated is a line that says since when a document holds: what it says, then a date
// and nothing else but a full stop or more of the same in brackets.
var dated = regexp.MustCompile(`(?i)^(?:\W{0,3})(effective(?: date| from)?|date effective|valid from|in force from|date of revision(?: of the text)?|revision date|date of (?:last )?(?:review|update)|revised|last (?:revised|updated|reviewed)|issue date|date of issue|issued|version date)(?: on)?\s*[:–-]?\s*(?:\|\s*)?([^|]{4,30}?)\.?$`)

// statedDate is the date on which a document says that it took effect or was revised,
// as 2006-01-02; "" where it says none, or says several: then nobody can tell.
// A month without a day counts from its first.
func statedDate(sections []Section) string {
	found := map[string]string{} // by how strongly it is said
	strength := func(what string) string {
		if w := strings.ToLower(what); strings.Contains(w, "effective") || strings.Contains(w, "from") {
			return "effective"
		}
		return "revised"
	}
	for i, s := range sections {
		if i >= 3 && i < len(sections)-3 {
			continue // a date in the midst of a document is that of something else
		}
		for line := range strings.Lines(s.Text) {
			m := dated.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			date := writtenDate(m[2])
			if date == "" {
				continue
			}
			k := strength(m[1])
			if have, ok := found[k]; ok && have != date {
				date = "several"
			}
			found[k] = date
		}
	}
	for _, k := range []string{"effective", "revised"} {
		if d := found[k]; d == "several" {
			return ""
		} else if d != "" {
			return d
		}
	}
	return ""
}

var figures = regexp.MustCompile(`^(\d{1,2})([./-])(\d{1,2})[./-](\d{4})$`)

// writtenDate reads a date as people write it; "" where it is none, or where day and
// month can't be told apart.
func writtenDate(s string) string {
	s = strings.TrimSpace(strings.TrimSuffix(strings.Join(strings.Fields(s), " "), "."))
	if s == "" {
		return ""
	}
	if at := strings.IndexByte(s, 'T'); at == len("2006-01-02") {
		s = s[:at] // a time of day behind it
	}
	for _, layout := range []string{"2006-01-02", "2006/01/02", "20060102", "2 January 2006", "2 Jan 2006", "January 2, 2006", "Jan 2, 2006", "January 2 2006", "January 2006", "Jan 2006", "01/2006", "1/2006", "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil && sensible(t) {
			return t.Format(time.DateOnly)
		}
	}
	m := figures.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	a, _ := strconv.Atoi(m[1])
	b, _ := strconv.Atoi(m[3])
	switch {
	case m[2] == ".", a > 12: // the day comes first where a full stop parts them
	case b > 12:
		a, b = b, a
	case a != b:
		return ""
	}
	t, err := time.Parse("2-1-2006", strconv.Itoa(a)+"-"+strconv.Itoa(b)+"-"+m[4])
	if err != nil || !sensible(t) {
		return ""
	}
	return t.Format(time.DateOnly)
}

// sensible: medicines' documents are of our time.
func sensible(t time.Time) bool { return t.Year() >= 1950 && t.Year() < 2100 }
