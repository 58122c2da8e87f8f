package config

import (
	"bytes"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

type entryKind int

const (
	keyValue    entryKind = iota
	tableHeader           // [a]
	arrayHeader           // [[a]]
)

// entry is a line of a file of settings, or a key within an inline table.
type entry struct {
	kind  entryKind
	key   string // whole, such as answer.timeout
	table string // that it stands under; "": none
	line  int    // from 1
	// start of the expression and end of it, in bytes; value begins in between. Of a
	// header both are its line's.
	start, value, end int
	repeated          bool // under a [[table]]
	inline            bool // within { }
}

// layout says where in a file what stands.
type layout struct {
	text    []byte
	entries []entry
}

// parseLayout reads the form of a TOML file; whether it makes sense is the decoder's.
func parseLayout(text []byte) (*layout, error) {
	l := &layout{text: text}
	p := unstable.Parser{}
	p.Reset(text)
	table, repeated := "", false
	for p.NextExpression() {
		n := p.Expression()
		key, first, last := keyOf(n)
		switch n.Kind {
		case unstable.KeyValue:
			l.add(&p, n, table, table, repeated, false)
		case unstable.Table, unstable.ArrayTable:
			e := entry{kind: tableHeader, key: key, table: key, start: lineStart(text, first), end: lineEnd(text, last)}
			e.line = l.lineOf(e.start)
			if n.Kind == unstable.ArrayTable {
				e.kind, e.repeated = arrayHeader, true
			}
			table, repeated = key, e.repeated
			l.entries = append(l.entries, e)
		}
	}
	return l, p.Error()
}

// add a key and what an inline table under it holds.
func (l *layout) add(p *unstable.Parser, n *unstable.Node, prefix, table string, repeated, inline bool) {
	key, _, last := keyOf(n)
	if prefix != "" {
		key = prefix + "." + key
	}
	start := int(n.Raw.Offset)
	e := entry{key: key, table: table, start: start, end: start + int(n.Raw.Length), repeated: repeated, inline: inline}
	e.line = l.lineOf(start)
	e.value = last + bytes.IndexByte(l.text[last:], '=') + 1
	for e.value < e.end && (l.text[e.value] == ' ' || l.text[e.value] == '\t') {
		e.value++
	}
	l.entries = append(l.entries, e)
	if v := n.Value(); v.Kind == unstable.InlineTable {
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				l.add(p, it.Node(), key, table, repeated, true)
			}
		}
	}
}

// keyOf an expression, and where its first part begins and its last ends.
func keyOf(n *unstable.Node) (key string, first, last int) {
	if n.Kind != unstable.KeyValue && n.Kind != unstable.Table && n.Kind != unstable.ArrayTable {
		return "", 0, 0
	}
	var parts []string
	first = -1
	for it := n.Key(); it.Next(); {
		k := it.Node()
		if first < 0 {
			first = int(k.Raw.Offset)
		}
		last = int(k.Raw.Offset + k.Raw.Length)
		parts = append(parts, string(k.Data))
	}
	return strings.Join(parts, "."), first, last
}

func (l *layout) lineOf(offset int) int { return 1 + bytes.Count(l.text[:offset], []byte("\n")) }

// line of a key, or of the table of that number that it names; 0: it stands nowhere.
func (l *layout) line(key string, item int) int {
	n := 0
	for _, e := range l.entries {
		if e.key != key {
			continue
		}
		if e.kind == arrayHeader {
			n++
		}
		if item == 0 || n == item || e.kind == keyValue {
			return e.line
		}
	}
	return 0
}

func lineStart(text []byte, at int) int { return bytes.LastIndexByte(text[:at], '\n') + 1 }

// lineEnd is after the newline.
func lineEnd(text []byte, at int) int {
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

// blank the key that stands in a line out of text, which is as long as the layout's own.
func (l *layout) blank(text []byte, key string, line int) bool {
	for _, e := range l.entries {
		if e.kind != keyValue || e.key != key || e.line != line || e.inline || text[e.start] == ' ' {
			continue
		}
		for i := e.start; i < e.end; i++ {
			if text[i] != '\n' && text[i] != '\r' {
				text[i] = ' '
			}
		}
		return true
	}
	return false
}
