package validate

import (
	"fmt"
	"math"

	"rxedge/index/evaluate"
)

// levels of a difference in the exact test: differences are rounded to 1/levels.
const levels = 200

// signFlip is the exact probability that differences which are as likely to be
// positive as negative sum to what they sum to or less (the one-sided paired
// randomisation test of Fisher and Pitman). Of differences of 0 and ±1 it is
// McNemar's exact test. The distribution of the sum is reckoned whole, so nothing
// is drawn at random.
func signFlip(d []float64) float64 {
	var abs []int
	sum, total := 0, 0
	for _, x := range d {
		v := int(math.Round(x * levels))
		if v == 0 {
			continue
		}
		sum += v
		abs = append(abs, max(v, -v))
		total += max(v, -v)
	}
	if len(abs) == 0 {
		return 1
	}
	// p[i]: the probability that the flipped sum is i − total; built up to what is reached.
	p, next := make([]float64, 2*total+1), make([]float64, 2*total+1)
	p[total] = 1
	reach := 0
	for _, a := range abs {
		for i := total - reach - a; i <= total+reach+a; i++ {
			next[i] = 0
		}
		for i := total - reach; i <= total+reach; i++ {
			if p[i] > 0 {
				next[i-a] += p[i] / 2
				next[i+a] += p[i] / 2
			}
		}
		p, next = next, p
		reach += a
	}
	out := 0.0
	for i := 0; i <= total+sum; i++ {
		out += p[i]
	}
	return math.Min(out, 1)
}

// told is the least number of questions that must be lost, and none won, before a
// loss can be told from chance.
func told(alpha float64) int { return int(math.Ceil(-math.Log2(alpha))) }

// paired holds the candidate's figure against the serving pair's, question by
// question, 1 best. It fails where the mean is lower by more than the margin and
// the loss is not chance.
func paired(name, what string, cfg Config, serving, candidate []float64) Check {
	c := Check{Name: name, Pass: true, N: len(serving)}
	if len(serving) == 0 {
		c.Untold, c.Detail = true, "no questions of this kind"
		return c
	}
	t := evaluate.PairedTest(serving, candidate)
	d := make([]float64, len(serving))
	for i := range d {
		d[i] = candidate[i] - serving[i]
	}
	p := signFlip(d)
	c.Serving, c.Candidate, c.Limit = figure(t.A), figure(t.B), figure(t.A-cfg.Margin)
	lower := t.Difference < -cfg.Margin
	interval := ""
	if t.Low != nil {
		interval = fmt.Sprintf(", 95 %% interval %+.3f to %+.3f", *t.Low, *t.High)
	}
	c.Detail = fmt.Sprintf("%s: %.3f, and %.3f serves (%d better, %d worse of %d%s, one-sided p %.2g)", what, t.B, t.A, t.Better, t.Worse, t.Pairs, interval, p)
	switch k := told(cfg.Alpha); {
	case lower && p <= cfg.Alpha:
		c.Pass = false
	case lower:
		c.Untold = true
		c.Detail += fmt.Sprintf("; it is lower, and with so few questions that may be chance: %d lost and none won could be told", k)
	case float64(k)/float64(len(d)) > cfg.Margin:
		c.Untold = t.Low == nil || *t.Low < -cfg.Margin || len(d) < 2*k
		if c.Untold {
			c.Detail += fmt.Sprintf("; a loss of less than %.0f %% can't be told with %d questions", math.Ceil(100*float64(k)/float64(len(d))), len(d))
		}
	}
	return c
}
