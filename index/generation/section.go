package generation

import (
	"encoding/binary"
	"errors"

	"rxedge/index/document"
)

// A build reads every section back, and as JSON that was a tenth of it. So each
// text lies behind its length, each list behind the number of its texts: id, LOINC
// code, number, title, text, aliases, path.
func encodeSection(s *document.Section) []byte {
	b := make([]byte, 0, 32+len(s.ID)+len(s.Title)+len(s.Text))
	put := func(t string) {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	for _, t := range []string{s.ID, s.LOINC, s.Number, s.Title, s.Text} {
		put(t)
	}
	for _, list := range [][]string{s.Aliases, s.Path} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, t := range list {
			put(t)
		}
	}
	return b
}

var errSection = errors.New("the section is cut short")

func decodeSection(b []byte) (s document.Section, err error) {
	text := string(b) // of which all are parts
	number := func() int {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			err, b = errSection, nil
			return 0
		}
		b = b[k:]
		return int(n)
	}
	next := func() string {
		n := number()
		if err != nil {
			return ""
		}
		at := len(text) - len(b)
		b = b[n:]
		return text[at : at+n]
	}
	for _, t := range []*string{&s.ID, &s.LOINC, &s.Number, &s.Title, &s.Text} {
		*t = next()
	}
	for _, list := range []*[]string{&s.Aliases, &s.Path} {
		for range number() {
			*list = append(*list, next())
		}
	}
	if err == nil && len(b) > 0 {
		err = errSection
	}
	if err != nil {
		return document.Section{}, err
	}
	return s, nil
}

// sectionAt decodes a record, ErrNotFound where there is none.
func (s space) sectionAt(k []byte) (document.Section, error) {
	body, err := s.get(k)
	if errors.Is(err, errNoRecord) {
		return document.Section{}, ErrNotFound
	}
	if err != nil {
		return document.Section{}, err
	}
	sec, err := decodeSection(body)
	if err != nil {
		err = damaged(describe(s.key(k)), err.Error())
	}
	return sec, err
}

// mustSectionAt is sectionAt of what has to be there.
func (s space) mustSectionAt(k []byte) (document.Section, error) {
	sec, err := s.sectionAt(k)
	if errors.Is(err, ErrNotFound) {
		err = damaged(describe(s.key(k)), "it is missing")
	}
	return sec, err
}
