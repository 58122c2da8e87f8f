package ocr

import (
	"image"
	"math"
	"sort"
)

// bitmap is a picture of ink: 1 where there is some.
type bitmap struct {
	w, h int
	bits []uint8
}

func newBitmap(w, h int) *bitmap { return &bitmap{w, h, make([]uint8, w*h)} }

func (b *bitmap) row(y int) []uint8 { return b.bits[y*b.w : (y+1)*b.w] }

// inked tells ink from paper by Sauvola's threshold, which follows the light over
// the page (Sauvola and Pietikäinen, Pattern Recognition 33, 2000): the mean of a
// window of the given width, lowered where the window is plain. Sums of columns
// slide down the page, so that no table as large as the page is needed.
func inked(g *image.Gray, window int) *bitmap {
	const k, r = 0.25, 128.0
	b := g.Bounds()
	w, h := b.Dx(), b.Dy()
	out := newBitmap(w, h)
	half := max(window/2, 4)
	sum, sq := make([]int64, w), make([]int64, w)
	line := func(y int) []uint8 { i := g.PixOffset(b.Min.X, b.Min.Y+y); return g.Pix[i : i+w] }
	add := func(y int, sign int64) {
		for x, p := range line(y) {
			v := int64(p)
			sum[x] += sign * v
			sq[x] += sign * v * v
		}
	}
	for y := range min(half, h) {
		add(y, 1)
	}
	for y := range h {
		if y+half < h {
			add(y+half, 1)
		}
		if y-half-1 >= 0 {
			add(y-half-1, -1)
		}
		rows := int64(min(y+half, h-1) - max(y-half, 0) + 1)
		var s, q int64
		for x := range min(half, w) {
			s += sum[x]
			q += sq[x]
		}
		src, dst := line(y), out.row(y)
		for x := range w {
			if x+half < w {
				s += sum[x+half]
				q += sq[x+half]
			}
			if x-half-1 >= 0 {
				s -= sum[x-half-1]
				q -= sq[x-half-1]
			}
			n := float64(rows * int64(min(x+half, w-1)-max(x-half, 0)+1))
			mean := float64(s) / n
			dev := math.Sqrt(max(0, float64(q)/n-mean*mean))
			if float64(src[x]) < mean*(1+k*(dev/r-1)) {
				dst[x] = 1
			}
		}
	}
	return out
}

// run is a piece of a row of ink.
type run struct {
	x0, x1 int32 // [x0, x1)
	comp   int32
}

// blob is a connected piece of ink.
type blob struct {
	box  image.Rectangle
	area int
}

func (b blob) midX() int { return (b.box.Min.X + b.box.Max.X) / 2 }
func (b blob) midY() int { return (b.box.Min.Y + b.box.Max.Y) / 2 }

// blobs are the connected pieces of ink of a page, and the runs they are made of.
type blobs struct {
	all  []blob
	runs []run
	rows []int32         // where the runs of a row begin; one more than rows
	tile map[int][]int32 // blobs by the tile in which their middle lies
}

const tileSize = 64

// connected finds the pieces of ink that touch, corners included.
func connected(b *bitmap) *blobs {
	out := &blobs{rows: make([]int32, b.h+1), tile: map[int][]int32{}}
	var up []int32
	root := func(i int32) int32 {
		for up[i] != i {
			up[i] = up[up[i]]
			i = up[i]
		}
		return i
	}
	prev := 0
	for y := range b.h {
		start := len(out.runs)
		out.rows[y] = int32(start)
		row := b.row(y)
		p := prev
		for x := 0; x < b.w; {
			if row[x] == 0 {
				x++
				continue
			}
			x0 := x
			for x < b.w && row[x] != 0 {
				x++
			}
			id := int32(len(out.runs))
			up = append(up, id)
			out.runs = append(out.runs, run{int32(x0), int32(x), id})
			for p < start && int(out.runs[p].x1) < x0 {
				p++
			}
			for q := p; q < start && int(out.runs[q].x0) <= x; q++ {
				a, c := root(id), root(out.runs[q].comp)
				up[max(a, c)] = min(a, c)
			}
		}
		prev = start
	}
	out.rows[b.h] = int32(len(out.runs))
	index := make([]int32, len(out.runs))
	for y := range b.h {
		for i := out.rows[y]; i < out.rows[y+1]; i++ {
			r := &out.runs[i]
			c := root(r.comp)
			box := image.Rect(int(r.x0), y, int(r.x1), y+1)
			if c == i {
				index[i] = int32(len(out.all))
				out.all = append(out.all, blob{box: box, area: int(r.x1 - r.x0)})
			} else {
				at := &out.all[index[c]]
				at.box = at.box.Union(box)
				at.area += int(r.x1 - r.x0)
			}
			r.comp = c
		}
	}
	for i := range out.runs {
		out.runs[i].comp = index[out.runs[i].comp]
	}
	for i, c := range out.all {
		k := tileOf(c.midX(), c.midY())
		out.tile[k] = append(out.tile[k], int32(i))
	}
	return out
}

func tileOf(x, y int) int { return y/tileSize<<20 | x/tileSize }

// in are the blobs whose middle lies in r, from left to right.
func (b *blobs) in(r image.Rectangle) []int32 {
	var out []int32
	for ty := max(r.Min.Y, 0) / tileSize; ty <= max(r.Max.Y, 0)/tileSize; ty++ {
		for tx := max(r.Min.X, 0) / tileSize; tx <= max(r.Max.X, 0)/tileSize; tx++ {
			for _, i := range b.tile[ty<<20|tx] {
				if c := b.all[i]; image.Pt(c.midX(), c.midY()).In(r) {
					out = append(out, i)
				}
			}
		}
	}
	sort.Slice(out, func(i, j int) bool {
		p, q := b.all[out[i]].box, b.all[out[j]].box
		return p.Min.X < q.Min.X || p.Min.X == q.Min.X && p.Min.Y < q.Min.Y
	})
	return out
}
