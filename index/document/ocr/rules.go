package ocr

import "image"

// rule is a line that is drawn, level or upright, in pixels.
type rule struct{ X0, Y0, X1, Y1 int }

// In pixels at workDPI: what is as long and thin as this is drawn, not written.
const (
	ruleLength = workDPI * 3 / 10
	ruleWidth  = workDPI / 25
	ruleGap    = ruleWidth + 2
)

// takeRules finds the rules of a page and takes them out of its ink and its grey.
func takeRules(b *bitmap, g *image.Gray, paper uint8) []rule {
	turned := newBitmap(b.h, b.w)
	for y := range b.h {
		for x, v := range b.row(y) {
			turned.bits[x*b.h+y] = v
		}
	}
	var out []rule
	var level, upright []piece
	across := levelRules(b)
	down := levelRules(turned)
	for _, r := range across {
		out = append(out, rule{r.x0, r.at(), r.x1, r.at()})
		level = append(level, r.parts...)
	}
	for _, r := range down {
		out = append(out, rule{r.at(), r.x0, r.at(), r.x1})
		upright = append(upright, r.parts...)
	}
	wipe := func(r image.Rectangle) {
		r = r.Intersect(image.Rect(0, 0, b.w, b.h))
		for y := r.Min.Y; y < r.Max.Y; y++ {
			clear(b.row(y)[r.Min.X:r.Max.X])
			row := g.Pix[y*g.Stride:]
			for x := r.Min.X; x < r.Max.X; x++ {
				row[x] = paper
			}
		}
	}
	for _, s := range level {
		wipe(image.Rect(s.x0-1, s.y-2, s.x1+1, s.y+3))
	}
	for _, s := range upright {
		wipe(image.Rect(s.y-2, s.x0-1, s.y+3, s.x1+1))
	}
	// Where they meet, the ink is as thick as neither, and would be left as a speck.
	for _, h := range across {
		for _, v := range down {
			if v.at() < h.x0-ruleWidth || v.at() > h.x1+ruleWidth || h.at() < v.x0-ruleWidth || h.at() > v.x1+ruleWidth {
				continue
			}
			wipe(image.Rect(v.at()-v.half()-2, h.at()-h.half()-2, v.at()+v.half()+3, h.at()+h.half()+3))
		}
	}
	return out
}

type piece struct{ y, x0, x1 int }

type drawn struct {
	x0, x1, last int
	sum, n       int
	parts        []piece
}

func (d *drawn) at() int { return d.sum / max(d.n, 1) }

// half is half of how thick it is.
func (d *drawn) half() int { return (d.n/max(d.x1-d.x0, 1) + 1) / 2 }

// levelRules finds level lines: rows of ink that is thin from top to bottom, longer
// than any letter, gaps where others cross allowed.
func levelRules(b *bitmap) []*drawn {
	// How far the ink goes on above and below each dot.
	thick := make([]uint8, len(b.bits))
	for y := range b.h {
		for x, v := range b.row(y) {
			if i := y*b.w + x; v != 0 {
				thick[i] = 1
				if y > 0 {
					thick[i] = min(254, thick[i-b.w]) + 1
				}
			}
		}
	}
	for y := b.h - 2; y >= 0; y-- {
		for x := range b.w {
			if i := y*b.w + x; thick[i] != 0 && thick[i+b.w] != 0 {
				thick[i] = thick[i+b.w]
			}
		}
	}
	var open, done []*drawn
	for y := range b.h {
		var next []*drawn
		for _, d := range open {
			if y-d.last > 3 {
				done = append(done, d)
			} else {
				next = append(next, d)
			}
		}
		open = next
		row := thick[y*b.w : (y+1)*b.w]
		for x := 0; x < b.w; {
			if row[x] == 0 || row[x] > ruleWidth {
				x++
				continue
			}
			x0, end, ink := x, x, 0
			for x < b.w && x-end <= ruleGap {
				if row[x] != 0 && row[x] <= ruleWidth {
					end = x
					ink++
				}
				x++
			}
			end++
			x = end
			if end-x0 < ruleLength/2 || ink*10 < (end-x0)*8 {
				continue
			}
			p := piece{y, x0, end}
			var to *drawn
			for _, d := range open {
				if p.x0 <= d.x1+ruleGap && p.x1 >= d.x0-ruleGap {
					if to == nil {
						to = d
						continue
					}
					// One line that came in two pieces.
					to.x0, to.x1, to.last = min(to.x0, d.x0), max(to.x1, d.x1), max(to.last, d.last)
					to.sum, to.n, to.parts = to.sum+d.sum, to.n+d.n, append(to.parts, d.parts...)
					d.n, d.parts, d.last, d.x0, d.x1 = 0, nil, -10, -1<<30, -1<<30
				}
			}
			if to == nil {
				to = &drawn{x0: p.x0, x1: p.x1}
				open = append(open, to)
			}
			to.x0, to.x1, to.last = min(to.x0, p.x0), max(to.x1, p.x1), y
			to.sum += y * (p.x1 - p.x0)
			to.n += p.x1 - p.x0
			to.parts = append(to.parts, p)
		}
	}
	var out []*drawn
	for _, d := range append(done, open...) {
		if d.n > 0 && d.x1-d.x0 >= ruleLength {
			out = append(out, d)
		}
	}
	return out
}
