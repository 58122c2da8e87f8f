// Package chunk cuts the sections of a document into passages of whole
// sentences, small enough for an embedder, each with its byte span in the
// section's text.
package chunk

// Span is a half-open byte range [Start, End) in a section's Text.
type Span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Passage is what is searched: a run of whole sentences of one section.
type Passage struct {
	DocumentID string `json:"document_id"`
	SectionID  string `json:"section_id"`
	// Section is the index of the section in Document.Sections.
	Section int `json:"section"`
	// Heading is carried along for search and display: document title and
	// section titles. It is not part of the span.
	Heading string `json:"heading"`
	Span
	// Sentences are the spans of the passage's sentences, in the section's
	// text, in order; white space between sentences belongs to none.
	Sentences []Span `json:"sentences"`
	// Tokens that heading and text together take, as the Counter counts.
	Tokens int `json:"tokens"`
}

// Counter counts the tokens an embedder would see, special tokens left out. It is
// safe for concurrent use.
type Counter interface {
	Count(text string) int
}
