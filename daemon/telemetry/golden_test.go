// Package telemetry_test holds the figures of these packages against scipy,
// scikit-learn and the published cases of the references.
package telemetry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/quality"
	"rxedge/index/evaluate"
)

// golden is what testdata/golden.py printed.
type golden struct {
	Numbers []struct {
		A, B      []float64
		D, P, PSI float64
		Chi       *[2]float64
	}
	Histograms []struct {
		A, B       [][]int64
		D, P, Holm []float64
	}
	ChiSquare []struct {
		Baseline, Current []int64
		Chi2, P           float64
	}
	AUC []struct {
		Scores   []float64
		Positive []bool
		AUC      float64
	}
	Kappa []struct {
		A, B  []string
		Kappa *float64
	}
	Paired []struct {
		A, B []float64
		T, P *float64
	}
	NDCG []struct {
		Gain, Score []float64
		NDCG        float64
	}
	Fairness []struct {
		Rows [][3]any
		fairness.Report
	}
	Texts []struct {
		Pairs        [][2]string
		RougeL, BLEU float64
	}
}

func load(t *testing.T) (g golden) {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within*max(1, math.Abs(want))) {
		t.Errorf("%s is %.17g, want %.17g", what, got, want)
	}
}

func nearOr(t *testing.T, what string, got, want *float64, within float64) {
	t.Helper()
	switch {
	case (got == nil) != (want == nil):
		t.Errorf("%s: got %v, want %v (one of them is undefined)", what, got, want)
	case got != nil:
		near(t, what, *got, *want, within)
	}
}

func TestDriftAgainstScipy(t *testing.T) {
	t.Parallel()
	g := load(t)
	for i, c := range g.Numbers {
		name := fmt.Sprintf("numbers %d (%d and %d)", i, len(c.A), len(c.B))
		d, p, err := drift.KS(c.A, c.B)
		if err != nil {
			t.Fatal(name, err)
		}
		near(t, name+": D", d, c.D, 1e-9)
		near(t, name+": p", p, c.P, 1e-9)
		if c.P > 0 && math.Abs(p/c.P-1) > 1e-6 { // of small ones too
			t.Errorf("%s: p is %g, want %g", name, p, c.P)
		}
		cmp, err := drift.Numbers(c.A, c.B, drift.Bins, 1)
		if err != nil {
			t.Fatal(name, err)
		}
		near(t, name+": PSI", cmp.PSI, c.PSI, 1e-9)
		sum := 0.0
		for _, b := range cmp.Bins {
			sum += b.PSI
		}
		near(t, name+": PSI of the bins", sum, c.PSI, 1e-9)
		if c.Chi == nil {
			if cmp.Chi2 != nil || cmp.Chi2P == nil || *cmp.Chi2P != 0 {
				t.Errorf("%s: a new bin was seen, but chi-square is %v", name, cmp.Chi2)
			}
			continue
		}
		nearOr(t, name+": chi-square", cmp.Chi2, &c.Chi[0], 1e-9)
		nearOr(t, name+": its p", cmp.Chi2P, &c.Chi[1], 1e-9)
	}
	for i, c := range g.ChiSquare {
		x, ok, p, err := drift.ChiSquare(c.Baseline, c.Current)
		if err != nil || !ok {
			t.Fatal(i, ok, err)
		}
		near(t, fmt.Sprintf("chi-square %d", i), x, c.Chi2, 1e-9)
		near(t, fmt.Sprintf("chi-square %d: p", i), p, c.P, 1e-9)
	}
}

