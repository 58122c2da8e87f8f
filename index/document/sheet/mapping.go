// Package sheet reads tables of interactions, as comma separated values or as a
// workbook, by a mapping that says what each column is. What it gives is made of the
// table's own cells and the words of its header, and of nothing else.
package sheet

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/text/encoding/htmlindex"
)

// Suffix of a mapping's name, behind the name of the file that it is for.
const Suffix = ".map.toml"

// Values says whether a file's name says that it holds comma separated values.
func Values(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv", ".tsv", ".tab":
		return true
	}
	return false
}

// Tabular says whether a file's name says that it is a table.
func Tabular(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".xlsx", ".xlsm":
		return true
	}
	return Values(name)
}

// MaxMapping is the most bytes of a mapping.
const MaxMapping = 256 << 10

// Fields that a table of interactions may have.
const (
	DrugA      = "drug_a"
	DrugB      = "drug_b"
	Severity   = "severity"
	Effect     = "effect"
	Management = "management"
	Source     = "source"
	Date       = "date"
)

// Fields in the order in which a row's text has them.
var Fields = []string{DrugA, DrugB, Severity, Effect, Management, Source, Date}

// Severities are the words for how grave an interaction is, the gravest first.
var Severities = []string{"contraindicated", "major", "moderate", "minor", "unknown"}

// Mapping says what the columns of a table of interactions are.
type Mapping struct {
	// Table is "interactions", the one kind there is.
	Table string `toml:"table"`
	// ID that the ids of the documents begin with; by default made of the file's
	// name. With it, next year's file takes the place of this year's.
	ID     string `toml:"id"`
	Title  string `toml:"title"`  // of the table, shown with each document
	Notice string `toml:"notice"` // shown wherever a row is cited
	// Effective is the date of the whole table; else the oldest date of a medicine's rows.
	Effective string `toml:"effective"`

	Sheet     string `toml:"sheet"`      // its name; by default the only one that is seen
	HeaderRow int    `toml:"header_row"` // 1 by default
	SkipRows  []int  `toml:"skip_rows"`  // rows below the header that are no interactions
	Delimiter string `toml:"delimiter"`  // of values: by default told from the header
	Encoding  string `toml:"encoding"`   // by default UTF-8, or what a byte order mark says

	Columns   map[string]string `toml:"columns"`   // field → words of the header
	Constants map[string]string `toml:"constants"` // field → what it is in every row
	// Severities are the table's own words → one of Severities.
	Severities map[string]string `toml:"severities"`
	// Required fields: a row without one is refused. The two medicines always are, and
	// the severity where the table has one.
	Required   []string  `toml:"required"`
	DateFormat string    `toml:"date_format"` // "DD.MM.YYYY"; by default YYYY-MM-DD and dates with the month as a word
	Further    []Further `toml:"further"`     // columns beside the fields, in their order

	layout string
}

// Further is a column of which the text has a part of its own.
type Further struct {
	Column     string `toml:"column"`
	Unit       string `toml:"unit"`        // of all its values
	UnitColumn string `toml:"unit_column"` // that has each value's unit
	Required   bool   `toml:"required"`
}

// MappingError says what is wrong with a mapping, and where.
type MappingError struct {
	Line, Column       int // from 1, 0 where unknown
	Field, Reason, Fix string
}

func (e *MappingError) Error() string { return e.Reason + "; " + e.Fix }

// ParseMapping reads a mapping. Its error is a *MappingError.
func ParseMapping(data []byte) (*Mapping, error) {
	if len(data) > MaxMapping {
		return nil, &MappingError{Reason: fmt.Sprintf("a mapping over %d KiB", MaxMapping>>10), Fix: "state only what the columns are"}
	}
	m := &Mapping{}
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(m)
	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		e := &unknown.Errors[0]
		line, col := e.Position()
		return nil, &MappingError{Line: line, Column: col, Field: strings.Join(e.Key(), "."), Reason: "a setting that no mapping has", Fix: "the settings are: " + settings}
	case errors.As(err, &bad):
		line, col := bad.Position()
		return nil, &MappingError{Line: line, Column: col, Field: strings.Join(bad.Key(), "."), Reason: "not TOML as a mapping has it", Fix: "see the example of 'rxedge help ingest'"}
	case err != nil:
		return nil, &MappingError{Reason: "not TOML as a mapping has it", Fix: "see the example of 'rxedge help ingest'"}
	}
	return m, m.check()
}

