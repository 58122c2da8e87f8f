package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"rxedge/index/document/ooxml"
	"rxedge/index/document/sheet"
)

// isMapping says whether a file is the mapping of another, which is read with it.
func isMapping(name string) bool { return strings.HasSuffix(name, sheet.Suffix) }

// mapping finds the mapping of a file: the one beside it, else the one that was
// given. nil where there is none.
func (r *reader) mapping(name string) (*sheet.Mapping, error) {
	data, from := r.opt.Mapping, first(r.opt.MappingName, "the mapping")
	if r.beside != nil {
		own, err := r.beside(name + sheet.Suffix)
		switch {
		case err == nil:
			data, from = own, name+sheet.Suffix
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return nil, Problem{File: name + sheet.Suffix, Reason: "cannot be opened: " + plainError(err), Fix: "check that the service may read it"}
		}
	}
	if data == nil {
		return nil, nil
	}
	m, err := sheet.ParseMapping(data)
	var bad *sheet.MappingError
	if errors.As(err, &bad) {
		return nil, Problem{File: from, Line: bad.Line, Column: bad.Column, Field: fieldName(bad.Field), Reason: bad.Reason, Fix: bad.Fix}
	}
	return m, err
}

// readMapping reads the whole of a mapping that may be there.
func readMapping(f io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20)) // ParseMapping refuses less
}

// parseValues reads comma separated values.
func (r *reader) parseValues(name string, data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return Problem{Reason: "the file is empty", Fix: "check how it was copied"}
	}
	m, err := r.mapping(name)
	if err != nil {
		return err
	}
	if m == nil {
		rows, err := sheet.CSV(data, &sheet.Mapping{HeaderRow: 1})
		if err != nil {
			return sheetProblem("", err)
		}
		row, err := rows.Next()
		if err != nil {
			return sheetProblem("", err)
		}
		return unmapped(name, row.Cells, "")
	}
	rows, err := sheet.CSV(data, m)
	if err != nil {
		return sheetProblem("", err)
	}
	return r.interactions(filepath.Base(name), KindCSV, "", rows, m)
}

// parseWorkbook reads a sheet of a workbook.
func (r *reader) parseWorkbook(name string, p *ooxml.Package, data []byte) error {
	m, err := r.mapping(name)
	if err != nil {
		return err
	}
	columns := m
	if m == nil {
		columns = &sheet.Mapping{}
	}
	b, err := sheet.XLSX(r.ctx, p, data, columns, superscript)
	if err != nil {
		return officeProblem(sheetProblem("", err))
	}
	defer b.Close()
	if m == nil {
		if err := b.FindHeader(); err != nil {
			return officeProblem(sheetProblem(b.Sheet, err))
		}
		return unmapped(name, b.Header, b.Sheet)
	}
	if n := len(b.Hidden); n > 0 {
		r.listed(Problem{Sheet: b.Sheet, Record: b.Hidden[0], Reason: fmt.Sprintf("%d hidden rows, of which this is the first, are left out", n), Fix: "show them if they are to be read, else delete them"}, 1)
	}
	return officeProblem(r.interactions(filepath.Base(name), KindXLSX, b.Sheet, b, m))
}

// unmapped is the Problem of a table without a mapping.
func unmapped(name string, header []string, sheetName string) error {
	for i := range header {
		header[i] = oneLine(header[i])
	}
	return Problem{Reason: "a table without a mapping that says what its columns are",
		Fix:     fmt.Sprintf("write %s beside it, or name a mapping with --mapping", filepath.Base(name)+sheet.Suffix),
		Mapping: sheet.Skeleton(header, sheetName)}
}

func sheetProblem(sheetName string, err error) error {
	var p *sheet.Problem
	if !errors.As(err, &p) {
		return err
	}
	return Problem{Line: p.Line, Record: p.Row, Sheet: sheetName, Field: fieldName(p.Column), Reason: p.Reason, Fix: p.Fix}
}

// maxAlike is how many rows of a table that are refused for one reason are listed.
const maxAlike = 50

// interactions makes documents of a table: for each medicine one, with a section for
// each other medicine that its rows name. So a row stands in two documents, and is
// found whichever of the two was asked about.
func (r *reader) interactions(base, kind, sheetName string, rows sheet.Rows, m *sheet.Mapping) error {
	fold := func(s string) string { return strings.ReplaceAll(oneLine(s), " | ", " / ") }
	refused := 0
	pairs, err := sheet.Interactions(rows, m, fold, slug, func(p *sheet.Problem) {
		refused++
		r.listed(sheetProblem(sheetName, p).(Problem), maxAlike)
	})
	if e := r.ctx.Err(); e != nil {
		return e
	}
	if err != nil {
		return sheetProblem(sheetName, err)
	}
	if len(pairs) == 0 {
		if refused > 0 {
			return nil // each row has said why
		}
		return Problem{Sheet: sheetName, Reason: "a table without a row below its header", Fix: "check that it is the file and the sheet that you meant"}
	}
	type about struct {
		d      *Document
		oldest time.Time
		at     map[string]int // other medicine → section
	}
	docs := map[string]*about{}
	var order []*about
	prefix := first(slug(m.ID), derivedID(base))
	title := first(oneLine(m.Title), "interactions")
	for i := range pairs {
		p := &pairs[i]
		for _, of := range [][2]string{{p.A, p.B}, {p.B, p.A}} {
			me, other := slug(of[0]), slug(of[1])
			a := docs[me]
			if a == nil {
				a = &about{at: map[string]int{}, d: &Document{ID: prefix + "-" + me, Kind: kind, Source: base, Title: of[0] + ": " + title,
					Notice: oneLine(m.Notice), Names: []Name{{Text: of[0], Kind: "generic"}}}}
				docs[me] = a
				order = append(order, a)
			}
			if !p.Date.IsZero() && (a.oldest.IsZero() || p.Date.Before(a.oldest)) {
				a.oldest = p.Date
			}
			n, ok := a.at[other]
			if !ok {
				n = len(a.d.Sections)
				a.at[other] = n
				std, _ := SectionByName("Drug Interactions")
				a.d.Sections = append(a.d.Sections, Section{ID: a.d.ID + "#" + other, LOINC: std.LOINC, Title: "Interaction with " + of[1], Path: []string{std.Name}})
			}
			s := &a.d.Sections[n]
			if s.Text != "" {
				s.Text += "\n"
			}
			element := fmt.Sprintf("row %d", p.Row)
			if sheetName != "" {
				element = "sheet " + oneLine(sheetName) + ", " + element
			}
			s.Places = append(s.Places, Place{At: len(s.Text), Element: element})
			s.Text += strings.Join(p.Lines(), "\n")
		}
	}
	slices.SortFunc(order, func(a, b *about) int { return strings.Compare(a.d.ID, b.d.ID) })
	for _, a := range order {
		a.d.Effective = m.Effective
		if a.d.Effective == "" && !a.oldest.IsZero() {
			a.d.Effective = a.oldest.Format(time.DateOnly)
		}
		if err := r.kept(r.emit(a.d)); err != nil {
			return err
		}
	}
	return nil
}
