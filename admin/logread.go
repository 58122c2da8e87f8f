package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logLine is a line of the daemon's log.
type logLine struct {
	Time    time.Time `json:"time,omitzero"`
	Level   string    `json:"level"` // debug, info, warn, error
	Message string    `json:"message"`
	Attrs   []logAttr `json:"attributes,omitempty"`
	Means   string    `json:"means,omitempty"`
	Do      string    `json:"do,omitempty"`
}

type logAttr struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// rank of a level, for comparing.
var rank = map[string]int{"debug": 0, "info": 1, "warn": 2, "error": 3}

// longestLine that is read; a longer one is cut.
const longestLine = 1 << 20

// parseLog reads a line as the daemon writes it: JSON, or text of slog's form. What is
// neither is a message of its own: what a program says before it has a log.
func parseLog(line string) logLine {
	line = strings.TrimRight(line, "\r\n")
	l, ok := parseJSONLog(line)
	if !ok {
		l, ok = parseTextLog(line)
	}
	if !ok {
		l = logLine{Level: "info", Message: line}
		if strings.HasPrefix(line, "rxedged: ") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			l.Level = "error"
		}
	}
	if w, known := wordings[l.Message]; known && rank[l.Level] >= rank["warn"] {
		l.Means, l.Do = w.means, w.do
	}
	return l
}

// levelOf slog's name, such as INFO or WARN+1.
func levelOf(name string) string {
	name = strings.ToLower(name)
	if i := strings.IndexAny(name, "+-"); i > 0 {
		name = name[:i]
	}
	if _, ok := rank[name]; !ok {
		return "info"
	}
	return name
}

func parseJSONLog(line string) (logLine, bool) {
	if !strings.HasPrefix(line, "{") {
		return logLine{}, false
	}
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	if dec.Decode(&m) != nil {
		return logLine{}, false
	}
	msg, ok := m["msg"].(string)
	if !ok {
		return logLine{}, false
	}
	l := logLine{Message: msg, Level: "info"}
	if s, ok := m["level"].(string); ok {
		l.Level = levelOf(s)
	}
	if s, ok := m["time"].(string); ok {
		l.Time, _ = time.Parse(time.RFC3339Nano, s)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k == "msg" || k == "level" || k == "time" {
			continue
		}
		v, isText := m[k].(string)
		if !isText {
			b, _ := json.Marshal(m[k])
			v = string(b)
		}
		l.Attrs = append(l.Attrs, logAttr{k, v})
	}
	return l, true
}

// parseTextLog reads time=… level=… msg=… key=value, values quoted as Go does where they
// have to be.
func parseTextLog(line string) (logLine, bool) {
	if !strings.HasPrefix(line, "time=") {
		return logLine{}, false
	}
	l := logLine{Level: "info"}
	has := false
	for rest := line; rest != ""; rest = strings.TrimLeft(rest, " ") {
		key, after, ok := strings.Cut(rest, "=")
		if strings.HasPrefix(rest, `"`) { // a key that had to be quoted
			q, err := strconv.QuotedPrefix(rest)
			if err != nil || !strings.HasPrefix(rest[len(q):], "=") {
				return l, false
			}
			key, _ = strconv.Unquote(q)
			after, ok = rest[len(q)+1:], true
		}
		if !ok {
			return l, false
		}
		value := after
		if strings.HasPrefix(after, `"`) {
			q, err := strconv.QuotedPrefix(after)
			if err != nil {
				return l, false
			}
			value, _ = strconv.Unquote(q)
			rest = after[len(q):]
		} else {
			value, rest, _ = strings.Cut(after, " ")
		}
		switch key {
		case "time":
			l.Time, _ = time.Parse(time.RFC3339Nano, value)
		case "level":
			l.Level = levelOf(value)
		case "msg":
			l.Message, has = value, true
		default:
			l.Attrs = append(l.Attrs, logAttr{key, value})
		}
	}
	return l, has
}

// parseJournal reads a line of 'journalctl -o json'.
func parseJournal(line string) (logLine, error) {
	var e struct {
		Message  json.RawMessage `json:"MESSAGE"`
		At       string          `json:"__REALTIME_TIMESTAMP"`
		Priority string          `json:"PRIORITY"`
		By       string          `json:"SYSLOG_IDENTIFIER"`
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return logLine{}, fmt.Errorf("journalctl printed what is no line of JSON: %w", err)
	}
	var text string
	if json.Unmarshal(e.Message, &text) != nil { // not UTF-8: a list of bytes; too long: null
		var b []byte
		var numbers []int
		if json.Unmarshal(e.Message, &numbers) == nil {
			for _, n := range numbers {
				b = append(b, byte(n))
			}
		}
		text = strings.ToValidUTF8(string(b), "\uFFFD")
	}
	l := parseLog(text)
	if us, err := strconv.ParseInt(e.At, 10, 64); err == nil && l.Time.IsZero() {
		l.Time = time.UnixMicro(us)
	}
	if e.By == "systemd" { // of the unit itself
		l.Attrs = append(l.Attrs, logAttr{"by", "systemd"})
		if p, err := strconv.Atoi(e.Priority); err == nil && p <= 3 {
			l.Level = "error"
		} else if err == nil && p == 4 {
			l.Level = "warn"
		}
	}
	return l, nil
}

// eachLine of r, cut where it is longer than any of ours.
func eachLine(r io.Reader, do func(string) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) <= longestLine {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if err := do(string(text)); err != nil {
				return err
			}
		}
		line = line[:0]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