const settings = "table, id, title, notice, effective, sheet, header_row, skip_rows, delimiter, encoding, required, date_format, [columns], [constants], [severities], [[further]]"

func (m *Mapping) check() error {
	wrong := func(field, reason, fix string) error {
		return &MappingError{Field: field, Reason: reason, Fix: fix}
	}
	if m.Table != "interactions" {
		return wrong("table", "a mapping that does not say what the table is", `write table = "interactions", the one kind there is`)
	}
	if m.HeaderRow == 0 {
		m.HeaderRow = 1
	}
	if m.HeaderRow < 1 || m.HeaderRow > 1000 {
		return wrong("header_row", "a row of the header that is none", "give its number, from 1")
	}
	for _, n := range m.SkipRows {
		if n <= m.HeaderRow {
			return wrong("skip_rows", "a row to skip that does not stand below the header", "leave it out: what stands above the header is never read")
		}
	}
	if n := len([]rune(m.Delimiter)); n > 1 || m.Delimiter == `"` || m.Delimiter == "\n" || m.Delimiter == "\r" {
		return wrong("delimiter", "a delimiter that is not one character", `write "," ";" "|" or "\t"`)
	}
	if m.Encoding != "" {
		if _, err := htmlindex.Get(m.Encoding); err != nil {
			return wrong("encoding", "an unknown encoding", `write "utf-8", "windows-1252", "utf-16le" or another name of the WHATWG encoding standard`)
		}
	}
	if m.Effective != "" {
		if _, err := time.Parse(time.DateOnly, m.Effective); err != nil {
			return wrong("effective", "a date that is not of the form 2006-01-31", "write it as year, month and day")
		}
	}
	for _, fields := range []struct {
		name string
		of   map[string]string
	}{{"columns", m.Columns}, {"constants", m.Constants}} {
		for k, v := range fields.of {
			if !slices.Contains(Fields, k) {
				return wrong(fields.name+"."+k, "a field that no interaction has", "the fields are: "+strings.Join(Fields, ", ")+"; write other columns as [[further]]")
			}
			if strings.TrimSpace(v) == "" {
				return wrong(fields.name+"."+k, "a field without a value", "give it one, or leave the line out")
			}
			if _, both := m.Columns[k]; both && fields.name == "constants" {
				return wrong("constants."+k, "a field that is both a column and a constant", "leave one of them out")
			}
		}
	}
	for _, k := range []string{DrugA, DrugB} {
		if m.Columns[k] == "" && m.Constants[k] == "" {
			return wrong("columns."+k, "a mapping that does not say where a medicine stands", "name its column as the header does")
		}
	}
	for k, v := range m.Severities {
		if !slices.Contains(Severities, v) {
			return wrong("severities."+k, "a severity that is none of those known", "choose one of: "+strings.Join(Severities, ", "))
		}
	}
	if v := m.Constants[Severity]; v != "" {
		if _, ok := m.severity(v); !ok {
			return wrong("constants.severity", "a severity that is none of those known", "choose one of: "+strings.Join(Severities, ", "))
		}
	}
	for _, k := range m.Required {
		if !m.has(k) {
			return wrong("required", "a field is required that the mapping does not have", "name its column under [columns]")
		}
	}
	for _, k := range []string{DrugA, DrugB, Severity} {
		if m.has(k) && !slices.Contains(m.Required, k) {
			m.Required = append(m.Required, k)
		}
	}
	for _, f := range m.Further {
		switch {
		case strings.TrimSpace(f.Column) == "":
			return wrong("further.column", "a further column without its name", "name it as the header does")
		case f.Unit != "" && f.UnitColumn != "":
			return wrong("further."+f.Column, "a column with a unit and a column of units", "leave one of them out")
		}
	}
	if m.DateFormat != "" {
		m.layout = strings.NewReplacer("YYYY", "2006", "MMMM", "January", "MMM", "Jan", "MM", "01", "DD", "02", "M", "1", "D", "2").Replace(m.DateFormat)
		probe := time.Date(2013, 11, 24, 0, 0, 0, 0, time.UTC)
		if t, err := time.Parse(m.layout, probe.Format(m.layout)); err != nil || !t.Equal(probe) {
			return wrong("date_format", "a form of a date that does not hold year, month and day", `write it with YYYY, MM and DD, such as "DD.MM.YYYY"`)
		}
	}
	return nil
}

