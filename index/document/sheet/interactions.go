package sheet

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Part is a part of a row's text: the header's words for it, and its cell.
type Part struct{ Label, Text string }

// Pair is a row: two medicines and what is said of them.
type Pair struct {
	Row   int
	Line  int    // of the file, 0 where it has none
	A, B  string // as the cells have them
	Level string // one of Severities; "" where the table has none
	Parts []Part // in the order of Fields, then further ones
	Date  time.Time
}

// Limits of a table.
const (
	maxRows  = 1_000_000
	maxWords = 8 << 10 // bytes of one cell
)

// column is where a part of a row's text comes from.
type column struct {
	field, label string
	at           int // -1: a constant
	constant     string
	unit         string
	unitAt       int // -1: none
	required     bool
}

// Interactions reads a table. bad is told of each row that is refused; the rest
// goes on. fold cleans the text of a cell, same says what stands for a medicine
// however it is written ("" for no name). The error is a *Problem with the whole
// table, or of rows.
func Interactions(rows Rows, m *Mapping, fold, same func(string) string, bad func(*Problem)) ([]Pair, error) {
	header, err := headerOf(rows, m)
	if err != nil {
		return nil, err
	}
	columns, err := m.columns(header, fold)
	if err != nil {
		return nil, err
	}
	if b, ok := rows.(*Book); ok {
		for _, c := range columns {
			if c.at >= 0 && b.HiddenColumn(c.at) || c.unitAt >= 0 && b.HiddenColumn(c.unitAt) {
				return nil, &Problem{Column: c.label, Reason: "a column that the mapping names is hidden", Fix: "show it, or take it out of the mapping"}
			}
		}
	}
	skip := map[int]bool{}
	for _, n := range m.SkipRows {
		skip[n] = true
	}
	var out []Pair
	for n := 0; ; n++ {
		row, err := rows.Next()
		if err == io.EOF {
			break
		}
		var p *Problem
		if errors.As(err, &p) && p.Row > 0 {
			if !skip[p.Row] {
				bad(p)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if n >= maxRows {
			return nil, &Problem{Reason: fmt.Sprintf("more than %d rows", maxRows), Fix: "split the table"}
		}
		if skip[row.Number] || blank(row.Cells) && len(row.Bad) == 0 {
			continue
		}
		pair, p := m.pair(row, len(header), columns, fold, same)
		if p != nil {
			p.Row, p.Line = row.Number, row.Line
			bad(p)
			continue
		}
		out = append(out, pair)
	}
	return agreed(out, same, bad), nil
}

func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" })
}

// headerOf reads on to the header.
func headerOf(rows Rows, m *Mapping) ([]string, error) {
	for {
		row, err := rows.Next()
		var p *Problem
		switch {
		case err == io.EOF:
			return nil, &Problem{Reason: fmt.Sprintf("has no row %d, which is to be its header", m.HeaderRow), Fix: "state header_row in the mapping"}
		case errors.As(err, &p) && p.Row > 0 && p.Row < m.HeaderRow:
			continue
		case err != nil:
			return nil, err
		case row.Number == m.HeaderRow:
			return row.Cells, nil
		case row.Number > m.HeaderRow:
			return nil, &Problem{Reason: fmt.Sprintf("row %d, which is to be its header, is empty", m.HeaderRow), Fix: "state header_row in the mapping"}
		}
	}
}

// columns finds where the fields stand.
func (m *Mapping) columns(header []string, fold func(string) string) ([]column, error) {
	find := func(field, name string) (int, error) {
		at := -1
		for i, h := range header {
			if strings.EqualFold(fold(h), fold(name)) {
				if at >= 0 {
					return 0, &Problem{Column: fold(name), Reason: "a column that the header has twice", Fix: "give one of them another name"}
				}
				at = i
			}
		}
		if at < 0 {
			return 0, &Problem{Column: fold(name), Reason: "the header has no such column, which the mapping names as " + field, Fix: fmt.Sprintf("write it as row %d has it, or state header_row and sheet", m.HeaderRow)}
		}
		return at, nil
	}
	var out []column
	for _, f := range Fields {
		c := column{field: f, at: -1, unitAt: -1, required: slices.Contains(m.Required, f)}
		switch {
		case m.Constants[f] != "":
			c.constant = fold(m.Constants[f])
			c.label = strings.ToUpper(f[:1]) + strings.ReplaceAll(f[1:], "_", " ")
		case m.Columns[f] != "":
			at, err := find(f, m.Columns[f])
			if err != nil {
				return nil, err
			}
			c.at, c.label = at, fold(header[at])
		default:
			continue
		}
		out = append(out, c)
	}
	for _, f := range m.Further {
		at, err := find("further", f.Column)
		if err != nil {
			return nil, err
		}
		c := column{at: at, label: fold(header[at]), unit: fold(f.Unit), unitAt: -1, required: f.Required}
		if f.UnitColumn != "" {
			if c.unitAt, err = find("unit_column", f.UnitColumn); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// pair makes an interaction of a row, or says what is wrong with it.
func (m *Mapping) pair(row Row, width int, columns []column, fold, same func(string) string) (Pair, *Problem) {
	if row.Line > 0 && len(row.Cells) < width {
		return Pair{}, &Problem{Reason: fmt.Sprintf("a row of %d values under a header of %d", len(row.Cells), width), Fix: "write all of them, empty ones too"}
	}
	if len(row.Cells) > width && !blank(row.Cells[width:]) {
		return Pair{}, &Problem{Reason: fmt.Sprintf("a row of %d values under a header of %d", len(row.Cells), width), Fix: "write a value that holds the delimiter in quotation marks"}
	}
	cell := func(at int) string {
		if at < 0 || at >= len(row.Cells) {
			return ""
		}
		return fold(row.Cells[at])
	}
	p := Pair{Row: row.Number, Line: row.Line}
	for _, c := range columns {
		text := c.constant
		if c.at >= 0 {
			if reason := row.Bad[c.at]; reason != "" {
				return p, &Problem{Column: c.label, Reason: reason, Fix: "mend the cell"}
			}
			text = cell(c.at)
		}
		if text == "" {
			if c.required {
				return p, &Problem{Column: c.label, Reason: "a required cell is empty", Fix: "fill it in, or take its field out of required in the mapping"}
			}
			continue
		}
		if len(text) > maxWords {
			return p, &Problem{Column: c.label, Reason: fmt.Sprintf("a cell of over %d KiB", maxWords>>10), Fix: "check the quotation marks around it"}
		}
		switch c.field {
		case DrugA:
			p.A = text
		case DrugB:
			p.B = text
		case Severity:
			level, ok := m.severity(text)
			if !ok {
				return p, &Problem{Column: c.label, Reason: "an unknown severity", Fix: "add its word under [severities] in the mapping"}
			}
			p.Level = level
			if !strings.EqualFold(level, text) {
				text = level + " (" + text + ")"
			}
		case Date:
			t, ok := row.Dates[c.at]
			if !ok {
				t, ok = m.date(text)
			}
			if !ok {
				return p, &Problem{Column: c.label, Reason: "a date that can't be read, or whose day and month can't be told apart", Fix: `state date_format in the mapping, such as "DD.MM.YYYY"`}
			}
			p.Date = t
		}
		if unit := c.unit; c.field == "" {
			if c.unitAt >= 0 {
				if reason := row.Bad[c.unitAt]; reason != "" {
					return p, &Problem{Column: c.label, Reason: reason, Fix: "mend the cell with its unit"}
				}
				if unit = cell(c.unitAt); unit == "" {
					return p, &Problem{Column: c.label, Reason: "a value without its unit", Fix: "fill in the column of units"}
				}
			}
			if unit != "" {
				text += " " + unit
			}
		}
		p.Parts = append(p.Parts, Part{c.label, text})
	}
	a, b := same(p.A), same(p.B)
	switch {
	case a == "" || b == "":
		return p, &Problem{Reason: "a medicine without a name", Fix: "write its name in letters"}
	case a == b:
		return p, &Problem{Reason: "one medicine is named twice", Fix: "name the other medicine"}
	}
	return p, nil
}

// agreed leaves out the pairs of medicines of which rows say different severities:
// which of them is right can't be told here. A row that says what another says is
// left out too, unspoken.
func agreed(all []Pair, same func(string) string, bad func(*Problem)) []Pair {
	type two struct{ a, b string }
	key := func(p *Pair) two {
		a, b := same(p.A), same(p.B)
		if a > b {
			a, b = b, a
		}
		return two{a, b}
	}
	of := map[two][]int{}
	for i := range all {
		k := key(&all[i])
		of[k] = append(of[k], i)
	}
	drop := map[int]bool{}
	for i := range all {
		is := of[key(&all[i])]
		if is[0] != i {
			continue
		}
		for _, j := range is[1:] {
			if all[j].Level != all[i].Level {
				bad(&Problem{Row: all[i].Row, Line: all[i].Line, Reason: fmt.Sprintf("rows %d and %d give the same two medicines different severities; neither is taken", all[i].Row, all[j].Row), Fix: "mend one of them"})
				for _, k := range is {
					drop[k] = true
				}
				break
			}
		}
		seen := map[string]bool{}
		for _, j := range is {
			var b strings.Builder
			for _, p := range all[j].Parts[min(2, len(all[j].Parts)):] {
				b.WriteString(p.Label + "\x00" + p.Text + "\x00")
			}
			drop[j] = drop[j] || seen[b.String()]
			seen[b.String()] = true
		}
	}
	out := all[:0:0]
	for i, p := range all {
		if !drop[i] {
			out = append(out, p)
		}
	}
	return out
}

// rowBytes is the length of a line that is still one sentence when text is cut into
// sentences (index/chunk takes a table's row of 600 bytes for one).
const rowBytes = 590

// Lines are the text of a row: the two medicines and all that is said of them on one
// line, which is never cut, or on several that each name both medicines where one
// would be too long.
func (p *Pair) Lines() []string {
	both, rest := 0, p.Parts
	var head []string
	for both < len(rest) && both < 2 { // the medicines come first
		head = append(head, rest[both].String())
		both++
	}
	start := strings.Join(head, " | ")
	line := start
	var out []string
	for i, part := range rest[both:] {
		if s := part.String(); i > 0 && line != start && len(line)+3+len(s) > rowBytes {
			out = append(out, line)
			line = start + " | " + s
		} else {
			line += " | " + s
		}
	}
	return append(out, line)
}

func (p Part) String() string { return p.Label + ": " + p.Text }
