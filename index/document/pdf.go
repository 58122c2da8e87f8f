package document

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"rxedge/index/document/layout"
	"rxedge/index/document/pdf"
)

// maxPages of one PDF.
const maxPages = 20_000

// looksLikePDF: the mark may stand a little way into the file.
func looksLikePDF(head []byte) bool {
	return strings.Contains(string(head[:min(len(head), 1024)]), "%PDF-")
}

// parsePDF reads page after page; of each, its lines are kept and nothing else.
func (r *reader) parsePDF(base string, src io.ReadSeeker, size int64) error {
	clock := newFileTime(r.ctx, r.opt.MaxFileTime)
	defer clock.end()
	read := 0
	f, err := pdf.Open(clock.ctx, src, size, pdf.Config{CacheDir: r.opt.CacheDir, PageTime: min(time.Minute, r.opt.MaxFileTime)})
	if err != nil {
		return r.pdfProblem(err, clock, 0, 0)
	}
	defer f.Close()
	if f.Pages() > maxPages {
		return Problem{Reason: fmt.Sprintf("%d pages are over the limit of %d for one document", f.Pages(), maxPages), Fix: "split the document"}
	}
	text := layout.NewReader()
	scan := &scanner{r: r, text: text}
	for ; read < f.Pages(); read++ {
		p, err := f.Page(read)
		if err != nil {
			return r.pdfProblem(err, clock, read, f.Pages())
		}
		if letters := p.Letters(); letters < 8 && p.Pictures > 0.2 || p.Unmapped > letters/5 && p.Unmapped > 8 || p.Hidden {
			g, err := f.Picture(read, 300, maxDots)
			if err != nil {
				return r.pdfProblem(err, clock, read, f.Pages())
			}
			dpi := 300.0
			if p.Width > 0 {
				dpi = float64(g.Bounds().Dx()) * 72 / p.Width
			}
			if err := clock.pause(func() error { return scan.page(g, dpi, read+1, f.Pages()) }); err != nil {
				return err
			}
		} else {
			for _, l := range p.Layouts(read + 1) {
				text.Add(l)
			}
		}
		if r.opt.Progress != nil {
			r.pages(read+1, f.Pages())
		}
	}
	d := &Document{Kind: KindPDF, Source: base, ID: derivedID(base), Notice: scan.notice(f.Pages())}
	if err := fromLayout(d, text.Elements(), r.opt); err != nil {
		return err
	}
	return r.emit(d)
}

// maxDots of a page that is drawn: A3 at 300 dpi has 17 million. What is larger is
// drawn at fewer dots to the inch.
const maxDots = 24_000_000

// pages tells how far a file of pages has come.
func (r *reader) pages(done, of int) {
	p := r.total
	p.File, p.Page, p.Pages = r.file0, done, of
	r.opt.Progress(p)
}

// pdfProblem says what is wrong with a file; page is that at which it ended.
func (r *reader) pdfProblem(err error, clock *fileTime, page, pages int) error {
	if e := r.ctx.Err(); e != nil {
		return e
	}
	at := ""
	if pages > 0 {
		at = fmt.Sprintf(" at page %d of %d", page+1, pages)
	}
	switch {
	case errors.Is(err, pdf.ErrPassword):
		return Problem{Reason: "an encrypted PDF that needs a password", Fix: "save it without a password"}
	case errors.Is(err, pdf.ErrSecurity):
		return Problem{Reason: "a PDF that is encrypted in a way that cannot be read", Fix: "save it without encryption"}
	case errors.Is(err, pdf.ErrDamaged):
		return Problem{Reason: "a PDF that is damaged" + at, Fix: "fetch it again, or save it anew with a PDF program"}
	case errors.Is(err, pdf.ErrTime), clock.late():
		return Problem{Reason: fmt.Sprintf("a PDF that took too long%s (the limit is %s for a file)", at, r.opt.MaxFileTime), Fix: "split the document, or save it anew with a PDF program"}
	}
	if pages == 0 {
		return Problem{Reason: "a PDF, and the engine that reads PDFs does not start here (" + plainError(err) + ")", Fix: "let the service make memory executable (MemoryDenyWriteExecute=no), or give the text"}
	}
	return Problem{Reason: "a PDF that cannot be read" + at, Fix: "save it anew with a PDF program"}
}

