package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ValueError says which setting has a value that can't be.
type ValueError struct {
	Key  string
	Item int // of a table that is repeated, from 1; 0: none
	Why  string
	err  error
}

func wrong(key, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &ValueError{Key: key, Why: err.Error(), err: err}
}

func (e *ValueError) Error() string {
	if e.Item > 0 {
		return fmt.Sprintf("%s number %d: %s", e.Key, e.Item, e.Why)
	}
	return e.Key + ": " + e.Why
}

func (e *ValueError) Unwrap() error { return e.err }

// Fault is what is wrong in a file of settings, or without effect.
type Fault struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // from 1; 0: of no one line
	Column int    `json:"column,omitempty"`
	Key    string `json:"setting,omitempty"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"`
	// Warning: the file can be used, and this does nothing, or not what it seems to.
	Warning bool `json:"warning,omitempty"`

	err error
}

func (f *Fault) Error() string {
	var b strings.Builder
	switch {
	case f.Column > 0:
		fmt.Fprintf(&b, "line %d, column %d: ", f.Line, f.Column)
	case f.Line > 0:
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	b.WriteString(f.What)
	if f.Fix != "" {
		b.WriteString("; " + f.Fix)
	}
	return b.String()
}

func (f *Fault) Unwrap() error { return f.err }

// Examine reads text, of the file of that name, over the defaults and says all that is
// wrong with it and, where it is sound, what in it has no effect.
func Examine(file string, text []byte) (Config, []Fault) {
	c := Default()
	faults := c.examine(file, text)
	if len(faults) == 0 {
		faults = c.idle(file)
	}
	return c, faults
}

// Sound says that none of the faults keeps the file from being used.
func Sound(faults []Fault) bool {
	for _, f := range faults {
		if !f.Warning {
			return false
		}
	}
	return true
}

// examine reads text over c.
func (c *Config) examine(file string, text []byte) []Fault {
	lay, lerr := parseLayout(text)
	var faults []Fault
	from := *c
	// A value that can't be read is blanked out, so that the next is found, too.
	for rest := bytes.Clone(text); ; {
		*c = from
		err := toml.NewDecoder(bytes.NewReader(rest)).DisallowUnknownFields().Decode(c)
		var unknown *toml.StrictMissingError
		var bad *toml.DecodeError
		if !errors.As(err, &unknown) && errors.As(err, &bad) { // the first holds of the second, too
			f := Fault{File: file, Key: strings.Join(bad.Key(), "."), What: strings.TrimPrefix(bad.Error(), "toml: "), err: bad}
			f.Line, f.Column = bad.Position()
			s, ok := Find(f.Key)
			if ok {
				f.What = s.Key + ": " + mismatch(f.What, s)
			} else if f.Key == "" {
				f.Fix = `a line reads 'KEY = VALUE', texts stand in quotation marks`
			}
			faults = append(faults, f)
			if ok && lerr == nil && lay.blank(rest, f.Key, f.Line) {
				continue
			}
			return faults
		}
		if unknown != nil {
			for _, e := range unknown.Errors {
				f := Fault{File: file, Key: strings.Join(e.Key(), ".")}
				f.Line, f.Column = e.Position()
				f.What = fmt.Sprintf("there is no setting %q", f.Key)
				f.Fix = "see 'rxedge config --help' for those there are"
				if near := Nearest(f.Key); near != "" {
					f.Fix = fmt.Sprintf("did you mean %q? %s", near, f.Fix)
				}
				faults = append(faults, f)
			}
		} else if err != nil {
			return append(faults, Fault{File: file, What: strings.TrimPrefix(err.Error(), "toml: "), err: err})
		}
		break
	}
	if lerr == nil { // else the decoder has said so
		for _, e := range lay.entries {
			// The decoder takes a bare number for a duration in nanoseconds.
			if s, ok := Find(e.key); ok && e.kind == keyValue && s.kind.Kind() != reflect.Pointer && reflect.PointerTo(s.kind).Implements(textual) && text[e.value] != '"' && text[e.value] != '\'' {
				return append(faults, Fault{File: file, Line: e.line, Key: s.Key, What: s.Key + ": it is to be " + described(s)})
			}
			if e.kind == keyValue || e.kind == arrayHeader {
				c.Given(e.key, FromFile, fmt.Sprintf("%s:%d", file, e.line))
			}
		}
	}
	// What was found is put back to its default, so that the next is found too.
	tried := map[string]bool{}
	for rest, err := *c, c.Check(); err != nil; err = rest.Check() {
		var v *ValueError
		if !errors.As(err, &v) {
			return append(faults, Fault{File: file, What: err.Error(), err: err})
		}
		if tried[v.Key] { // what is missing is missing in the default, too
			break
		}
		f := Fault{File: file, Key: v.Key, What: v.Error(), err: v}
		f.Line = lay.line(v.Key, v.Item)
		faults = append(faults, f)
		if !rest.reset(v.Key) {
			break
		}
		tried[v.Key] = true
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return faults
}

// mismatch says in a user's words that a value is of another type.
func mismatch(said string, s Setting) string {
	if strings.HasPrefix(said, `"`) { // a type of ours refused it
		return said
	}
	return "it is to be " + described(s)
}

func described(s Setting) string {
	switch kind, _, _ := strings.Cut(s.Type, " "); kind {
	case "true", "text":
		if kind == "text" {
			return `text, in quotation marks: "…"`
		}
		return "true or false, without quotation marks"
	case "list":
		return `a list of texts: ["…", "…"]`
	case "whole", "number":
		return "a " + s.Type + ", without quotation marks"
	}
	return "a " + s.Type + ", in quotation marks"
}

// idle says which settings of the file have no effect as they stand.
func (c *Config) idle(file string) []Fault {
	var out []Fault
	warn := func(key, what, fix string) {
		o, ok := c.origins[key]
		if !ok || o.From != FromFile {
			return
		}
		f := Fault{File: file, Key: key, What: key + " " + what, Fix: fix, Warning: true}
		if i := strings.LastIndexByte(o.Where, ':'); i >= 0 {
			_, _ = fmt.Sscan(o.Where[i+1:], &f.Line)
		}
		out = append(out, f)
	}
	if !c.Cache.Enabled {
		for _, s := range listed() {
			if strings.HasPrefix(s.Key, "cache.") && s.Key != "cache.enabled" {
				warn(s.Key, "has no effect: nothing is kept", "set cache.enabled to true, or leave it out")
			}
		}
	}
	if c.Suite.Questions == "" {
		warn("suite.hours", "has no effect: there are no golden questions to ask", "set suite.questions to their file")
		warn("suite.ablation", "has no effect: there are no golden questions to ask", "set suite.questions to their file")
	}
	if c.API.Rate == 0 {
		warn("api.burst", "has no effect: no rate is set that it could go beyond", "set api.rate, or leave it out")
	}
	for _, named := range c.files() {
		if _, err := os.Stat(named.path); errors.Is(err, os.ErrNotExist) {
			warn(named.key, fmt.Sprintf("names %s, which is not there", named.path), "put the file there, or name another")
		}
	}
	return out
}

type namedFile struct{ key, path string }

// files that the settings name and that have to be there.
func (c *Config) files() []namedFile {
	var out []namedFile
	if c.Suite.Questions != "" {
		out = append(out, namedFile{"suite.questions", c.Suite.Questions})
	}
	for _, a := range c.Model.Adapters {
		out = append(out, namedFile{"model.adapter", a.Path})
	}
	for _, cl := range c.API.Clients {
		if strings.Contains(cl.TokenFile, "/") {
			out = append(out, namedFile{"api.client", cl.TokenFile})
		}
	}
	return out
}
