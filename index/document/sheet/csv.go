package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Row is a row of a table.
type Row struct {
	Number int // from 1, as a program that shows tables counts them
	Line   int // of the file, from 1; 0 where it has no lines
	Cells  []string
	// Bad cells say by their columns what is wrong with them.
	Bad map[int]string
	// Dates that cells hold, by their columns, where the table knows days as such.
	Dates map[int]time.Time
}

// Rows gives the rows of a table, in order; io.EOF behind the last. A *Problem
// concerns one row, and the next may follow.
type Rows interface {
	Next() (Row, error)
}

// Problem is what is wrong with a table, a row or a cell of it. It holds no text of
// the table but the words of its header.
type Problem struct {
	Row, Line   int // 0: the whole table
	Column      string
	Reason, Fix string
}

func (p *Problem) Error() string { return p.Reason + "; " + p.Fix }

// csvRows reads comma separated values (RFC 4180).
type csvRows struct {
	r    *csv.Reader
	data []byte
	row  int // the last one
	from int // offset at which the next begins
	line int // and its line
}

// CSV opens comma separated values. Without a mapping's word they are UTF-8, or what
// a byte order mark says, and what parts them is told from their first line.
func CSV(data []byte, m *Mapping) (Rows, error) {
	text, err := decode(data, m.Encoding)
	if err != nil {
		return nil, err
	}
	c := &csvRows{line: 1}
	delimiter := m.Delimiter
	if first, rest, _ := bytes.Cut(text, []byte{'\n'}); bytes.HasPrefix(bytes.ToLower(first), []byte("sep=")) { // as Excel writes it
		if d := strings.TrimRight(string(first[4:]), "\r"); delimiter == "" && utf8.RuneCountInString(d) == 1 {
			delimiter = d
		}
		text = rest
		c.row, c.line = 1, 2
	}
	if delimiter == "" {
		delimiter = string(parted(text, m.HeaderRow-c.row))
	}
	c.data = text
	c.r = csv.NewReader(bytes.NewReader(text))
	c.r.Comma, _ = utf8.DecodeRuneInString(delimiter)
	c.r.FieldsPerRecord = -1
	c.r.ReuseRecord = true
	return c, nil
}

func decode(data []byte, encoding string) ([]byte, error) {
	bom := bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff"))
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
	case bom:
		out, _, err := transform.Bytes(unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder(), data)
		if err != nil || len(data)%2 != 0 {
			return nil, &Problem{Reason: "starts as UTF-16 text but is not", Fix: "save it as UTF-8"}
		}
		data = out
	case encoding != "":
		enc, err := htmlindex.Get(encoding)
		if err != nil {
			return nil, &Problem{Reason: "an unknown encoding", Fix: "mend the mapping"}
		}
		if name, _ := htmlindex.Name(enc); name != "utf-8" {
			if data, _, err = transform.Bytes(enc.NewDecoder(), data); err != nil {
				return nil, &Problem{Reason: "is not in the encoding that the mapping states", Fix: "state the right one, or save it as UTF-8"}
			}
		}
	}
	if bytes.IndexByte(data[:min(len(data), 8192)], 0) >= 0 {
		return nil, &Problem{Reason: "binary data, not comma separated values", Fix: "save it as CSV in UTF-8, or as .xlsx"}
	}
	if !utf8.Valid(data) {
		line := 1
		for l := range bytes.Lines(data) {
			if !utf8.Valid(l) {
				break
			}
			line++
		}
		return nil, &Problem{Line: line, Reason: "bytes that are not valid UTF-8", Fix: `state the encoding in the mapping (encoding = "windows-1252"), or save it as UTF-8`}
	}
	if bytes.ContainsRune(data, utf8.RuneError) && encoding != "" {
		return nil, &Problem{Reason: "has characters that the encoding which the mapping states does not have", Fix: "state the right one, or save it as UTF-8"}
	}
	return data, nil
}

// parted tells by the header, the n-th line, what parts values.
func parted(text []byte, n int) rune {
	var line []byte
	for range max(n, 1) {
		line, text, _ = bytes.Cut(text, []byte{'\n'})
	}
	counts := map[byte]int{}
	quoted := false
	for _, c := range line {
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return rune(best)
}

func (c *csvRows) Next() (Row, error) {
	cells, err := c.r.Read()
	if err == io.EOF {
		return Row{}, err
	}
	// Lines without anything are passed over there, and are rows here.
	end := int(c.r.InputOffset())
	body := c.data[c.from:end]
	for len(body) > 0 {
		l, rest, ok := bytes.Cut(body, []byte{'\n'})
		if len(bytes.TrimRight(l, "\r")) > 0 || !ok {
			break
		}
		c.row++
		c.line++
		body = rest
	}
	c.row++
	row := Row{Number: c.row, Line: c.line}
	c.line += bytes.Count(body, []byte{'\n'})
	c.from = end
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		if errors.Is(err, csv.ErrQuote) && end >= len(c.data) {
			return row, &Problem{Line: row.Line, Reason: "a quotation mark that is never closed, so that rows can't be told apart", Fix: "mend that line"}
		}
		return row, &Problem{Row: row.Number, Line: bad.Line, Reason: "a quotation mark in the midst of a value", Fix: `write the value in quotation marks, and each one in it twice ("")`}
	}
	if err != nil {
		return row, &Problem{Row: row.Number, Line: row.Line, Reason: "a row that can't be read", Fix: "mend that line"}
	}
	row.Cells = append([]string(nil), cells...)
	return row, nil
}
