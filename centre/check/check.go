// Package check says whether a document is good, by itself and beside the version
// before: arithmetic, without disk or network. What it finds is a Finding of a
// registered code; what a finding leads to is centre/library's.
package check

import (
	"time"

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

// Check returns what is wrong with doc, the gravest first. before is the version that
// was approved last, nil where there is none: see library.Current.
func (c *Checker) Check(doc, before *document.Document) []Finding {
	_ = before
	return nil
}

// Held says whether one of the findings holds the document back.
func Held(fs []Finding) bool {
	for _, f := range fs {
		if f.Severity == Quarantine {
			return true
		}
	}
	return false
}
