// Package health names what can be wrong with a box. Each condition is registered once,
// with what it means and what mends it; the daemon, 'rxedge status', 'rxedge doctor', the
// station page and CONDITIONS.md all speak of it in these words.
package health

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Severity of a condition. The greater, the worse.
type Severity int

// Severities.
const (
	// Notice: it works; somebody should know.
	Notice Severity = iota
	// Warning: it works, worse than it could, or will stop if nothing is done.
	Warning
	// Error: something does not work. Questions are answered all the same.
	Error
	// Critical: questions are not answered.
	Critical
)

var severities = []string{"notice", "warning", "error", "critical"}

func (s Severity) String() string { return severities[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(b []byte) error {
	i := slices.Index(severities, string(b))
	if i < 0 {
		return fmt.Errorf("there is no severity %q", b)
	}
	*s = Severity(i)
	return nil
}

// Condition is one thing that can be wrong.
type Condition struct {
	// Code is how programs and people name it: words with hyphens. It never changes.
	Code string
	// Title in a few words, as it stands on a list.
	Title string
	// Text: what it means for those who ask and for the box.
	Text     string
	Severity Severity
	// Fix: what mends it, a command first where there is one.
	Fix string
	// DependsOn are conditions that bring this one about: where one of them holds, it
	// is the one to mend.
	DependsOn []*Condition
	// Within is the time after which it shows, from when it came about; 0: at the next
	// start, or when 'rxedge doctor' looks.
	Within time.Duration
}

// Finding is a condition that holds.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	// Detail is one sentence on this box: numbers, names of our own, never a question.
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
	// Since it has been seen without a break.
	Since time.Time `json:"since,omitzero"`
	// Because is the code of the condition that brings this one about, where that
	// holds too.
	Because string `json:"because,omitempty"`
}

var (
	conditions []*Condition
	byCode     = map[string]*Condition{}
	codeForm   = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`)
)

// register at the start of the program. A condition names only those before it, so
// that the order of the list is one of causes before consequences.
func register(c Condition) *Condition {
	switch {
	case !codeForm.MatchString(c.Code):
		panic("health: " + c.Code + " is no code")
	case byCode[c.Code] != nil:
		panic("health: " + c.Code + " is registered twice")
	case c.Title == "" || c.Text == "" || c.Fix == "":
		panic("health: " + c.Code + " lacks a title, a text or a fix")
	}
	conditions = append(conditions, &c)
	byCode[c.Code] = &c
	return &c
}

// All conditions, causes before their consequences.
func All() []*Condition { return slices.Clone(conditions) }

// Lookup of a code; nil: there is none.
func Lookup(code string) *Condition { return byCode[code] }

// Found says that c holds, and how it shows on this box.
func (c *Condition) Found(format string, args ...any) Finding {
	return Finding{Code: c.Code, Severity: c.Severity, Title: c.Title, Detail: fmt.Sprintf(format, args...), Fix: c.Fix}
}

// Mend is f with a fix that fits this box better than the condition's own.
func (f Finding) Mend(fix string) Finding {
	f.Fix = fix
	return f
}

// As is f with another severity than the condition's own, where this box has it milder
// or worse.
func (f Finding) As(s Severity) Finding {
	f.Severity = s
	return f
}

// Arrange sets what is because of what, and puts what is to be mended first at the
// front: what has no cause on the list before what has one, then the worse before the
// milder, then in the order of the conditions.
func Arrange(found []Finding) []Finding {
	held := map[string]bool{}
	for _, f := range found {
		held[f.Code] = true
	}
	out := slices.Clone(found)
	for i := range out {
		out[i].Because = ""
		if c := byCode[out[i].Code]; c != nil {
			out[i].Because = c.cause(held)
		}
	}
	place := func(f Finding) int {
		return slices.IndexFunc(conditions, func(c *Condition) bool { return c.Code == f.Code })
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		if x, y := a.Because != "", b.Because != ""; x != y {
			if y {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(place(a), place(b)))
	})
	return out
}

// cause is the first cause that is held, however far up; "": none.
func (c *Condition) cause(held map[string]bool) string {
	for _, d := range c.DependsOn {
		if s := d.cause(held); s != "" {
			return s
		}
		if held[d.Code] {
			return d.Code
		}
	}
	return ""
}

// Watch remembers since when conditions hold. Its zero value is ready to use.
type Watch struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// See takes what holds now, and returns it arranged, each with its Since. A condition
// that is not among it has ended.
func (w *Watch) See(now time.Time, found []Finding) []Finding {
	out := Arrange(found)
	w.mu.Lock()
	defer w.mu.Unlock()
	since := make(map[string]time.Time, len(out))
	for i, f := range out {
		if t, ok := w.since[f.Code]; ok {
			since[f.Code] = t
		} else if _, ok := since[f.Code]; !ok {
			since[f.Code] = now
		}
		out[i].Since = since[f.Code]
	}
	w.since = since
	return out
}
