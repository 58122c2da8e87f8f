package document

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainLabelText brings label text that has lost its markup into the form of
// Section.Text. Words are neither lost, added nor moved; only white space,
// bullets and the columns of tables drawn with spaces change. loinc, where it
// is known, tells which subsection numbers ("5.1") begin a paragraph.
func plainLabelText(s, loinc string) string {
	lines := strings.Split(clean(s), "\n")
	long, indented, prev := 0, false, ""
	for i, l := range lines {
		long = max(long, utf8.RuneCountInString(strings.TrimSpace(l)))
		indented = indented || i > 0 && strings.HasPrefix(l, " ") && strings.TrimSpace(l) != "" && !isBullet(l)
	}
	var w writer
	wrapped := long <= 120 // lines were cut at a width: they belong together
	for i := 0; i < len(lines); {
		if strings.TrimSpace(lines[i]) == "" {
			for i < len(lines) && strings.TrimSpace(lines[i]) == "" {
				i++
			}
			if i < len(lines) && goesOn(prev, lines[i], indented) {
				w.text(" " + strings.TrimSpace(lines[i]) + " ")
				prev += " " + lines[i] // a bracket may be open from before
				prev = prev[max(0, len(prev)-300):]
				i++
				continue
			}
			w.para()
			prev = ""
			continue
		}
		if n := tableLines(lines[i:]); n > 0 {
			w.para()
			for _, l := range lines[i : i+n] {
				w.raw(strings.Join(columns(l), " | "))
				w.line()
			}
			w.para()
			i += n
			prev = ""
			continue
		}
		plainLine(&w, lines, i, wrapped)
		prev = lines[i]
		i++
	}
	return breakAtNumbers(w.String(), loinc)
}

// bullet returns what stands after the bullet that l begins with.
func bullet(l string) (rest string, ok bool) {
	l = strings.TrimLeft(l, " ")
	_, n := utf8.DecodeRuneInString(l)
	if n == 0 || !strings.Contains("*•·▪●◦○■", l[:n]) || !strings.HasPrefix(l[n:], " ") {
		return "", false
	}
	rest = strings.TrimSpace(l[n:])
	return rest, rest != ""
}

// excerpt says that l begins with the mark that stands before highlights.
func excerpt(l string) (rest string, ok bool) {
	return strings.CutPrefix(strings.TrimLeft(l, " "), "EXCERPT:")
}

func plainLine(w *writer, lines []string, i int, wrapped bool) {
	l := lines[i]
	if rest, ok := excerpt(l); ok {
		w.para()
		w.text("EXCERPT: ")
		l = rest
	} else if i > 0 && strings.TrimSpace(lines[i-1]) != "" && !joins(lines[i-1], l, wrapped) {
		w.para()
	}
	if rest, ok := bullet(l); ok {
		w.pending = 'l' // a list belongs to what announces it
		w.raw("• ")
		l = rest
	}
	w.text(l + " ")
}

// joins says that line b goes on with the paragraph of line a.
func joins(a, b string, wrapped bool) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	if isBullet(b) {
		return true // plainLine breaks the line itself
	}
	if wrapped {
		return true
	}
	r, _ := utf8.DecodeRuneInString(b)
	return unicode.IsLower(r) || r == '(' || strings.HasSuffix(a, ",")
}

// goesOn says that line b, though blank lines stand before it, is in the middle
// of a's sentence: some labels come with every line of a paragraph parted from
// the next, and then a line that is not indented, where paragraphs are, goes on.
func goesOn(a, b string, indented bool) bool {
	at0 := !strings.HasPrefix(b, " ")
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	if a == "" || isBullet(b) || isExcerpt(b) {
		return false
	}
	if strings.Count(a, "[") > strings.Count(a, "]") {
		return true
	}
	if len(columns(b)) > 2 {
		return false
	}
	end, _ := utf8.DecodeLastRuneInString(a)
	start, _ := utf8.DecodeRuneInString(b)
	if strings.ContainsRune(".!?:;", end) {
		return false
	}
	return strings.ContainsRune(",.)];", start) || end == '(' || indented && at0
}

func isBullet(l string) bool  { _, ok := bullet(l); return ok }
func isExcerpt(l string) bool { _, ok := excerpt(l); return ok }

// columns are the parts of a line that two spaces or more keep apart.
func columns(l string) []string {
	var out []string
	for l = strings.TrimSpace(l); l != ""; {
		cell, rest, _ := strings.Cut(l, "  ")
		out = append(out, cell)
		l = strings.TrimLeft(rest, " ")
	}
	return out
}

// tableLines counts the lines at the start that are a table drawn with spaces:
// at least three lines without a blank one between, half of them in columns.
func tableLines(lines []string) int {
	n, inColumns := 0, 0
	for _, l := range lines {
		if strings.TrimSpace(l) == "" || isBullet(l) || isExcerpt(l) {
			break
		}
		cells := columns(l)
		for i, c := range cells {
			// Two spaces also part sentences.
			if len(c) > 160 || i < len(cells)-1 && strings.ContainsAny(c[max(0, len(c)-1):], ".:;") {
				return 0
			}
		}
		n++
		if len(cells) > 1 {
			inColumns++
		}
		if n >= 64 && inColumns*2 < n {
			return 0 // and not the whole text again for every line of it
		}
	}
	if n < 3 || inColumns*2 < n {
		return 0
	}
	return n
}

// majors are the numbers that FDA's labelling rule (21 CFR 201.57) gives the
// sections of a label.
var majors = map[string]string{
	"34067-9": "1", "34068-7": "2", "43678-2": "3", "34070-3": "4", "43685-7": "5", "34084-4": "6", "34073-7": "7",
	"43684-0": "8", "42227-9": "9", "34088-5": "10", "34089-3": "11", "34090-1": "12", "43680-8": "13", "34092-7": "14",
	"34093-5": "15", "34069-5": "16", "34076-0": "17",
}

var subsection = regexp.MustCompile(`^[a-z0-9.\])%] (\d{1,2})\.(\d{1,2}) (?:[A-Z][a-z-]{2,}|[A-Z]{3,}|[A-Z]{2,}[- ])`)

// before are words after which a number is part of the sentence.
var before = regexp.MustCompile(`(?i)\b(?:see|sections?|tables?|figures?|and|or|to|of|than|is|was|were|by|at|in|from|approximately|about)\.? $`)

// breakAtNumbers begins a paragraph at each subsection ("… may be required 5.1
// Lactic Acidosis There have …") of a section whose own number is known, as
// long as the numbers rise.
func breakAtNumbers(s, loinc string) string {
	major := majors[loinc]
	if major == "" {
		return s
	}
	var b strings.Builder
	from, last := 0, 0
	for at, mark := 0, " "+major+"."; ; {
		// Only where the number stands is there anything to match.
		i := strings.Index(s[at:], mark)
		if i < 0 {
			break
		}
		i += at
		at = i + 1
		m := subsection.FindStringSubmatchIndex(s[max(0, i-1):min(len(s), i+64)])
		if i == 0 || m == nil {
			continue
		}
		number := i + 1
		minor, _ := strconv.Atoi(s[i-1+m[4] : i-1+m[5]])
		at = i - 1 + m[1]
		if minor <= last || minor > last+4 || before.MatchString(s[max(0, number-16):number]) {
			continue
		}
		last = minor
		b.WriteString(s[from : number-1])
		b.WriteString("\n\n")
		from = number
	}
	b.WriteString(s[from:])
	return b.String()
}
