// Package document reads labels, guidelines and tables into one form: a
// Document of Sections of plain UTF-8 text. Every byte span anywhere in rxedge
// (a passage, a sentence, a citation) points into a Section's Text, so Text is
// never changed once it has been read.
package document

// Kinds of source that Read understands.
const (
	KindSPL      = "spl"      // HL7 Structured Product Labeling, XML
	KindOpenFDA  = "openfda"  // openFDA drug label JSON
	KindJSONL    = "jsonl"    // one section a line: id, drug, section, text
	KindMarkdown = "markdown" // headings become sections
	KindHTML     = "html"
	KindText     = "text"
	KindPDF      = "pdf"
	KindDOCX     = "docx"
	KindCSV      = "csv"     // interactions, by a mapping of its columns
	KindXLSX     = "xlsx"    // the same in a workbook
	KindPicture  = "picture" // PNG, JPEG, TIFF: a scan
)

// Document is one label, guideline or table.
type Document struct {
	// ID is the set id of an SPL label; for other kinds an id that stays the
	// same from one reading of the same source to the next. Never empty.
	ID string `json:"id"`
	// Version as the source states it, "" where it does not.
	Version string `json:"version,omitempty"`
	Title   string `json:"title"`
	// Effective is the effective date as 2006-01-02, "" where it is unknown.
	Effective string `json:"effective,omitempty"`
	Kind      string `json:"kind"`
	// Source is the base name of the file the document was read from.
	Source string `json:"source"`
	// Names are the brand and generic names it is about, as the source writes
	// them, without duplicates; empty for a guideline.
	Names []Name `json:"names,omitempty"`
	// Codes are those of its products, active substances and of the document
	// itself, as the source writes them, without duplicates. Systems: ndc, gtin
	// (UPC among them), rxcui, unii, and spl for the document id, which changes
	// with every version. The set id is ID.
	Codes []Code `json:"codes,omitempty"`
	// Notice is shown wherever the document is cited, for example
	// "Sample text, not for clinical use".
	Notice   string    `json:"notice,omitempty"`
	Sections []Section `json:"sections"`
}

// Tabular says whether it is of a table of interactions: a section a row.
func (d *Document) Tabular() bool { return d.Kind == KindCSV || d.Kind == KindXLSX }

// Name is a name of the medicine a document is about.
type Name struct {
	Text string `json:"text"`
	Kind string `json:"kind"` // "brand", "generic" or "ingredient"
}

// Code is an identifier of a product, for example system "ndc", value "0074-3799-02".
type Code struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// Section is a part of a document.
type Section struct {
	// ID is unique over all documents: the id of the JSONL record, or
	// Document.ID + "#" + LOINC code, section number or slug of the title,
	// whichever first names the section alone.
	ID string `json:"id"`
	// Aliases are other ids under which an evaluation may name this section
	// (set id#section GUID, set id#slug of the title, ids of enclosing sections).
	Aliases []string `json:"aliases,omitempty"`
	// LOINC code of the section or, where it has none of its own
	// ("42229-5", unclassified), of the nearest enclosing section; "" if none.
	LOINC string `json:"loinc,omitempty"`
	// Number as printed, such as "5.1"; "" where there is none.
	Number string `json:"number,omitempty"`
	// Title of the section alone; Path holds the titles of the enclosing
	// sections, outermost first.
	Title string   `json:"title"`
	Path  []string `json:"path,omitempty"`
	// Text is valid UTF-8 in paragraphs separated by "\n\n"; a table row is one
	// line with cells separated by " | ", a list item one line after "• ".
	Text string `json:"text"`
	// Places say which page or element of the source Text comes from, in the order
	// of Text; empty for sources that have neither.
	Places []Place `json:"places,omitempty"`
}
