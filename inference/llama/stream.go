package llama

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// longestEvent bounds one server-sent event, in bytes.
const longestEvent = 16 << 20

var errEvent = errors.New("the engine's stream cannot be read")

// eventReader reads a stream of server-sent events whose data is JSON.
type eventReader struct{ r *bufio.Reader }

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{bufio.NewReaderSize(r, 16<<10)}
}

// next decodes the data of the next event into v. A stream that ends without
// another event is io.ErrUnexpectedEOF: llama-server's last event says that it
// is the last. What cannot be an event is errEvent.
func (e *eventReader) next(v any) error {
	var data []byte
	for {
		line, err := e.line()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0: // the end of an event
			if len(data) == 0 {
				continue
			}
			if err := json.Unmarshal(data, v); err != nil {
				return fmt.Errorf("%w: an event is not the JSON that was expected", errEvent)
			}
			return nil
		case string(name) == "data":
			if len(data) > 0 {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
			if len(data) > longestEvent {
				return fmt.Errorf("%w: an event is longer than %d bytes", errEvent, longestEvent)
			}
		}
		// Comments, which keep the connection alive, and other fields are nothing to us.
	}
}

// line returns the next line of any length up to longestEvent, without its end.
func (e *eventReader) line() ([]byte, error) {
	var whole []byte
	for {
		part, err := e.r.ReadSlice('\n')
		if len(whole)+len(part) > longestEvent {
			return nil, fmt.Errorf("%w: a line is longer than %d bytes", errEvent, longestEvent)
		}
		whole = append(whole, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return nil, err // what stands before the end of the stream is no whole line
		}
		return bytes.TrimRight(whole, "\r\n"), nil
	}
}

// stopper finds stop strings in a stream of pieces. It is done here and not by
// the engine, which loses text that it held back when it reaches a limit.
type stopper struct {
	words []string
	held  string
}

// push takes the next piece and returns what can be given out. After stopped
// nothing more comes: a stop string was found, and what precedes the first is
// in out.
func (s *stopper) push(piece string) (out string, stopped bool) {
	text := s.held + piece
	first := -1
	for _, w := range s.words {
		if w == "" {
			continue
		}
		if i := strings.Index(text, w); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		s.held = ""
		return text[:first], true
	}
	keep := s.begun(text)
	// A piece is whole runes as it comes; this holds where it is not.
	keep = max(keep, tornRune(text))
	s.held = text[len(text)-keep:]
	return text[:len(text)-keep], false
}

// rest is what was held back, when nothing follows; half a rune is left out.
func (s *stopper) rest() string {
	rest := s.held[:len(s.held)-tornRune(s.held)]
	s.held = ""
	return rest
}

// begun is the length of the longest end of text that begins a stop string.
func (s *stopper) begun(text string) int {
	longest := 0
	for _, w := range s.words {
		for n := min(len(w)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, w[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// tornRune is the number of bytes at the end of text that begin a rune.
func tornRune(text string) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRuneInString(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
