package chunk

import (
	"strings"
	"unicode/utf8"

	"rxedge/index/document"
)

// Options of Split, in tokens as the Counter counts them. The zero value means
// the defaults that stand beside each field.
type Options struct {
	MaxTokens  int // of heading and text together; 256, at most 512
	Overlap    int // of whole sentences that the next passage repeats; 50, negative for none
	MergeUnder int // a paragraph or passage shorter than this joins its neighbour; 100
}

// HardMaxTokens is the most that Options.MaxTokens can ask for.
const HardMaxTokens = 512

func (o Options) withDefaults() Options {
	if o.MaxTokens <= 0 {
		o.MaxTokens = 256
	}
	o.MaxTokens = min(max(o.MaxTokens, 16), HardMaxTokens)
	if o.Overlap == 0 {
		o.Overlap = 50
	}
	o.Overlap = min(max(o.Overlap, 0), o.MaxTokens/3)
	if o.MergeUnder <= 0 {
		o.MergeUnder = 100
	}
	return o
}

// Split cuts the sections of doc into passages, in order. A passage is a run of
// whole sentences of one section: whole paragraphs (a list or a table is one)
// where they fit, with short ones joined; it begins with the last sentences of
// the passage before it, up to Overlap. A sentence that is longer than a
// passage can be is cut at clauses, else at words, and each piece stands in
// Sentences. Every character of the text that is not white space is in a
// passage, and no passage is over MaxTokens as counter counts. The same input
// gives the same passages.
func Split(doc *document.Document, counter Counter, opt Options) []Passage {
	opt = opt.withDefaults()
	var out []Passage
	for i := range doc.Sections {
		s := &doc.Sections[i]
		head, used := heading(doc, s, counter, opt.MaxTokens/4)
		p := packer{counter: counter, text: s.Text, budget: opt.MaxTokens - used, opt: opt,
			base: Passage{DocumentID: doc.ID, SectionID: s.ID, Section: i, Heading: head, Tokens: used}}
		p.section()
		out = append(out, p.out...)
	}
	return out
}

// heading names the document and the section in at most limit tokens: the
// outer sections go first, then the end of the title.
func heading(doc *document.Document, s *document.Section, counter Counter, limit int) (string, int) {
	title := doc.Title
	if len(doc.Names) > 0 && !mentions(title, doc.Names) {
		title = doc.Names[0].Text + ", " + title
	}
	path := append(append([]string(nil), s.Path...), s.Title)
	if s.Title == doc.Title || s.Title == "" {
		path = path[:len(path)-1]
	}
	for {
		h := title
		if len(path) > 0 {
			h += ": " + strings.Join(path, " > ")
		}
		if n := counter.Count(h); n <= limit || h == "" {
			return h, n
		}
		switch {
		case len(path) > 1:
			path = path[1:]
		case len(title) > 40:
			title = shorten(title)
		case len(path) == 1 && len(path[0]) > 40:
			path[0] = shorten(path[0])
		case len(path) == 1:
			path = nil
		default:
			title = shorten(title)
		}
	}
}

func mentions(title string, names []document.Name) bool {
	title = strings.ToLower(title)
	for _, n := range names {
		if strings.Contains(title, strings.ToLower(n.Text)) {
			return true
		}
	}
	return false
}

// shorten takes the last quarter of s off, at a word where there is one.
func shorten(s string) string {
	to := len(s) * 3 / 4
	if i := strings.LastIndexByte(s[:to], ' '); i > 0 {
		to = i
	}
	for to > 0 && !utf8.RuneStart(s[to]) {
		to--
	}
	return strings.TrimRight(s[:to], " ,;:(")
}

// piece is a sentence, or a part of one that is too long, with its cost.
type piece struct {
	Span
	tokens int
	para   int // which paragraph of the section it is in
}

type packer struct {
	counter Counter
	text    string
	budget  int // tokens of text in a passage
	opt     Options
	base    Passage
	out     []Passage

	cur   []piece // of the passage that is being filled
	fresh int     // how many at its start are repeated from the one before
	size  int     // tokens of cur
}

// section packs what stands between sentences that could not be read in full. Those
// are in no passage: what is in none can be neither found nor quoted, and no span
// of a passage runs over them.
func (p *packer) section() {
	for _, pieces := range p.pieces() {
		p.pack(pieces)
		p.cur, p.fresh, p.size = nil, 0, 0
	}
}

func (p *packer) pack(pieces []piece) {
	for i := 0; i < len(pieces); {
		end, tokens := i, 0
		for end < len(pieces) && pieces[end].para == pieces[i].para {
			tokens += pieces[end].tokens
			end++
		}
		own := p.size - sum(p.cur[:p.fresh])
		fits := p.size+tokens <= p.budget
		short := own < p.opt.MergeUnder || tokens < p.opt.MergeUnder
		if len(p.cur) > p.fresh && !(fits && short) && own >= p.opt.MergeUnder {
			p.flush(pieces[i].tokens, min(tokens, p.budget))
		}
		for _, s := range pieces[i:end] {
			if len(p.cur) > 0 && p.size+s.tokens > p.budget {
				p.flush(s.tokens, 0)
			}
			p.cur = append(p.cur, s)
			p.size += s.tokens
		}
		i = end
	}
	p.flush(0, 0)
}

