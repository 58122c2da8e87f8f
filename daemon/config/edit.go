package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// ErrNoSetting: there is none of that name. ErrByHand: a program can't change it and
// keep the file as a person laid it out.
var (
	ErrNoSetting = errors.New("there is no such setting")
	ErrByHand    = errors.New("it is to be changed in the file by hand; 'rxedge config check' reads it again")
)

// Unsound says that a change would leave a file that can't be used, and why.
type Unsound struct{ Faults []Fault }

func (e *Unsound) Error() string {
	f := &e.Faults[0]
	if f.Key != "" {
		return f.What // it names the setting; its line is one of a file that is not written
	}
	return f.Error()
}

// parseValue of a setting, as TOML.
func parseValue(s Setting, given string) (string, error) {
	kind := s.kind
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch {
	case kind.Kind() == reflect.String || reflect.PointerTo(kind).Implements(textual):
		if strings.HasPrefix(given, `"`) && strings.HasSuffix(given, `"`) && len(given) > 1 { // as in the file
			return given, nil
		}
		return Text(given), nil
	case kind.Kind() == reflect.Bool:
		if given != "true" && given != "false" {
			return "", wrong(s.Key, "%q is neither true nor false", given)
		}
		return given, nil
	case kind.Kind() == reflect.Int || kind.Kind() == reflect.Int64:
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil {
			return "", wrong(s.Key, "%q is no whole number", given)
		}
		return strconv.FormatInt(n, 10), nil
	case kind.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(given, 64)
		if err != nil || f-f != 0 {
			return "", wrong(s.Key, "%q is no number", given)
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	case kind != reflect.TypeFor[[]string]():
		return "", fmt.Errorf("%s: %w", s.Key, ErrByHand)
	}
	if strings.HasPrefix(strings.TrimSpace(given), "[") { // as in the file
		return given, nil
	}
	items := []string{}
	for item := range strings.SplitSeq(given, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return Text(items), nil
}

// settable is the setting of key, where it is one that can be set by itself.
func settable(key string) (Setting, error) {
	s, ok := Find(key)
	switch {
	case !ok && (key == "model.adapter" || key == "api.client"), s.Repeated:
		return s, fmt.Errorf("%s is a table of which there may be several: %w", key, ErrByHand)
	case !ok:
		err := fmt.Errorf("%w: %q", ErrNoSetting, key)
		if near := Nearest(key); near != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, near)
		}
		return s, err
	}
	return s, nil
}

// Set returns text, of the file of that name, with a setting changed and all else, with
// its comments and its order, as it was. The result is sound, or the error an *Unsound.
func Set(file string, text []byte, key, given string) ([]byte, error) {
	s, err := settable(key)
	if err != nil {
		return nil, err
	}
	value, err := parseValue(s, given)
	if err != nil {
		return nil, &Unsound{[]Fault{{File: file, Key: key, What: err.Error(), err: err}}}
	}
	return change(file, text, s, func(l *layout) ([]byte, error) { return l.set(s, value) })
}

// Unset is Set for taking a setting out of the file, so that its default holds.
func Unset(file string, text []byte, key string) ([]byte, error) {
	s, err := settable(key)
	if err != nil {
		return nil, err
	}
	return change(file, text, s, func(l *layout) ([]byte, error) { return l.unset(s) })
}

func change(file string, text []byte, s Setting, edit func(*layout) ([]byte, error)) ([]byte, error) {
	was, before := Examine(file, text)
	l, err := parseLayout(text)
	if err != nil { // the decoder's words are better
		return nil, &Unsound{before}
	}
	out, err := edit(l)
	if err != nil {
		return nil, err
	}
	is, after := Examine(file, out)
	if !Sound(after) {
		var mine []Fault // what the change is to blame for comes first
		for _, f := range after {
			if f.Key == s.Key {
				mine = append(mine, f)
			}
		}
		if mine == nil {
			mine = after
		}
		return nil, &Unsound{mine}
	}
	if Sound(before) {
		reflect.ValueOf(&was).Elem().FieldByIndex(s.index).Set(reflect.ValueOf(&is).Elem().FieldByIndex(s.index))
		was.origins, is.origins = nil, nil
		if !reflect.DeepEqual(was, is) {
			return nil, fmt.Errorf("%s: changing it would change %s with it: %w", s.Key, cmp.Or(other(&was, &is), "another setting"), ErrByHand)
		}
	}
	return out, nil
}

