package document

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Place says what of the source a Section's text comes from, from byte At on
// until the next Place.
type Place struct {
	At   int `json:"at"`
	Page int `json:"page,omitempty"` // from 1
	// Element is a part of a source without pages: "paragraph 12", "table 2, row
	// 3", "sheet Interactions, row 7".
	Element string `json:"element,omitempty"`
}

// PlaceAt is the last of places that begins at or before byte at; the zero Place
// where none does.
func PlaceAt(places []Place, at int) Place {
	var p Place
	for _, q := range places {
		if q.At > at {
			break
		}
		p = q
	}
	return p
}

// PlacesIn are the Places of bytes [start, end) of s.Text.
func (s Section) PlacesIn(start, end int) []Place {
	var out []Place
	for i, p := range s.Places {
		if p.At < end && (i+1 == len(s.Places) || s.Places[i+1].At > start) {
			out = append(out, p)
		}
	}
	return out
}

// While a document is put together, places travel in the text itself, between two
// characters that no text has (clean drops them).
const (
	placeStart = '\uFDD0'
	placeEnd   = '\uFDD1'
)

func pageMark(page int) string { return placeMark(page, "") }

// placeMark says that what follows comes from a page, an element, or an element of a page.
func placeMark(page int, element string) string {
	s := string(placeStart)
	if page > 0 {
		s += "p" + strconv.Itoa(page)
	}
	if element != "" {
		s += "e" + oneLine(element)
	}
	return s + string(placeEnd)
}

// leadingMark parts a mark that a text begins with from the text.
func leadingMark(s string) (mark, text string) {
	if !strings.HasPrefix(s, string(placeStart)) {
		return "", s
	}
	end := strings.IndexRune(s, placeEnd)
	if end < 0 {
		return "", s
	}
	end += utf8.RuneLen(placeEnd)
	return s[:end], s[end:]
}

// settlePlaces takes the marks out of the text of a document's sections.
func settlePlaces(d *Document) {
	kept := d.Sections[:0]
	var before Place // a title that is all the text of its section has no mark
	for _, s := range d.Sections {
		s.Title = withoutMarks(s.Title)
		for i := range s.Path {
			s.Path[i] = withoutMarks(s.Path[i])
		}
		var b strings.Builder
		for text := s.Text; ; {
			i := strings.IndexRune(text, placeStart)
			if i < 0 {
				b.WriteString(text)
				break
			}
			b.WriteString(text[:i])
			text = text[i+utf8.RuneLen(placeStart):]
			j := strings.IndexRune(text, placeEnd)
			if j < 0 {
				break
			}
			p := Place{At: b.Len()}
			page, element, _ := strings.Cut(text[:j], "e")
			p.Page, _ = strconv.Atoi(strings.TrimPrefix(page, "p"))
			p.Element = element
			text = text[j+utf8.RuneLen(placeEnd):]
			if n := len(s.Places); n > 0 && s.Places[n-1].At == p.At {
				s.Places[n-1] = p
			} else if n == 0 || s.Places[n-1].Page != p.Page || s.Places[n-1].Element != p.Element {
				s.Places = append(s.Places, p)
			}
		}
		if n := len(s.Places); n > 0 {
			before = s.Places[n-1]
			before.At = 0
		} else if before != (Place{}) {
			s.Places = []Place{before}
		}
		if s.Text = b.String(); s.Text != "" {
			kept = append(kept, s)
		}
	}
	d.Sections = kept
}

func withoutMarks(s string) string {
	for {
		i := strings.IndexRune(s, placeStart)
		if i < 0 {
			return s
		}
		j := strings.IndexRune(s[i:], placeEnd)
		if j < 0 {
			return s[:i]
		}
		s = s[:i] + s[i+j+utf8.RuneLen(placeEnd):]
	}
}