func sum(pieces []piece) int {
	n := 0
	for _, s := range pieces {
		n += s.tokens
	}
	return n
}

// flush writes the passage and begins the next with its last sentences, as many
// as Overlap allows and leave room for next, the first new sentence, and where
// whole is not 0 for the whole paragraph of that size.
func (p *packer) flush(next, whole int) {
	if len(p.cur) <= p.fresh {
		p.cur, p.fresh, p.size = nil, 0, 0 // only what the passage before has already
		return
	}
	p.write(p.cur)
	room := min(p.opt.Overlap, p.budget-max(next, whole))
	if next == 0 {
		room = 0
	}
	from, size := len(p.cur), 0
	for from > 1 && size+p.cur[from-1].tokens <= room {
		from--
		size += p.cur[from].tokens
	}
	p.cur = append([]piece(nil), p.cur[from:]...)
	p.fresh, p.size = len(p.cur), size
}

// write appends a passage of the pieces, or more of them where the counter
// finds the whole dearer than its parts.
func (p *packer) write(pieces []piece) {
	for len(pieces) > 0 {
		n, tokens := len(pieces), 0
		for ; ; n-- {
			tokens = p.counter.Count(p.text[pieces[0].Start:pieces[n-1].End])
			if tokens <= p.budget || n == 1 {
				break
			}
		}
		out := p.base
		out.Span = Span{pieces[0].Start, pieces[n-1].End}
		out.Tokens += tokens
		for _, s := range pieces[:n] {
			out.Sentences = append(out.Sentences, s.Span)
		}
		p.out = append(p.out, out)
		pieces = pieces[n:]
	}
}

// pieces are the sentences of the section, those too long cut, parted where one
// could not be read.
func (p *packer) pieces() [][]piece {
	var all [][]piece
	var out []piece
	para, end := 0, 0
	for _, s := range Sentences(p.text) {
		if strings.Count(p.text[end:s.Start], "\n") > 1 {
			para++
		}
		end = s.End
		if !document.Quotable(p.text[s.Start:s.End]) {
			if len(out) > 0 {
				all, out = append(all, out), nil
			}
			continue
		}
		n := p.counter.Count(p.text[s.Start:s.End])
		if n <= p.budget {
			out = append(out, piece{s, n, para})
			continue
		}
		for _, c := range p.cut(s) {
			out = append(out, piece{c, p.counter.Count(p.text[c.Start:c.End]), para})
		}
	}
	if len(out) > 0 {
		all = append(all, out)
	}
	return all
}

// cut parts a sentence into pieces of at most the budget: after the last clause
// mark in the second half of what fits, else after a word, else anywhere
// between two characters.
func (p *packer) cut(s Span) []Span {
	var out []Span
	for s.Start < s.End {
		rest := p.text[s.Start:s.End]
		to := p.fitting(rest)
		if to < len(rest) {
			to = cutPoint(rest, to)
		}
		out = appendTrimmed(out, p.text, s.Start, s.Start+to)
		s.Start += to
	}
	return out
}

// fitting is the length of the longest start of s that is within the budget,
// found by bisection; at least one character.
func (p *packer) fitting(s string) int {
	// A token is seldom longer than 24 bytes: look no further than that at first.
	lo, hi := 1, len(s)
	if far := p.budget * 24; hi > far {
		hi = far
	}
	if hi == len(s) && p.counter.Count(s) <= p.budget {
		return hi
	}
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if p.counter.Count(s[:runeEnd(s, mid)]) <= p.budget {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	to := runeEnd(s, lo)
	for to > 0 && p.counter.Count(s[:to]) > p.budget {
		_, n := utf8.DecodeLastRuneInString(s[:to])
		to -= n
	}
	if to == 0 {
		_, to = utf8.DecodeRuneInString(s)
	}
	return to
}

// runeEnd is at, or the end of the character that at is in.
func runeEnd(s string, at int) int {
	for at < len(s) && !utf8.RuneStart(s[at]) {
		at++
	}
	return at
}

// cutPoint is where to cut s, at most at to.
func cutPoint(s string, to int) int {
	word := strings.LastIndexAny(s[:min(to+1, len(s))], " \n")
	if word <= 0 {
		return to
	}
	for _, marks := range []string{";", ",:|)]", "–—"} {
		for at := word; at > to/2; at = strings.LastIndexAny(s[:at], " \n") {
			if _, n := utf8.DecodeLastRuneInString(s[:at]); strings.Contains(marks, s[at-n:at]) {
				return at
			}
		}
	}
	return word
}
