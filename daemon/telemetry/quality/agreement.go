package quality

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrUndefined: there is no such figure of these values.
var ErrUndefined = errors.New("undefined")

// Kappa is Cohen's: agreement of two raters beyond chance. Undefined where both
// gave all items one and the same class, and without items.
func Kappa(a, b []string) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("the raters gave %d and %d ratings", len(a), len(b))
	}
	if len(a) == 0 {
		return 0, fmt.Errorf("kappa of no ratings is %w", ErrUndefined)
	}
	na, nb := map[string]float64{}, map[string]float64{}
	same, n := 0.0, float64(len(a))
	for i := range a {
		na[a[i]]++
		nb[b[i]]++
		if a[i] == b[i] {
			same++
		}
	}
	chance := 0.0
	for c, k := range na {
		chance += k * nb[c]
	}
	chance /= n
	if chance == n {
		return 0, fmt.Errorf("kappa of raters who know one class alone is %w", ErrUndefined)
	}
	return (same - chance) / (n - chance), nil
}

// AUC is the area under the ROC curve: the probability that a positive has the
// higher score, ties counting half. It is an error where one class is missing.
func AUC(scores []float64, positive []bool) (float64, error) {
	if len(scores) != len(positive) {
		return 0, fmt.Errorf("there are %d scores and %d outcomes", len(scores), len(positive))
	}
	at := make([]int, len(scores))
	for i := range at {
		if math.IsNaN(scores[i]) {
			return 0, fmt.Errorf("score %d is not a number", i+1)
		}
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return 0
	})
	var pos, neg, wins float64
	for i := 0; i < len(at); {
		j := i
		var p, n float64
		for ; j < len(at) && scores[at[j]] == scores[at[i]]; j++ {
			if positive[at[j]] {
				p++
			} else {
				n++
			}
		}
		wins += p * (neg + n/2)
		pos, neg, i = pos+p, neg+n, j
	}
	if pos == 0 || neg == 0 {
		return 0, fmt.Errorf("the AUC of one class alone is %w", ErrUndefined)
	}
	return wins / (pos * neg), nil
}

// Weights of the parts of a Composite, by the names that a suite's figures have.
var Weights = map[string]float64{"recall@5": 0.3, "mrr": 0.2, "ndcg@10": 0.2, "rougeL": 0.15, "faithfulness": 0.15}

// Composite of a suite of golden questions: how well what should be found is
// found, how well it is worded, how faithful it is.
func Composite(recall5, mrr, ndcg10, rougeL, faithfulness float64) float64 {
	w := Weights
	return w["recall@5"]*recall5 + w["mrr"]*mrr + w["ndcg@10"]*ndcg10 + w["rougeL"]*rougeL + w["faithfulness"]*faithfulness
}
