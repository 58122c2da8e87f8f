package config

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"

	"rxedge/index/names"
)

// Setting is one key of rxedge.toml. What it means is read from this package's own
// source, which is embedded, so that no list of settings can say something else.
type Setting struct {
	Key string `json:"key"` // such as answer.timeout
	// Type in words: "text", "whole number", "number", "true or false", "duration", …
	Type    string `json:"type"`
	Meaning string `json:"meaning"`
	// Default as TOML; "" where it is the firmware profile's.
	Default string `json:"default"`
	// Repeated: it belongs to a table of which there may be several, [[…]].
	Repeated bool `json:"repeated,omitempty"`

	index []int // of the field; not of a repeated one
	kind  reflect.Type
	in    reflect.Type // the struct that it is a field of
	field reflect.StructField
}

//go:embed *.go
var source embed.FS

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

// walk visits every setting of struct t, in order.
func walk(t reflect.Type, prefix string, index []int, repeated bool, visit func(s Setting, in reflect.Type, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		key, at := prefix+name, append(append([]int{}, index...), i)
		switch of := f.Type; {
		case of.Kind() == reflect.Struct && !reflect.PointerTo(of).Implements(textual):
			walk(of, key+".", at, repeated, visit)
		case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
			walk(of.Elem(), key+".", nil, true, visit)
		default:
			visit(Setting{Key: key, Type: typeName(of), Repeated: repeated, index: at, kind: of}, t, f)
		}
	}
}

// listed are the settings, without what they mean.
var listed = sync.OnceValue(func() []Setting {
	var all []Setting
	def := Default()
	walk(reflect.TypeFor[Config](), "", nil, false, func(s Setting, in reflect.Type, f reflect.StructField) {
		if !s.Repeated {
			s.Default = Text(def.value(s))
		}
		if s.Key == "data" { // of the packaged manual, which is made elsewhere
			s.Default = Text(InstalledData)
		}
		s.field = f
		s.in = in
		all = append(all, s)
	})
	// As TOML has it: what stands in no table comes first.
	slices.SortStableFunc(all, func(a, b Setting) int { return min(1, strings.Count(a.Key, ".")) - min(1, strings.Count(b.Key, ".")) })
	return all
})

// Settings are all settings there are, table by table.
func Settings() []Setting {
	docs := comments()
	all := append([]Setting{}, listed()...)
	for i, s := range all {
		all[i].Meaning = meaning(docs[s.in.Name()], s.in, s.field)
	}
	return all
}

// Find the setting of a key; a repeated one is found, too.
func Find(key string) (Setting, bool) {
	for _, s := range listed() {
		if s.Key == key {
			return s, true
		}
	}
	return Setting{}, false
}

// Nearest is the setting that a key that there is not was probably meant to be, "" where
// none is near: of a slip of the keyboard, or of another table.
func Nearest(key string) string {
	best, least := "", 4
	_, last, _ := strings.Cut(key, ".")
	for _, s := range listed() {
		if d := names.Distance(key, s.Key, 3); d < least {
			best, least = s.Key, d
		}
	}
	if best != "" {
		return best
	}
	least = 3
	last = cmp.Or(last, key)
	for _, s := range listed() {
		if d := names.Distance(last, s.Key[strings.LastIndexByte(s.Key, '.')+1:], 2); d < least {
			best, least = s.Key, d
		}
	}
	return best
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return "duration, such as 30s, 5m or 24h"
	case reflect.TypeFor[Wait]():
		return "duration, such as 0s, 30s or 10m"
	case reflect.TypeFor[Hours]():
		return "span of the day, such as 22:00-06:00"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of texts"
	}
	return t.Kind().String()
}

