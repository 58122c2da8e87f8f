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
// Items of equal score are ordered by id.
func RRF[T cmp.Ordered](lists [][]T, k float64) []Ranked[T] {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	at := make(map[T]int, n)
	out := make([]Ranked[T], 0, n)
	// One piece of memory for all.
	ranks, shares := make([]int, n*len(lists)), make([]float64, n*len(lists))
	for l, list := range lists {
		for r, id := range list {
			i, ok := at[id]
			if !ok {
				i = len(out)
				at[id] = i
				out = append(out, Ranked[T]{ID: id, Ranks: ranks[:len(lists):len(lists)], Shares: shares[:len(lists):len(lists)]})
				ranks, shares = ranks[len(lists):], shares[len(lists):]
			}
			if out[i].Ranks[l] == 0 {
				out[i].Ranks[l] = r + 1
			}
		}
	}
	for i := range out {
		for l, r := range out[i].Ranks {
			if r > 0 {
				out[i].Shares[l] = 1 / (k + float64(r))
				out[i].Score += out[i].Shares[l]
			}
		}
	}
	slices.SortFunc(out, func(a, b Ranked[T]) int {
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return out
}
