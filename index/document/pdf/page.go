package pdf

import (
	"math"
	"strings"
	"unicode"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// Page is what is written and drawn on a page, in points, the origin at the top
// left of what is shown, y downwards.
type Page struct {
	Glyphs []Glyph
	Rules  []Rule
	// Pictures is the share of the page that images cover, 0 to 1.
	Pictures float64
	// Hidden says that a picture covers the page and the text is not what is seen:
	// it is drawn invisibly, or under the picture, as the text layers of scanners
	// are. It may differ from what the picture shows.
	Hidden bool
	// Width and Height of what is shown.
	Width, Height float64
	// Unmapped is the number of glyphs of which the file does not say what
	// letter they are.
	Unmapped int
}

// Glyph is one character where it stands.
type Glyph struct {
	R              rune
	X0, Y0, X1, Y1 float64 // its ink; a space has the box of its advance, or none
	Size           float64 // of the font, in points
	Bold           bool
	Turn           int // quarter turns of the text on the page, clockwise; -1 aslant
	Hyphen         bool
	Fixed          bool // the font gives all its characters one width
}

// Rule is a line, or an edge of a box.
type Rule struct {
	X0, Y0, X1, Y1 float64
}

// What is taken of one page.
const (
	maxGlyphs  = 200_000
	maxObjects = 20_000
)

type pageReader struct {
	inst pdfium.Pdfium
	page requests.Page
	turn int
	w, h float64 // of the page before it is turned
}

func (r *pageReader) read() (Page, error) {
	var p Page
	rot, err := r.inst.FPDFPage_GetRotation(&requests.FPDFPage_GetRotation{Page: r.page})
	if err != nil {
		return p, ErrDamaged
	}
	r.turn = int(rot.PageRotation)
	size, err := r.inst.GetPageSize(&requests.GetPageSize{Page: r.page})
	if err != nil {
		return p, ErrDamaged
	}
	r.w, r.h = size.Width, size.Height
	p.Width, p.Height = size.Width, size.Height
	if r.turn%2 == 1 {
		r.w, r.h = r.h, r.w
	}
	if err := r.glyphs(&p); err != nil {
		return p, err
	}
	return p, r.objects(&p)
}

// at turns a box of the page's own space, y upwards, into what is shown.
func (r *pageReader) at(x0, y0, x1, y1 float64) (float64, float64, float64, float64) {
	switch r.turn {
	case 1:
		x0, y0, x1, y1 = y0, x0, y1, x1
	case 2:
		x0, x1 = r.w-x1, r.w-x0
	case 3:
		x0, y0, x1, y1 = r.h-y1, r.w-x1, r.h-y0, r.w-x0
	default:
		y0, y1 = r.h-y1, r.h-y0
	}
	return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
}

func (r *pageReader) glyphs(p *Page) error {
	chars, err := r.inst.GetPageTextStructured(&requests.GetPageTextStructured{Page: r.page, Mode: requests.GetPageTextStructuredModeChars})
	if err != nil {
		return ErrDamaged
	}
	if len(chars.Chars) == 0 {
		return nil
	}
	if len(chars.Chars) > maxGlyphs {
		chars.Chars = chars.Chars[:maxGlyphs]
	}
	loaded, err := r.inst.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: r.page})
	if err != nil {
		return ErrDamaged
	}
	defer r.inst.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: loaded.TextPage})
	var font font
	fresh, unsure, foot := true, false, 0.0
	for i, c := range chars.Chars {
		b := c.PointPosition
		ru, _ := decode(c.Text)
		switch {
		case ru == 0 || ru == 0xfffd || ru == 0xffff:
			p.Unmapped++
			fresh = true
			continue
		case ru == '\r' || ru == '\n':
			fresh = true
			continue
		}
		g := Glyph{R: ru}
		if ru == 0x02 || ru == 0xfffe { // PDFium's mark of a hyphen at the end of a line
			g.R, g.Hyphen = '-', true
		}
		if unicode.Is(unicode.Co, g.R) {
			if s := symbol(g.R); s != 0 {
				g.R = s
			} else {
				p.Unmapped++
				continue
			}
		}
		g.X0, g.Y0, g.X1, g.Y1 = r.at(b.Left, b.Bottom, b.Right, b.Top)
		if unicode.IsSpace(g.R) {
			fresh = true
			g.R = ' '
		} else {
			// The font is asked for where a word begins, and where a letter stands at
			// another height than the one before.
			moved := onLine(g.R) && math.Abs(g.Y1-foot) > 0.1*font.size
			if fresh || moved || unsure || strings.ContainsRune("-−–+", g.R) { // 10⁻³
				font = r.font(loaded.TextPage, i)
				fresh, unsure = false, moved && !fresh
			}
			if onLine(g.R) {
				foot = g.Y1
			}
		}
		g.Size, g.Bold, g.Fixed = font.size, font.bold, font.fixed
		g.Turn = quarter(c.Angle, r.turn)
		p.Glyphs = append(p.Glyphs, g)
	}
	return nil
}

func decode(s string) (rune, bool) {
	for _, r := range s {
		return r, true
	}
	return 0, false
}

