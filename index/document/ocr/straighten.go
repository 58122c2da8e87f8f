package ocr

import (
	"context"
	"image"
	"math"

	"rxedge/index/document/layout"
)

// sheet is a page that stands upright and level.
type sheet struct {
	grey  *image.Gray // the rules taken out
	dpi   float64
	paper uint8
	rules []rule
	cells []image.Rectangle
	ink   *blobs
	cap   float64 // height of most capitals and digits, in pixels
	marks map[int32]bool
	// strict asks more of the ink: the holes of each digit.
	strict bool
}

// straighten turns the page by quarters, levels it, and takes it apart.
func (e *Engine) straighten(ctx context.Context, g *image.Gray, res *Result) (*sheet, error) {
	pts, share := points(inked(g, windowOf(g)))
	if share < 0.0002 {
		res.Blank = true
		return nil, nil
	}
	level, a := skew(pts)
	sideways := false
	if across, b := skew(swapped(pts)); across > 1.2*level {
		sideways, a = true, -b
	}
	if sideways {
		g = quarter(g, 1)
		res.Turned = 1
	}
	res.Skew = a
	if math.Abs(a) >= 0.04 {
		g = rotated(g, -a, paperOf(g))
	}
	if sideways { // to the one side or the other
		turn, err := e.orientation(ctx, g)
		if err != nil {
			return nil, err
		}
		g = quarter(g, turn)
		res.Turned = (res.Turned + turn) % 4
	}
	return newSheet(g), nil
}

// newSheet finds the rules and cells of a level page and takes the rules out.
func newSheet(g *image.Gray) *sheet {
	own := image.NewGray(image.Rect(0, 0, g.Bounds().Dx(), g.Bounds().Dy()))
	for y := range own.Bounds().Dy() {
		copy(own.Pix[y*own.Stride:(y+1)*own.Stride], g.Pix[g.PixOffset(g.Bounds().Min.X, g.Bounds().Min.Y+y):])
	}
	s := &sheet{grey: own, dpi: workDPI, paper: paperOf(own)}
	bits := inked(own, windowOf(own))
	s.rules = takeRules(bits, own, s.paper)
	const scale = 72.0 / workDPI
	var drawn []layout.Rule
	for _, r := range s.rules {
		drawn = append(drawn, layout.Rule{X0: float64(r.X0) * scale, Y0: float64(r.Y0) * scale, X1: float64(r.X1) * scale, Y1: float64(r.Y1) * scale})
	}
	for _, c := range layout.Cells(drawn) {
		s.cells = append(s.cells, image.Rect(int(c.X0/scale), int(c.Y0/scale), int(c.X1/scale), int(c.Y1/scale)))
	}
	s.ink = connected(bits)
	s.cells = append(s.cells, s.columns()...)
	return s
}

// workDPI is what pages are brought to: tesseract's networks read letters of about
// 30 pixels best.
const workDPI = 300

// windowOf is the width over which light is compared: about two lines of text.
func windowOf(*image.Gray) int { return workDPI / 6 }

// paperOf is the grey of the paper: that of most of what is light.
func paperOf(g *image.Gray) uint8 {
	var n [256]int
	for i := 0; i < len(g.Pix); i += 7 {
		n[g.Pix[i]]++
	}
	best := 255
	for v := 254; v > 110; v-- {
		if n[v] > n[best] {
			best = v
		}
	}
	return uint8(best)
}

type point struct{ x, y int32 }

// shrink is by how much the page is made smaller to find how it lies.
const shrink = 3

// points are the dots of ink of the page made smaller, and the share of it that
// is ink.
func points(b *bitmap) (out []point, share float64) {
	w, h := b.w/shrink, b.h/shrink
	if w == 0 || h == 0 {
		return nil, 0
	}
	for y := range h {
		for x := range w {
			n := 0
			for dy := range shrink {
				row := b.row(y*shrink + dy)
				for dx := range shrink {
					n += int(row[x*shrink+dx])
				}
			}
			if n >= 4 {
				out = append(out, point{int32(x), int32(y)})
			}
		}
	}
	share = float64(len(out)) / float64(w*h)
	// A picture or a dark edge has more dots than any text; a part of them will do.
	if step := len(out)/150_000 + 1; step > 1 {
		n := 0
		for i := 0; i < len(out); i += step {
			out[n] = out[i]
			n++
		}
		out = out[:n]
	}
	return out, share
}

func swapped(in []point) []point {
	out := make([]point, len(in))
	for i, p := range in {
		out[i] = point{p.y, p.x}
	}
	return out
}

// maxSkew in degrees that is looked for.
const maxSkew = 8.0

