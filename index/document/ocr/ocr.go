// Package ocr reads pictures of pages with tesseract, which runs as a program of
// its own. What it gives are words and rules where they stand, for package layout.
//
// A number or unit counts only where two readings with different networks, on
// different renderings of the line, say the same, and where the ink agrees: as many
// shapes as characters, a point where a point is read and nowhere else. All else is
// Unreadable. See DESIGN.md.
package ocr

import (
	"context"
	"errors"
	"image"
	"sort"
	"time"

	"rxedge/index/document/layout"
)

// Unreadable stands in the text for what was not read with confidence.
const Unreadable = "[unreadable]"

// Errors that concern the machine and not the picture.
var (
	// ErrAbsent: there is no tesseract here.
	ErrAbsent = errors.New("tesseract is not installed")
	// ErrLanguage: tesseract is here, and not both of the models that are needed.
	ErrLanguage = errors.New("tesseract has not the models that are needed (eng, osd and another of Latin script)")
	// ErrTime: one page took longer than its limit.
	ErrTime = errors.New("reading the picture took too long")
	// ErrFailed: tesseract ended with an error, or with output that is none.
	ErrFailed = errors.New("tesseract failed")
)

// Config is how tesseract is found and bounded.
type Config struct {
	Path     string        // "" is the one on PATH
	PageTime time.Duration // for each run; 0 is 10 minutes
	Memory   uint64        // bytes of address space of each run; 0 is 1 GiB
}

// Result is what was read of one page.
type Result struct {
	Page layout.Page
	// Words that stand on the page, as far as was seen, and those of them that are
	// Unreadable; the same of those that hold a number or unit.
	Words, Unread          int
	Numbers, NumbersUnread int
	Turned                 int     // by how many quarters the page was turned, clockwise
	Skew                   float64 // degrees by which it was tilted, clockwise
	Blank                  bool    // there is no ink on it
	Reader                 string  // program, version and models
}

// ReadShare is the share of the words that could be read, 0 to 1.
func (r Result) ReadShare() float64 {
	if r.Words == 0 {
		return 0
	}
	return 1 - float64(r.Unread)/float64(r.Words)
}

// Least is the share of the words of a page that must be readable, and that of its
// numbers: below it the page says too little to be used.
const (
	LeastWords   = 0.85
	LeastNumbers = 0.60
)

// Readable says whether enough of the page was read. A page with few words needs
// no share of them to be numbers.
func (r Result) Readable() bool {
	if r.Words == 0 {
		return false
	}
	return r.ReadShare() >= LeastWords && (r.Numbers < 5 || float64(r.Numbers-r.NumbersUnread) >= LeastNumbers*float64(r.Numbers))
}

// word is a word on its way, in pixels of the page as it was straightened.
type word struct {
	text   string
	box    image.Rectangle
	conf   float64 // 0 to 100
	raised []bool  // for each rune of text, where the ink shows it
	lost   bool    // it is Unreadable
	shape  shape
}

// line is a line of words as the first reading found it.
type line struct {
	words []*word
	box   image.Rectangle
	base  float64 // y of the line on which it is written
	size  float64 // of the font, in pixels
}

// Read reads one page. dpi says how many dots of the picture are an inch; below
// about 100 nothing is read with confidence.
func (e *Engine) Read(ctx context.Context, picture *image.Gray, dpi float64, number int) (Result, error) {
	res := Result{Reader: e.String()}
	res.Page.Number = number
	if dpi < workDPI*0.95 || dpi > workDPI*1.05 {
		picture = scaled(picture, workDPI/dpi, paperOf(picture))
	}
	s, err := e.straighten(ctx, picture, &res)
	if err != nil || res.Blank {
		return res, err
	}
	lines, err := e.first(ctx, s)
	if err != nil {
		return res, err
	}
	if poor(lines) {
		// It may stand on its head: that is asked only where reading fails, for the
		// answer costs as much as a reading.
		turn, err := e.orientation(ctx, s.grey)
		if err != nil {
			return res, err
		}
		if turn != 0 {
			s = newSheet(quarter(s.grey, turn))
			res.Turned = (res.Turned + turn) % 4
			if lines, err = e.first(ctx, s); err != nil {
				return res, err
			}
		}
	}
	s.measure(lines)
	if err := e.second(ctx, s, lines); err != nil {
		return res, err
	}
	lines = append(lines, s.overlooked(lines)...)
	res.count(lines)
	res.Page = s.page(number, lines, 72.0/workDPI)
	return res, nil
}

func (r *Result) count(lines []*line) {
	for _, l := range lines {
		for _, w := range l.words {
			r.Words++
			n := matters(w.text)
			if n {
				r.Numbers++
			}
			if w.lost {
				r.Unread++
				if n {
					r.NumbersUnread++
				}
			}
		}
	}
}

// poor says that what was read is hardly text.
func poor(lines []*line) bool {
	var all []float64
	for _, l := range lines {
		for _, w := range l.words {
			all = append(all, w.conf)
		}
	}
	if len(all) < 3 {
		return true
	}
	sort.Float64s(all)
	return all[len(all)/2] < 75
}

// page makes what layout reads; scale is points to a pixel.
func (s *sheet) page(number int, lines []*line, scale float64) layout.Page {
	p := layout.Page{Number: number}
	for _, l := range lines {
		for _, w := range l.words {
			p.Words = append(p.Words, s.written(l, w, scale)...)
		}
	}
	for _, r := range s.rules {
		p.Rules = append(p.Rules, layout.Rule{X0: float64(r.X0) * scale, Y0: float64(r.Y0) * scale, X1: float64(r.X1) * scale, Y1: float64(r.Y1) * scale})
	}
	return p
}

// written is a word as layout takes it: what stands raised in it is a word of its
// own that is glued to the rest.
func (s *sheet) written(l *line, w *word, scale float64) []layout.Word {
	whole := layout.Word{Text: w.text, X0: float64(w.box.Min.X) * scale, Y0: float64(w.box.Min.Y) * scale, X1: float64(w.box.Max.X) * scale, Y1: float64(w.box.Max.Y) * scale,
		Base: l.base * scale, Size: l.size * scale, Bold: w.shape.bold}
	if w.lost {
		whole.Text = Unreadable
		return []layout.Word{whole}
	}
	runes := []rune(w.text)
	if len(w.raised) != len(runes) {
		return []layout.Word{whole}
	}
	var out []layout.Word
	width := (whole.X1 - whole.X0) / float64(len(runes))
	for i := 0; i < len(runes); {
		j := i
		for j < len(runes) && w.raised[j] == w.raised[i] {
			j++
		}
		part := whole
		part.Text = string(runes[i:j])
		part.X0, part.X1 = whole.X0+float64(i)*width, whole.X0+float64(j)*width
		part.Glue = i > 0
		if w.raised[i] {
			part.Size, part.Base = 0.6*whole.Size, whole.Base-0.35*whole.Size
		}
		out = append(out, part)
		i = j
	}
	return out
}
