package compress

import (
	"math"
	"strings"
	"testing"
)

func TestGate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		pa, pb, la, lb float64
		passed         bool
		drop, gain     float64
		reasons        int
	}{
		{"a good one", 10, 10.1, 100, 60, true, 1, 40, 0},
		{"better and quicker", 10, 9.9, 100, 10, true, -1, 90, 0},
		{"quality exactly at the threshold", 100, 102, 100, 50, false, 2, 50, 1},
		{"latency exactly at the threshold", 10, 10, 100, 70, false, 0, 30, 1},
		{"slower", 10, 10.05, 100, 110, false, 0.5, -10, 1},
		{"worse and slower", 10, 20, 100, 110, false, 100, -10, 2},
		{"no perplexity", 10, math.NaN(), 100, 10, false, 0, 0, 1},
		{"infinite perplexity", 10, math.Inf(1), 100, 10, false, 0, 0, 1},
		{"no latency", 10, 10, 0, 10, false, 0, 0, 1},
	} {
		v := DefaultGate.Judge(c.pa, c.pb, c.la, c.lb)
		if v.Passed != c.passed || len(v.Reasons) != c.reasons || math.Abs(v.QualityDropPercent-c.drop) > 1e-9 || math.Abs(v.LatencyGainPercent-c.gain) > 1e-9 {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	loose := Gate{QualityDrop: 50, LatencyGain: -20}
	if v := loose.Judge(10, 14, 100, 110); !v.Passed || v.QualityDropMax != 50 || v.LatencyGainMin != -20 {
		t.Errorf("%+v", v)
	}
	for _, g := range []Gate{{-1, 30}, {math.NaN(), 30}, {2, 100}, {2, math.NaN()}} {
		if g.Check() == nil {
			t.Errorf("%+v was taken", g)
		}
	}
	if err := DefaultGate.Check(); err != nil {
		t.Error(err)
	}
}

func TestAnswersAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b          string
		rouge, prefix float64
	}{
		{"", "", 1, 1},
		{"a b c", "", 0, 0},
		{"The cat sat.", "the CAT sat", 1, 1},
		// rouge-score's own example of the longest common subsequence: 2 of 4 and 2 of 3.
		{"police killed the gunman", "police the gunman killed", 0.75, 0.25},
		{"a b c d", "a b x d", 0.75, 0.5},
		{"a b", "a b c d", 2.0 / 3, 0.5},
	} {
		a, b := words(c.a), words(c.b)
		if got := rougeL(a, b); math.Abs(got-c.rouge) > 1e-12 || rougeL(b, a) != got {
			t.Errorf("ROUGE-L of %q and %q is %v, want %v", c.a, c.b, got, c.rouge)
		}
		if got := commonPrefix(a, b); math.Abs(got-c.prefix) > 1e-12 {
			t.Errorf("common prefix of %q and %q is %v, want %v", c.a, c.b, got, c.prefix)
		}
	}
}

func TestPrompts(t *testing.T) {
	t.Parallel()
	got := prompts("one two three four\n\n\n  \n\nfive six\r\n\r\nseven\n\neight nine ten", 10)
	if strings.Join(got, "|") != "one two|five|eight" {
		t.Errorf("%q", got)
	}
	lines := strings.Repeat("a b c d e f\n", 40)
	if got := prompts(lines, 7); len(got) != 7 || got[0] != "a b c" {
		t.Errorf("%q", got)
	}
	long := strings.Repeat("word ", 1000)
	if got := prompts(long, 3); len(got) != 1 || len(strings.Fields(got[0])) != promptWords {
		t.Errorf("%q", got)
	}
}

func TestSpeedTokensFitTheContext(t *testing.T) {
	t.Parallel()
	for _, c := range [][5]int{{512, 64, 0, 512, 64}, {512, 64, 4096, 512, 64}, {512, 64, 512, 448, 64}, {512, 64, 128, 96, 32}, {512, 64, 2, 1, 1}} {
		o := CompareOptions{PromptTokens: c[0], GenerateTokens: c[1]}
		if p, g := o.speedTokens(c[2]); p != c[3] || g != c[4] {
			t.Errorf("%v: %d and %d", c, p, g)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if median([]float64{5}) != 5 || median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1, 2, 3}) != 2.5 {
		t.Error("a median is wrong")
	}
}
