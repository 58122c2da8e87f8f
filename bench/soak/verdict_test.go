package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A leak is told from a sawtooth, from a peak, from what fills up at first, and
// from noise.
func TestJudge(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	const n = 160
	for _, c := range []struct {
		name    string
		of      func(hours float64, i int) float64
		bound   bound
		verdict string
		slope   float64
	}{
		{"constant", func(float64, int) float64 { return 57 }, bound{0.02, 0}, flat, 0},
		{"leak of 12 an hour in noise", func(h float64, _ int) float64 { return 300 + 12*h + 4*rnd.NormFloat64() }, bound{0.03, 6}, grows, 12},
		{"the same, let pass", func(h float64, _ int) float64 { return 300 + 12*h + 4*rnd.NormFloat64() }, bound{0.05, 6}, flat, 12},
		{"sawtooth", func(_ float64, i int) float64 { return 300 + 10*float64(i%9) }, bound{0.03, 6}, flat, 0},
		{"warms up in the first quarter", func(h float64, _ int) float64 { return 300 + 200*min(h, 0.3) }, bound{0.03, 6}, flat, 0},
		{"one peak at the end", func(_ float64, i int) float64 {
			if i > n-8 {
				return 3000
			}
			return 300
		}, bound{0.03, 6}, flat, 0},
		{"falls", func(h float64, _ int) float64 { return 300 - 40*h }, bound{0, 1}, flat, -40},
	} {
		v := make([]point, n)
		for i := range v {
			v[i].at = float64(i) / 120
			v[i].value = c.of(v[i].at, i)
		}
		got := judge(v, c.bound)
		if got.Verdict != c.verdict || math.Abs(got.Slope-c.slope) > 2.5 || got.Slope < got.Low || got.Slope > got.High {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := judge([]point{{0, 1, 0}, {1, 9, 0}}, bound{}); got.Verdict != short {
		t.Errorf("two samples: %+v", got)
	}
	if got := judge(nil, bound{}); got.Verdict != short || got.Samples != 0 {
		t.Errorf("none: %+v", got)
	}
	var noise []point
	for i := range 16 {
		noise = append(noise, point{float64(i) / 120, []float64{3, 9, 4, 8, 5, 12}[i%6], 0})
	}
	if got := judge(noise, bound{0, 0.01}); got.Verdict == grows {
		t.Errorf("noise: %+v", got)
	}
}

// A box that is seen building more and more often does not leak; one that leaks is found
// out in every state.
func TestStates(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name         string
		leak         float64 // an hour
		all, verdict string
	}{{"builds oftener and oftener", 0, grows, flat}, {"and leaks", 12, grows, grows}, {"and gives back", -12, flat, flat}} {
		var v []point
		for i := range 240 {
			h := float64(i) / 120
			p := point{h, 300 + c.leak*h + 5*rnd.Float64(), 4}
			if rnd.Float64() < 0.9*h-0.4 {
				p.value, p.state = p.value+40, 14
			}
			v = append(v, p)
		}
		if got := judge(stateless(v), bound{0.01, 6}); got.Verdict != c.all {
			t.Errorf("%s, whatever the state: %+v", c.name, got)
		}
		low := lows(v)
		if len(low) < 12 || len(low) > 24 {
			t.Errorf("%s: %d lows of two hours", c.name, len(low))
		}
		if got := judge(low, bound{0.01, 6}); got.Verdict != c.verdict || math.Abs(got.Slope-c.leak) > 3 {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Kinds of requests are all of a hundred.
func TestShares(t *testing.T) {
	t.Parallel()
	n := 0
	for _, k := range kinds {
		n += k.share
	}
	if n != 100 {
		t.Errorf("the shares are %d of 100", n)
	}
}
