package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// amount of things: "1 file", "2 files".
func amount[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// print writes v as JSON.
func (a *app) print(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// line writes v as JSON on one line.
func (a *app) line(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows under a header, in plain columns.
func (a *app) table(header table.Row, rows []table.Row) {
	t := table.NewWriter()
	t.SetOutputMirror(a.out)
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(header)
	t.AppendRows(rows)
	t.Render()
}

// progress shows a bar on a terminal, and nothing where output is for a
// program.
type progress struct {
	a     *app
	bar   *progressbar.ProgressBar
	label string
}

func (a *app) progress() *progress { return &progress{a: a} }

func (p *progress) set(label string, done, total int64) { p.show(label, done, total) }

// setBytes is set of a number of bytes.
func (p *progress) setBytes(label string, done, total int64) {
	p.show(label, done, total, progressbar.OptionShowBytes(true))
}

func (p *progress) show(label string, done, total int64, more ...progressbar.Option) {
	f, ok := p.a.err.(*os.File)
	if !ok || p.a.json || !term.IsTerminal(int(f.Fd())) {
		return
	}
	if p.bar == nil || label != p.label {
		p.finish()
		if total <= 0 {
			total = -1
		}
		p.label = label
		p.bar = progressbar.NewOptions64(total, append([]progressbar.Option{progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(label),
			progressbar.OptionThrottle(80 * time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount()}, more...)...)
	}
	_ = p.bar.Set64(done)
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}

// wrap breaks text at words to the width of a terminal line.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	col := 0
	for _, w := range strings.Fields(text) {
		n := len([]rune(w))
		switch {
		case col == 0:
			b.WriteString(indent)
			col = len(indent)
		case col+1+n > width:
			b.WriteString("\n" + indent)
			col = len(indent)
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += n
	}
	return b.String()
}

const lineWidth = 88

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
