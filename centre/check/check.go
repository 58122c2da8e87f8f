// Package check says whether a document is good, by itself and beside the version
// before: arithmetic, without disk or network. What it finds is a Finding of a
// registered code; what a finding leads to is centre/library's.
package check

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rxedge/centre/compare"
	"rxedge/index/document"
)

// Severity of a finding.
type Severity string

const (
	// Quarantine holds the document back until a person releases it.
	Quarantine Severity = "quarantine"
	// Flag tells the reviewer, and holds nothing back.
	Flag Severity = "flag"
)

// Finding is one thing that is wrong, or looks so, with a document.
type Finding struct {
	Code     string   `json:"code"` // one of Codes
	Severity Severity `json:"severity"`
	// Section is the id of the section that it is about, "" for the whole document.
	Section string `json:"section,omitempty"`
	Reason  string `json:"reason"`
	Fix     string `json:"fix"`
	// Before and After are what the version before and this one say; at most
	// MaxQuote bytes of each.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// MaxQuote bytes of a text are quoted in a finding.
const MaxQuote = 400

func quote(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= MaxQuote {
		return s
	}
	n := MaxQuote - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// Options of a Checker. The zero value means the defaults.
type Options struct {
	Now func() time.Time // time.Now
}

// Checker checks documents. It is safe from many goroutines.
type Checker struct{ opt Options }

// New makes a Checker.
func New(opt Options) *Checker {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Checker{opt: opt}
}

// mostOfCode findings of one code about a document are listed; the last says how many
// more there are.
const mostOfCode = 10

// Check returns what is wrong with doc, the gravest first. before is the version that
// was approved last, nil where there is none: see library.Current. Duplicates of other
// documents are found where the others are, by the library.
func (c *Checker) Check(doc, before *document.Document) []Finding {
	var out []Finding
	out = append(out, text(doc)...)
	out = append(out, language(doc)...)
	out = append(out, c.dates(doc)...)
	out = append(out, required(doc)...)
	if before != nil {
		out = append(out, order(doc, before)...)
		out = append(out, sections(doc, before)...)
		out = append(out, amounts(compare.Documents(before, doc))...)
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Compare(rank(a.Severity), rank(b.Severity))
	})
	return fewer(out)
}

func rank(s Severity) int {
	if s == Quarantine {
		return 0
	}
	return 1
}

func fewer(fs []Finding) []Finding {
	n := map[string]int{}
	for _, f := range fs {
		n[f.Code+string(f.Severity)]++
	}
	seen := map[string]int{}
	out := fs[:0]
	for _, f := range fs {
		k := f.Code + string(f.Severity)
		seen[k]++
		if seen[k] > mostOfCode {
			continue
		}
		if seen[k] == mostOfCode && n[k] > mostOfCode {
			f.Reason += " (and " + plural(n[k]-mostOfCode, "more like it") + ")"
		}
		out = append(out, f)
	}
	return out
}

// Held says whether one of the findings holds the document back.
func Held(fs []Finding) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Severity == Quarantine })
}
