package chunk

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentences returns the spans of the sentences of text, in order: trimmed of
// white space, without overlap, and together covering everything else in text.
// The end of a line always ends a sentence, and so a list item and a table row
// are never run into the next. Within a line the boundaries are those of
// Unicode (UAX 29), mended for medical writing: abbreviations, list numbers and
// references ("… daily. (5.1)") do not end a sentence; a full stop without a
// space after it does ("2.5mg.Next"); and where long text has lost its full
// stops, a word that begins sentences does.
func Sentences(text string) []Span {
	var out []Span
	for start := 0; start < len(text); {
		end := strings.IndexByte(text[start:], '\n')
		if end < 0 {
			end = len(text)
		} else {
			end += start
		}
		out = appendLine(out, text, start, end)
		start = end + 1
	}
	return out
}

// maxRow is the length in bytes over which a table row is no longer one
// sentence.
const maxRow = 600

func appendLine(out []Span, text string, start, end int) []Span {
	line := text[start:end]
	if len(line) <= maxRow && strings.Contains(line, " | ") {
		return appendTrimmed(out, text, start, end)
	}
	from := start
	emit := func(to int) {
		if to-from > longSentence {
			base := from
			for _, at := range runOns(text[base:to]) {
				out = appendTrimmed(out, text, from, base+at)
				from = base + at
			}
		}
		out = appendTrimmed(out, text, from, to)
		from = to
	}
	it := newBoundaries(line)
	pos := start // up to here the line has been looked at
	for {
		n, ok := it.next()
		if !ok {
			break
		}
		to := start + n
		if to <= pos {
			continue // inside a reference that was taken along
		}
		// Full stops that Unicode leaves alone.
		for at := pos; ; {
			i := strings.IndexByte(text[at:to], '.')
			if i < 0 {
				break
			}
			at += i + 1
			if lostSpace(text[from:at], text[at:to]) {
				emit(at)
			}
		}
		pos = to
		if to == end {
			break
		}
		if m := referenceAt(text[to:end]); m != nil {
			to += m[1]
			pos = to
		} else if joined(text[from:to], text[to:end]) {
			continue
		}
		emit(to)
	}
	emit(end)
	return out
}

func appendTrimmed(out []Span, text string, start, end int) []Span {
	s := text[start:end]
	left := strings.TrimLeftFunc(s, unicode.IsSpace)
	start += len(s) - len(left)
	end = start + len(strings.TrimRightFunc(left, unicode.IsSpace))
	if start < end {
		out = append(out, Span{start, end})
	}
	return out
}

var (
	// reference is what belongs to the sentence before it: "(5.1)", "[see
	// Warnings and Precautions (5.1)]."
	reference = regexp.MustCompile(`^\s*(?:\((?:[sS]ee [^()\n]{1,160}|\d{1,2}(?:\.\d{1,2})*(?:\s*,\s*\d{1,2}(?:\.\d{1,2})*)*)\)|\[(?:[sS]ee [^\[\]\n]{1,240}|\d[\d., ]{0,40})\])[.;]?(?:\s+|$)`)
	number    = regexp.MustCompile(`^(?:• )?(?:(?:Table|Figure|Fig\.|Study|Step) )?[(\[]?(?:\d{1,3}(?:\.\d{1,2}){0,3}|[A-Za-z]|[ivxIVX]{1,4})[.)\]]+$`)
)

// referenceAt finds a reference at the start of s.
func referenceAt(s string) []int {
	if rest := strings.TrimLeft(s, " \t\n\f\r"); rest == "" || rest[0] != '(' && rest[0] != '[' {
		return nil // without asking the expression
	}
	return reference.FindStringIndex(s)
}

