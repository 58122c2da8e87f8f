package document

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"rxedge/index/document/docx"
	"rxedge/index/document/ooxml"
)

// parseOffice reads a file that Office programs write; done is false where it is a
// zip of another kind.
func (r *reader) parseOffice(name string, data []byte) (done bool, err error) {
	p, err := ooxml.Open(bytes.NewReader(data), int64(len(data)))
	if errors.Is(err, ooxml.ErrNotOffice) {
		return false, nil
	}
	if err != nil {
		return true, officeProblem(err)
	}
	base := filepath.Base(name)
	switch p.Kind {
	case ooxml.Word:
		d, err := docx.Read(r.ctx, p)
		if err != nil {
			return true, officeProblem(err)
		}
		return true, r.one(fromDOCX(base, d, r.opt))
	case ooxml.Workbook:
		return true, r.parseWorkbook(name, p, data)
	case ooxml.BinaryBook:
		return true, Problem{Reason: "a binary Excel workbook (.xlsb), which cannot be read", Fix: "save it as .xlsx"}
	case ooxml.Presentation:
		return true, Problem{Reason: "a PowerPoint presentation, which cannot be read", Fix: "save it as PDF"}
	}
	return true, Problem{Reason: "an Office file of a kind that cannot be read", Fix: "save it as .docx, .xlsx or PDF"}
}

// isOffice says whether src, a zip, is an Office file, damaged ones among them.
func isOffice(src any, size int64) bool {
	at, ok := src.(io.ReaderAt)
	if !ok {
		return false
	}
	_, err := ooxml.Open(at, size)
	return !errors.Is(err, ooxml.ErrNotOffice)
}

// officeProblem makes a Problem of an error of the packages that read Office files.
func officeProblem(err error) error {
	var e *ooxml.Error
	if errors.As(err, &e) {
		return Problem{Reason: e.Reason, Fix: e.Fix}
	}
	return err
}

// fromDOCX makes sections of a Word document.
func fromDOCX(base string, f *docx.Document, opt Options) (*Document, error) {
	root := docxNode(f.Body)
	top, h1, err := headed(root, opt)
	if err != nil {
		return nil, err
	}
	d := &Document{Kind: KindDOCX, Source: base, ID: derivedID(base)}
	d.Title = first(withoutMarks(h1), propertyTitle(f.Title), strings.TrimSuffix(base, filepath.Ext(base)))
	d.Sections = assemble(d.ID, top)
	settlePlaces(d)
	d.Effective = writtenDate(clean(f.Effective))
	return d, nil
}

// propertyTitle is the title among a file's properties, unless a program put it there.
func propertyTitle(s string) string {
	s = oneLine(s)
	lower := strings.ToLower(s)
	for _, made := range []string{"microsoft word", "untitled", "document", "powerpoint", "dokument"} {
		if strings.HasPrefix(lower, made) {
			return ""
		}
	}
	return s
}

func docxNode(f *docx.Node) *node {
	if f.Name == "" {
		return &node{text: clean(f.Text)}
	}
	if f.Name == "place" {
		return &node{text: placeMark(f.Page, f.Element)}
	}
	n := &node{name: f.Name}
	if f.Span > 1 {
		n.attr = map[string]string{"colspan": strconv.Itoa(f.Span)}
	}
	if f.Mark != "" {
		n.attr = map[string]string{"mark": oneLine(f.Mark)}
	}
	for _, k := range f.Kids {
		n.kids = append(n.kids, docxNode(k))
	}
	return n
}
