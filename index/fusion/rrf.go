// Package fusion makes one ranking out of several.
package fusion

import (
	"cmp"
	"slices"
)

// K is the constant of reciprocal rank fusion that its authors found to serve
// (Cormack, Clarke and Büttcher, SIGIR 2009).
const K = 60

// Ranked is an item of the fused ranking.
type Ranked[T cmp.Ordered] struct {
	ID    T
	Score float64
	// Ranks in each of the lists, from 1; 0 where the list does not have it.
	Ranks []int
	// Shares are what each list adds: Score is their sum, in this order.
	Shares []float64
}

// RRF fuses rankings, best first: an item scores Σ 1/(k + rank) over the lists
// that have it. Of an item that a list names twice the first place counts.
// Items of equal score are ordered by id. The best most are returned; 0: all.
func RRF[T cmp.Ordered](lists [][]T, k float64, most int) []Ranked[T] {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	g := newGathering[T](n, len(lists))
	for l, list := range lists {
		for r, id := range list {
			if i := g.item(id)*len(lists) + l; g.ranks[i] == 0 {
				g.ranks[i] = r + 1
				g.shares[i] = 1 / (k + float64(r+1))
			}
		}
	}
	return g.best(most)
}

// gathering is the items of several lists, each once.
type gathering[T cmp.Ordered] struct {
	at      map[T]int
	ids     []T
	ranks   []int // of item after item, in each list
	shares  []float64
	sources int
}

func newGathering[T cmp.Ordered](n, sources int) *gathering[T] {
	return &gathering[T]{make(map[T]int, n), make([]T, 0, n), make([]int, n*sources), make([]float64, n*sources), sources}
}

// item of that id.
func (g *gathering[T]) item(id T) int {
	i, ok := g.at[id]
	if !ok {
		i = len(g.ids)
		g.at[id] = i
		g.ids = append(g.ids, id)
	}
	return i
}

// scored item of a gathering.
type scored[T cmp.Ordered] struct {
	score float64
	id    T
	item  int
}

// before by score, of equal ones by id.
func (a *scored[T]) before(b *scored[T]) bool {
	if a.score != b.score {
		return a.score > b.score
	}
	return a.id < b.id
}

// best most items by the sum of their shares, in order; 0: all. A search shows few
// of what it fuses.
func (g *gathering[T]) best(most int) []Ranked[T] {
	of := make([]scored[T], len(g.ids))
	for i, id := range g.ids {
		of[i] = scored[T]{id: id, item: i}
		for _, s := range g.shares[i*g.sources : (i+1)*g.sources] {
			of[i].score += s
		}
	}
	if most > 0 && most < len(of) {
		top := of[:most] // a heap, the last of them on top
		down := func(i int) {
			for {
				c := 2*i + 1
				if c >= most {
					return
				}
				if c+1 < most && top[c].before(&top[c+1]) {
					c++
				}
				if !top[i].before(&top[c]) {
					return
				}
				top[i], top[c] = top[c], top[i]
				i = c
			}
		}
		for i := most / 2; i >= 0; i-- {
			down(i)
		}
		for i := range of[most:] {
			if x := &of[most+i]; x.before(&top[0]) {
				top[0] = *x
				down(0)
			}
		}
		of = top
	}
	slices.SortFunc(of, func(a, b scored[T]) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	out := make([]Ranked[T], len(of))
	for i, x := range of {
		from, to := x.item*g.sources, (x.item+1)*g.sources
		out[i] = Ranked[T]{x.id, x.score, g.ranks[from:to:to], g.shares[from:to:to]}
	}
	return out
}