// lostSpace says that a sentence ends at the full stop that before ends with,
// though Unicode sees none: "2.5mg.Next", or before a word such as eGFR, which
// it takes for the middle of a sentence.
func lostSpace(before, after string) bool {
	n := len(before) - 1
	if n < 2 || len(after) < 3 {
		return false
	}
	p, q := before[n-1], before[n-2]
	closed := p == ')' || p == ']'
	switch {
	case isUpper(after[0]) && isLower(after[1]):
		return closed || isLower(p) && isLower(q)
	case after[0] == ' ' && isLower(after[1]):
		return (closed || isLower(p) || p >= '0' && p <= '9') && (isUpper(after[2]) && len(after) > 3 && isUpper(after[3]) || strings.HasPrefix(after, " pH "))
	}
	return false
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

// always are abbreviations that no sentence ends with; before a number, those
// of numbered do not end one either, and maybe ends one only before a word that
// begins sentences.
var (
	always   = set("dr mr mrs ms prof e.g i.e vs cf viz approx fig figs sec sect eq ref refs st ca resp incl excl eg ie")
	numbered = set("no nos max min vol ed pp p tab art para ch app ver mg mcg ml kg dl wt temp")
	maybe    = set("u.s u.k u.s.a e.u al inc ltd co corp q.d b.i.d t.i.d q.i.d q.h.s h.s p.o p.r.n i.v i.m s.c s.l a.m p.m m.d ph.d d.o r.ph bros dept univ jan feb mar apr jun jul aug sep sept oct nov dec")
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// joined says that the boundary which Unicode sees between before and after is
// none.
func joined(before, after string) bool {
	before = strings.TrimRight(before, " ")
	after = strings.TrimLeft(after, " ")
	if number.MatchString(before) {
		return true
	}
	if !strings.HasSuffix(before, ".") {
		return false
	}
	word := before[strings.LastIndexAny(before, " ([/-–")+1:]
	word = strings.TrimLeftFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	key := strings.ToLower(strings.TrimSuffix(word, "."))
	next, _ := utf8.DecodeRuneInString(after)
	switch {
	case always[key]:
		return true
	case numbered[key]:
		return unicode.IsDigit(next)
	case maybe[key]:
		return unicode.IsDigit(next) || unicode.IsUpper(next) && !starters[firstWord(after)]
	case len(word) == 2 && unicode.IsUpper(rune(word[0])):
		// An initial, if a name stands before it: "J. Smith", "John F. Smith";
		// but "hepatitis B. Monitor".
		rest := strings.TrimRight(before[:len(before)-2], " ")
		prev := rest[strings.LastIndexByte(rest, ' ')+1:]
		r, _ := utf8.DecodeRuneInString(prev)
		return (prev == "" || unicode.IsUpper(r)) && !starters[firstWord(after)]
	}
	return false
}

func firstWord(s string) string {
	i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	if i < 0 {
		return s
	}
	return s[:i]
}

// longSentence is the length in bytes from which a sentence is looked at for
// full stops that were lost (labels whose lists have become one line).
const longSentence = 160

// starters are capitalised words that begin sentences and items of labels far
// more often than they stand inside one.
var starters = set(`The A An In If It Its Do For When This These Those There Because Although However After Before During Since While Where
Increase Increased Decrease Decreased Initiate Initiation Assess Discontinue Avoid Monitor Consider Administer Start Starting Reduce Adjust
Titrate Limit Swallow Take Advise Instruct Inform Obtain Perform Evaluate Maintain Measure Interrupt Withhold Resume Stop Doses Dosage Dose
Recommended Maximum Usual Initial Concomitant Coadministration Contraindicated Closely Safety Patients Women Men Children Adults Adult Infants
Severe Moderate Mild Most Some Not No Use Adverse Serious Geriatric Pediatric Renal Hepatic May Should Treatment Therapy Periodically Hypersensitivity`)

// inside are words after which a capital does not begin a sentence.
var inside = set(`the a an of in for with to and or see by from on at as than is are was were be been not no your our their its this that these
those per via into under between during if when which who have has had both either each any all every such including`)

// runOns returns where in s, a long sentence, another begins without a full
// stop before it: at a starter, or at a label ("Renal Impairment: …"), after a
// word that is not capitalised, outside brackets.
func runOns(s string) []int {
	var out []int
	depth, last := 0, 0
	prev, prevStart := byte(0), 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth = max(0, depth-1)
		}
		if i > 0 && s[i-1] == ' ' && c != ' ' {
			if depth == 0 && c >= 'A' && c <= 'Z' && i-last >= 24 && len(s)-i >= 24 && endsClause(s[prevStart:i], prev) &&
				(starters[firstWord(s[i:min(len(s), i+24)])] || lead.MatchString(s[i:min(len(s), i+64)])) {
				out = append(out, i)
				last = i
			}
			prevStart = i
		}
		if c != ' ' {
			prev = c
		}
	}
	return out
}

// lead is a label with its colon, of one to five words that are mostly
// capitalised.
var lead = regexp.MustCompile(`^[A-Z][a-z]+(?:[ -](?:[A-Z][a-z]*|and|or|of|in|with|impairment)){0,4}: `)

// endsClause says that word, whose last character is last, can end a sentence
// that has lost its full stop.
func endsClause(word string, last byte) bool {
	word = strings.TrimRight(word, " ")
	if !(last >= 'a' && last <= 'z' || last >= '0' && last <= '9' || last == ')' || last == ']' || last == '%') {
		return false
	}
	if r := word[0]; r >= 'A' && r <= 'Z' && (len(word) < 2 || word[1] >= 'a' && word[1] <= 'z') {
		return false // a capitalised word: more of the same name
	}
	return !inside[word]
}