// comments of the fields of this package's structs, by struct and field.
var comments = sync.OnceValue(func() map[string]map[string]string {
	out := map[string]map[string]string{}
	files, _ := fs.Glob(source, "*.go")
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := source.ReadFile(name)
		if err != nil {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			t, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := t.Type.(*ast.StructType); ok {
				out[t.Name.Name] = map[string]string{}
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						out[t.Name.Name][n.Name] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return out
})

var word = regexp.MustCompile(`\b[A-Z][A-Za-z]*\b`)

// meaning is a field's comment with the names that a user knows for those of Go.
func meaning(docs map[string]string, in reflect.Type, f reflect.StructField) string {
	text := word.ReplaceAllStringFunc(docs[f.Name], func(w string) string {
		if of, ok := in.FieldByName(w); ok {
			return of.Tag.Get("toml")
		}
		return w
	})
	own := f.Tag.Get("toml")
	for _, verb := range []string{" is ", " are ", ": "} {
		if rest, ok := strings.CutPrefix(text, own+verb); ok {
			return rest
		}
	}
	return text
}

// value of a setting that is not repeated; nil where it is not set.
func (c *Config) value(s Setting) any {
	v := reflect.ValueOf(c).Elem().FieldByIndex(s.index)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	return v.Interface()
}

// reset a setting, or a table that is repeated, to its default.
func (c *Config) reset(key string) bool {
	def := Default()
	if s, ok := Find(key); ok && !s.Repeated {
		reflect.ValueOf(c).Elem().FieldByIndex(s.index).Set(reflect.ValueOf(&def).Elem().FieldByIndex(s.index))
		return true
	}
	switch key {
	case "model.adapter":
		c.Model.Adapters = nil
	case "api.client":
		c.API.Clients = nil
	default:
		return false
	}
	return true
}

// Text of a value as TOML; "" for nil.
func Text(v any) string {
	if v == nil {
		return ""
	}
	if t, ok := v.(verbatim); ok {
		return string(t)
	}
	if m, ok := v.(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return ""
		}
		v = string(b)
		switch d := m.(type) { // "24h0m0s" is "24h"
		case Duration:
			v = plainDuration(time.Duration(d))
		case Wait:
			v = plainDuration(time.Duration(d))
		}
	}
	if s, ok := v.(string); ok && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f || r == '\uFFFD' }) {
		return `"` + s + `"`
	}
	if list, ok := v.([]string); ok {
		items := []string{}
		for _, item := range list {
			items = append(items, Text(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	b, err := toml.Marshal(map[string]any{"v": v})
	if err != nil {
		return fmt.Sprint(v)
	}
	_, text, _ := strings.Cut(strings.TrimSpace(string(b)), "= ")
	return text
}

func plainDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// From says where a value comes from.
type From string

// Where values come from.
const (
	FromDefault     From = "default"
	FromFile        From = "file"
	FromEnvironment From = "environment"
	FromFlag        From = "flag"
	FromProfile     From = "profile"
)

// Origin of a value that is no default.
type Origin struct {
	From From
	// Where: a file and its line, a variable, a flag, a profile.
	Where string
}

// Given notes that the value of a key came from somewhere else than the defaults.
func (c *Config) Given(key string, from From, where string) {
	if c.origins == nil {
		c.origins = map[string]Origin{}
	}
	c.origins[key] = Origin{from, where}
}

// Value is a setting as it is. What is secret in it is left out.
type Value struct {
	Key string `json:"key"`
	// Value as TOML; "" where nothing is set.
	Value string `json:"value"`
	From  From   `json:"from"`
	Where string `json:"where,omitempty"`
	// Secret is a digest of the whole value, where part of it was left out, under the
	// key that Values was given.
	Secret string `json:"secret,omitempty"`
}

// Values of all settings, those that are repeated as one: "model.adapter" and
// "api.client", as a list. A password within an address is left out; two that are left
// out can be compared where key is not empty.
func (c *Config) Values(key []byte) []Value {
	var out []Value
	add := func(name string, raw any) {
		o, ok := c.origins[name]
		if !ok {
			o.From = FromDefault
		}
		v := Value{Key: name, From: o.From, Where: o.Where}
		if s, ok := raw.(string); ok {
			if hidden := redact(s); hidden != s {
				raw = hidden
				if len(key) > 0 {
					h := hmac.New(sha256.New, key)
					h.Write([]byte(s))
					v.Secret = hex.EncodeToString(h.Sum(nil))
				}
			}
		}
		v.Value = Text(raw)
		out = append(out, v)
	}
	for _, s := range listed() {
		if !s.Repeated {
			add(s.Key, c.value(s))
		}
	}
	if len(c.Model.Adapters) > 0 {
		add("model.adapter", listText(c.Model.Adapters))
	}
	if len(c.API.Clients) > 0 {
		add("api.client", listText(c.API.Clients))
	}
	return out
}

// verbatim is TOML already.
type verbatim string

// listText is a list of tables on one line.
func listText[T any](list []T) verbatim {
	var items []string
	for _, x := range list {
		v := reflect.ValueOf(x)
		var fields []string
		for i := range v.NumField() {
			fields = append(fields, v.Type().Field(i).Tag.Get("toml")+" = "+Text(v.Field(i).Interface()))
		}
		items = append(items, "{ "+strings.Join(fields, ", ")+" }")
	}
	return verbatim("[" + strings.Join(items, ", ") + "]")
}

// redact the password within an address.
func redact(s string) string {
	if !strings.Contains(s, "://") || !strings.Contains(s, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		before, _, _ := strings.Cut(s, "://")
		return before + "://xxxxx"
	}
	return u.Redacted()
}
