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
		at, v := make([]float64, n), make([]float64, n)
		for i := range at {
			at[i] = float64(i) / 120
			v[i] = c.of(at[i], i)
		}
		got := judge(at, v, c.bound)
		if got.Verdict != c.verdict || math.Abs(got.Slope-c.slope) > 2.5 || got.Slope < got.Low || got.Slope > got.High {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := judge([]float64{0, 1}, []float64{1, 9}, bound{}); got.Verdict != short {
		t.Errorf("two samples: %+v", got)
	}
	if got := judge(nil, nil, bound{}); got.Verdict != short || got.Samples != 0 {
		t.Errorf("none: %+v", got)
	}
	var noise []float64
	var at []float64
	for i := range 16 {
		at, noise = append(at, float64(i)/120), append(noise, []float64{3, 9, 4, 8, 5, 12}[i%6])
	}
	if got := judge(at, noise, bound{0, 0.01}); got.Verdict == grows {
		t.Errorf("noise: %+v", got)
	}
}

// What comes and goes is no leak, though it is more each time; what stays beneath it is.
func TestLows(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name         string
		leak         float64 // an hour
		all, verdict string
	}{{"more and more now and then", 0, grows, flat}, {"a leak beneath it", 12, grows, grows}} {
		var at, v []float64
		for i := range 240 {
			h := float64(i) / 120
			x := 300 + c.leak*h + rnd.NormFloat64()
			if rnd.Float64() < 0.7 {
				x += 40 * h * rnd.Float64() // what is open now and then, and larger each time
			}
			at, v = append(at, h), append(v, x)
		}
		if got := judge(at, v, bound{0.01, 6}); got.Verdict != c.all {
			t.Errorf("%s, all: %+v", c.name, got)
		}
		lowAt, low := lows(at, v)
		if len(low) != 12 {
			t.Errorf("%d lows of two hours", len(low))
		}
		if got := judge(lowAt, low, bound{0.01, 6}); got.Verdict != c.verdict {
			t.Errorf("%s, lows: %+v", c.name, got)
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
