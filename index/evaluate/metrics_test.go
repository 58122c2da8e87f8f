package evaluate

import (
	"math"
	"strings"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 }

func TestMetrics(t *testing.T) {
	t.Parallel()
	// By hand. Judged: a 2, b 1, c 1, d 0, e 2 (never found), f -1.
	j := Judgements{"a": 2, "b": 1, "c": 1, "d": 0, "e": 2, "f": -1}
	r := []Scored{{"f", 9}, {"x", 8}, {"a", 7}, {"d", 6}, {"b", 5}, {"c", 4}}
	dcg := 2/math.Log2(4) + 1/math.Log2(6) + 1/math.Log2(7)
	ideal := 2/math.Log2(2) + 2/math.Log2(3) + 1/math.Log2(4) + 1/math.Log2(5)
	for name, c := range map[string]struct{ got, want float64 }{
		"ndcg@10":  {NDCG(r, j, 10), dcg / ideal},
		"ndcg@2":   {NDCG(r, j, 2), 0},
		"ndcg@3":   {NDCG(r, j, 3), (2 / math.Log2(4)) / (2 + 2/math.Log2(3) + 1/math.Log2(4))},
		"recall@3": {Recall(r, j, 3), 1. / 4},
		"recall@9": {Recall(r, j, 9), 3. / 4},
		"rr":       {ReciprocalRank(r, j), 1. / 3},
		"rr none":  {ReciprocalRank(r[:2], j), 0},
		"empty":    {NDCG(nil, j, 10), 0},
	} {
		if !near(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if !math.IsNaN(NDCG(r, Judgements{"a": 0}, 10)) || !math.IsNaN(Recall(r, nil, 5)) {
		t.Error("a query without a relevant document has a value")
	}
}

// Of equal scores the id that sorts last comes first.
func TestOrderBreaksTiesAsTrecEval(t *testing.T) {
	t.Parallel()
	r := []Scored{{"d1", 1}, {"d3", 1}, {"d2", 2}, {"d10", 1}}
	Order(r)
	var ids []string
	for _, s := range r {
		ids = append(ids, s.ID)
	}
	if got := strings.Join(ids, " "); got != "d2 d3 d10 d1" {
		t.Errorf("order %s", got)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	v := []float64{4, 1, 3, 2}
	for p, want := range map[float64]float64{0: 1, 50: 2.5, 95: 3.85, 100: 4} {
		if got := Percentile(v, p); !near(got, want) {
			t.Errorf("p%v: %v, want %v", p, got, want)
		}
	}
	if Percentile(nil, 50) != 0 {
		t.Error("of nothing")
	}
}
