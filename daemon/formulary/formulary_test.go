package formulary

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// medicine is a sample file, read by this test's own few lines so that the
// files are checked without the reader that ingests them.
type medicine struct {
	front    map[string]string
	headings []string
	body     map[string]string
}

func parse(t *testing.T, name string) medicine {
	t.Helper()
	raw, err := fs.ReadFile(Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(raw) {
		t.Fatalf("%s: not UTF-8", name)
	}
	rest, ok := strings.CutPrefix(string(raw), "---\n")
	if !ok {
		t.Fatalf("%s: does not start with front matter", name)
	}
	head, text, ok := strings.Cut(rest, "\n---\n")
	if !ok {
		t.Fatalf("%s: front matter does not end", name)
	}
	m := medicine{front: map[string]string{}, body: map[string]string{}}
	for _, line := range strings.Split(head, "\n") {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("%s: front matter line %q has no value", name, line)
		}
		m.front[key] = strings.TrimSpace(value)
	}
	for _, part := range strings.Split("\n"+text, "\n## ")[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		m.headings = append(m.headings, heading)
		m.body[heading] = strings.TrimSpace(body)
	}
	return m
}

func names(t *testing.T) []string {
	t.Helper()
	found, err := fs.Glob(Files(), "*.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 14 {
		t.Fatalf("%d medicines, want at least 14", len(found))
	}
	return found
}

// The order in which the sections of a US label stand.
var order = []string{
	"Boxed Warning",
	"Indications and Usage",
	"Dosage and Administration",
	"Dosage in Renal Impairment",
	"Dosage in Hepatic Impairment",
	"Contraindications",
	"Warnings and Precautions",
	"Drug Interactions",
	"Use in Specific Populations",
	"Adverse Reactions",
}

var optional = []string{"Boxed Warning", "Dosage in Hepatic Impairment"}

func TestEveryMedicineIsComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range names(t) {
		m := parse(t, name)
		drug := strings.TrimSuffix(name, ".md")

		for _, key := range []string{"id", "title", "version", "effective", "brand", "generic", "notice"} {
			if m.front[key] == "" {
				t.Errorf("%s: front matter has no %s", name, key)
			}
		}
		id := m.front["id"]
		if id != "sample-"+drug {
			t.Errorf("%s: id %q, want %q", name, id, "sample-"+drug)
		}
		if other, dup := seen[id]; dup {
			t.Errorf("%s: id %q is also that of %s", name, id, other)
		}
		seen[id] = name
		if m.front["notice"] != "Sample text, not for clinical use" {
			t.Errorf("%s: notice is %q", name, m.front["notice"])
		}
		if _, err := time.Parse(time.DateOnly, m.front["effective"]); err != nil {
			t.Errorf("%s: effective: %v", name, err)
		}

		last := -1
		for _, h := range m.headings {
			at := slices.Index(order, h)
			switch {
			case at < 0:
				t.Errorf("%s: unknown section %q", name, h)
			case at <= last:
				t.Errorf("%s: section %q is twice there or out of order", name, h)
			}
			last = max(last, at)
		}
		for _, h := range order {
			switch {
			case m.body[h] != "":
			case slices.Contains(m.headings, h):
				t.Errorf("%s: section %q is empty", name, h)
			case !slices.Contains(optional, h):
				t.Errorf("%s: section %q is missing", name, h)
			}
		}
		for _, who := range []string{"Pregnancy: ", "Lactation: ", "Older adults: "} {
			if !strings.Contains(m.body["Use in Specific Populations"], who) {
				t.Errorf("%s: nothing under %q", name, who)
			}
		}
	}
}

var (
	saint       = strings.NewReplacer("St. John's", "St John's", "\n\n", " ")
	sentenceEnd = regexp.MustCompile(`[.](?: +|$)`)
	// "start … at 5 mg" and "up to 2 weeks" are whole; a number behind one of
	// these words with nothing that says of what is a dose without its unit.
	bareDose = regexp.MustCompile(`(?i)\b(?:start|give|take|dose of|maximum of|at most|up to) (?:[a-z]+ ){0,3}\d[\d.,]*(?: to \d[\d.,]*)?\b(?:\s+(\S+))?`)
	unit     = regexp.MustCompile(`^(?:mg|mcg|g|mL|mEq|hours?|days?|weeks?|months?|years?|minutes?|of|inhalations?|sprays?)\b|^\d|^%`)
)

// A sentence is shown alone as the answer to a question, so it must say by
// itself which medicine it is about.
func TestSentencesOfAMedicineNameIt(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		m := parse(t, name)
		drug := strings.TrimSuffix(name, ".md")
		for _, h := range m.headings {
			for _, s := range sentenceEnd.Split(saint.Replace(m.body[h]), -1) {
				if s != "" && !strings.Contains(strings.ToLower(s), drug) {
					t.Errorf("%s: %s: does not name %s: %s", name, h, drug, s)
				}
				if d := bareDose.FindStringSubmatch(s); d != nil && !unit.MatchString(d[1]) {
					t.Errorf("%s: a number without a unit (%q) in: %s", name, d[0], s)
				}
			}
		}
	}
}

func TestVersionNamesTheContents(t *testing.T) {
	t.Parallel()
	if v := Version(); !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(v) || v != Version() {
		t.Fatalf("Version() = %q", v)
	}
}
