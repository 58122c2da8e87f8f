package lexical

import "slices"

// Scored is a passage with its BM25 score.
type Scored struct {
	Passage uint32
	Score   float64
}

// better orders by score, of equal scores by passage.
func better(a, b Scored) bool {
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	return a.Passage < b.Passage
}

// top keeps the k best in a heap with the worst of them at its head.
type top struct {
	k int
	h []Scored
}

func (t *top) reset(k int) {
	t.k, t.h = k, t.h[:0]
}

// least is the score that another passage must reach; 0 until k are there.
func (t *top) least() float64 {
	if len(t.h) < t.k {
		return 0
	}
	return t.h[0].Score
}

// push says whether the passage is among the k best so far.
func (t *top) push(s Scored) bool {
	if s.Score <= 0 {
		return false
	}
	if len(t.h) < t.k {
		t.h = append(t.h, s)
		i := len(t.h) - 1
		for i > 0 {
			up := (i - 1) / 2
			if !better(t.h[up], t.h[i]) {
				break
			}
			t.h[up], t.h[i] = t.h[i], t.h[up]
			i = up
		}
		return true
	}
	if !better(s, t.h[0]) {
		return false
	}
	t.h[0] = s
	i := 0
	for {
		c := 2*i + 1
		if c >= len(t.h) {
			break
		}
		if c+1 < len(t.h) && better(t.h[c], t.h[c+1]) {
			c++
		}
		if !better(t.h[i], t.h[c]) {
			break
		}
		t.h[i], t.h[c] = t.h[c], t.h[i]
		i = c
	}
	return true
}

// sorted gives the best first, in a slice of their own.
func (t *top) sorted() []Scored {
	out := slices.Clone(t.h)
	slices.SortFunc(out, func(a, b Scored) int {
		if better(a, b) {
			return -1
		}
		return 1
	})
	return out
}
