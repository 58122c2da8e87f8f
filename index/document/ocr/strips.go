package ocr

import (
	"context"
	"image"
	"sort"
)

// strip is a piece of a page, a cell or a line, as it stands in a picture of many.
type strip struct {
	from  image.Rectangle // on the page
	at    int             // y in the picture
	scale float64
}

// In pixels of the picture of strips.
const (
	stripMargin = 24
	stripGap    = 28
	// maxStack is how high the picture of strips may be: tesseract takes 32,767.
	maxStack = 12_000
)

// pile is strips one below the other, read in one run: starting a program for
// each would take most of the time.
type pile struct {
	grey   *image.Gray
	strips []strip
}

// drawing puts the part of the page in r into a picture of its own.
type drawing func(r image.Rectangle) *image.Gray

// piles lays out the parts of the page in as many pictures as they need.
func piles(parts []image.Rectangle, draw drawing, scale float64, paper uint8) []pile {
	var out []pile
	for len(parts) > 0 {
		w, h, n := 0, stripMargin, 0
		for ; n < len(parts); n++ {
			step := int(float64(parts[n].Dy())*scale) + 1 + stripGap
			if n > 0 && h+step > maxStack {
				break
			}
			w = max(w, int(float64(parts[n].Dx())*scale)+1)
			h += step
		}
		p := pile{grey: image.NewGray(image.Rect(0, 0, w+2*stripMargin, h+stripMargin))}
		for i := range p.grey.Pix {
			p.grey.Pix[i] = paper
		}
		y := stripMargin
		for _, r := range parts[:n] {
			pic := draw(r)
			if scale != 1 {
				pic = scaled(pic, scale, paper)
			}
			for dy := range pic.Bounds().Dy() {
				copy(p.grey.Pix[p.grey.PixOffset(stripMargin, y+dy):], pic.Pix[pic.PixOffset(pic.Bounds().Min.X, pic.Bounds().Min.Y+dy):pic.PixOffset(pic.Bounds().Min.X, pic.Bounds().Min.Y+dy)+pic.Bounds().Dx()])
			}
			p.strips = append(p.strips, strip{from: r, at: y, scale: scale})
			y += pic.Bounds().Dy() + stripGap
		}
		out = append(out, p)
		parts = parts[n:]
	}
	return out
}

// home finds the strip that a box of the picture lies in, and where it is on the
// page; -1 where it lies between two.
func (p *pile) home(b image.Rectangle) (int, image.Rectangle) {
	mid := (b.Min.Y + b.Max.Y) / 2
	i := sort.Search(len(p.strips), func(i int) bool { return p.strips[i].at > mid }) - 1
	if i < 0 {
		return -1, b
	}
	s := p.strips[i]
	if mid > s.at+int(float64(s.from.Dy())*s.scale)+stripGap/2 {
		return -1, b
	}
	x := func(v int) int { return s.from.Min.X + int(float64(v-stripMargin)/s.scale+0.5) }
	y := func(v int) int { return s.from.Min.Y + int(float64(v-s.at)/s.scale+0.5) }
	return i, image.Rect(x(b.Min.X), y(b.Min.Y), x(b.Max.X), y(b.Max.Y))
}

// first reads the page: its cells one by one, all else as it stands.
func (e *Engine) first(ctx context.Context, s *sheet) ([]*line, error) {
	open := image.NewGray(s.grey.Rect)
	copy(open.Pix, s.grey.Pix)
	var cells []image.Rectangle
	for _, c := range s.cells {
		c = c.Intersect(open.Rect)
		for y := c.Min.Y; y < c.Max.Y; y++ {
			row := open.Pix[open.PixOffset(c.Min.X, y) : open.PixOffset(c.Max.X-1, y)+1]
			for x := range row {
				row[x] = s.paper
			}
		}
		// Only what is written in it, so that every cell begins at the margin.
		var written image.Rectangle
		for _, i := range s.ink.in(c) {
			if b := s.ink.all[i]; b.area >= speck {
				written = written.Union(b.box)
			}
		}
		if !written.Empty() {
			cells = append(cells, written.Inset(-6).Intersect(c))
		}
	}
	lines, err := e.words(ctx, open, firstModel, 3)
	if err != nil {
		return nil, err
	}
	draw := func(r image.Rectangle) *image.Gray { return s.grey.SubImage(r).(*image.Gray) }
	for _, p := range piles(cells, draw, 1, s.paper) {
		read, err := e.words(ctx, p.grey, firstModel, 6)
		if err != nil {
			return nil, err
		}
		for _, l := range read {
			byCell := map[int]*line{}
			for _, w := range l.words {
				i, box := p.home(w.box)
				if i < 0 {
					continue
				}
				w.box = box
				to := byCell[i]
				if to == nil {
					to = &line{box: box}
					byCell[i] = to
					lines = append(lines, to)
				}
				to.words = append(to.words, w)
				to.box = to.box.Union(box)
			}
		}
	}
	return lines, nil
}

// secondScale is how large lines are drawn for the second reading.
const secondScale = 1.4

// second reads every line again, cut out by its own ink and drawn in black and
// white, larger, with the other network. What the two do not agree on is lost.
func (e *Engine) second(ctx context.Context, s *sheet, lines []*line) error {
	var parts []image.Rectangle
	byPart := map[image.Rectangle]int{}
	for i, l := range lines {
		box := l.box
		box.Min.X -= 8
		box.Max.X += 8
		box.Min.Y -= 3
		box.Max.Y += 3
		box = box.Intersect(s.grey.Rect)
		if _, twice := byPart[box]; twice || box.Empty() {
			for _, w := range l.words {
				w.lost = true
			}
			continue
		}
		byPart[box] = i
		parts = append(parts, box)
	}
	others := make([][]*word, len(lines))
	for _, p := range piles(parts, s.inkOf, secondScale, 255) {
		read, err := e.words(ctx, p.grey, e.other, 6)
		if err != nil {
			return err
		}
		for _, l := range read {
			for _, w := range l.words {
				if k, box := p.home(w.box); k >= 0 {
					i := byPart[p.strips[k].from]
					w.box = box
					others[i] = append(others[i], w)
				}
			}
		}
	}
	for i, l := range lines {
		s.judge(l, others[i])
	}
	if err := e.again(ctx, s, lines, others); err != nil {
		return err
	}
	for _, l := range lines {
		var words []*word
		for _, w := range l.words {
			words = append(words, s.spaced(l, w)...)
		}
		l.words = words
	}
	return nil
}

// inkOf draws the ink of one line, without what reaches into it from the lines
// above and below.
func (s *sheet) inkOf(r image.Rectangle) *image.Gray {
	out := image.NewGray(image.Rect(0, 0, r.Dx(), r.Dy()))
	for i := range out.Pix {
		out.Pix[i] = 255
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for _, u := range s.ink.runs[s.ink.rows[y]:s.ink.rows[y+1]] {
			x0, x1 := max(int(u.x0), r.Min.X), min(int(u.x1), r.Max.X)
			if x0 >= x1 {
				continue
			}
			b := s.ink.all[u.comp]
			if m := b.midY(); m < r.Min.Y || m >= r.Max.Y || b.area < speck/2 {
				continue
			}
			row := out.Pix[(y-r.Min.Y)*out.Stride:]
			for x := x0; x < x1; x++ {
				row[x-r.Min.X] = 0
			}
		}
	}
	return out
}