// symbol is what a private code of the Symbol and Wingdings fonts shows.
func symbol(r rune) rune {
	switch r {
	case 0xf0b7, 0xf0a7, 0xf06c, 0xf06e, 0xf0d8, 0xf076, 0xf09f, 0xf0a8:
		return '•'
	case 0xf0b3:
		return '≥'
	case 0xf0a3:
		return '≤'
	case 0xf0b1:
		return '±'
	case 0xf0b4:
		return '×'
	case 0xf06d:
		return 'µ'
	case 0xf0b0:
		return '°'
	case 0xf061:
		return 'α'
	case 0xf062:
		return 'β'
	case 0xf0ae:
		return '→'
	}
	return 0
}

// quarter is how many quarter turns the text is turned on the page as it is
// shown, clockwise; -1 where it is aslant.
func quarter(angle float64, page int) int {
	q := angle / (math.Pi / 2)
	n := math.Round(q)
	if math.Abs(q-n) > 0.1 {
		return -1
	}
	// The angle counts clockwise where y runs downwards.
	return ((int(n)+page)%4 + 4) % 4
}

type font struct {
	size  float64
	bold  bool
	fixed bool
}

func (r *pageReader) font(text references.FPDF_TEXTPAGE, i int) font {
	var f font
	if s, err := r.inst.FPDFText_GetFontSize(&requests.FPDFText_GetFontSize{TextPage: text, Index: i}); err == nil {
		f.size = s.FontSize
	}
	if m, err := r.inst.FPDFText_GetMatrix(&requests.FPDFText_GetMatrix{TextPage: text, Index: i}); err == nil {
		if k := math.Hypot(float64(m.Matrix.C), float64(m.Matrix.D)); k > 0 {
			f.size *= k
		}
	}
	if w, err := r.inst.FPDFText_GetFontWeight(&requests.FPDFText_GetFontWeight{TextPage: text, Index: i}); err == nil && w.FontWeight >= 600 {
		f.bold = true
	}
	if info, err := r.inst.FPDFText_GetFontInfo(&requests.FPDFText_GetFontInfo{TextPage: text, Index: i}); err == nil {
		name := strings.ToLower(info.FontName)
		for _, mark := range []string{"bold", "black", "heavy", "-bd", "semibold"} {
			f.bold = f.bold || strings.Contains(name, mark)
		}
		f.bold = f.bold || info.Flags&(1<<18) != 0
		f.fixed = info.Flags&1 != 0
	}
	if f.size <= 0 || math.IsNaN(f.size) || f.size > 2000 {
		f.size = 10
	}
	return f
}

// thin is the greatest width of a rule, in points.
const thin = 3

func (r *pageReader) objects(p *Page) error {
	n, err := r.inst.FPDFPage_CountObjects(&requests.FPDFPage_CountObjects{Page: r.page})
	if err != nil {
		return ErrDamaged
	}
	area := r.w * r.h
	cover, text := -1, -1 // the last picture that covers most of the page; the last text that is seen
	for i := range min(n.Count, maxObjects) {
		o, err := r.inst.FPDFPage_GetObject(&requests.FPDFPage_GetObject{Page: r.page, Index: i})
		if err != nil {
			continue
		}
		kind, err := r.inst.FPDFPageObj_GetType(&requests.FPDFPageObj_GetType{PageObject: o.PageObject})
		if err != nil {
			continue
		}
		if kind.Type == enums.FPDF_PAGEOBJ_TEXT {
			if m, err := r.inst.FPDFTextObj_GetTextRenderMode(&requests.FPDFTextObj_GetTextRenderMode{PageObject: o.PageObject}); err != nil || m.TextRenderMode != enums.FPDF_TEXTRENDERMODE_INVISIBLE && m.TextRenderMode != enums.FPDF_TEXTRENDERMODE_CLIP {
				text = i
			}
			continue
		}
		b, err := r.inst.FPDFPageObj_GetBounds(&requests.FPDFPageObj_GetBounds{PageObject: o.PageObject})
		if err != nil {
			continue
		}
		x0, y0, x1, y1 := r.at(float64(b.Left), float64(b.Bottom), float64(b.Right), float64(b.Top))
		switch kind.Type {
		case enums.FPDF_PAGEOBJ_IMAGE, enums.FPDF_PAGEOBJ_FORM:
			if kind.Type == enums.FPDF_PAGEOBJ_IMAGE && area > 0 {
				share := max(0, (x1-x0)*(y1-y0)/area)
				p.Pictures += share
				if share > 0.5 {
					cover = i
				}
			} else {
				text = i // a form may hold any text
			}
		case enums.FPDF_PAGEOBJ_PATH:
			w, h := x1-x0, y1-y0
			switch {
			case w > 0.95*r.w && h > 0.5*r.h || w*h > 0.9*area: // the paper
			case h <= thin && w > 2*thin:
				y := (y0 + y1) / 2
				p.Rules = append(p.Rules, Rule{x0, y, x1, y})
			case w <= thin && h > 2*thin:
				x := (x0 + x1) / 2
				p.Rules = append(p.Rules, Rule{x, y0, x, y1})
			case w > 2*thin && h > 2*thin:
				p.Rules = append(p.Rules, Rule{x0, y0, x1, y0}, Rule{x0, y1, x1, y1}, Rule{x0, y0, x0, y1}, Rule{x1, y0, x1, y1})
			}
		}
	}
	p.Pictures = min(p.Pictures, 1)
	p.Hidden = cover >= 0 && text < cover
	return nil
}

// Letters is how many letters and digits the page has.
func (p Page) Letters() int {
	n := 0
	for _, g := range p.Glyphs {
		if unicode.IsLetter(g.R) || unicode.IsDigit(g.R) {
			n++
		}
	}
	return n
}