// fromLayout makes the sections of a document of what its pages say.
func fromLayout(d *Document, elements []layout.Element, opt Options) error {
	root := &node{name: "body"}
	page := 0 // of what was written last in this section
	mark := func(p int) string {
		if p == page {
			return ""
		}
		page = p
		return pageMark(p)
	}
	title := ""
	for _, e := range elements {
		switch e.Kind {
		case layout.Heading:
			n := &node{name: fmt.Sprintf("h%d", max(1, min(e.Level, 6)))}
			for i, run := range e.Runs {
				if i == 0 && title == "" && run.Page == 1 {
					title = plain(e.Runs)
				}
				n.kids = append(n.kids, raised(run.Text)...)
			}
			root.kids = append(root.kids, n)
			page = 0
		case layout.Table:
			t := &node{name: "table"}
			for _, row := range e.Rows {
				tr := &node{name: "tr"}
				m := mark(row.Page)
				for _, c := range row.Cells {
					td := &node{name: "td"}
					if c != "" && m != "" {
						td.kids = append(td.kids, &node{text: m})
						m = ""
					}
					td.kids = append(td.kids, raised(c)...)
					tr.kids = append(tr.kids, td)
				}
				t.kids = append(t.kids, tr)
			}
			root.kids = append(root.kids, t)
		default:
			n := &node{name: "p"}
			for i, run := range e.Runs {
				text := run.Text
				if i == 0 && e.Kind == layout.Item {
					n.name = "li"
					text, _ = strings.CutPrefix(text, bulletOf(text))
					text = strings.TrimLeft(text, " ")
				} else if i > 0 && strings.HasPrefix(text, " ") {
					n.kids = append(n.kids, &node{text: " "})
					text = text[1:]
				}
				if m := mark(run.Page); m != "" {
					n.kids = append(n.kids, &node{text: m})
				}
				n.kids = append(n.kids, raised(text)...)
			}
			if n.name == "li" {
				if k := len(root.kids); k > 0 && root.kids[k-1].name == "ul" {
					root.kids[k-1].kids = append(root.kids[k-1].kids, n)
					continue
				}
				n = &node{name: "ul", kids: []*node{n}}
			}
			root.kids = append(root.kids, n)
		}
	}
	top, h1, err := headed(root, opt)
	if err != nil {
		return err
	}
	d.Title = first(withoutMarks(h1), title, strings.TrimSuffix(d.Source, filepath.Ext(d.Source)))
	d.Sections = assemble(d.ID, top)
	settlePlaces(d)
	return nil
}

func bulletOf(s string) string {
	f, _, _ := strings.Cut(s, " ")
	if len(f) > 0 && len([]rune(f)) == 1 && !strings.ContainsAny(f, "0123456789") {
		return f
	}
	return ""
}

func plain(runs []layout.Run) string {
	var b strings.Builder
	for _, r := range runs { // a title is plain
		b.WriteString(strings.Map(func(r rune) rune {
			if r == layout.RaiseStart || r == layout.RaiseEnd {
				return -1
			}
			return r
		}, r.Text))
	}
	return oneLine(b.String())
}

// raised makes nodes of a text in which superscripts are marked.
func raised(s string) []*node {
	var out []*node
	for s != "" {
		before, rest, ok := strings.Cut(s, string(layout.RaiseStart))
		if before = clean(before); before != "" {
			out = append(out, &node{text: before})
		}
		if !ok {
			break
		}
		up, after, _ := strings.Cut(rest, string(layout.RaiseEnd))
		out = append(out, &node{name: "sup", kids: []*node{{text: clean(up)}}})
		s = after
	}
	return out
}
