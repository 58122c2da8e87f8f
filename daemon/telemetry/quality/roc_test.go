package quality

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// Against scikit-learn (testdata/roc.py).
func TestROC(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/roc.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Score []float64
			Label []int
			AUC   float64
			Curve []Point
		}
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) < 20 {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9 }
	for i, c := range golden.Cases {
		positive := make([]bool, len(c.Label))
		for k, l := range c.Label {
			positive[k] = l == 1
		}
		got, err := ROC(c.Score, positive, 0.1)
		if err != nil || !near(got.AUC, c.AUC) || len(got.Curve) != len(c.Curve) {
			t.Errorf("case %d: AUC %g for %g, %d points for %d, %v", i, got.AUC, c.AUC, len(got.Curve), len(c.Curve), err)
			continue
		}
		var most, j, f1 float64 = -1, -1, -1
		for k, w := range c.Curve {
			g := got.Curve[k]
			if g.Threshold != w.Threshold || !near(g.TPR, w.TPR) || !near(g.FPR, w.FPR) || !near(*g.PPV, *w.PPV) || !near(g.F1, w.F1) || !near(g.J, w.J) {
				t.Errorf("case %d, point %d: %+v, want %+v", i, k, g, w)
			}
			j, f1 = max(j, w.J), max(f1, w.F1)
			if w.FPR <= 0.1 {
				most = max(most, w.TPR)
			}
		}
		if !near(got.Youden.J, j) || !near(got.F1.F1, f1) || (got.MaxFPR == nil) != (most < 0) || got.MaxFPR != nil && !near(got.MaxFPR.TPR, most) {
			t.Errorf("case %d: best %+v, %+v, %+v; want J %g, F1 %g, TPR %g", i, got.Youden, got.F1, got.MaxFPR, j, f1, most)
		}
	}
}

func TestReadScoresSaysWhere(t *testing.T) {
	t.Parallel()
	for file, says := range map[string]string{
		"":                    "empty",
		"a,b\n1,0\n":          `no column "score"`,
		"score,label\n":       "no rows",
		"score,label\nx,1\n":  "line 2, column 1 (score)",
		"score,label\nNaN,1":  "is no number",
		"score,label\n1,2\n":  "line 2, column 3 (label)",
		"score,label\n\"1,2":  "quot",
		"score,label\n1\n1,1": "fields",
	} {
		if _, _, err := ReadScores(strings.NewReader(file), "score", "label"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", file, err, says)
		}
	}
	a, b, skipped, err := ReadRatings(strings.NewReader("\ufeffx,y\nyes,no\n,no\nyes,yes\n"), "x", "y")
	if err != nil || len(a) != 2 || len(b) != 2 || skipped != 1 {
		t.Errorf("%q, %q, %d, %v", a, b, skipped, err)
	}
}

func FuzzReadScores(f *testing.F) {
	f.Add("score,label\n0.5,1\n0.25,0\n")
	f.Fuzz(func(t *testing.T, s string) {
		scores, positive, err := ReadScores(strings.NewReader(s), "score", "label")
		if err == nil && (len(scores) == 0 || len(scores) != len(positive)) {
			t.Fatal("rows without error, and none")
		}
	})
}