// other setting that is not the same in both; "" where none is found.
func other(a, b *Config) string {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, s := range listed() {
		if !s.Repeated && !reflect.DeepEqual(x.FieldByIndex(s.index).Interface(), y.FieldByIndex(s.index).Interface()) {
			return s.Key
		}
	}
	return ""
}

func (l *layout) splice(from, to int, with string) []byte {
	return append(append(append(make([]byte, 0, len(l.text)+len(with)), l.text[:from]...), with...), l.text[to:]...)
}

func (l *layout) set(s Setting, value string) ([]byte, error) {
	for _, e := range l.entries {
		if e.kind == keyValue && e.key == s.Key && !e.repeated {
			return l.splice(e.value, e.end, value), nil
		}
	}
	table, name := "", s.Key
	if i := strings.LastIndexByte(s.Key, '.'); i >= 0 {
		table, name = s.Key[:i], s.Key[i+1:]
	}
	line := name + " = " + value
	nl := "\n"
	if bytes.Contains(l.text, []byte("\r\n")) {
		nl = "\r\n"
	}
	// Where the table has no header of its own, its keys may stand dotted.
	begin, end, dotted := -1, len(l.text), false
	if table == "" {
		begin, end = 0, l.firstHeader()
	}
	for i, e := range l.entries {
		switch {
		case e.kind == tableHeader && e.key == table:
			begin, end = e.end, len(l.text)
			for _, next := range l.entries[i+1:] {
				if next.kind != keyValue {
					end = l.above(next.start)
					break
				}
			}
		case e.kind == keyValue && e.key == table:
			return nil, fmt.Errorf("%s: line %d holds the whole table %s: %w", s.Key, e.line, table, ErrByHand)
		case e.kind == keyValue && begin < 0 && table != "" && !e.repeated && !e.inline &&
			strings.HasPrefix(e.key, table+".") && (e.table == "" || strings.HasPrefix(table, e.table+".")):
			dotted = true
			begin, end = lineEnd(l.text, e.end), lineEnd(l.text, e.end)
			line = strings.TrimPrefix(s.Key, e.table+".") + " = " + value
		}
	}
	if begin < 0 {
		sep := ""
		if len(l.text) > 0 {
			sep = nl
			if l.text[len(l.text)-1] != '\n' {
				sep += nl
			}
		}
		return l.splice(len(l.text), len(l.text), sep+"["+table+"]"+nl+line+nl), nil
	}
	at := end
	if !dotted {
		at = l.place(begin, end, table, name)
	}
	sep := ""
	if at > 0 && l.text[at-1] != '\n' {
		sep = nl
	}
	return l.splice(at, at, sep+line+nl), nil
}

// firstHeader is where the keys that stand in no table end.
func (l *layout) firstHeader() int {
	for _, e := range l.entries {
		if e.kind != keyValue {
			return l.above(e.start)
		}
	}
	return len(l.text)
}

// above is the start of the comment that stands right above a header: it is its own.
func (l *layout) above(start int) int {
	for start > 0 {
		prev := lineStart(l.text, start-1)
		if !bytes.HasPrefix(bytes.TrimSpace(l.text[prev:start]), []byte("#")) {
			break
		}
		start = prev
	}
	return start
}

// place for a new key between begin and end: under the comment that shows it, or else
// after the last key.
func (l *layout) place(begin, end int, table, name string) int {
	shown := regexp.MustCompile(`^\s*#\s*` + regexp.QuoteMeta(name) + `\s*=`)
	at := -1
	for i := begin; i < end; {
		next := lineEnd(l.text, i)
		if shown.Match(l.text[i:next]) && !l.within(i) {
			return next
		}
		i = next
	}
	for _, e := range l.entries {
		if e.kind == keyValue && !e.inline && e.start >= begin && e.start < end {
			at = lineEnd(l.text, e.end)
		}
	}
	if at >= 0 {
		return at
	}
	if table != "" {
		return begin
	}
	return end
}

// within says that an offset is inside of a value of several lines.
func (l *layout) within(at int) bool {
	for _, e := range l.entries {
		if e.kind == keyValue && e.start < at && at < e.end {
			return true
		}
	}
	return false
}

// unset takes the line of a key away, with what is written behind it.
func (l *layout) unset(s Setting) ([]byte, error) {
	for _, e := range l.entries {
		if e.kind != keyValue || e.key != s.Key || e.repeated {
			continue
		}
		if e.inline {
			return nil, fmt.Errorf("%s stands within { } in line %d: %w", s.Key, e.line, ErrByHand)
		}
		return l.splice(lineStart(l.text, e.start), lineEnd(l.text, e.end), ""), nil
	}
	return l.text, nil
}
