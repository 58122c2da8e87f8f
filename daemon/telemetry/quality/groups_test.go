package quality

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// Against scikit-learn's roc_curve of each group: testdata/groups.py.
func TestEqualOpportunity(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/groups.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	groups, err := ReadScored(f, "doubt", "bad", "cohort")
	if err != nil {
		t.Fatal(err)
	}
	got, err := EqualOpportunity(groups, 0.55, 0.05, 11)
	if err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	if !near(got.Before, 0.539880952381) || !near(got.After, 0.003174603175) || !slices.Equal(got.Left, []string{"few"}) {
		t.Errorf("%+v", got)
	}
	for i, want := range []struct {
		group            string
		threshold        float64
		n, positives     int
		before, tpr, fpr float64
	}{
		{"0-17", 0.41, 150, 35, 0.314285714286, 0.685714285714, 0.347826086957},
		{"18-64", 0.56, 400, 90, 0.733333333333, 0.688888888889, 0.096774193548},
		{"65+", 0.63, 180, 48, 0.854166666667, 0.687500000000, 0.022727272727},
	} {
		g := got.Groups[i]
		if g.Group != want.group || g.Threshold != want.threshold || g.N != want.n || g.Positives != want.positives || !near(g.TPRBefore, want.before) || !near(g.TPR, want.tpr) || !near(*g.FPR, want.fpr) {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	if _, err := EqualOpportunity(groups, 0.55, 0.001, 11); !errors.Is(err, ErrUnequal) {
		t.Errorf("a limit that can't be had: %v", err)
	}
	if _, err := EqualOpportunity(groups, 0.55, 0.05, 80); err == nil || errors.Is(err, ErrUnequal) {
		t.Errorf("one group with enough: %v", err)
	}
	only := map[string]*Scored{"a": {[]float64{1, 1}, []bool{true, true}}, "b": {[]float64{0, 0}, []bool{true, true}}}
	if g, err := EqualOpportunity(only, 0.5, 1, 2); err != nil || g.Groups[0].FPR != nil {
		t.Errorf("of no negatives a rate is undefined: %+v, %v", g, err)
	}
}

func TestReadScored(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        "empty",
		"s,l\n1,1\n":              `no column "g"`,
		"s,l,g\n":                 "no rows",
		"s,l,g\nx,1,a\n":          "line 2, column 1 (s)",
		"s,l,g\n1,1,a\n1,2,a\n":   "line 3, column 3 (l)",
		"s,l,g\n1,1,a\nNaN,1,a\n": "line 3, column 1 (s)",
	} {
		if _, err := ReadScored(strings.NewReader(in), "s", "l", "g"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}
