package document

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"
	"time"

	"rxedge/index/document/layout"
	"rxedge/index/document/ocr"
)

// Unreadable stands in a Section's Text for a word that was seen on a scan and not
// read with confidence. A sentence that holds it must not be quoted.
const Unreadable = ocr.Unreadable

// scanner reads the pages of one file that are pictures.
type scanner struct {
	r      *reader
	engine *ocr.Engine
	text   *layout.Reader
	pages  []int
	words  int
	unread int
}

// page reads a picture as page n of pages.
func (s *scanner) page(g *image.Gray, dpi float64, n, pages int) error {
	if s.engine == nil {
		e, err := ocr.Find(s.r.ctx, ocr.Config{Path: s.r.opt.Tesseract, PageTime: s.r.opt.MaxPageTime})
		if err != nil {
			return s.problem(err, n, pages)
		}
		s.engine = e
	}
	res, err := s.engine.Read(s.r.ctx, g, dpi, n)
	if err != nil {
		return s.problem(err, n, pages)
	}
	if res.Blank {
		return nil
	}
	at := pageOf(n, pages)
	if res.Words == 0 {
		return Problem{Reason: at + " is a picture in which no text was found", Fix: "leave the page out, or scan it again at 300 dpi"}
	}
	if !res.Readable() {
		reason := fmt.Sprintf("%s: %d %% of the words could not be read with confidence", at, percent(res.Unread, res.Words))
		if res.ReadShare() >= ocr.LeastWords {
			reason = fmt.Sprintf("%s: %d %% of the numbers and units could not be read with confidence", at, percent(res.NumbersUnread, res.Numbers))
		}
		return Problem{Reason: reason, Fix: "scan it again at 300 dpi, straight and in grey, or give the document it was scanned from"}
	}
	s.text.Add(res.Page)
	s.pages = append(s.pages, n)
	s.words += res.Words
	s.unread += res.Unread
	return nil
}

// percent is rounded up: what is refused is never refused for 0 %.
func percent(n, of int) int { return (100*n + of - 1) / max(of, 1) }

func pageOf(n, pages int) string {
	if pages == 1 {
		return "the page"
	}
	return fmt.Sprintf("page %d of %d", n, pages)
}

const installFix = "apt-get install tesseract-ocr tesseract-ocr-eng tesseract-ocr-osd tesseract-ocr-deu"

func (s *scanner) problem(err error, n, pages int) error {
	if e := s.r.ctx.Err(); e != nil {
		return e
	}
	at := pageOf(n, pages)
	switch {
	case errors.Is(err, ocr.ErrAbsent):
		return Problem{Reason: at + " is a picture, and reading it needs tesseract, which is not here", Fix: installFix}
	case errors.Is(err, ocr.ErrLanguage):
		return Problem{Reason: at + " is a picture, and tesseract is here without two models to read it with", Fix: installFix}
	case errors.Is(err, ocr.ErrTime):
		return Problem{Reason: at + " is a picture that took too long to read", Fix: "scan it again at 300 dpi, one page on each picture"}
	case errors.Is(err, ocr.ErrLarge):
		return Problem{Reason: at + " is a picture with too many dots", Fix: "scan it again at 300 dpi"}
	case errors.Is(err, ocr.ErrDamaged):
		return Problem{Reason: at + " is a picture that is damaged, or of a form that is not read", Fix: "save it as PNG, JPEG or PDF"}
	}
	return Problem{Reason: at + " is a picture that tesseract could not read", Fix: "scan it again at 300 dpi, or give the document it was scanned from"}
}

// notice says what a reader must know of a text that was seen and not given.
func (s *scanner) notice(pages int) string {
	if len(s.pages) == 0 {
		return ""
	}
	what := "Read from a scan"
	if len(s.pages) < pages {
		what = fmt.Sprintf("%d of %d pages read from a scan", len(s.pages), pages)
	}
	if s.unread == 0 {
		return what + ": check it against the original."
	}
	return fmt.Sprintf("%s, %d of %d words unreadable: check it against the original.", what, s.unread, s.words)
}

// parsePictures reads a file that is a picture, or several.
func (r *reader) parsePictures(base string, src io.ReaderAt, size int64) error {
	s := &scanner{r: r, text: layout.NewReader()}
	p, err := ocr.OpenPictures(src, size)
	if err != nil {
		return s.problem(err, 1, 1)
	}
	for n := range p.Pages() {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		g, dpi, err := p.Grey(n)
		if err != nil {
			return s.problem(err, n+1, p.Pages())
		}
		if err := s.page(g, dpi, n+1, p.Pages()); err != nil {
			return err
		}
		if r.opt.Progress != nil {
			r.pages(n+1, p.Pages())
		}
	}
	d := &Document{Kind: KindPicture, Source: base, ID: derivedID(base), Notice: s.notice(p.Pages())}
	if err := fromLayout(d, s.text.Elements(), r.opt); err != nil {
		return err
	}
	return r.emit(d)
}

// fileTime bounds the reading of a file but for the recognition of its pictures,
// which is bounded page by page: a thousand scanned pages take hours.
type fileTime struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	left   time.Duration
	since  time.Time
}

func newFileTime(ctx context.Context, limit time.Duration) *fileTime {
	t := &fileTime{left: limit, since: time.Now()}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.timer = time.AfterFunc(limit, func() { t.cancel(context.DeadlineExceeded) })
	return t
}

// pause stops the clock while do works.
func (t *fileTime) pause(do func() error) error {
	if !t.timer.Stop() {
		return context.DeadlineExceeded
	}
	t.left -= time.Since(t.since)
	defer func() {
		t.since = time.Now()
		t.timer.Reset(max(t.left, 0))
	}()
	return do()
}

func (t *fileTime) late() bool { return errors.Is(context.Cause(t.ctx), context.DeadlineExceeded) }

func (t *fileTime) end() {
	t.timer.Stop()
	t.cancel(nil)
}

// Quotable says whether a piece of a Section's Text may be quoted: not where
// something in it could not be read.
func Quotable(text string) bool { return !strings.Contains(text, Unreadable) }
