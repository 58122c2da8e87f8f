package sheet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"rxedge/index/document/ooxml"
)

const workbook = "an Excel workbook"

// maxWorkbook is the most that a workbook may unpack to, in bytes.
const maxWorkbook = 256 << 20

// Book is an open workbook, in which one sheet was chosen.
type Book struct {
	Sheet string // its name
	// Header is the first row that has two cells or more, and its number, where no
	// mapping says which it is.
	Header    []string
	HeaderRow int
	Hidden    []int // rows that are hidden

	ctx   context.Context
	file  *excelize.File
	rows  *excelize.Rows // as they are shown
	raws  *excelize.Rows // as they are stored
	scan  *scan
	at    int
	width int
	date  bool // days are counted from 1904
}

// XLSX opens a workbook and the sheet that the mapping names: by default the only one
// that is not hidden. raise writes a superscript. The error is a *Problem, an
// *ooxml.Error or ctx's.
func XLSX(ctx context.Context, p *ooxml.Package, data []byte, m *Mapping, raise func(string) string) (*Book, error) {
	if err := p.CheckSizes(); err != nil {
		return nil, err
	}
	if n := p.Unpacked(); n > maxWorkbook {
		return nil, &ooxml.Error{Reason: fmt.Sprintf("%s that unpacks to %d MiB", workbook, n>>20), Fix: "split it, or save the sheet as CSV"}
	}
	name, part, epoch1904, err := choose(p, m)
	if err != nil {
		return nil, err
	}
	b := &Book{Sheet: name, ctx: ctx, date: epoch1904}
	if b.scan, err = scanSheet(ctx, p, part, raise); err != nil {
		return nil, err
	}
	b.Hidden = b.scan.hidden
	// Dates in the form of the reader's own country are shown as those of none.
	b.file, err = excelize.OpenReader(bytes.NewReader(data), excelize.Options{UnzipSizeLimit: maxWorkbook + 1<<20, UnzipXMLSizeLimit: 16 << 20,
		ShortDatePattern: "yyyy-mm-dd", LongDatePattern: "d mmmm yyyy", LongTimePattern: "hh:mm:ss"})
	if err != nil {
		return nil, ooxml.Damaged(workbook, "")
	}
	if b.rows, err = b.file.Rows(name); err == nil {
		b.raws, err = b.file.Rows(name)
	}
	if err != nil {
		b.Close()
		return nil, ooxml.Damaged(workbook, "")
	}
	return b, nil
}

// Close lets go of what the workbook holds.
func (b *Book) Close() {
	for _, r := range []*excelize.Rows{b.rows, b.raws} {
		if r != nil {
			_ = r.Close()
		}
	}
	_ = b.file.Close()
}

// choose finds the sheet that is meant, and its part.
func choose(p *ooxml.Package, m *Mapping) (name, part string, epoch1904 bool, err error) {
	root, err := p.Read(p.Main)
	if err != nil {
		return "", "", false, ooxml.Reason(workbook, err)
	}
	v := root.Child("x:workbookPr").Get("date1904")
	epoch1904 = v == "1" || v == "true"
	rel := p.Relations(p.Main)
	var seen []string
	sheets := root.Child("x:sheets")
	if sheets == nil {
		return "", "", false, ooxml.Damaged(workbook, p.Main)
	}
	for _, s := range sheets.Kids {
		n, state, target := s.Get("name"), s.Get("state"), rel[s.Get("id")]
		if s.Name != "x:sheet" || !strings.Contains(target, "worksheets/") && !strings.Contains(target, "sheet") || strings.Contains(target, "chartsheets/") {
			continue
		}
		hidden := state == "hidden" || state == "veryHidden"
		if strings.EqualFold(n, m.Sheet) {
			if hidden {
				return "", "", false, &Problem{Reason: "the sheet that the mapping names is hidden", Fix: "show it, or name another"}
			}
			return n, target, epoch1904, nil
		}
		if !hidden {
			seen = append(seen, n)
			name, part = n, target
		}
	}
	switch {
	case m.Sheet != "":
		return "", "", false, &Problem{Reason: "the workbook has no sheet of the name that the mapping states", Fix: "state it as the workbook has it"}
	case len(seen) == 0:
		return "", "", false, &Problem{Reason: "a workbook without a sheet that can be seen", Fix: "show the sheet that is meant"}
	case len(seen) > 1 && m.Table != "":
		return "", "", false, &Problem{Reason: fmt.Sprintf("a workbook of %d sheets, and the mapping does not say which is meant", len(seen)), Fix: `state it (sheet = "…")`}
	case len(seen) > 1:
		for _, s := range sheets.Kids { // to show its header
			if s.Get("name") == seen[0] {
				return seen[0], rel[s.Get("id")], epoch1904, nil
			}
		}
	}
	return name, part, epoch1904, nil
}