func TestAgreementAgainstScikitLearn(t *testing.T) {
	t.Parallel()
	g := load(t)
	for i, c := range g.AUC {
		v, err := quality.AUC(c.Scores, c.Positive)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("AUC %d", i), v, c.AUC, 1e-9)
	}
	for i, c := range g.Kappa {
		v, err := quality.Kappa(c.A, c.B)
		if c.Kappa == nil {
			if !errors.Is(err, quality.ErrUndefined) {
				t.Errorf("kappa %d of one class is %g, %v; want undefined", i, v, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(i, err)
		}
		near(t, fmt.Sprintf("kappa %d", i), v, *c.Kappa, 1e-9)
	}
	for i, c := range g.Paired {
		p := evaluate.PairedTest(c.A, c.B)
		nearOr(t, fmt.Sprintf("paired t %d", i), p.T, c.T, 1e-9)
		nearOr(t, fmt.Sprintf("paired t %d: p", i), p.P, c.P, 1e-9)
	}
	for i, c := range g.NDCG {
		var r []evaluate.Scored
		j := evaluate.Judgements{}
		for k := range c.Gain {
			id := fmt.Sprint(k)
			r = append(r, evaluate.Scored{ID: id, Score: c.Score[k]})
			j[id] = int(c.Gain[k])
		}
		evaluate.Order(r)
		near(t, fmt.Sprintf("nDCG %d", i), evaluate.NDCG(r, j, 10), c.NDCG, 1e-9)
	}
}

func TestFairnessAgainstScikitLearn(t *testing.T) {
	t.Parallel()
	for i, c := range load(t).Fairness {
		var csv strings.Builder
		csv.WriteString("group,ill,flagged\n")
		for _, r := range c.Rows {
			fmt.Fprintf(&csv, "%v,%v,%v\n", r[2], r[0], r[1])
		}
		groups, err := fairness.Read(strings.NewReader(csv.String()), "ill", "flagged", "group")
		if err != nil {
			t.Fatal(err)
		}
		got, err := fairness.Of(groups)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("fairness %d: ", i)
		if len(got.Groups) != len(c.Groups) {
			t.Fatalf("%s%d groups, want %d", name, len(got.Groups), len(c.Groups))
		}
		for n, w := range c.Groups {
			g := got.Groups[n]
			if g.N != w.N {
				t.Errorf("%s%s has %d, want %d", name, n, g.N, w.N)
			}
			nearOr(t, name+n+" selection rate", g.SelectionRate, w.SelectionRate, 1e-9)
			nearOr(t, name+n+" TPR", g.TPR, w.TPR, 1e-9)
			nearOr(t, name+n+" FPR", g.FPR, w.FPR, 1e-9)
			nearOr(t, name+n+" PPV", g.PPV, w.PPV, 1e-9)
		}
		nearOr(t, name+"demographic parity", got.DemographicParityDifference, c.DemographicParityDifference, 1e-9)
		nearOr(t, name+"equal opportunity", got.EqualOpportunityDifference, c.EqualOpportunityDifference, 1e-9)
		nearOr(t, name+"equalized odds", got.EqualizedOddsDifference, c.EqualizedOddsDifference, 1e-9)
		nearOr(t, name+"disparate impact", got.DisparateImpactRatio, c.DisparateImpactRatio, 1e-9)
	}
}

func TestTextsAgainstFormulas(t *testing.T) {
	t.Parallel()
	for i, c := range load(t).Texts {
		pairs := make([]quality.Pair, len(c.Pairs))
		for k, p := range c.Pairs {
			pairs[k] = quality.Pair{Prediction: p[0], Reference: p[1]}
		}
		got, err := quality.Texts(pairs)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("ROUGE-L %d", i), got.RougeL, c.RougeL, 1e-9)
		near(t, fmt.Sprintf("BLEU %d", i), got.BLEU, c.BLEU, 1e-9)
	}
}

// The cases that rouge-score and sacrebleu publish with their values, those of one
// reference and the default settings.
func TestPublishedTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reference, prediction string
		want                  float64
	}{
		{"testing one two", "testing one", 4. / 5},
		{"testing one two", "testing two", 4. / 5},
		{"testing one two", "", 0},
		{"", "w1", 0},
		{"w1 w2 w3 w4 w5", "/", 0},
	} {
		near(t, "ROUGE-L of "+c.prediction, quality.RougeL(c.prediction, c.reference), c.want, 1e-9)
	}
	for _, c := range []struct {
		pairs  []quality.Pair
		want   float64
		within float64
	}{
		{[]quality.Pair{{Prediction: "this is a test", Reference: "this is a test"}}, 100, 1e-9},
		{[]quality.Pair{{Prediction: "this is a cat", Reference: "okay thanks"}}, 0, 0},
		{[]quality.Pair{{Prediction: "", Reference: "The dog bit the man."}, {Prediction: "", Reference: "It was not unexpected."}}, 0, 0},
		// Its value is published with three places.
		{[]quality.Pair{{Prediction: "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;", Reference: "producţia de zahăr brut se exprimă în zahăr alb;"}}, 8.493, 1e-4},
	} {
		near(t, "BLEU of "+c.pairs[0].Prediction, quality.BLEU(c.pairs), c.want, c.within)
	}
}

// River publishes that its detector finds the change of this stream, which
// Python's generator makes from seed 12345, at index 1006.
func TestPageHinkleyAsRiver(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/river_stream.json")
	if err != nil {
		t.Fatal(err)
	}
	var stream []float64
	if err := json.Unmarshal(b, &stream); err != nil {
		t.Fatal(err)
	}
	p := drift.NewPageHinkley()
	var at []int
	for i, v := range stream {
		if p.Add(v) {
			at = append(at, i)
			if p.Fell() {
				t.Error("the mean went up, and is told to have fallen")
			}
		}
	}
	if len(at) != 1 || at[0] != 1006 {
		t.Errorf("changes at %v, want 1006 alone", at)
	}
	for i := range stream {
		if p.Add(-stream[i]) && !p.Fell() {
			t.Error("the mean went down, and is told to have risen")
		}
	}
}