// skew finds by how many degrees lines of writing fall to the right: at that angle
// the profile of the rows is sharpest. It also says how sharp.
func skew(pts []point) (sharp, angle float64) {
	if len(pts) == 0 {
		return 0, 0
	}
	top := int32(0)
	for _, p := range pts {
		top = max(top, p.x, p.y)
	}
	bins := make([]int32, 3*int(top)+8)
	score := func(a float64) float64 {
		clear(bins)
		sin, cos := math.Sincos(a * math.Pi / 180)
		for _, p := range pts {
			bins[int(float64(p.y)*cos-float64(p.x)*sin)+int(top)+2]++
		}
		s := 0.0
		for i := 1; i < len(bins); i++ {
			d := float64(bins[i] - bins[i-1])
			s += d * d
		}
		return s
	}
	best := -1.0
	at := 0.0
	try := func(a float64) {
		if s := score(a); s > best {
			best, at = s, a
		}
	}
	coarse := pts
	if step := len(pts)/30_000 + 1; step > 1 {
		coarse = nil
		for i := 0; i < len(pts); i += step {
			coarse = append(coarse, pts[i])
		}
	}
	full := pts
	pts = coarse
	for a := -maxSkew; a <= maxSkew; a += 0.25 {
		try(a)
	}
	pts, best = full, -1
	for _, step := range []float64{0.1, 0.02} {
		mid := at
		for i := -4; i <= 4; i++ {
			try(mid + float64(i)*step)
		}
	}
	return best, at
}

// quarter turns g clockwise by n quarters.
func quarter(g *image.Gray, n int) *image.Gray {
	b := g.Bounds()
	w, h := b.Dx(), b.Dy()
	n = (n%4 + 4) % 4
	if n == 0 {
		return g
	}
	size := image.Rect(0, 0, w, h)
	if n%2 == 1 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewGray(size)
	for y := range h {
		src := g.Pix[g.PixOffset(b.Min.X, b.Min.Y+y):]
		for x := range w {
			var i int
			switch n {
			case 1:
				i = x*out.Stride + h - 1 - y
			case 2:
				i = (h-1-y)*out.Stride + w - 1 - x
			default:
				i = (w-1-x)*out.Stride + y
			}
			out.Pix[i] = src[x]
		}
	}
	return out
}

// rotated turns g by so many degrees, clockwise where they are positive; the
// picture grows so that no corner is lost.
func rotated(g *image.Gray, degrees float64, paper uint8) *image.Gray {
	b := g.Bounds()
	w, h := float64(b.Dx()), float64(b.Dy())
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	nw, nh := int(math.Ceil(w*math.Abs(cos)+h*math.Abs(sin))), int(math.Ceil(w*math.Abs(sin)+h*math.Abs(cos)))
	out := image.NewGray(image.Rect(0, 0, nw, nh))
	for y := range nh {
		dy := float64(y) - float64(nh-1)/2
		row := out.Pix[y*out.Stride : y*out.Stride+nw]
		for x := range nw {
			dx := float64(x) - float64(nw-1)/2
			row[x] = between(g, dx*cos+dy*sin+(w-1)/2, -dx*sin+dy*cos+(h-1)/2, paper)
		}
	}
	return out
}

// between is the grey at a place between dots.
func between(g *image.Gray, x, y float64, paper uint8) uint8 {
	b := g.Bounds()
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	if x0 < -1 || y0 < -1 || x0 >= b.Dx() || y0 >= b.Dy() {
		return paper
	}
	at := func(x, y int) float64 {
		if x < 0 || y < 0 || x >= b.Dx() || y >= b.Dy() {
			return float64(paper)
		}
		return float64(g.Pix[g.PixOffset(b.Min.X+x, b.Min.Y+y)])
	}
	fx, fy := x-float64(x0), y-float64(y0)
	v := (at(x0, y0)*(1-fx)+at(x0+1, y0)*fx)*(1-fy) + (at(x0, y0+1)*(1-fx)+at(x0+1, y0+1)*fx)*fy
	return uint8(v + 0.5)
}

// scaled makes g k times as large.
func scaled(g *image.Gray, k float64, paper uint8) *image.Gray {
	b := g.Bounds()
	out := image.NewGray(image.Rect(0, 0, max(1, int(float64(b.Dx())*k)), max(1, int(float64(b.Dy())*k))))
	for y := range out.Bounds().Dy() {
		sy := (float64(y)+0.5)/k - 0.5
		row := out.Pix[y*out.Stride:]
		for x := range out.Bounds().Dx() {
			row[x] = between(g, (float64(x)+0.5)/k-0.5, sy, paper)
		}
	}
	return out
}
