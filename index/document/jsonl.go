package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// record is one line of JSONL: a section of a label (id, drug, section, text),
// or a whole small document (_id, title, text) as BEIR writes them.
type record struct {
	ID        flexible `json:"id"`
	BEIR      flexible `json:"_id"`
	Drug      string   `json:"drug"`
	Section   string   `json:"section"`
	Title     string   `json:"title"`
	Text      *string  `json:"text"`
	Version   flexible `json:"version"`
	Effective string   `json:"effective"`
	Notice    string   `json:"notice"`
}

// flexible is an id that may be written as a string or as a number.
type flexible string

func (f *flexible) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		*f = flexible(s)
		return err
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*f = flexible(n.String())
	return nil
}

// parseJSONL reads all records, gathers those of one document (the part of the
// id before "#") wherever they stand in the file, and yields the documents in
// the order in which they began.
func (r *reader) parseJSONL(base string, text []byte) error {
	docs := map[string]*Document{}
	ids := map[string]int{}
	var order []*Document
	for line, n := 0, 0; len(text) > 0; {
		var l []byte
		l, text, _ = bytes.Cut(text, []byte{'\n'})
		line++
		if line%1024 == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		l = bytes.TrimRight(l, "\r")
		if len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		if n++; n > r.opt.MaxElements {
			return Problem{Line: line, Reason: fmt.Sprintf("more than %d records", r.opt.MaxElements), Fix: "split the file or raise the limit"}
		}
		d, s, err := r.record(l)
		if err == nil && ids[s.ID] > 0 {
			err = Problem{Field: "id", Reason: "the same id as an earlier record of this file", Fix: "give every record an id of its own"}
		}
		if err != nil {
			p := err.(Problem)
			p.Line, p.Record = line, n
			r.problem(p)
			continue
		}
		ids[s.ID] = n
		have := docs[d.ID]
		if have == nil {
			have = d
			have.Source = base
			docs[d.ID] = have
			order = append(order, have)
		}
		have.Version = first(have.Version, d.Version)
		have.Effective = first(have.Effective, d.Effective)
		have.Notice = first(have.Notice, d.Notice)
		have.Sections = append(have.Sections, *s)
	}
	for _, d := range order {
		if err := r.emit(d); err != nil {
			if p, ok := err.(Problem); ok {
				r.problem(p)
				continue
			}
			return err
		}
	}
	return nil
}

// record reads one line; its error is a Problem.
func (r *reader) record(l []byte) (*Document, *Section, error) {
	if len(l) > r.opt.MaxLineBytes {
		return nil, nil, Problem{Reason: fmt.Sprintf("a line over the limit of %s", megabytes(int64(r.opt.MaxLineBytes))), Fix: "give each section a record of its own, or raise the limit"}
	}
	if err := jsonDepth(l, r.opt.MaxDepth); err != nil {
		return nil, nil, err
	}
	var rec record
	if err := json.Unmarshal(l, &rec); err != nil {
		return nil, nil, jsonProblem(l, err)
	}
	id := oneLine(first(string(rec.ID), string(rec.BEIR)))
	switch {
	case id == "":
		return nil, nil, Problem{Field: "id", Reason: "a record without an id", Fix: `each line needs "id" (or "_id") and "text"`}
	case rec.Text == nil:
		return nil, nil, Problem{Field: "text", Reason: "a record without a text", Fix: `each line needs "id" (or "_id") and "text"`}
	}
	docID, _, _ := strings.Cut(id, "#")
	docID = first(docID, id)
	title := oneLine(rec.Section)
	std, known := SectionByName(title)
	if known && title == strings.ToLower(title) {
		title = std.Name
	}
	s := &Section{ID: id, Title: title, LOINC: std.LOINC, Text: plainLabelText(*rec.Text, std.LOINC)}
	if s.Text == "" {
		return nil, nil, Problem{Field: "text", Reason: "a record whose text is empty", Fix: "leave the record out, or give its text"}
	}
	for _, a := range []string{std.LOINC, std.Slug, slug(rec.Section)} {
		if a = docID + "#" + a; a != id && !strings.HasSuffix(a, "#") && !contains(s.Aliases, a) {
			s.Aliases = append(s.Aliases, a)
		}
	}
	drug := oneLine(rec.Drug)
	d := &Document{ID: docID, Kind: KindJSONL, Title: first(oneLine(rec.Title), drug, docID), Version: oneLine(string(rec.Version)),
		Effective: oneLine(rec.Effective), Notice: oneLine(rec.Notice)}
	if s.Title == "" {
		s.Title = d.Title
	}
	if drug != "" {
		kind := "brand"
		if drug == strings.ToLower(drug) {
			kind = "generic"
		}
		d.Names = []Name{{Text: drug, Kind: kind}}
	}
	return d, s, nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// jsonDepth refuses what is nested deeper than limit before anything of it is
// built.
func jsonDepth(data []byte, limit int) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > limit {
				line, col := place(data, i)
				return Problem{Line: line, Column: col, Reason: fmt.Sprintf("JSON nested more than %d deep", limit), Fix: "give flat records"}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// jsonProblem says where err is in data, in words that hold nothing of it.
func jsonProblem(data []byte, err error) Problem {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		line, col := place(data, int(syntax.Offset)-1)
		reason := "broken JSON"
		if strings.Contains(syntax.Error(), "unexpected end") {
			reason = "JSON that ends in the middle: it is cut short"
		}
		return Problem{Line: line, Column: col, Reason: reason, Fix: "write it again, or mend it at that place"}
	case errors.As(err, &kind):
		line, col := place(data, int(kind.Offset)-1)
		return Problem{Line: line, Column: col, Field: fieldName(kind.Field), Reason: fmt.Sprintf("a %s where a %s belongs", kind.Value, kind.Type.Kind()), Fix: "mend that field"}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		line, col := place(data, len(data))
		return Problem{Line: line, Column: col, Reason: "JSON that ends in the middle: it is cut short", Fix: "fetch it again"}
	}
	return Problem{Reason: "broken JSON", Fix: "write it again"}
}

func fieldName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	return s[:min(len(s), 80)]
}
