// Package supportbundle makes of what a box says of itself a file that may leave it. What
// may leave is named, field by field, with the kind of value it may have (rules.go); what
// is not named stays. DESIGN.md says why, and what stays on purpose.
package supportbundle

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	profiles "rxedge/firmware-profiles"

	"rxedge/daemon/health"
	"rxedge/inference/catalog"
)

// kind of a value that may leave: it gives the value, or says that it stays.
type kind func(v any, n *Names) (any, bool)

// Names stand for those that people gave: of models, pairs. The same name is the same
// number within a bundle, and nothing outside of it.
type Names struct{ seen map[string]string }

// NewNames of one bundle.
func NewNames() *Names { return &Names{map[string]string{}} }

func (n *Names) of(what, name string) string {
	k := what + "\x00" + name
	if n.seen[k] == "" {
		i := 1
		for other := range n.seen {
			if strings.HasPrefix(other, what+"\x00") {
				i++
			}
		}
		n.seen[k] = fmt.Sprintf("%s-%d", what, i)
	}
	return n.seen[k]
}

func number(v any, _ *Names) (any, bool) {
	_, ok := v.(json.Number)
	return v, ok
}

func boolean(v any, _ *Names) (any, bool) {
	_, ok := v.(bool)
	return v, ok
}

// matching is a text of which the whole has a form.
func matching(form string) kind {
	re := regexp.MustCompile(`^(?:` + form + `)$`)
	return func(v any, _ *Names) (any, bool) {
		s, ok := v.(string)
		return s, ok && re.MatchString(s)
	}
}

var (
	generation = matching(`(?:gen-[0-9]{6,12}(?:\+[0-9]{1,9})?)?`)
	version    = matching(`v?[0-9]{1,4}(?:\.[0-9]{1,6}){0,3}(?:[-+](?:rc|dev|beta|alpha)?[0-9.]{0,12})?`)
	sha256Hex  = matching(`[0-9a-f]{64}`)
	backupID   = matching(`[0-9a-f]{16}`)
	kernel     = matching(`[0-9]{1,3}(?:\.[0-9]{1,5}){1,3}[-+.0-9a-z_]{0,40}`)
)

// moment is a time, as RFC 3339 has it.
func moment(v any, _ *Names) (any, bool) {
	s, ok := v.(string)
	if !ok {
		return nil, false
	}
	_, err := time.Parse(time.RFC3339Nano, s)
	return s, err == nil
}

// one of these words.
func one(words ...string) kind {
	return func(v any, _ *Names) (any, bool) {
		s, ok := v.(string)
		return s, ok && slices.Contains(words, s)
	}
}

// condition is the code of one that is registered.
func condition(v any, _ *Names) (any, bool) {
	s, ok := v.(string)
	return s, ok && (s == "" || health.Lookup(s) != nil)
}

// profile is one of those that come with rxedge.
func profile(v any, _ *Names) (any, bool) {
	s, ok := v.(string)
	if !ok {
		return nil, false
	}
	if s == "" || s == "auto" {
		return s, true
	}
	_, err := profiles.Get(s)
	return s, err == nil
}

// model is a name that rxedge gave, or else a number that stands for it.
func model(v any, n *Names) (any, bool) {
	s, ok := v.(string)
	if !ok {
		return nil, false
	}
	own := []string{"", "auto", "builtin", "none", "rxedge", "rxedge-semantic-1"}
	if slices.Contains(own, s) || slices.ContainsFunc(catalog.Pins(), func(p catalog.Pin) bool { return p.Name == s }) {
		return s, true
	}
	if n == nil {
		return nil, false
	}
	return n.of("model", s), true
}

var ownPair = regexp.MustCompile(`^(bundle|own)-[0-9]{1,18}$`)

// pair is an id that rxedge gave, or else a number that stands for it.
func pair(v any, n *Names) (any, bool) {
	s, ok := v.(string)
	if !ok || s == "" {
		return nil, false
	}
	if ownPair.MatchString(s) {
		return s, true
	}
	if n == nil {
		return nil, false
	}
	return n.of("pair", s), true
}

// card is the name of a product, as the driver says it.
var card = matching(`(?:NVIDIA|Tesla|Quadro|GeForce)[A-Za-z0-9 ./()+-]{0,60}`)

// Rules of one document: what may leave of it, by path; "[]" is any item of a list.
type Rules map[string]kind

// Keep is what may leave of v, which is anything that can be JSON. Nil: nothing.
func (r Rules) Keep(v any, n *Names) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	return r.keep("", doc, n), nil
}

func (r Rules) keep(path string, v any, n *Names) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			p := k
			if path != "" {
				p = path + "." + k
			}
			if !r.leads(p) {
				continue
			}
			if kept := r.keep(p, x, n); kept != nil {
				out[k] = kept
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			if kept := r.keep(path+"[]", x, n); kept != nil {
				out = append(out, kept)
			}
		}
		return out
	case nil:
		return nil
	}
	if k := r[path]; k != nil {
		if kept, ok := k(v, n); ok {
			return kept
		}
	}
	return nil
}

// leads says whether something is named at or below a path.
func (r Rules) leads(path string) bool {
	if r[path] != nil {
		return true
	}
	for p := range r {
		if strings.HasPrefix(p, path) && (p[len(path)] == '.' || p[len(path)] == '[') {
			return true
		}
	}
	return false
}