type place struct{ row, col int } // col from 0

// scan is what of a sheet excelize's rows do not tell.
type scan struct {
	hidden     []int // rows
	hiddenRow  map[int]bool
	hiddenCols [][2]int // from 0, both ends included
	merged     map[place]place
	bad        map[place]string
	special    map[place]string // texts in which something is raised or struck
}

// scanSheet reads a sheet's XML once, to its end, for excelize ends without a word
// where it is broken off.
func scanSheet(ctx context.Context, p *ooxml.Package, part string, raise func(string) string) (*scan, error) {
	rich, err := richStrings(p, raise)
	if err != nil {
		return nil, ooxml.Reason(workbook, err)
	}
	struck, err := struckStyles(p)
	if err != nil {
		return nil, ooxml.Reason(workbook, err)
	}
	s := &scan{hiddenRow: map[int]bool{}, merged: map[place]place{}, bad: map[place]string{}, special: map[place]string{}}
	row := 0
	visit := func(n *ooxml.Node) error {
		row++
		if r, err := strconv.Atoi(n.Get("r")); err == nil && r > 0 {
			row = r
		}
		if row%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if v := n.Get("hidden"); v == "1" || v == "true" {
			s.hidden = append(s.hidden, row)
			s.hiddenRow[row] = true
		}
		col := -1
		for _, c := range n.Kids {
			if c.Name != "x:c" {
				continue
			}
			col++
			if ref := c.Get("r"); ref != "" {
				if x, _, err := excelize.CellNameToCoordinates(ref); err == nil {
					col = x - 1
				}
			}
			at := place{row, col}
			v := c.Child("x:v")
			value := ""
			if v != nil {
				for _, k := range v.Kids {
					value += k.Text
				}
			}
			switch t := c.Get("t"); {
			case t == "e":
				s.bad[at] = "a cell that shows an error"
			case c.Child("x:f") != nil && v == nil && t != "inlineStr":
				s.bad[at] = "a formula whose result is not in the file: open it in Excel and save it"
			case t == "s":
				i, err := strconv.Atoi(strings.TrimSpace(value))
				if text, ok := rich[i]; ok && err == nil {
					s.special[at] = text
				}
			case t == "inlineStr":
				if text, ok := richText(c.Child("x:is"), raise); ok {
					s.special[at] = text
				}
			}
			if struck[c.Get("s")] && (value != "" || c.Child("x:is") != nil) {
				s.bad[at] = "a cell that is struck out"
			}
		}
		return nil
	}
	d, err := p.Decoder(part)
	if err != nil {
		return nil, ooxml.Reason(workbook, err)
	}
	defer d.Close()
	err = d.Each("x:sheetData", visit, func(e *ooxml.Element) {
		switch e.Local {
		case "col":
			if v := e.Get("hidden"); v == "1" || v == "true" {
				from, _ := strconv.Atoi(e.Get("min"))
				to, _ := strconv.Atoi(e.Get("max"))
				s.hiddenCols = append(s.hiddenCols, [2]int{from - 1, to - 1})
			}
		case "mergeCell":
			s.merge(e.Get("ref"))
		}
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ooxml.Reason(workbook, err)
	}
	return s, nil
}

// maxMerged is the most cells that merged cells cover together.
const maxMerged = 1_000_000

// merge notes for the cells of a merged one that stand below its first which that is:
// what a reader sees beside each of its rows. Cells to its right stay empty.
func (s *scan) merge(ref string) {
	a, b, ok := strings.Cut(ref, ":")
	if !ok {
		return
	}
	c1, r1, err1 := excelize.CellNameToCoordinates(a)
	_, r2, err2 := excelize.CellNameToCoordinates(b)
	if err1 != nil || err2 != nil {
		return
	}
	for r := r1 + 1; r <= r2 && len(s.merged) < maxMerged; r++ {
		s.merged[place{r, c1 - 1}] = place{r1, c1 - 1}
	}
}

// richStrings are the shared strings in which something is raised or struck out.
func richStrings(p *ooxml.Package, raise func(string) string) (map[int]string, error) {
	out := map[int]string{}
	part := p.Related(p.Main, "sharedStrings")
	if part == "" {
		return out, nil
	}
	d, err := p.Decoder(part)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	n := 0
	_, err = d.Children("x:sst", func(si *ooxml.Node) error {
		if si.Name == "x:si" {
			if text, ok := richText(si, raise); ok {
				out[n] = text
			}
			n++
		}
		return nil
	})
	return out, err
}

// richText is a text of several runs; ok is false where none is raised or struck out,
// so that excelize's own reading is the same.
func richText(si *ooxml.Node, raise func(string) string) (text string, ok bool) {
	if si == nil {
		return "", false
	}
	var b strings.Builder
	for _, r := range si.Kids {
		var t string
		for _, k := range r.Kids {
			if k.Name == "x:t" || r.Name == "x:t" {
				if k.Name == "" {
					t += k.Text
				}
				for _, x := range k.Kids {
					t += x.Text
				}
			}
		}
		switch pr := r.Child("x:rPr"); {
		case r.Name == "x:r" && pr.Child("x:strike") != nil && pr.Child("x:strike").Get("val") != "0" && pr.Child("x:strike").Get("val") != "false":
			ok = true
		case r.Name == "x:r" && pr.Child("x:vertAlign").Get("val") == "superscript":
			ok = true
			b.WriteString(raise(t))
		case r.Name == "x:r" || r.Name == "x:t":
			b.WriteString(t)
		}
	}
	return b.String(), ok
}

// struckStyles are the numbers of cell styles whose font is struck out.
func struckStyles(p *ooxml.Package) (map[string]bool, error) {
	out := map[string]bool{}
	part := p.Related(p.Main, "styles")
	if part == "" {
		return out, nil
	}
	root, err := p.Read(part)
	if err != nil {
		return nil, err
	}
	struck := map[string]bool{}
	if fonts := root.Child("x:fonts"); fonts != nil {
		for i, f := range fonts.Kids {
			if s := f.Child("x:strike"); s != nil && s.Get("val") != "0" && s.Get("val") != "false" {
				struck[strconv.Itoa(i)] = true
			}
		}
	}
	if xfs := root.Child("x:cellXfs"); xfs != nil {
		for i, x := range xfs.Kids {
			if struck[x.Get("fontId")] {
				out[strconv.Itoa(i)] = true
			}
		}
	}
	return out, nil
}

// HiddenColumn says whether column i, from 0, is hidden.
func (b *Book) HiddenColumn(i int) bool {
	for _, c := range b.scan.hiddenCols {
		if i >= c[0] && i <= c[1] {
			return true
		}
	}
	return false
}

// Next gives the next row that is not hidden.
func (b *Book) Next() (Row, error) {
	for b.rows.Next() && b.raws.Next() {
		if err := b.ctx.Err(); err != nil {
			return Row{}, err
		}
		b.at++
		cells, err := b.rows.Columns()
		raw, err2 := b.raws.Columns(excelize.Options{RawCellValue: true})
		if err = errors.Join(err, err2); err != nil {
			return Row{}, ooxml.Damaged(workbook, "")
		}
		if b.scan.hiddenRow[b.at] {
			b.keep(cells) // a merged cell may begin in it
			continue
		}
		return b.row(cells, raw), nil
	}
	if err := errors.Join(b.rows.Error(), b.raws.Error()); err != nil {
		return Row{}, ooxml.Damaged(workbook, "")
	}
	return Row{}, io.EOF
}

// keep remembers what stands in the first cells of merged ones.
func (b *Book) keep(cells []string) {
	for i, c := range cells {
		if b.scan.merged[place{b.at + 1, i}] == (place{b.at, i}) {
			if s, ok := b.scan.special[place{b.at, i}]; ok {
				c = s
			}
			b.scan.special[place{-b.at, i}] = c
		}
	}
}

func (b *Book) row(cells, raw []string) Row {
	row := Row{Number: b.at}
	b.keep(cells)
	b.width = max(b.width, len(cells))
	for i := range b.width {
		at := place{b.at, i}
		text := ""
		if i < len(cells) {
			text = cells[i]
		}
		if s, ok := b.scan.special[at]; ok {
			text = s
		}
		if first, ok := b.scan.merged[at]; ok && text == "" {
			text = b.scan.special[place{-first.row, first.col}]
			if reason := b.scan.bad[first]; reason != "" {
				b.scan.bad[at] = reason
			}
		}
		row.Cells = append(row.Cells, text)
		reason := b.scan.bad[at]
		if reason == "" && i < len(raw) {
			if !shows(text, raw[i]) {
				reason = "a cell that shows another number than it holds, for its format leaves digits away"
			}
			if t, ok := b.time(text, raw[i]); ok {
				if row.Dates == nil {
					row.Dates = map[int]time.Time{}
				}
				row.Dates[i] = t
			}
		}
		if reason != "" {
			if row.Bad == nil {
				row.Bad = map[int]string{}
			}
			row.Bad[i] = reason
		}
	}
	return row
}

// shows says whether a number that is shown is the one that is stored, to one in a
// hundred. What is shown otherwise than as a number (a date, a text) is no question.
func shows(text, raw string) bool {
	stored, err := strconv.ParseFloat(raw, 64)
	if err != nil {
		return true
	}
	s := strings.Map(func(r rune) rune {
		switch r {
		case ',', ' ', '\u00a0', '\u202f', '\'', '$', '€', '£':
			return -1
		}
		return r
	}, text)
	scale := 1.0
	if t, ok := strings.CutSuffix(s, "%"); ok {
		s, scale = t, 100
	}
	if t, ok := strings.CutPrefix(s, "("); ok && strings.HasSuffix(t, ")") {
		s = "-" + strings.TrimSuffix(t, ")")
	}
	shown, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return strings.Trim(s, "#") != "" || s == ""
	}
	return math.Abs(shown-stored*scale) <= math.Abs(stored*scale)/100
}

// time is the day that a cell holds: a number that is shown as something else.
func (b *Book) time(text, raw string) (time.Time, bool) {
	days, err := strconv.ParseFloat(raw, 64)
	if err != nil || text == raw || days < 1 || !strings.ContainsAny(text, "-/. ") {
		return time.Time{}, false
	}
	if _, err := strconv.ParseFloat(strings.Trim(text, "% "), 64); err == nil {
		return time.Time{}, false
	}
	t, err := excelize.ExcelDateToTime(days, b.date)
	if err != nil || t.Year() < 1950 || t.Year() >= 2100 {
		return time.Time{}, false
	}
	return t.Truncate(24 * time.Hour), true
}

// FindHeader reads on to the first row of two cells or more, and notes it.
func (b *Book) FindHeader() error {
	for range 100 {
		row, err := b.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		n := 0
		for _, c := range row.Cells {
			if strings.TrimSpace(c) != "" {
				n++
			}
		}
		if n >= 2 {
			b.Header, b.HeaderRow = row.Cells, row.Number
			return nil
		}
	}
	return &Problem{Reason: "a sheet without a table", Fix: "check that it is the file that you meant"}
}
