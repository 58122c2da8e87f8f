package generation

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"rxedge/index/chunk"
	"rxedge/index/document"
	"rxedge/index/lexical"
)

// Passage is a passage with what a hit shows of it.
type Passage struct {
	chunk.Passage
	Text         string
	SectionTitle string
	LOINC        string
	// Places say which pages or elements of the source the text comes from; At
	// counts from the beginning of the section.
	Places []document.Place
}

// indexed is what of it is searched by words.
func (p *Passage) indexed() lexical.Passage {
	return lexical.Passage{Heading: p.Heading, Text: p.Text}
}

// append the passage, encoded. A search reads dozens of passages, so they are not
// JSON: each number as a varint, each text behind its length.
func (p *Passage) append(b []byte) []byte {
	for _, s := range []string{p.DocumentID, p.SectionID, p.Heading, p.SectionTitle, p.LOINC, p.Text} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, n := range []int{p.Section, p.Start, p.End, len(p.Sentences)} {
		b = binary.AppendVarint(b, int64(n))
	}
	for _, s := range p.Sentences {
		b = binary.AppendVarint(b, int64(s.Start))
		b = binary.AppendVarint(b, int64(s.End))
	}
	for _, q := range p.Places { // most sources have none: then nothing is written
		b = binary.AppendVarint(b, int64(q.At))
		b = binary.AppendVarint(b, int64(q.Page))
		b = binary.AppendUvarint(b, uint64(len(q.Element)))
		b = append(b, q.Element...)
	}
	return b
}

// peekPassage is what of an encoded passage is searched by words, as it lies.
func peekPassage(b []byte) (p lexical.Passage, err error) {
	for _, s := range []*string{nil, nil, &p.Heading, nil, nil, &p.Text} {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return p, errPassage
		}
		if s != nil {
			*s = unsafe.String(unsafe.SliceData(b[k:]), int(n))
		}
		b = b[k+int(n):]
	}
	return p, nil
}

var errPassage = errors.New("the passage is cut short")

func decodePassage(b []byte) (p Passage, err error) {
	for _, s := range []*string{&p.DocumentID, &p.SectionID, &p.Heading, &p.SectionTitle, &p.LOINC, &p.Text} {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return p, errPassage
		}
		*s, b = string(b[k:k+int(n)]), b[k+int(n):]
	}
	number := func(to *int) bool {
		n, k := binary.Varint(b)
		if k <= 0 {
			return false
		}
		*to, b = int(n), b[k:]
		return true
	}
	sentences := 0
	for _, n := range []*int{&p.Section, &p.Start, &p.End, &sentences} {
		if !number(n) {
			return p, errPassage
		}
	}
	if sentences < 0 || sentences > len(b)/2 {
		return p, errPassage
	}
	if sentences > 0 {
		p.Sentences = make([]chunk.Span, sentences)
	}
	for i := range p.Sentences {
		if !number(&p.Sentences[i].Start) || !number(&p.Sentences[i].End) {
			return p, errPassage
		}
	}
	for len(b) > 0 {
		var q document.Place
		if !number(&q.At) || !number(&q.Page) {
			return p, errPassage
		}
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return p, errPassage
		}
		q.Element, b = string(b[k:k+int(n)]), b[k+int(n):]
		p.Places = append(p.Places, q)
	}
	return p, nil
}
