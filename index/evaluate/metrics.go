// Package evaluate measures retrieval as trec_eval defines it.
package evaluate

import (
	"math"
	"slices"
	"strings"
)

// Scored is a document in a ranking.
type Scored struct {
	ID    string
	Score float64
}

// Order sorts a ranking as trec_eval does: by score, highest first, of equal
// scores by id in descending order.
func Order(r []Scored) {
	slices.SortFunc(r, func(a, b Scored) int {
		if a.Score != b.Score {
			if a.Score > b.Score {
				return -1
			}
			return 1
		}
		return strings.Compare(b.ID, a.ID)
	})
}

// Judgements are the grades of a query's documents; above 0 is relevant.
type Judgements map[string]int

func (j Judgements) relevant() (n int) {
	for _, g := range j {
		if g > 0 {
			n++
		}
	}
	return n
}

// NDCG at k of a ranking in order: linear gain over log2(rank+1), the ideal
// from all that is judged. What is not judged gains nothing. NaN where nothing
// is relevant.
func NDCG(r []Scored, j Judgements, k int) float64 {
	var gains []int
	for _, g := range j {
		if g > 0 {
			gains = append(gains, g)
		}
	}
	slices.Sort(gains)
	slices.Reverse(gains)
	ideal := 0.0
	for i, g := range gains[:min(k, len(gains))] {
		ideal += float64(g) / math.Log2(float64(i)+2)
	}
	got := 0.0
	for i, s := range r[:min(k, len(r))] {
		if g := j[s.ID]; g > 0 {
			got += float64(g) / math.Log2(float64(i)+2)
		}
	}
	return got / ideal
}

// Recall at k: the share of the relevant that is among the first k. NaN where
// nothing is relevant.
func Recall(r []Scored, j Judgements, k int) float64 {
	n := 0
	for _, s := range r[:min(k, len(r))] {
		if j[s.ID] > 0 {
			n++
		}
	}
	return float64(n) / float64(j.relevant())
}

// ReciprocalRank of the first relevant document in the whole ranking; 0 where
// there is none.
func ReciprocalRank(r []Scored, j Judgements) float64 {
	for i, s := range r {
		if j[s.ID] > 0 {
			return 1 / float64(i+1)
		}
	}
	return 0
}

// Percentile of values by linear interpolation between the closest ranks; p in
// 0…100. 0 where there are none. values is sorted.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	at := p / 100 * float64(len(values)-1)
	lo := int(at)
	hi := min(lo+1, len(values)-1)
	return values[lo] + (values[hi]-values[lo])*(at-float64(lo))
}
