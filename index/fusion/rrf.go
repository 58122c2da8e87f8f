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
}

// Share is what a list adds to the score of an item that it has at a rank.
func Share(rank int, k float64) float64 { return 1 / (k + float64(rank)) }

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
	ranks := make([]int, n*len(lists)) // one piece of memory for all
	for l, list := range lists {
		for r, id := range list {
			i, ok := at[id]
			if !ok {
				i = len(out)
				at[id] = i
				out = append(out, Ranked[T]{ID: id, Ranks: ranks[:len(lists):len(lists)]})
				ranks = ranks[len(lists):]
			}
			if out[i].Ranks[l] == 0 {
				out[i].Ranks[l] = r + 1
			}
		}
	}
	for i := range out {
		for _, r := range out[i].Ranks {
			if r > 0 {
				out[i].Score += Share(r, k)
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
