package main

import (
	"cmp"
	"math"
	"slices"

	"rxedge/inference/support"
)

// row is an example: features, whether it is so, and what it belongs to. Rows of
// one group are never on both sides of a fold, and neither is what they are about:
// the group of the text that is judged, 0 where it is of none.
type row struct {
	x      []float32
	y      bool
	weight float64
	group  uint64
	about  uint64
	kind   string
}

func (r row) fold() int { return int(r.group % folds) }

// in says whether a row may be trained on where a fold is kept out.
func (r row) in(without int) bool {
	return r.fold() != without && (r.about == 0 || int(r.about%folds) != without)
}

// options of gradient boosting (Friedman 2001, with Newton steps as in Chen and
// Guestrin 2016).
type options struct {
	trees, depth int
	rate         float64
	ridge        float64 // λ on leaves
	least        float64 // Hessian weight of a leaf
}

const bins = 64

// boost fits a forest to log-odds. The same rows give the same forest.
func boost(rows []row, o options) support.Forest {
	features := len(rows[0].x)
	edges := make([][]float32, features)
	binned := make([][]uint8, features)
	for f := range features {
		edges[f] = quantiles(rows, f)
		binned[f] = make([]uint8, len(rows))
		for i, r := range rows {
			at, _ := slices.BinarySearch(edges[f], r.x[f])
			binned[f][i] = uint8(at)
		}
	}
	pos, all := 0.0, 0.0
	for _, r := range rows {
		all += r.weight
		if r.y {
			pos += r.weight
		}
	}
	forest := support.Forest{Base: math.Log(pos / (all - pos))}
	sum := make([]float64, len(rows))
	for i := range sum {
		sum[i] = forest.Base
	}
	g, h := make([]float64, len(rows)), make([]float64, len(rows))
	index := make([]int, len(rows))
	for range o.trees {
		for i, r := range rows {
			p := 1 / (1 + math.Exp(-sum[i]))
			y := 0.0
			if r.y {
				y = 1
			}
			g[i], h[i] = r.weight*(p-y), r.weight*p*(1-p)
		}
		for i := range index {
			index[i] = i
		}
		t := tree{o: o, binned: binned, edges: edges, g: g, h: h, sum: sum, f: &forest}
		root := int32(len(forest.Nodes))
		forest.Roots = append(forest.Roots, root)
		forest.Nodes = append(forest.Nodes, support.Node{})
		t.grow(root, index, o.depth)
	}
	return forest
}

// quantiles gives at most bins−1 edges: value v is of bin i where it is over
// edge i−1 and at most edge i.
func quantiles(rows []row, f int) []float32 {
	vs := make([]float32, len(rows))
	for i, r := range rows {
		vs[i] = r.x[f]
	}
	slices.Sort(vs)
	var edges []float32
	for b := 1; b < bins; b++ {
		v := vs[len(vs)*b/bins]
		if len(edges) == 0 || v > edges[len(edges)-1] {
			edges = append(edges, v)
		}
	}
	return edges
}

type tree struct {
	o      options
	binned [][]uint8
	edges  [][]float32
	g, h   []float64
	sum    []float64
	f      *support.Forest
}

func (t *tree) grow(at int32, rows []int, depth int) {
	sg, sh := 0.0, 0.0
	for _, i := range rows {
		sg, sh = sg+t.g[i], sh+t.h[i]
	}
	feature, edge := -1, 0
	if depth > 0 {
		feature, edge = t.split(rows, sg, sh)
	}
	if feature < 0 {
		v := float32(-t.o.rate * sg / (sh + t.o.ridge))
		t.f.Nodes[at] = support.Node{Feature: -1, Value: v}
		for _, i := range rows {
			t.sum[i] += float64(v)
		}
		return
	}
	left := int32(len(t.f.Nodes))
	t.f.Nodes[at] = support.Node{Feature: int16(feature), Left: left, Value: t.edges[feature][edge]}
	t.f.Nodes = append(t.f.Nodes, support.Node{}, support.Node{})
	lo := make([]int, 0, len(rows))
	hi := make([]int, 0, len(rows))
	for _, i := range rows {
		if int(t.binned[feature][i]) <= edge {
			lo = append(lo, i)
		} else {
			hi = append(hi, i)
		}
	}
	t.grow(left, lo, depth-1)
	t.grow(left+1, hi, depth-1)
}

