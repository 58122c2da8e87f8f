package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"rxedge/daemon/answer/guard"
)

// answers of which those with a high first feature are mostly wrong.
func answers(n int) []row {
	rng := rand.New(rand.NewPCG(9, 9))
	rows := make([]row, n)
	for i := range rows {
		for f := range rows[i].x {
			rows[i].x[f] = rng.NormFloat64()
		}
		rows[i].wrong = rows[i].x[0]+0.5*rows[i].x[3]*rows[i].x[3]+0.3*rng.NormFloat64() > 1
		rows[i].group, rows[i].weight = uint32(rng.IntN(1000)), 1
	}
	return rows
}

// The same answers give the same model, to the byte, and one that orders them.
func TestEnsemble(t *testing.T) {
	t.Parallel()
	rows := answers(300)
	a, b := ensemble(rows, 1), ensemble(rows, 1)
	a.Background, b.Background = background(rows), background(rows)
	ja, _ := a.Encode()
	jb, _ := b.Encode()
	if !bytes.Equal(ja, jb) {
		t.Error("two runs give two models")
	}
	if _, err := guard.Decode(ja); err != nil {
		t.Error(err)
	}
	scores := make([]float64, len(rows))
	for i := range rows {
		scores[i] = a.Wrong(&rows[i].x)
	}
	if v := auc(scores, rows); v < 0.9 {
		t.Errorf("AUC %.3f of what it was fitted to", v)
	}
}

func TestAUC(t *testing.T) {
	t.Parallel()
	rows := []row{{wrong: true}, {wrong: false}, {wrong: true}, {wrong: false}}
	for _, c := range []struct {
		scores []float64
		want   float64
	}{{[]float64{3, 1, 4, 2}, 1}, {[]float64{1, 3, 2, 4}, 0}, {[]float64{1, 1, 1, 1}, 0.5}, {[]float64{2, 1, 2, 3}, 0.5}} {
		if got := auc(c.scores, rows); got != c.want {
			t.Errorf("%v: %v, want %v", c.scores, got, c.want)
		}
	}
	if !math.IsNaN(auc([]float64{1}, rows[:1])) {
		t.Error("one class has no AUC")
	}
}