func TestUndefined(t *testing.T) {
	t.Parallel()
	if _, err := quality.AUC([]float64{1, 2}, []bool{true, true}); !errors.Is(err, quality.ErrUndefined) {
		t.Error("AUC of one class:", err)
	}
	if _, _, err := drift.KS(nil, []float64{1}); err == nil {
		t.Error("KS of no values is no error")
	}
	if _, _, err := drift.KS([]float64{math.NaN()}, []float64{1}); err == nil {
		t.Error("KS of NaN is no error")
	}
	if _, _, err := drift.PSI([]int64{1, 2}, []int64{1}); !errors.Is(err, drift.ErrBins) {
		t.Error("PSI of other bins:", err)
	}
	if v := drift.Judge(9, 10, drift.LeastCount); v != drift.VerdictInsufficient {
		t.Error("ten values give the verdict", v)
	}
	if _, err := fairness.Of(map[string]fairness.Counts{"a": {TP: 1}}); !errors.Is(err, fairness.ErrGroups) {
		t.Error("one group:", err)
	}
	// A group without positives passes nothing.
	r, err := fairness.Of(map[string]fairness.Counts{"a": {TP: 20, TN: 20}, "b": {TN: 20, FP: 20}})
	if err != nil || r.EqualOpportunityDifference != nil || r.EqualizedOddsDifference != nil || len(r.Undefined) == 0 || r.DisparateImpactRatio == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// Above 10,000 values the limit distribution is near the exact one.
func TestKSOfMany(t *testing.T) {
	t.Parallel()
	a, b := make([]float64, 10_001), make([]float64, 9_000)
	for i := range a {
		a[i] = float64(i) / float64(len(a))
	}
	for i := range b {
		b[i] = float64(i)/float64(len(b)) + 0.02
	}
	_, many, err := drift.KS(a, b)
	if err != nil {
		t.Fatal(err)
	}
	_, exact, err := drift.KS(a[:10_000], b)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(many/exact-1) > 0.1 {
		t.Errorf("p is %g by the limit and %g exactly", many, exact)
	}
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	g := map[string]fairness.Counts{"a": {TP: 40, FN: 10, FP: 10, TN: 40}, "b": {TP: 20, FN: 30, FP: 5, TN: 45}}
	r, err := fairness.Of(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Bootstrap(g, 1000); err != nil {
		t.Fatal(err)
	}
	i, ok := r.Intervals["equal_opportunity_difference"]
	// .8 − .4 with standard error √(.8·.2/50 + .4·.6/50) = .089 .
	if !ok || i.Low > 0.26 || i.Low < 0.18 || i.High < 0.53 || i.High > 0.62 {
		t.Errorf("interval %+v around %g", i, *r.EqualOpportunityDifference)
	}
	if len(r.Findings) == 0 {
		t.Error("a difference of .4 is no finding")
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "empty",
		"y,p\n1,0\n":            `no column "g"`,
		"y,p,g\n1,2,a\n":        "line 2, column 3 (p)",
		"y,p,g\n1,0\n":          "line 2",
		"y,p,g\n":               "no rows",
		"y,p,g\n1,0,a\n1,,b\n":  "line 3, column 3 (p)",
		"y,p,g\n\"1,0,a\n1,0,b": "line",
	} {
		if _, err := fairness.Read(strings.NewReader(in), "y", "p", "g"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", in, err, want)
		}
	}
}

func TestGoldenHistograms(t *testing.T) {
	t.Parallel()
	for i, c := range load(t).Histograms {
		ps := make([]float64, len(c.A))
		for k := range c.A {
			d, p, err := drift.KSCounts(c.A[k], c.B[k])
			if err != nil || math.Abs(d-c.D[k]) > 1e-12 || math.Abs(p-c.P[k]) > 1e-9 {
				t.Errorf("case %d.%d: D %.15g, p %.15g, %v; scipy says %.15g, %.15g", i, k, d, p, err, c.D[k], c.P[k])
			}
			ps[k] = p
		}
		for k, p := range drift.Holm(ps) {
			if math.Abs(p-c.Holm[k]) > 1e-8 {
				t.Errorf("case %d.%d: by Holm %.15g and not %.15g", i, k, p, c.Holm[k])
			}
		}
	}
	for _, bad := range [][2][]int64{{{1}, {1, 2}}, {{0, 0}, {1, 1}}, {{1, -1}, {1, 1}}, {nil, nil}} {
		if _, _, err := drift.KSCounts(bad[0], bad[1]); err == nil {
			t.Errorf("%v has no error", bad)
		}
	}
}