// split finds the feature and the edge that gain most; −1 where none does.
func (t *tree) split(rows []int, sg, sh float64) (feature, edge int) {
	feature = -1
	best := 1e-6
	score := func(g, h float64) float64 { return g * g / (h + t.o.ridge) }
	for f := range t.binned {
		var bg, bh [bins]float64
		for _, i := range rows {
			b := t.binned[f][i]
			bg[b] += t.g[i]
			bh[b] += t.h[i]
		}
		lg, lh := 0.0, 0.0
		for e := range t.edges[f] {
			lg, lh = lg+bg[e], lh+bh[e]
			if lh < t.o.least || sh-lh < t.o.least {
				continue
			}
			if gain := score(lg, lh) + score(sg-lg, sh-lh) - score(sg, sh); gain > best {
				best, feature, edge = gain, f, e
			}
		}
	}
	return feature, edge
}

// auc is the share of pairs of a positive and a negative that are in order, ties
// counting half; NaN where there is none.
func auc(scores []float64, y []bool) float64 {
	at := make([]int, len(scores))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	sum, pos := 0.0, 0
	for i := 0; i < len(at); {
		j := i
		for j < len(at) && scores[at[j]] == scores[at[i]] {
			j++
		}
		for _, k := range at[i:j] {
			if y[k] {
				sum += float64(i+j+1) / 2
				pos++
			}
		}
		i = j
	}
	neg := len(scores) - pos
	return (sum - float64(pos)*float64(pos+1)/2) / (float64(pos) * float64(neg))
}

// isotonic fits a rising curve to scores by pooling adjacent violators (Ayer et
// al. 1955), one point a block of at least some weight, linear between them.
func isotonic(scores []float64, rows []row) []support.Point {
	at := make([]int, len(scores))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	type block struct{ x, y, w float64 }
	var bs []block
	least := 0.0
	for _, r := range rows {
		least += r.weight / 40
	}
	b := block{}
	flush := func() {
		if b.w == 0 {
			return
		}
		bs = append(bs, b)
		b = block{}
		for n := len(bs); n > 1 && bs[n-2].y/bs[n-2].w >= bs[n-1].y/bs[n-1].w; n-- {
			bs[n-2] = block{bs[n-2].x + bs[n-1].x, bs[n-2].y + bs[n-1].y, bs[n-2].w + bs[n-1].w}
			bs = bs[:n-1]
		}
	}
	for k, i := range at {
		b.x += scores[i] * rows[i].weight
		b.w += rows[i].weight
		if rows[i].y {
			b.y += rows[i].weight
		}
		if b.w >= least && (k+1 == len(at) || scores[at[k+1]] != scores[i]) {
			flush()
		}
	}
	flush()
	var out []support.Point
	add := func(x, y float64) {
		p := support.Point{X: float32(x), Y: float32(y)}
		if n := len(out); n > 0 && p.X <= out[n-1].X {
			return
		}
		out = append(out, p)
	}
	// The ends rise to a little under and over the outermost blocks, so that
	// order within them is kept.
	if len(bs) > 0 && bs[0].x/bs[0].w > 0 {
		add(0, bs[0].y/bs[0].w*0.5)
	}
	for _, b := range bs {
		add(b.x/b.w, b.y/b.w)
	}
	if n := len(out); n > 0 && out[n-1].X < 1 {
		add(1, float64(out[n-1].Y)+(1-float64(out[n-1].Y))*0.5)
	}
	return out
}
