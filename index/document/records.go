package document

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"rxedge/index/document/archive"
)

// records reads a JSON file of many records, {"results": […]} or […], one record at a
// time, so that a file may be larger than memory. It finds where each record ends by its
// brackets and leaves what is between to the JSON decoder: one that is broken costs no
// other.
type records struct {
	in    *bufio.Reader
	limit int // bytes of one record
	whole int // of an object that is a record itself
	depth int
	line  int // that in stands in, from 1
	n     int // of the record that was read last
	buf   []byte
	list  bool   // the file is an object that holds the list
	lead  []byte // white space before what next returned, on its line
	// start is what stands before each record on a line of its own; "" where none does.
	start string
	tries int // to go on after a record that swallowed others
}

// mostTries bounds how often what was read is read again.
const mostTries = 32

func newRecords(in *bufio.Reader, opt Options) *records {
	return &records{in: in, limit: opt.MaxLineBytes, whole: int(opt.MaxFileBytes), depth: opt.MaxDepth, line: 1}
}

// each calls do for every record with its number, the line on which it begins and its
// bytes, which stay as they are during the call only. What is wrong with one goes to bad.
// The error is that of do or of reading, or a Problem of the file.
func (s *records) each(do func(n, line int, raw []byte) error, bad func(Problem)) error {
	if b, _ := s.in.Peek(3); string(b) == "\xef\xbb\xbf" {
		_, _ = s.in.Discard(3)
	}
	switch c, err := s.next(); {
	case err != nil:
		return s.ended(err)
	case c == '[':
	case c != '{':
		return Problem{Line: s.line, Reason: "broken JSON", Fix: "write it again"}
	default:
		_ = s.in.UnreadByte()
		raw, line, found, err := s.object()
		if err != nil || !found {
			if err == nil {
				err = do(0, line, raw)
			}
			return err
		}
		s.list = true
	}
	for {
		c, err := s.next()
		switch {
		case err != nil:
			s.n++
			return s.ended(err)
		case c == ',':
			continue
		case c == ']' && s.n == 0:
			return Problem{Line: s.line, Reason: "a list without a record", Fix: "check that it is the file you meant"}
		case c == ']':
			return s.rest()
		}
		_ = s.in.UnreadByte()
		s.n++
		if s.n == 1 {
			s.start = s.indent()
		}
		line := s.line
		what, err := s.value(s.limit)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, archive.ErrCut) && !errors.Is(err, errSwallowed) {
				return err
			}
			if s.goOn(line) { // it lacks an end and has swallowed what comes after
				bad(Problem{Record: s.n, Line: line, Reason: "broken JSON: a record without its end", Fix: "mend it at that place"})
				continue
			}
			if errors.Is(err, errSwallowed) {
				return Problem{Record: s.n, Line: line, Reason: fmt.Sprintf("a record of over %s; what comes after it is not read", megabytes(int64(s.limit))), Fix: "mend it at that place, or raise the limit"}
			}
			if what != "" {
				return Problem{Record: s.n, Line: line, Reason: what, Fix: "mend it at that place"}
			}
			return s.ended(err)
		}
		if what != "" && s.goOn(line) {
			bad(Problem{Record: s.n, Line: line, Reason: "broken JSON: a record without its end", Fix: "mend it at that place"})
			continue
		}
		if what == "" && !utf8.Valid(s.buf) {
			what = "bytes that are not valid UTF-8"
		}
		if what != "" {
			bad(Problem{Record: s.n, Line: line, Reason: what, Fix: "mend it at that place, or leave it out"})
		} else if err := do(s.n, line, s.buf); err != nil {
			return err
		}
		if cap(s.buf) > 4<<20 {
			s.buf = nil
		}
	}
}

// ended makes of the end of what is read a Problem, where there is none.
func (s *records) ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, archive.ErrCut) {
		return Problem{Record: s.n, Line: s.line, Reason: "JSON that ends in the middle: it is cut short", Fix: "fetch it again"}
	}
	return err
}

// next is the next byte that is no white space.
func (s *records) next() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case c == '\n':
			s.line++
			s.lead = s.lead[:0]
		case c == ' ' || c == '\t':
			if len(s.lead) < 64 {
				s.lead = append(s.lead, c)
			}
		case c != '\r':
			return c, nil
		}
	}
}

