package chunk

import (
	"rxedge/index/document"
)

// Options of Split, in tokens as the Counter counts them. The zero value means
// the defaults that stand beside each field.
type Options struct {
	MaxTokens  int // of heading and text together; 256, at most 512
	Overlap    int // tokens of whole sentences that the next passage repeats; 50, -1 for none
	MergeUnder int // a shorter paragraph joins its neighbour; 100
}

// Split cuts doc into passages.
func Split(doc *document.Document, counter Counter, opt Options) []Passage {
	var out []Passage
	for i, s := range doc.Sections {
		for _, sp := range Sentences(s.Text) {
			out = append(out, Passage{DocumentID: doc.ID, SectionID: s.ID, Section: i, Heading: doc.Title + ": " + s.Title, Span: sp, Sentences: []Span{sp}, Tokens: counter.Count(s.Text[sp.Start:sp.End])})
		}
	}
	return out
}
