package validate

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// signFlip against counting all signs, and against the binomial (McNemar).
func TestSignFlip(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5))
	for range 50 {
		d := make([]float64, 1+rng.IntN(12))
		for i := range d {
			d[i] = float64(rng.IntN(2*levels+1)-levels) / levels
		}
		sum := 0.0
		for _, x := range d {
			sum += x
		}
		n := 0
		for m := range 1 << len(d) {
			s := 0.0
			for i, x := range d {
				if m>>i&1 == 0 {
					x = -x
				}
				s += x
			}
			if s <= sum+1e-9 {
				n++
			}
		}
		want := float64(n) / float64(int(1)<<len(d))
		if got := signFlip(d); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v: %v, want %v", d, got, want)
		}
	}
	// scipy.stats.binomtest(2, 12, .5, 'less').pvalue
	d := append(repeat(-1, 10), repeat(1, 2)...)
	if got := signFlip(append(d, repeat(0, 40)...)); math.Abs(got-0.019287109375) > 1e-12 {
		t.Errorf("%v", got)
	}
	if signFlip(repeat(0, 5)) != 1 || signFlip(nil) != 1 {
		t.Error("no difference must have p = 1")
	}
}

func repeat(x float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = x
	}
	return out
}

// What few questions can't tell is said, and passes; what they can tell fails.
func TestPairedSaysWhatItCanNotTell(t *testing.T) {
	t.Parallel()
	cfg := Config{}.complete()
	of := func(n, lost, won int) Check {
		s, c := repeat(1, n), repeat(1, n)
		for i := range lost {
			c[i] = 0
		}
		for i := range won {
			s[n-1-i] = 0
		}
		return paired("x", "x", cfg, s, c)
	}
	for _, c := range []struct {
		n, lost, won int
		pass, untold bool
	}{
		{20, 0, 0, true, true},    // a loss of a third could not be told
		{20, 3, 0, true, true},    // lower, and may be chance
		{20, 7, 0, false, false},  // not chance
		{240, 4, 0, true, false},  // lower by less than the margin
		{240, 8, 0, false, false}, // by 3.3 %
		{240, 30, 28, true, false},
		{240, 40, 14, false, false},
		{0, 0, 0, true, true},
	} {
		got := of(c.n, c.lost, c.won)
		if got.Pass != c.pass || c.n > 0 && c.n < 100 && got.Untold != c.untold {
			t.Errorf("%d lost and %d won of %d: pass %v, untold %v: %s", c.lost, c.won, c.n, got.Pass, got.Untold, got.Detail)
		}
	}
	if d := of(20, 3, 0).Detail; !strings.Contains(d, "7 lost") {
		t.Errorf("%s", d)
	}
}

// A candidate that is as good, and answers by other chances, fails in about α of the runs at
// most; one that is 10 % worse is found with 240 questions.
func TestPairedErrorBound(t *testing.T) {
	t.Parallel()
	cfg := Config{}.complete()
	rng := rand.New(rand.NewPCG(11, 2))
	run := func(worse float64) (failed int) {
		for range 200 {
			s, c := make([]float64, 240), make([]float64, 240)
			for i := range s {
				s[i] = truth(rng.Float64() < 0.8)
				c[i] = s[i]
				if rng.Float64() < 0.1 { // it answers this one anew
					c[i] = truth(rng.Float64() < 0.8)
				}
				if rng.Float64() < worse {
					c[i] = 0
				}
			}
			if d := decide(cfg, s, c); d {
				failed++
			}
		}
		return failed
	}
	if n := run(0); n > 5 {
		t.Errorf("as good: %d of 200 failed", n)
	}
	if n := run(0.12); n < 190 {
		t.Errorf("12 %% worse: %d of 200 failed", n)
	}
}

// decide as paired does, without its bootstrap interval.
func decide(cfg Config, s, c []float64) bool {
	d, sum := make([]float64, len(s)), 0.0
	for i := range d {
		d[i] = c[i] - s[i]
		sum += d[i]
	}
	return sum/float64(len(d)) < -cfg.Margin && signFlip(d) <= cfg.Alpha
}

func TestDegenerate(t *testing.T) {
	t.Parallel()
	p := "metformin: What is the highest dose in adults with a normal renal function?"
	for want, texts := range map[Fault][]string{
		Empty:  {"", " \n", "…"},
		Looped: {strings.Repeat("take with food and ", 12), "The dose is " + strings.Repeat("500 ", 40), strings.Repeat("the ", 60), "said, butteritel" + strings.Repeat("lp", 20)},
		Echo:   {p, "Metformin: what is the highest dose in adults with a normal renal function"},
		"": {"The highest dose of metformin in adults is 2,550 mg a day.", "Not in my documents.", "2,550 mg", "No.",
			"Adults start at 500 mg twice a day. The dose is raised by 500 mg a week. The dose is not raised above 2,550 mg a day."},
	} {
		for _, text := range texts {
			if got := faultOf(p, text); got != want {
				t.Errorf("%.40q: %q, want %q", text, got, want)
			}
		}
	}
	cfg := Config{}.complete()
	always := wrote{}
	varied := wrote{}
	for i := range 24 {
		always.prompts, always.texts = append(always.prompts, p), append(always.texts, "Once upon a time there was a little girl named Lily.")
		varied.prompts, varied.texts = append(varied.prompts, p), append(varied.texts, strings.Repeat(string(rune('a'+i)), 5)+" is given twice a day at most and never with milk "+strings.Repeat(string(rune('b'+i)), 3)+strings.Repeat(" q"+string(rune('a'+i)), 2))
	}
	if c := degenerate(cfg, always); c.Pass || *c.Candidate != 1 || !strings.Contains(c.Detail, "24 is the same") {
		t.Errorf("%+v", c)
	}
	if c := degenerate(cfg, varied); !c.Pass {
		t.Errorf("%+v", c)
	}
}

func TestFairness(t *testing.T) {
	t.Parallel()
	cfg := Config{}.complete()
	of := func(an, as, ac, bn, bs, bc int) Check {
		return fairness(cfg, map[string]*cohort{"adults": {an, as, ac}, "children": {bn, bs, bc}, "": {500, 0, 500}})
	}
	if c := of(60, 3, 3, 60, 4, 24); c.Pass || *c.Candidate < 0.34 || !strings.Contains(c.Detail, "children abstains in 24 of 60") {
		t.Errorf("%+v", c)
	}
	if c := of(60, 3, 3, 60, 25, 24); !c.Pass { // as it was
		t.Errorf("%+v", c)
	}
	if c := of(12, 0, 0, 12, 0, 2); !c.Pass || !c.Untold {
		t.Errorf("%+v", c)
	}
	if c := of(60, 3, 3, 5, 0, 5); !c.Pass || !c.Untold {
		t.Errorf("%+v", c)
	}
	// scipy.stats.fisher_exact([[8, 2], [1, 5]])
	if p := fisher(8, 10, 1, 6); math.Abs(p-0.03496503496503495) > 1e-9 {
		t.Errorf("%v", p)
	}
}
