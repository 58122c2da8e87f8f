package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"rxedge/inference/semantic"
)

// settings of the training; DESIGN.md says what they were compared with.
type settings struct {
	dimension   int
	epochs      int
	batch       int
	temperature float64
	rate        float64 // Adam's, in parts of the rows' root mean square
	workers     int
	seed        uint64
}

// bag is a text as the model sees it: its distinct pieces and what each counts.
type bag struct {
	ids     []int32
	weights []float32
}

func bagOf(ids []int32) bag {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	var b bag
	for i := 0; i < len(sorted); {
		id, n := sorted[i], 1
		for i++; i < len(sorted) && sorted[i] == id; i++ {
			n++
		}
		b.ids = append(b.ids, id)
		b.weights = append(b.weights, float32(1+math.Log(float64(n))))
	}
	return b
}

// contrast learns the rows so that texts that belong together are nearer than
// all others of their batch (InfoNCE over in-batch negatives, both ways; van den
// Oord and others, 2018), by Adam on the rows that a batch has.
type contrast struct {
	settings
	rows         []float32
	mean, square []float32 // Adam's moments
	scale        float32   // root mean square of the rows at first
	left, right  side
	logits       []float32 // batch × batch
}

// side of a batch: vectors of one text of each pair.
type side struct {
	bags     []bag
	lengths  []float32
	unit     []float32 // batch × dimension
	gradient []float32
}

// use of a piece in a batch.
type use struct {
	of     int32 // place in the batch, right ones after left ones
	weight float32
}

func newContrast(s settings, rows []float32) *contrast {
	c := &contrast{settings: s, rows: rows, mean: make([]float32, len(rows)), square: make([]float32, len(rows)), logits: make([]float32, s.batch*s.batch)}
	sum := 0.0
	for _, x := range rows {
		sum += float64(x) * float64(x)
	}
	c.scale = float32(math.Sqrt(sum / float64(len(rows))))
	for _, sd := range []*side{&c.left, &c.right} {
		sd.bags, sd.lengths = make([]bag, s.batch), make([]float32, s.batch)
		sd.unit, sd.gradient = make([]float32, s.batch*s.dimension), make([]float32, s.batch*s.dimension)
	}
	return c
}

// step learns from one batch, whose bags are set, and gives the loss. Part of
// the training is done, from 0 to 1.
func (c *contrast) step(done float64) float64 {
	n, dim := c.batch, c.dimension
	for _, sd := range []*side{&c.left, &c.right} {
		semantic.Parallel(n, c.workers, func(i int) {
			v := sd.unit[i*dim:][:dim]
			clear(v)
			b := &sd.bags[i]
			for j, id := range b.ids {
				semantic.Axpy(v, b.weights[j], c.rows[int(id)*dim:][:dim])
			}
			l := max(semantic.Norm(v), 1e-9)
			sd.lengths[i] = l
			for d := range v {
				v[d] /= l
			}
		})
	}
	l, r := &c.left, &c.right
	semantic.Parallel(n, c.workers, func(i int) {
		for j := range n {
			c.logits[i*n+j] = semantic.Dot(l.unit[i*dim:][:dim], r.unit[j*dim:][:dim]) / float32(c.temperature)
		}
	})
	loss := c.slopes()
	semantic.Parallel(n, c.workers, func(i int) {
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
func (c *contrast) slopes() float64 {
	n := c.batch
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
	share := 1 / (2 * float64(n) * c.temperature)
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
func (c *contrast) update(done float64) {
	uses := map[int32][]use{}
	for i := range c.batch {
		for s, sd := range []*side{&c.left, &c.right} {
			for j, id := range sd.bags[i].ids {
				uses[id] = append(uses[id], use{int32(2*i + s), sd.bags[i].weights[j]})
			}
		}
	}
	pieces := make([]int32, 0, len(uses))
	for id := range uses {
		pieces = append(pieces, id)
	}
	slices.SortFunc(pieces, cmp.Compare[int32])
	rate := float32(c.rate*(1-done)) * c.scale
	semantic.Parallel(len(pieces), c.workers, func(p int) {
		id, dim := pieces[p], c.dimension
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

// batches are made of the pairs, of which the second text is cut to a window,
// and of the two halves of long texts; every epoch anew.
type batches struct {
	rng   *rand.Rand
	pairs [][2][]int32
	whole [][]int32
}

func (b *batches) window(ids []int32, least, most int) []int32 {
	n := least + b.rng.IntN(most-least)
	if len(ids) <= n {
		return ids
	}
	from := b.rng.IntN(len(ids) - n + 1)
	return ids[from : from+n]
}

func (b *batches) epoch() [][2]bag {
	var out [][2]bag
	for _, p := range b.pairs {
		out = append(out, [2]bag{bagOf(p[0]), bagOf(b.window(p[1], 30, 120))})
	}
	for _, i := range b.rng.Perm(len(b.whole))[:len(b.whole)/2] {
		if t := b.whole[i]; len(t) >= 40 {
			h := len(t) / 2
			out = append(out, [2]bag{bagOf(b.window(t[:h], 5, 30)), bagOf(b.window(t[h:], 30, 100))})
		}
	}
	b.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
