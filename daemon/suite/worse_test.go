package suite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	retrieval "rxedge/index/evaluate"
)

// night makes a run of n questions; change may make them worse.
func night(day, n int, change func(i int, m map[string]float64)) Run {
	rng := rand.New(rand.NewPCG(4, 5)) // the same questions each night
	r := Run{At: time.Date(2026, 11, 1+day, 2, 0, 0, 0, time.UTC), Set: "set", By: "night"}
	for i := range n {
		m := map[string]float64{"recall@5": float64(rng.IntN(2)), "mrr": rng.Float64(), "ndcg@10": rng.Float64(), "rougeL": rng.Float64() / 2, "faithfulness": 1}
		if change != nil {
			change(i, m)
		}
		l := retrieval.RunLine{ID: fmt.Sprint(i), Kind: []string{"dose", "renal"}[i%2], Metrics: map[string]*float64{}}
		for k, v := range m {
			if !math.IsNaN(v) {
				l.Metrics[k] = &v
			}
		}
		r.Lines = append(r.Lines, l)
	}
	return r
}

func TestWorsened(t *testing.T) {
	t.Parallel()
	lower := func(by float64) func(int, map[string]float64) {
		return func(i int, m map[string]float64) {
			if i%2 == 1 {
				m["mrr"] = max(0, m["mrr"]-by)
			}
		}
	}
	runs := []Run{night(0, 60, nil), night(1, 60, nil)}
	if w := Worsened(runs); len(w) != 0 {
		t.Fatalf("two nights alike: %+v", w)
	}
	// One that falls, and stays down: it is told each night, since the first.
	runs = append(runs, night(2, 60, lower(0.9)), night(3, 60, lower(0.9)))
	w := Worsened(runs)
	if len(w) != 1 || w[0].Metric != "mrr" || w[0].Runs != 2 || !w[0].Since.Equal(runs[2].At) || *w[0].Composite.Relative > -Fall {
		t.Fatalf("a fall: %+v", w)
	}
	if w := Worsened(append(runs, night(4, 60, nil))); len(w) != 0 {
		t.Errorf("it is as it was, and told: %+v", w)
	}
	// A little each night.
	runs = runs[:1]
	told := 0
	for d := range 12 {
		runs = append(runs, night(d+1, 60, lower(0.05*float64(d))))
		if len(Worsened(runs)) > 0 && told == 0 {
			told = d
		}
	}
	if told < 2 {
		t.Errorf("a slow fall is told in the night %d", told)
	}
	// What is better is what comes after is measured by.
	better := []Run{night(0, 60, lower(0.9)), night(1, 60, nil), night(2, 60, lower(0.9))}
	if w := Worsened(better); len(w) != 1 || w[0].Runs != 1 {
		t.Errorf("worse than the better one: %+v", w)
	}
	// Answers that are no more: no faithfulness, and no words in common.
	silent := night(1, 60, func(i int, m map[string]float64) { m["faithfulness"], m["rougeL"] = math.NaN(), 0 })
	if w := Worsened([]Run{night(0, 60, nil), silent}); len(w) != 1 || w[0].Metric != "rougeL" {
		t.Errorf("a box that is silent: %+v", w)
	}
	// Chance: worse by more than a twentieth, of questions that differ both ways.
	noisy := night(1, 12, func(i int, m map[string]float64) { m["mrr"] = math.Abs(m["mrr"] - []float64{1, 0.1}[i%2]) })
	if w := Worsened([]Run{night(0, 12, nil), noisy}); len(w) != 0 {
		t.Errorf("chance is told: %+v", w[0].Composite)
	}
	// Few questions, another set, another mode: nothing to compare.
	other := night(1, 60, lower(0.9))
	other.Set = "other"
	for name, rs := range map[string][]Run{"few": {night(0, 8, nil), night(1, 8, lower(0.9))}, "another set": {night(0, 60, nil), other}, "none": nil} {
		if w := Worsened(rs); len(w) != 0 {
			t.Errorf("%s: %+v", name, w)
		}
	}
}
