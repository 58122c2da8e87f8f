package fusion

import "cmp"

// Scored is an item as a source scored it, more being better.
type Scored[T cmp.Ordered] struct {
	ID    T
	Score float64
}

// Source is what one search found, best first, and what it counts.
type Source[T cmp.Ordered] struct {
	Items  []Scored[T]
	Weight float64 // 0 or more
}

// Convex fuses scores by a convex combination (Bruch, Gai and Ingber, "An Analysis
// of Fusion Functions for Hybrid Retrieval", TOIS 2023):
//
//	score(x) = Σ w·(s(x) − low) / (high − low)  /  Σ w
//
// over the sources, low and high being the least and greatest score of a source's
// list; where they are equal every item of the list counts 1. An item that a
// source does not have counts 0 there, as its last one does. A source that found
// nothing is left out of both sums, so one source alone keeps its order. Of an
// item that a list names twice the first counts; items of equal score are ordered
// by id. The best most are returned; 0: all.
func Convex[T cmp.Ordered](sources []Source[T], most int) []Ranked[T] {
	n := 0
	for _, s := range sources {
		n += len(s.Items)
	}
	g := newGathering[T](n, len(sources))
	total := 0.0
	for l, s := range sources {
		if len(s.Items) == 0 {
			continue
		}
		total += s.Weight
		low, high := s.Items[0].Score, s.Items[0].Score
		for _, x := range s.Items {
			low, high = min(low, x.Score), max(high, x.Score)
		}
		for r, x := range s.Items {
			i := g.item(x.ID)*len(sources) + l
			if g.ranks[i] > 0 {
				continue
			}
			g.ranks[i] = r + 1
			n := 1.0
			if high > low {
				n = (x.Score - low) / (high - low)
			}
			g.shares[i] = s.Weight * n
		}
	}
	if total > 0 {
		for i := range g.shares {
			g.shares[i] /= total
		}
	}
	return g.best(most)
}