func (m *Mapping) has(field string) bool { return m.Columns[field] != "" || m.Constants[field] != "" }

// severity tells which of Severities a table's word means.
func (m *Mapping) severity(word string) (string, bool) {
	for k, v := range m.Severities {
		if strings.EqualFold(strings.TrimSpace(k), word) {
			return v, true
		}
	}
	word = strings.ToLower(word)
	return word, slices.Contains(Severities, word)
}

// date reads a date of the table.
func (m *Mapping) date(s string) (time.Time, bool) {
	layouts := []string{time.DateOnly, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2 January 2006", "2 Jan 2006", "January 2, 2006", "Jan 2, 2006"}
	if m.layout != "" {
		layouts = []string{m.layout}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil && t.Year() >= 1950 && t.Year() < 2100 {
			return t, true
		}
	}
	return time.Time{}, false
}

// Skeleton is a mapping to be completed, made from a header.
func Skeleton(header []string, sheet string) string {
	var b strings.Builder
	b.WriteString("table = \"interactions\"\n")
	if sheet != "" {
		fmt.Fprintf(&b, "sheet = %s\n", quoted(sheet))
	}
	b.WriteString("\n[columns]\n")
	used := map[int]bool{}
	for _, f := range Fields {
		at := guess(f, header, used)
		if at >= 0 {
			used[at] = true
			fmt.Fprintf(&b, "%s = %s\n", f, quoted(header[at]))
		} else if f == DrugA || f == DrugB {
			fmt.Fprintf(&b, "%s = \"\" # which column?\n", f)
		} else {
			fmt.Fprintf(&b, "# %s = \"\"\n", f)
		}
	}
	b.WriteString("\n# The table's own words for a severity: one of " + strings.Join(Severities, ", ") + ".\n# [severities]\n# \"3\" = \"major\"\n")
	for i, h := range header {
		if !used[i] && strings.TrimSpace(h) != "" {
			fmt.Fprintf(&b, "\n# [[further]]\n# column = %s\n", quoted(h))
		}
	}
	return b.String()
}

// quoted is a TOML string.
func quoted(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// usual are words by which headers call the fields.
var usual = map[string][]string{
	DrugA:      {"drug a", "drug1", "drug 1", "medicine a", "medicine 1", "drug", "medicine", "substance a", "substance 1", "object drug", "object", "name a", "drug name", "generic a"},
	DrugB:      {"drug b", "drug2", "drug 2", "medicine b", "medicine 2", "interacting drug", "interacts with", "interacting", "partner", "substance b", "substance 2", "precipitant drug", "precipitant", "name b", "generic b"},
	Severity:   {"severity", "level", "grade", "risk", "significance", "risk rating"},
	Effect:     {"effect", "effects", "description", "interaction", "mechanism", "outcome", "clinical effect"},
	Management: {"management", "advice", "recommendation", "action", "what to do"},
	Source:     {"source", "reference", "references", "evidence source"},
	Date:       {"date", "updated", "last updated", "reviewed", "revised"},
}

func guess(field string, header []string, used map[int]bool) int {
	for _, word := range usual[field] {
		for i, h := range header {
			h = strings.ToLower(strings.Join(strings.FieldsFunc(h, func(r rune) bool { return r == ' ' || r == '_' || r == '-' || r == '.' }), " "))
			if !used[i] && h == word {
				return i
			}
		}
	}
	return -1
}