// object reads an object up to its "results", where found; else all of it, as raw.
func (s *records) object() (raw []byte, line int, found bool, err error) {
	_, _ = s.in.Discard(1)
	line = s.line
	all := []byte{'{'}
	for {
		c, err := s.next()
		if err != nil {
			return nil, 0, false, s.ended(err)
		}
		if c == '}' {
			all = append(all, c)
			break
		}
		if c == ',' || c == ':' {
			all = append(all, c)
			continue
		}
		_ = s.in.UnreadByte()
		at := s.line
		what, err := s.value(s.whole - len(all))
		switch {
		case errors.Is(err, errSwallowed):
			return nil, 0, false, Problem{Line: at, Reason: fmt.Sprintf("one record of over %s", megabytes(int64(s.whole))), Fix: "give the records as a list, or raise the limit"}
		case err != nil:
			return nil, 0, false, s.ended(err)
		case what != "":
			return nil, 0, false, Problem{Line: at, Reason: what, Fix: "write it again, or mend it at that place"}
		}
		key := string(s.buf) == `"results"` && (len(all) == 1 || all[len(all)-1] == ',')
		all = append(all, s.buf...)
		if !key {
			continue
		}
		if c, err = s.next(); err == nil && c == ':' {
			c, err = s.next()
		}
		switch {
		case err != nil:
			return nil, 0, false, s.ended(err)
		case c != '[':
			return nil, 0, false, Problem{Line: s.line, Field: "results", Reason: "is not a list", Fix: "give the file as openFDA publishes it"}
		}
		return nil, 0, true, nil
	}
	if err := s.after(); err != nil {
		return nil, 0, false, err
	}
	if !utf8.Valid(all) {
		return nil, 0, false, Problem{Line: line, Reason: "bytes that are not valid UTF-8", Fix: "save it as UTF-8"}
	}
	return all, line, false, nil
}

// rest reads what stands after the list.
func (s *records) rest() error {
	for s.list {
		c, err := s.next()
		switch {
		case err != nil:
			s.n++
			return s.ended(err)
		case c == '}':
			return s.after()
		case c == ',' || c == ':':
			continue
		}
		_ = s.in.UnreadByte()
		if what, err := s.value(s.limit); err != nil || what != "" {
			s.n++
			return s.ended(io.EOF)
		}
	}
	return s.after()
}

// after: nothing may follow.
func (s *records) after() error {
	if c, err := s.next(); err == nil && c != 0 {
		s.n++
		return Problem{Record: s.n, Line: s.line, Reason: "more after the end of the JSON, which is not read", Fix: "give each in a file of its own"}
	} else if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, archive.ErrCut) {
		return err
	}
	return nil
}

// errSwallowed: a value did not end within its limit.
var errSwallowed = errors.New("a value without end")

// value reads one value into buf. what says why it cannot be right, though it has an end.
func (s *records) value(limit int) (what string, err error) {
	s.buf = s.buf[:0]
	var open []byte // brackets
	quoted, escaped := false, false
	for {
		if s.in.Buffered() == 0 {
			if _, err := s.in.Peek(1); err != nil {
				if len(s.buf) > 0 && len(open) == 0 && !quoted && errors.Is(err, io.EOF) {
					return what, nil // a number, at the end
				}
				return what, err
			}
		}
		block, _ := s.in.Peek(s.in.Buffered())
		i, end := 0, false
	scan:
		for ; i < len(block); i++ {
			c := block[i]
			if quoted {
				switch {
				case c == '\n': // a text never spans lines: its end is missing
					quoted, escaped, what = false, false, "broken JSON: a text without its end"
					s.line++
				case escaped:
					escaped = false
				case c == '\\':
					escaped = true
				case c == '"':
					quoted = false
					if len(open) == 0 {
						i, end = i+1, true
						break scan
					}
				}
				continue
			}
			switch c {
			case '\n':
				if len(open) == 0 && len(s.buf)+i > 0 {
					end = true
					break scan
				}
				s.line++
			case '"':
				quoted = true
			case '{', '[':
				if open = append(open, c+2); len(open) > s.depth {
					what = fmt.Sprintf("JSON nested more than %d deep", s.depth)
					if len(open) > 1<<20 {
						return what, errSwallowed
					}
				}
			case '}', ']':
				if len(open) == 0 { // of what the value stands in
					if len(s.buf)+i == 0 {
						i++
						what = "broken JSON"
					}
					end = true
					break scan
				}
				k := bytes.LastIndexByte(open, c)
				if k != len(open)-1 {
					what = "broken JSON: a bracket that closes another"
				}
				if k >= 0 {
					open = open[:k]
				}
				if len(open) == 0 {
					i, end = i+1, true
					break scan
				}
			case ',', ':', ' ', '\t', '\r':
				if len(open) == 0 && len(s.buf)+i > 0 {
					end = true
					break scan
				}
			}
		}
		if len(s.buf)+i > limit {
			return what, errSwallowed
		}
		s.buf = append(s.buf, block[:i]...)
		_, _ = s.in.Discard(i)
		if end {
			return what, nil
		}
	}
}

// indent is what stands before a record that has a line of its own and is indented; the
// reader stands on it.
func (s *records) indent() string {
	b, _ := s.in.Peek(2)
	if s.line == 1 || len(b) < 2 || b[0] != '{' || b[1] != '\n' && b[1] != '\r' {
		return ""
	}
	return string(s.lead)
}

// goOn finds, in a record that swallowed what comes after it, where the next one begins:
// a line that begins as the first record did. Such files are written by programs.
func (s *records) goOn(line int) bool {
	if s.start == "" || s.tries >= mostTries {
		return false
	}
	i := bytes.Index(s.buf[min(1, len(s.buf)):], []byte("\n"+s.start+"{"))
	if i < 0 {
		return false
	}
	s.tries++
	at := i + 2
	s.line = line + bytes.Count(s.buf[:at], []byte{'\n'})
	s.in = bufio.NewReaderSize(io.MultiReader(strings.NewReader(string(s.buf[at:])), s.in), s.in.Size())
	return true
}
