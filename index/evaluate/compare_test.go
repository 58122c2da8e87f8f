package evaluate

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// Golden values: scipy 1.10.1, stats.ttest_rel(b, a), and stats.bootstrap of the
// mean difference (percentile method, 400,000 resamples, random_state 1). sd is
// that bootstrap's standard deviation.
func TestPairedAgainstScipy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b             []float64
		t, p             float64
		low, high, sdBoo float64
	}{
		{[]float64{0.625, 0.897}, []float64{0.698, 0.908}, 1.35483870967742, 0.4047873124462482, 0.011, 0.073, 0},
		{[]float64{0.3, 0.874, 0.005, 0.821, 0.797}, []float64{0.238, 0.923, 0.041, 0.832, 0.704},
			-0.4223074978222735, 0.6945116720194138, -0.061, 0.0362, 0.02497},
		{[]float64{0.505, 0.553, 0.996, 0.793, 0.622, 0.989, 0.215, 0.16, 0.613, 0.044, 0.036, 0.515},
			[]float64{0.303, 0.549, 1.0, 0.854, 0.519, 0.991, 0.167, 0.129, 0.769, 0.013, 0.083, 0.653},
			-0.032505409038119, 0.9746513165255868, -0.055, 0.051, 0.02703},
		{[]float64{0.154, 0.268, 0.88, 0.51, 0.847, 0.64, 0.742, 0.091, 0.541, 0.508, 0.871, 0.361, 0.598, 0.059, 0.388, 0.323, 0.15, 0.816, 0.379, 0.979,
			0.59, 0.605, 0.638, 0.676, 0.151, 0.44, 0.24, 0.402, 0.097, 0.968, 0.215, 0.672, 0.3, 0.874, 0.662, 0.132, 0.845, 0.945, 0.904, 0.57},
			[]float64{0.149, 0.44, 0.857, 0.5, 0.902, 0.648, 0.742, 0.0, 0.56, 0.484, 1.0, 0.446, 0.616, 0.146, 0.374, 0.448, 0.169, 0.894, 0.27, 1.0,
				0.441, 0.421, 0.628, 0.606, 0.187, 0.684, 0.177, 0.36, 0.138, 1.0, 0.217, 0.671, 0.39, 0.946, 0.579, 0.144, 0.869, 0.86, 0.95, 0.504},
			0.7333918571390007, 0.4677053311057149, -0.015525, 0.0353, 0.01296},
	} {
		got := PairedTest(c.a, c.b)
		if got.T == nil || got.Low == nil {
			t.Errorf("%d pairs: undefined, %s", len(c.a), got.Undefined)
			continue
		}
		if math.Abs(*got.T-c.t) > 1e-9 || math.Abs(*got.P-c.p) > 1e-9 {
			t.Errorf("%d pairs: t %v p %v, want %v %v", len(c.a), *got.T, *got.P, c.t, c.p)
		}
		// A percentile of 10,000 resamples lies within a few hundredths of a
		// standard deviation of its limit.
		if tol := 1e-9 + 0.1*c.sdBoo; math.Abs(*got.Low-c.low) > tol || math.Abs(*got.High-c.high) > tol {
			t.Errorf("%d pairs: [%v, %v], want [%v, %v]", len(c.a), *got.Low, *got.High, c.low, c.high)
		}
	}
	// A small p keeps its digits.
	var a, b []float64
	for i := range 30 {
		a, b = append(a, 0), append(b, 0.5+0.01*float64(i*7%11))
	}
	if got := PairedTest(a, b); math.Abs(*got.T/93.1766052817431-1) > 1e-9 || math.Abs(*got.P/1.7440017347232728e-37-1) > 1e-7 {
		t.Errorf("t %v p %v", *got.T, *got.P)
	}
}

func TestPairedUndefined(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b     []float64
		says     string
		interval bool
	}{
		{nil, nil, "no pairs", false},
		{[]float64{1}, []float64{2}, "one pair", false},
		{[]float64{0.1, 0.7, 0.3}, []float64{0.1, 0.7, 0.3}, "all differences are 0", false},
		{[]float64{0, 1, 2}, []float64{1, 2, 3}, "all differences are the same", true},
	} {
		got := PairedTest(c.a, c.b)
		if got.T != nil || got.P != nil || !strings.Contains(got.Undefined, c.says) || (got.Low != nil) != c.interval {
			t.Errorf("%v %v: %+v", c.a, c.b, got)
		}
	}
	if got := PairedTest([]float64{0, 0}, []float64{0, 1}); got.Relative != nil {
		t.Errorf("relative to 0: %v", *got.Relative)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	read := func(s string) []RunLine {
		t.Helper()
		l, err := ReadRun("run.jsonl", strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a := read(`{"id":"1","kind":"x","metrics":{"mrr":0.5,"recall":null}}
{"id":"2","kind":"y","metrics":{"mrr":0.25}}
{"id":"3","kind":"x","metrics":{"mrr":1,"recall":1}}
{"id":"only a","metrics":{"mrr":1}}
`)
	b := read(`{"id":"3","kind":"x","metrics":{"mrr":1,"recall":1}}
{"id":"1","kind":"x","metrics":{"mrr":1,"recall":0}}
{"id":"2","kind":"y","metrics":{"mrr":0.5}}
`)
	got, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	mrr := got.Metrics["mrr"]
	if got.Queries != 3 || got.OnlyA != 1 || got.OnlyB != 0 || mrr.Pairs != 3 || mrr.Difference != 0.25 || mrr.Better != 2 || mrr.Worse != 0 {
		t.Errorf("%+v", got)
	}
	if r := got.Metrics["recall"]; r.Pairs != 1 || r.Undefined == "" {
		t.Errorf("a metric that is undefined in one run counts: %+v", r)
	}
	if x := got.ByKind["x"]["mrr"]; x.Pairs != 2 || x.Difference != 0.25 {
		t.Errorf("%+v", x)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	again, _ := Compare(a, b)
	if *again.Metrics["mrr"].Low != *mrr.Low || *again.Metrics["mrr"].High != *mrr.High {
		t.Error("the same runs give another interval")
	}
	for _, b := range []string{`{"id":"9","metrics":{"mrr":1}}`, `{"id":"1","kind":"z","metrics":{"mrr":1}}`, `{"id":"1","kind":"x","metrics":{"other":1}}`} {
		if _, err := Compare(a, read(b)); err == nil {
			t.Errorf("%s: compared with a run of something else", b)
		}
	}
}

func TestReadRunSaysWhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, says string }{
		{"", "holds no queries"},
		{"noise", "run.jsonl:1: not a line"},
		{`{"metrics":{}}`, "run.jsonl:1: field \"id\""},
		{`{"id":"a"}`, "run.jsonl:1: field \"metrics\""},
		{"{\"id\":\"a\",\"metrics\":{}}\n\n{\"id\":\"a\",\"metrics\":{}}", "run.jsonl:3: id \"a\" is already on line 1"},
		{`{"id":"a","metrics":{"x":"y"}}`, "run.jsonl:1: not a line"},
	} {
		if _, err := ReadRun("run.jsonl", strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: %v does not say %q", c.file, err, c.says)
		}
	}
}
