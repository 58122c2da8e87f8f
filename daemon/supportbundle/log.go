package supportbundle

import (
	"context"
	_ "embed"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// messages are those that rxedge's own code logs, one a line, as the test finds them in
// the source.
//
//go:embed messages.txt
var messagesText string

var messages = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for l := range strings.Lines(messagesText) {
		out[strings.TrimSuffix(l, "\n")] = true
	}
	return out
})

// attributes that may leave with a message, by name, and what they may be.
var attributes = func() map[string]kind {
	out := map[string]kind{"generation": generation, "op": op, "profile": profile, "what": one("box", "http", "socket", "questions"), "pair": pair, "model": model, "code": one("unreachable", "certificate", "not_admitted", "proxy", "dead_line", "ended"), "on_card": boolean, "check": check}
	for _, name := range []string{"took", "documents", "passages", "vectors", "embedded", "vectors_given", "record", "bundle", "bytes", "attempts", "restarts", "card", "xid", "entries", "removed_documents", "kept_of_each", "files", "waiting", "questions", "port", "context", "slots", "layers"} {
		out[name] = measured
	}
	return out
}()

// measured is a number or a span of time. A text is none.
func measured(v any, _ *Names) (any, bool) {
	switch v := v.(type) {
	case int64, uint64, float64:
		return v, true
	case time.Duration:
		return v.String(), true
	}
	return nil, false
}

// Line of the log, as it may leave. Of a message that is not one of ours, or that says
// more than its words, only that there was one is kept.
type Line struct {
	At      time.Time      `json:"at"`
	Level   string         `json:"level"`
	Message string         `json:"message"` // "": it is not on the list
	Attrs   map[string]any `json:"attrs,omitempty"`
}

// plainAttr is a number, true or false, or a span of time, as a log writes it.
var plainAttr = regexp.MustCompile(`^(?:true|false|-?[0-9]{1,18}(?:\.[0-9]{1,9})?|(?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:h|m|s|ms|µs|ns))+)$`)

// Cut is what may leave of a line that was written to a file or a journal.
func Cut(at time.Time, level, message string, attrs map[string]string) Line {
	l := Line{At: at.UTC(), Level: strings.ToUpper(level)}
	if _, ok := one("DEBUG", "INFO", "WARN", "ERROR")(l.Level, nil); !ok {
		l.Level = ""
	}
	if !messages()[message] {
		return l
	}
	l.Message = message
	for k, v := range attrs {
		kind := attributes[k]
		if kind == nil {
			continue
		}
		kept, ok := kind(v, nil)
		if !ok && plainAttr.MatchString(v) {
			kept, ok = v, true
		}
		if ok {
			if l.Attrs == nil {
				l.Attrs = map[string]any{}
			}
			l.Attrs[k] = kept
		}
	}
	return l
}

// LinesKept of the log.
const LinesKept = linesKept

// linesKept of the log are in memory.
const linesKept = 1000

// Ring keeps the last lines of a log, as they may leave the box. It is a slog.Handler
// that passes all on.
type Ring struct {
	next slog.Handler
	*lines
	open string // groups: what is within them stays
}

type lines struct {
	mu   sync.Mutex
	kept []Line
	at   int
}

// NewRing before another handler.
func NewRing(next slog.Handler) *Ring { return &Ring{next: next, lines: &lines{}} }

// Enabled implements slog.Handler.
func (r *Ring) Enabled(ctx context.Context, l slog.Level) bool { return r.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (r *Ring) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelInfo {
		r.keep(rec)
	}
	return r.next.Handle(ctx, rec)
}

func (r *Ring) keep(rec slog.Record) {
	l := Line{At: rec.Time.UTC(), Level: rec.Level.String()}
	if messages()[rec.Message] {
		l.Message = rec.Message
		if r.open == "" {
			rec.Attrs(func(a slog.Attr) bool {
				k := attributes[a.Key]
				if k == nil {
					return true
				}
				if v, ok := k(a.Value.Resolve().Any(), nil); ok {
					if l.Attrs == nil {
						l.Attrs = map[string]any{}
					}
					l.Attrs[a.Key] = v
				}
				return true
			})
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) < linesKept {
		r.kept = append(r.kept, l)
		return
	}
	r.kept[r.at] = l
	r.at = (r.at + 1) % linesKept
}

// WithAttrs implements slog.Handler. What a logger brings to all its lines stays.
func (r *Ring) WithAttrs(as []slog.Attr) slog.Handler {
	return &Ring{r.next.WithAttrs(as), r.lines, r.open}
}

// WithGroup implements slog.Handler.
func (r *Ring) WithGroup(name string) slog.Handler {
	return &Ring{r.next.WithGroup(name), r.lines, r.open + name}
}

// Lines that are kept, the oldest first.
func (r *Ring) Lines() []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.kept[r.at:], r.kept[:r.at])
}
