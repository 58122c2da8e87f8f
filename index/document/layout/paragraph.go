package layout

import (
	"math"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// para is a paragraph, a list item, a heading or a table on its way to an Element.
type para struct {
	page     int
	runs     []Run
	size     float64
	bold     bool
	item     bool
	lines    int
	level    int
	note     bool // smaller than the text, at the foot of something
	table    *table
	rowPages []int
}

func (p *para) text() string {
	if len(p.runs) == 1 {
		return p.runs[0].Text
	}
	var b strings.Builder
	for i, r := range p.runs {
		if i > 0 {
			b.WriteString(joint(p.runs[i-1].Text, r.Text))
		}
		b.WriteString(r.Text)
	}
	return b.String()
}

// paragraphs cuts the lines of a column.
func paragraphs(b *block, page int, body float64) []*para {
	var out []*para
	var cur *para
	var first, prev *Line
	pitch := pitchOf(b.lines)
	for _, l := range b.lines {
		if cur == nil || starts(cur, first, prev, l, b, pitch) {
			cur = &para{page: page, size: l.size, bold: l.bold, item: beginsItem(l.Text), runs: []Run{{page, l.Text}}, lines: 1}
			cur.note = l.size < 0.93*body
			out = append(out, cur)
			first = l
		} else {
			run := &cur.runs[0]
			run.Text += joint(run.Text, l.Text) + l.Text
			cur.lines++
			cur.bold = cur.bold && l.bold
		}
		prev = l
	}
	return out
}

// pitchOf is how far most lines stand apart; 0 where there are too few.
func pitchOf(lines []*Line) float64 {
	var d []float64
	for i := 1; i < len(lines); i++ {
		if s := lines[i].base - lines[i-1].base; s > 0.5*lines[i].size && s < 2.5*lines[i].size {
			d = append(d, s)
		}
	}
	if len(d) < 2 {
		return 0
	}
	sort.Float64s(d)
	return d[(len(d)-1)/3] // gaps between paragraphs are the greater ones
}

// starts says that l begins something new.
func starts(cur *para, first, prev, l *Line, b *block, pitch float64) bool {
	size := max(prev.size, l.size)
	step := l.base - prev.base
	ended := ends(prev.Text)
	upper := startsUpper(l.Text)
	width := b.x1 - b.x0
	switch {
	case math.Abs(l.size-prev.size) > 0.08*size:
		return true
	case step <= 0.3*size: // beside it, or further up
		return true
	case pitch > 0 && step > 1.3*pitch && step > 1.3*size, step > 2*size:
		return true
	case beginsItem(l.Text) && (isBullet(firstOf(l.Text)) || ended || cur.item || l.X0 > prev.X0+0.5*size):
		return true
	case prev.bold != l.bold && (prev.bold && (upper || ended) && prev.X1 < b.x1-0.1*width || l.bold && ended):
		return true
	case cur.item:
		return l.X0 < first.textX-0.6*size && (ended || prev.X1 < b.x1-0.2*width && upper) || l.X0 < first.X0-0.6*size
	case l.X0 > prev.X0+0.8*size && prev != first && (ended || upper): // indented
		return true
	case ended && prev.X1 < b.x1-0.25*width && upper:
		return true
	case upper && prev.X1 < b.x1-0.5*width && width > 12*size:
		return true
	}
	return false
}

func firstOf(s string) string {
	s = strings.TrimLeft(s, " ")
	if i := strings.IndexByte(s, ' '); i > 0 {
		return s[:i]
	}
	return s
}

// beginsItem: a bullet, or a number with a point or bracket, and text after it.
func beginsItem(s string) bool {
	f := firstOf(s)
	if len(f) == len(strings.TrimSpace(s)) {
		return false
	}
	if isBullet(f) {
		return true
	}
	if n := len(f); n >= 2 && n <= 4 && (f[n-1] == ')' || f[n-1] == '.') {
		t := strings.TrimLeft(f[:n-1], "(")
		if t != "" && strings.Trim(t, "0123456789") == "" {
			return true
		}
		return len(t) == 1 && unicode.IsLetter(rune(t[0])) && f[n-1] == ')'
	}
	return false
}

func ends(s string) bool {
	s = strings.TrimRight(s, " )\"'”’]"+string(RaiseEnd))
	r, _ := utf8.DecodeLastRuneInString(s)
	return strings.ContainsRune(".:;?!", r)
}

func startsUpper(s string) bool {
	for _, r := range s {
		if unicode.IsLetter(r) {
			return unicode.IsUpper(r)
		}
		if unicode.IsDigit(r) {
			return true
		}
	}
	return false
}

func startsLower(s string) bool {
	for _, r := range s {
		if r == RaiseStart {
			return false
		}
		if unicode.IsLetter(r) {
			return unicode.IsLower(r)
		}
		if r != '(' && r != '[' {
			return unicode.IsDigit(r)
		}
	}
	return false
}

// joinAll puts together what a column or a page has parted: paragraphs that go
// on, tables of the same columns.
func (r *Reader) joinAll(all []*para, body float64) []*para {
	var out []*para
	for i := 0; i < len(all); i++ {
		p := all[i]
		out = append(out, p)
		if p.table != nil {
			for i+1 < len(all) && all[i+1].table != nil && sameTable(p, all[i+1]) {
				p.extend(all[i+1])
				i++
			}
			continue
		}
		for open(p) {
			j := i + 1
			for j < len(all) && all[j].table == nil && all[j].note && !p.note {
				j++
			}
			if j >= len(all) || !follows(p, all[j]) {
				break
			}
			next := all[j]
			if last := &p.runs[len(p.runs)-1]; last.Page == next.page {
				last.Text += joint(last.Text, next.runs[0].Text) + next.runs[0].Text
			} else {
				p.runs = append(p.runs, next.runs...)
			}
			p.lines += next.lines
			all = append(all[:j:j], all[j+1:]...)
		}
	}
	return out
}

// open says that the text of p does not end with it.
func open(p *para) bool {
	last := p.runs[len(p.runs)-1].Text
	return !ends(last) && p.lines > 1 || strings.HasSuffix(last, "-") || strings.HasSuffix(last, ",")
}

func follows(p, next *para) bool {
	if next.table != nil || next.item || next.bold != p.bold || math.Abs(next.size-p.size) > 0.08*p.size || next.page > p.runs[len(p.runs)-1].Page+1 {
		return false
	}
	return startsLower(next.runs[0].Text)
}

func sameTable(p, q *para) bool {
	a, b := p.table, q.table
	if q.page != p.lastPage()+1 || len(a.cols) != len(b.cols) || a.closed != b.closed {
		return false
	}
	for i := range a.cols {
		if math.Abs(a.cols[i]-b.cols[i]) > 12 {
			return false
		}
	}
	return true
}

func (p *para) lastPage() int {
	if n := len(p.rowPages); n > 0 {
		return p.rowPages[n-1]
	}
	return p.page
}

// extend takes the rows of a table that goes on; a head that is written again on
// the new page is left out.
func (p *para) extend(q *para) {
	if p.rowPages == nil {
		for range p.table.rows {
			p.rowPages = append(p.rowPages, p.page)
		}
	}
	rows := q.table.rows
	for i := 0; len(rows) > 0 && i < len(p.table.rows) && sameRow(rows[0], p.table.rows[i]) && i < 3; i++ {
		rows = rows[1:]
	}
	for range rows {
		p.rowPages = append(p.rowPages, q.page)
	}
	p.table.rows = append(p.table.rows, rows...)
}

func sameRow(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// levels finds the headings: paragraphs of a line or two that are larger than the
// text, or bold. The larger the style, the higher the level.
func levels(all []*para, body float64) {
	type style struct {
		size int
		bold bool
	}
	seen := map[style]bool{}
	var heads []*para
	styleOf := func(p *para) style { return style{int(math.Round(p.size * 2)), p.bold} }
	for _, p := range all {
		if p.table != nil || p.item && !p.bold || p.lines > 4 {
			continue
		}
		t := p.text()
		if len(t) > 200 || !strings.ContainsFunc(t, unicode.IsLetter) {
			continue
		}
		large := p.size >= 1.12*body
		bold := p.bold && p.size >= 0.95*body && len(t) <= 140 && p.lines <= 3 && !strings.ContainsRune(".,;:", last(t))
		// A sentence in large type is a sentence: as a heading it would not be searched.
		sentence := ends(t) && (len(t) > 100 || !p.bold && strings.Count(t, " ") >= 5)
		if large && sentence || !large && !bold {
			continue
		}
		p.item = false
		heads = append(heads, p)
		seen[styleOf(p)] = true
	}
	var styles []style
	for s := range seen {
		styles = append(styles, s)
	}
	sort.Slice(styles, func(i, j int) bool {
		if styles[i].size != styles[j].size {
			return styles[i].size > styles[j].size
		}
		return styles[i].bold && !styles[j].bold
	})
	rank := map[style]int{}
	for i, s := range styles {
		rank[s] = min(i+1, 6)
	}
	for _, p := range heads {
		p.level = rank[styleOf(p)]
		if n := strings.Count(firstOf(p.text()), "."); n > 0 && n < 4 && unicode.IsDigit(rune(p.text()[0])) && !strings.HasSuffix(firstOf(p.text()), ".") {
			p.level = min(p.level+n, 6)
		}
	}
}

func last(s string) rune { r, _ := utf8.DecodeLastRuneInString(s); return r }
