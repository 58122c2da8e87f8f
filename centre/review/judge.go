// Package review says what matters between two versions of a document, and keeps the
// decision about it: signed, and in the library.
//
// See DESIGN.md.
package review

import (
	"cmp"
	"fmt"
	"slices"

	"rxedge/centre/check"
	"rxedge/centre/compare"
	"rxedge/centre/library"
	"rxedge/index/document"
)

// Reason for which a person decides about a version.
type Reason struct {
	Code    string `json:"code"` // one of Reasons
	Section string `json:"section,omitempty"`
	Title   string `json:"title,omitempty"` // of the section
	Before  string `json:"before,omitempty"`
	After   string `json:"after,omitempty"`
	// Doses that are others in the sentence.
	Doses []compare.Dose `json:"doses,omitempty"`
}

// Codes of reasons, the gravest first.
const (
	DoseChanged      = "dose_changed"
	BoxedWarning     = "boxed_warning"
	Indication       = "indication"
	Contraindication = "contraindication"
	SectionGone      = "section_gone"
	SectionNew       = "section_new"
	DosageText       = "dosage_text"
	WarningText      = "warning_text"
	InteractionText  = "interaction_text"
	PopulationText   = "population_text"
	OverdosageText   = "overdosage_text"
	OtherText        = "text" // of a document that is no label
	AnswerChanged    = "answer_changed"
	WasInQuarantine  = "was_in_quarantine"
	ManyChanges      = "many_changes"
)

// Reasons with their meanings, in the order in which they are shown.
var Reasons = []struct{ Code, Meaning string }{
	{WasInQuarantine, "A check had held it back, and a person released it."},
	{DoseChanged, "A dose, a limit or a frequency is another."},
	{BoxedWarning, "The boxed warning was added, changed or taken away."},
	{Indication, "An indication is new, changed or gone."},
	{Contraindication, "A contraindication is new, changed or gone."},
	{SectionGone, "A section that people act on is gone."},
	{SectionNew, "There is a section that people act on, and was none before."},
	{DosageText, "The dosage says something else."},
	{WarningText, "A warning is new, changed or gone."},
	{InteractionText, "An interaction is new, changed or gone."},
	{PopulationText, "What is said of children, the old, pregnancy or breast-feeding is another."},
	{OverdosageText, "The advice on overdosage is another."},
	{OtherText, "The text is another, and the document is no label of which it is known what people act on."},
	{AnswerChanged, "A golden question is answered otherwise."},
	{ManyChanges, "More changed than is listed."},
}

var ofClass = map[compare.Class]string{
	compare.Boxed: BoxedWarning, compare.Indications: Indication, compare.Contraindications: Contraindication, compare.Dosage: DosageText,
	compare.Warnings: WarningText, compare.Interactions: InteractionText, compare.Populations: PopulationText, compare.Overdosage: OverdosageText,
}

func order(code string) int {
	return slices.IndexFunc(Reasons, func(r struct{ Code, Meaning string }) bool { return r.Code == code })
}

// mostReasons are listed of one version.
const mostReasons = 500

// Judge a comparison: what of it a person must see. label says whether the documents are
// labels, so that it is known which sections people act on.
func Judge(c *compare.Comparison, label bool) []Reason {
	var out []Reason
	for _, s := range c.Removed {
		if s.Class.Critical() {
			out = append(out, Reason{Code: SectionGone, Section: s.ID, Title: s.Title})
		}
	}
	for _, s := range c.Added {
		if s.Class.Critical() {
			out = append(out, Reason{Code: SectionNew, Section: s.ID, Title: s.Title})
		}
	}
	for _, ch := range c.Changes {
		r := Reason{Section: ch.Section, Title: ch.Title, Before: ch.Before, After: ch.After, Doses: ch.Doses}
		switch code, acted := ofClass[ch.Class]; {
		case len(ch.Doses) > 0 && (acted || !label || ch.Class != compare.Packaging && ofMedicine(ch.Doses)):
			r.Code = DoseChanged
		case acted:
			r.Code = code
		case !label:
			r.Code = OtherText
		default:
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Reason) int { return cmp.Compare(order(a.Code), order(b.Code)) })
	if n := len(out) - mostReasons; n > 0 {
		out = append(out[:mostReasons], Reason{Code: ManyChanges, Title: fmt.Sprintf("%d more", n)})
	}
	return out
}

func ofMedicine(ds []compare.Dose) bool {
	return slices.ContainsFunc(ds, func(d compare.Dose) bool {
		return d.Kind == compare.Frequency || compare.OfMedicine(d.Unit)
	})
}

// isLabel says whether a document has a section that people act on.
func isLabel(ds ...*document.Document) bool {
	for _, d := range ds {
		if slices.ContainsFunc(d.Sections, func(s document.Section) bool { return compare.ClassOf(&s).Critical() }) {
			return true
		}
	}
	return false
}

// Report on a candidate.
type Report struct {
	library.Ref
	Title   string `json:"title"`
	Version string `json:"version,omitempty"`
	Run     string `json:"run"`
	Against string `json:"against,omitempty"` // hash of the version before
	First   bool   `json:"first"`             // there is none
	Matters bool   `json:"matters"`
	// Reasons why it matters, the gravest first.
	Reasons  []Reason        `json:"reasons"`
	Findings []check.Finding `json:"findings"`
	// Comparison is all that changed, what does not matter too.
	Comparison *compare.Comparison `json:"comparison,omitempty"`
	Golden     []GoldenChange      `json:"golden,omitempty"`
	// Asked golden questions; 0 where none were.
	Asked int `json:"asked,omitempty"`
}

// GoldenChange is a golden question that is answered otherwise. Before and After are
// what each version answers, "" where it does not.
type GoldenChange struct {
	ID       string `json:"id"`
	Question string `json:"question"`
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
}
