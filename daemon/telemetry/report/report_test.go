package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/daemon/telemetry/telemetrytest"
)

// Values of scipy.stats.binomtest(a, n).proportion_ci(0.95, method="wilson").
func TestWilsonAsScipy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, n      int64
		low, high float64
	}{
		{0, 11, 0, 0.25883296696803171},
		{11, 11, 0.7411670330319684, 1},
		{1, 20, 0.0088814488007954023, 0.23613119344674205},
		{17, 100, 0.1089356611405993, 0.25548004767601129},
		{212, 1257, 0.14897192539748441, 0.19035817501091121},
		{500, 1000, 0.46906960036810419, 0.53093039963189581},
		{3, 7, 0.1582198552514697, 0.74954163547234276},
		{40000, 400000, 0.099074145401417485, 0.1009335374424406},
	} {
		if i := Wilson(c.a, c.n); math.Abs(i.Low-c.low) > 1e-12 || math.Abs(i.High-c.high) > 1e-12 {
			t.Errorf("%d of %d: %+v, want %g to %g", c.a, c.n, i, c.low, c.high)
		}
	}
	if Wilson(0, 0) != nil {
		t.Error("an interval of nobody")
	}
}

// What is of fewer than eleven is not told, what is undefined passes nothing, and words
// of others are no markup.
func TestReport(t *testing.T) {
	t.Parallel()
	month := telemetrytest.Month(3, nil)
	base, err := telemetry.Sum(month[:7])
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]*telemetry.Slice{
		"18-64": {N: 400, Refused: 40, Judged: fairness.Counts{TP: 20, FP: 20, TN: 100, FN: 20}},
		"65+":   {N: 300, Refused: 7, Judged: fairness.Counts{TP: 7, FP: 20, TN: 100, FN: 20}},
		"0-17":  {N: 7, Refused: 3},
		"none":  {N: 900},
	}
	r := &Report{Kind: "audit", Of: "<b>x</b> | y", Made: time.Now(), From: time.Now(), To: time.Now(), Asked: 1607}
	var judged map[string]fairness.Counts
	r.Groups, judged, r.Hidden = GroupsOf(of, true)
	if len(r.Groups) != 2 || len(judged) != 1 || r.Groups[1].Rate != nil || r.Groups[1].Judged.TPR != nil || r.Groups[0].Judged.TPR == nil {
		t.Errorf("%+v, judged %v", r.Groups, judged)
	}
	if err := r.Judge(judged); err != nil || r.Judged != nil {
		t.Error(r.Judged, err)
	}
	r.Models = []Model{{Name: "qwen-1b", Asked: month[8].Questions, Features: monitor.Features(base, month[8], monitor.DefaultLimits()), Alarms: []monitor.Alarm{{Level: monitor.Act, Text: "<script>moved</script>", N: 400}}}}
	r.Cover()
	for _, f := range r.Models[0].Features {
		for _, b := range f.Bins {
			if b.Current > 0 && b.Current < telemetry.LeastCell || b.Baseline > 0 && b.Baseline < telemetry.LeastCell {
				t.Errorf("%s tells of %+v", f.Name, b)
			}
		}
	}
	var html, md strings.Builder
	if err := r.HTML(&html); err != nil {
		t.Fatal(err)
	}
	if err := r.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"HTML": html.String(), "Markdown": md.String()} {
		if strings.Contains(s, "<script") || strings.Contains(s, "<b>") || strings.Contains(s, "0-17") || !strings.Contains(s, "What is undefined passes nothing") || strings.Contains(s, "<no value>") {
			t.Errorf("%s: %s", name, s)
		}
	}
	// Of a fleet a count of 0 may be one that waits.
	of["65+"].Judged = fairness.Counts{TP: 0, FP: 20, TN: 100, FN: 20}
	if g, _, _ := GroupsOf(of, false); g[1].Judged.TPR != nil || g[1].Judged.FPR == nil {
		t.Errorf("%+v", g[1].Judged)
	}
}
