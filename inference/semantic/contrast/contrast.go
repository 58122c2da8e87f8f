// Package contrast trains the rows of a table of static vectors so that texts which belong
// together are nearer than all others of their batch.
package contrast

import (
	"cmp"
	"math"
	"slices"

	"rxedge/inference/semantic"
)

// Settings of the training; DESIGN.md of inference/semantic says what they were compared
// with.
type Settings struct {
	Dimension   int
	Batch       int
	Temperature float64
	Rate        float64 // Adam's, in parts of the rows' root mean square
	Workers     int
}

// Bag is a text as the model sees it: its distinct pieces and what each counts.
type Bag struct {
	IDs     []int32
	Weights []float32
}

// BagOf the ids of a text's pieces.
func BagOf(ids []int32) Bag {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	var b Bag
	for i := 0; i < len(sorted); {
		id, n := sorted[i], 1
		for i++; i < len(sorted) && sorted[i] == id; i++ {
			n++
		}
		b.IDs = append(b.IDs, id)
		b.Weights = append(b.Weights, float32(1+math.Log(float64(n))))
	}
	return b
}

// Contrast learns the rows so that texts that belong together are nearer than
// all others of their batch (InfoNCE over in-batch negatives, both ways; van den
// Oord and others, 2018), by Adam on the rows that a batch has.
type Contrast struct {
	Settings
	rows         []float32
	mean, square []float32 // Adam's moments
	scale        float32   // root mean square of the rows at first
	left, right  side
	logits       []float32 // batch × batch
}

// side of a batch: vectors of one text of each pair.
type side struct {
	bags     []Bag
	lengths  []float32
	unit     []float32 // batch × dimension
	gradient []float32
}

// use of a piece in a batch.
type use struct {
	of     int32 // place in the batch, right ones after left ones
	weight float32
}

// New training of rows, which it changes.
func New(s Settings, rows []float32) *Contrast {
	c := &Contrast{Settings: s, rows: rows, mean: make([]float32, len(rows)), square: make([]float32, len(rows)), logits: make([]float32, s.Batch*s.Batch)}
	sum := 0.0
	for _, x := range rows {
		sum += float64(x) * float64(x)
	}
	c.scale = float32(math.Sqrt(sum / float64(len(rows))))
	for _, sd := range []*side{&c.left, &c.right} {
		sd.bags, sd.lengths = make([]Bag, s.Batch), make([]float32, s.Batch)
		sd.unit, sd.gradient = make([]float32, s.Batch*s.Dimension), make([]float32, s.Batch*s.Dimension)
	}
	return c
}

// Set the texts of place i of the batch.
func (c *Contrast) Set(i int, left, right Bag) { c.left.bags[i], c.right.bags[i] = left, right }

// Step learns from one batch, whose texts are set, and gives the loss. Part of
// the training is done, from 0 to 1.
func (c *Contrast) Step(done float64) float64 {
	n, dim := c.Batch, c.Dimension
	for _, sd := range []*side{&c.left, &c.right} {
		semantic.Parallel(n, c.Workers, func(i int) {
			v := sd.unit[i*dim:][:dim]
			clear(v)
			b := &sd.bags[i]
			for j, id := range b.IDs {
				semantic.Axpy(v, b.Weights[j], c.rows[int(id)*dim:][:dim])
			}
			l := max(semantic.Norm(v), 1e-9)
			sd.lengths[i] = l
			for d := range v {
				v[d] /= l
			}
		})
	}
	l, r := &c.left, &c.right
	semantic.Parallel(n, c.Workers, func(i int) {
		for j := range n {
			c.logits[i*n+j] = semantic.Dot(l.unit[i*dim:][:dim], r.unit[j*dim:][:dim]) / float32(c.Temperature)
		}
	})
	loss := c.slopes()
	semantic.Parallel(n, c.Workers, func(i int) {
		g, h := l.gradient[i*dim:][:dim], r.gradient[i*dim:][:dim]
		clear(g)
		clear(h)
		for j := range n {
			semantic.Axpy(g, c.logits[i*n+j], r.unit[j*dim:][:dim])
			semantic.Axpy(h, c.logits[j*n+i], l.unit[j*dim:][:dim])
		}
		l.through(i, dim)
		r.through(i, dim)
	})
	c.update(done)
	return loss
}

// slopes turns logits into the loss's derivatives by them.
func (c *Contrast) slopes() float64 {
	n := c.Batch
	rowTop, rowSum := make([]float64, n), make([]float64, n)
	colTop, colSum := make([]float64, n), make([]float64, n)
	for i := range n {
		rowTop[i], colTop[i] = math.Inf(-1), math.Inf(-1)
	}
	for i := range n {
		for j := range n {
			x := float64(c.logits[i*n+j])
			rowTop[i], colTop[j] = max(rowTop[i], x), max(colTop[j], x)
		}
	}
	for i := range n {
		for j := range n {
			x := float64(c.logits[i*n+j])
			rowSum[i] += math.Exp(x - rowTop[i])
			colSum[j] += math.Exp(x - colTop[j])
		}
	}
	loss := 0.0
	share := 1 / (2 * float64(n) * c.Temperature)
	for i := range n {
		for j := range n {
			x := float64(c.logits[i*n+j])
			p, q := math.Exp(x-rowTop[i])/rowSum[i], math.Exp(x-colTop[j])/colSum[j]
			g := p + q
			if i == j {
				g -= 2
				loss -= (math.Log(p+1e-30) + math.Log(q+1e-30)) / 2
			}
			c.logits[i*n+j] = float32(g * share)
		}
	}
	return loss / float64(n)
}

// through takes the gradient of text i from its unit vector to the sum before.
func (s *side) through(i, dim int) {
	g, u := s.gradient[i*dim:][:dim], s.unit[i*dim:][:dim]
	semantic.Axpy(g, -semantic.Dot(g, u), u)
	for d := range g {
		g[d] /= s.lengths[i]
	}
}

// update the rows of the batch's pieces.
func (c *Contrast) update(done float64) {
	uses := map[int32][]use{}
	for i := range c.Batch {
		for s, sd := range []*side{&c.left, &c.right} {
			for j, id := range sd.bags[i].IDs {
				uses[id] = append(uses[id], use{int32(2*i + s), sd.bags[i].Weights[j]})
			}
		}
	}
	pieces := make([]int32, 0, len(uses))
	for id := range uses {
		pieces = append(pieces, id)
	}
	slices.SortFunc(pieces, cmp.Compare[int32])
	rate := float32(c.Rate*(1-done)) * c.scale
	semantic.Parallel(len(pieces), c.Workers, func(p int) {
		id, dim := pieces[p], c.Dimension
		g := make([]float32, dim)
		for _, u := range uses[id] {
			sd := &c.left
			if u.of%2 == 1 {
				sd = &c.right
			}
			semantic.Axpy(g, u.weight, sd.gradient[int(u.of/2)*dim:][:dim])
		}
		at := int(id) * dim
		row, m, v := c.rows[at:at+dim], c.mean[at:at+dim], c.square[at:at+dim]
		for d, x := range g {
			m[d] = float32(.9*m[d]) + float32(.1*x)
			v[d] = float32(.99*v[d]) + float32(.01*float32(x*x))
			row[d] -= float32(rate * m[d] / (float32(math.Sqrt(float64(v[d]))) + 1e-9))
		}
	})
}
