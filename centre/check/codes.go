package check

// Code is a registered kind of finding.
type Code struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"` // the gravest that it is found with
	Meaning  string   `json:"meaning"`
	Fix      string   `json:"fix"`
}

// Codes of findings. A test fails where one is found by nothing.
var Codes = []Code{
	{TextMissing, Quarantine, "There is hardly any text for what the document is.", "Give a file with text in it; a scan needs OCR."},
	{TextDamaged, Quarantine, "Characters are lost, or were read in the wrong encoding.", "Give the file as its publisher has it, in UTF-8."},
	{TextOtherLanguage, Quarantine, "The document is not in English.", "Give the English document."},
	{SectionOtherLanguage, Flag, "A section is not in English.", "See that a reader finds the English text too."},
	{SectionMissing, Quarantine, "A label lacks a section that every label has.", "Give the whole label; see whether its headings were read."},
	{SectionDropped, Quarantine, "A section is gone that the version before had.", "See whether the label itself dropped it; else give the whole label."},
	{SectionShrunk, Flag, "A section has lost most of its text.", "See whether the label itself was cut; else give the whole label."},
	{DateUnreadable, Quarantine, "The effective date is no date.", "Correct the date in the source."},
	{DateFuture, Quarantine, "The effective date is in the future.", "Wait for the date, or correct it in the source."},
	{DateAncient, Quarantine, "The effective date is before 1900.", "Correct the date in the source."},
	{DateBackwards, Quarantine, "The effective date is before that of the version that is approved.", "Give the latest version."},
	{VersionBackwards, Quarantine, "The version is lower than the one that is approved.", "Give the latest version."},
	{VersionSame, Flag, "The text differs under the same version.", "See which of the two the publisher has."},
	{NameChanged, Quarantine, "The document is of another medicine than the version before.", "See whether the file has the right id."},
	{DoseTenfold, Quarantine, "A dose is ten times, or a tenth, of what it was.", "Compare with the publisher's label."},
	{UnitLost, Quarantine, "A dose has lost its unit.", "Compare with the publisher's label."},
	{UnitChanged, Quarantine, "A dose has the same number in another unit.", "Compare with the publisher's label."},
	{Duplicate, Quarantine, "Another document says exactly the same.", "Keep one of the two."},
	{NearDuplicate, Flag, "Another document says nearly the same.", "See whether both are needed: a question may be answered from either."},
}

// Codes by name.
const (
	TextMissing          = "text_missing"
	TextDamaged          = "text_damaged"
	TextOtherLanguage    = "language"
	SectionOtherLanguage = "section_language"
	SectionMissing       = "section_missing"
	SectionDropped       = "section_dropped"
	SectionShrunk        = "section_shrunk"
	DateUnreadable       = "date_unreadable"
	DateFuture           = "date_future"
	DateAncient          = "date_ancient"
	DateBackwards        = "date_backwards"
	VersionBackwards     = "version_backwards"
	VersionSame          = "version_same"
	NameChanged          = "name_changed"
	DoseTenfold          = "dose_tenfold"
	UnitLost             = "unit_lost"
	UnitChanged          = "unit_changed"
	Duplicate            = "duplicate"
	NearDuplicate        = "near_duplicate"
)

var byCode = func() map[string]Code {
	m := map[string]Code{}
	for _, c := range Codes {
		m[c.Code] = c
	}
	return m
}()

// Found makes a Finding of a code, with its severity and its fix.
func Found(code, section, reason, before, after string) Finding {
	c := byCode[code]
	return Finding{Code: code, Severity: c.Severity, Section: section, Reason: reason, Fix: c.Fix, Before: quote(before), After: quote(after)}
}
