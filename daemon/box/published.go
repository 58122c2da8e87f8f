package box

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"rxedge/index/document"
	"rxedge/sync/bundle"
)

// A published document is lines of JSON: the document without its sections, then
// each section. Each line is a part, so that of a changed label only the changed
// sections travel.

// Publishable is d as it travels.
func Publishable(d *document.Document) (bundle.Document, error) {
	head := *d
	head.Sections = nil
	out := bundle.Document{ID: d.ID}
	add := func(v any) error {
		b, err := json.Marshal(v)
		out.Parts = append(out.Parts, append(b, '\n'))
		return err
	}
	if err := add(head); err != nil {
		return out, err
	}
	for i := range d.Sections {
		if err := add(&d.Sections[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// maxSections of a published document.
const maxSections = 20_000

// ReadPublished is the reverse; what is wrong is a *bundle.Error.
func ReadPublished(id string, b []byte) (*document.Document, error) {
	bad := func(err error, what string) (*document.Document, error) {
		return nil, &bundle.Error{Code: bundle.BadContent, Reason: fmt.Sprintf("document %.80q: %s", id, what), Err: err}
	}
	if !utf8.Valid(b) {
		return bad(nil, "its text is not UTF-8")
	}
	line, rest, ok := bytes.Cut(b, []byte{'\n'})
	d := &document.Document{}
	if !ok {
		return bad(nil, "it ends in its first line")
	}
	if err := json.Unmarshal(line, d); err != nil {
		return bad(err, "its first line can't be read")
	}
	if d.ID != id || d.Sections != nil {
		return bad(nil, "it is another than its entry says")
	}
	seen := map[string]bool{}
	for len(rest) > 0 {
		line, rest, ok = bytes.Cut(rest, []byte{'\n'})
		var s document.Section
		if !ok {
			return bad(nil, "it ends in the middle of a section")
		}
		if err := json.Unmarshal(line, &s); err != nil {
			return bad(err, "a section can't be read")
		}
		if s.ID == "" || s.Text == "" || seen[s.ID] || len(d.Sections) == maxSections {
			return bad(nil, "a section has no id, no text, the id of another, or there are too many")
		}
		seen[s.ID] = true
		d.Sections = append(d.Sections, s)
	}
	if len(d.Sections) == 0 {
		return bad(errors.New("no sections"), "it has no sections")
	}
	return d, nil
}
