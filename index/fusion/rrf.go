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
			if x := g.item(id); x.Ranks[l] == 0 {
				x.Ranks[l] = r + 1
			}
		}
	}
	for i := range g.out {
		x := &g.out[i]
		for l, r := range x.Ranks {
			if r > 0 {
				x.Shares[l] = 1 / (k + float64(r))
				x.Score += x.Shares[l]
			}
		}
	}
	return best(g.out, most)
}

// gathering is the items of several lists, each once.
type gathering[T cmp.Ordered] struct {
	at      map[T]int
	out     []Ranked[T]
	ranks   []int // one piece of memory for all
	shares  []float64
	sources int
}

func newGathering[T cmp.Ordered](n, sources int) *gathering[T] {
	return &gathering[T]{make(map[T]int, n), make([]Ranked[T], 0, n), make([]int, n*sources), make([]float64, n*sources), sources}
}

// item of that id; until the next call.
func (g *gathering[T]) item(id T) *Ranked[T] {
	i, ok := g.at[id]
	if !ok {
		i = len(g.out)
		g.at[id] = i
		from, to := i*g.sources, (i+1)*g.sources
		g.out = append(g.out, Ranked[T]{ID: id, Ranks: g.ranks[from:to:to], Shares: g.shares[from:to:to]})
	}
	return &g.out[i]
}

// order by score, of equal ones by id.
func order[T cmp.Ordered](a, b Ranked[T]) int {
	if a.Score != b.Score {
		return cmp.Compare(b.Score, a.Score)
	}
	return cmp.Compare(a.ID, b.ID)
}

// best sorts the best most; 0: all. A search shows few of what it fuses.
func best[T cmp.Ordered](of []Ranked[T], most int) []Ranked[T] {
	if most > 0 && most < len(of) {
		top := of[:most] // a heap, the last of them on top
		down := func(i int) {
			for {
				c := 2*i + 1
				if c >= most {
					return
				}
				if c+1 < most && order(top[c], top[c+1]) < 0 {
					c++
				}
				if order(top[i], top[c]) >= 0 {
					return
				}
				top[i], top[c] = top[c], top[i]
				i = c
			}
		}
		for i := most / 2; i >= 0; i-- {
			down(i)
		}
		for _, x := range of[most:] {
			if order(x, top[0]) < 0 {
				top[0] = x
				down(0)
			}
		}
		of = top
	}
	slices.SortFunc(of, order[T])
	return of
}
