// Package precision compares an answer with that of the same model at full precision to
// the same question. Of the two texts numbers alone are left.
package precision

import (
	"context"
	"fmt"
	"math"
	"strings"

	"rxedge/daemon/answer"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/quality"
	"rxedge/inference"
	"rxedge/inference/quantity"
)

// entailedFrom is the judge's probability from which a sentence follows from the other
// answer: that from which one is shown at all.
const entailedFrom = 0.5

// Compare an answer, of the champion, with that at full precision. Sentences of the one
// are borne out by the other where they are there word for word, or where no number with
// its unit is missing there and the judge says that they follow. judge may be nil: then
// only words decide. The error is the judge's.
func Compare(ctx context.Context, judge inference.Entailer, champion, full *answer.Answer) (telemetry.Compared, error) {
	c := telemetry.NewCompared()
	tokens(&c, champion.Written(), full.Written())
	answered := champion.Status == answer.StatusAnswered
	c.Set(telemetry.SameStatus, champion.Status == full.Status)
	if champion.Status != full.Status {
		c.Set(telemetry.Agreed, false)
		return c, nil
	}
	if !answered {
		c.Set(telemetry.Agreed, true)
		return c, nil
	}
	other := text(full)
	c.Values[telemetry.Overlap] = quality.RougeL(text(champion), other)
	c.Set(telemetry.SameSections, sections(champion, full))
	numbers := len(quantity.Missing(text(champion), other)) == 0
	if len(quantity.Numbers(text(champion))) > 0 || len(quantity.Numbers(other)) > 0 {
		c.Set(telemetry.SameNumbers, numbers)
	}
	supported, least := 0, 1.0
	for _, cl := range champion.Claims {
		p, err := borneOut(ctx, judge, cl.Text, full, other)
		if err != nil {
			return c, err
		}
		least = min(least, p)
		if p >= entailedFrom {
			supported++
		}
	}
	c.Values[telemetry.Entailed] = least
	if n := len(champion.Claims); n > 0 {
		c.Values[telemetry.Supported] = float64(supported) / float64(n)
		c.Set(telemetry.Agreed, supported == n && numbers)
	}
	return c, nil
}

func text(a *answer.Answer) string {
	var b strings.Builder
	for _, c := range a.Claims {
		b.WriteString(c.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// borneOut is how likely a sentence follows from another answer.
func borneOut(ctx context.Context, judge inference.Entailer, claim string, full *answer.Answer, other string) (float64, error) {
	for _, c := range full.Claims {
		if same(c.Text, claim) {
			return 1, nil
		}
	}
	if judge == nil || len(quantity.Missing(claim, other)) > 0 {
		return 0, nil
	}
	// Of each sentence and of all together: a judge may see in one what it misses among many.
	pairs := []inference.Pair{{Premise: other, Hypothesis: claim}}
	for _, c := range full.Claims {
		pairs = append(pairs, inference.Pair{Premise: c.Text, Hypothesis: claim})
	}
	ps, err := judge.Entail(ctx, pairs)
	if err != nil {
		return 0, fmt.Errorf("judging two answers: %w", err)
	}
	best := 0.0
	for _, p := range ps {
		best = max(best, float64(p.Entail))
	}
	return best, nil
}

func same(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}

// sections: one that both rest on.
func sections(a, b *answer.Answer) bool {
	rests := map[string]bool{}
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			rests[ci.SectionID] = true
		}
	}
	for _, c := range b.Claims {
		for _, ci := range c.Citations {
			if rests[ci.SectionID] {
				return true
			}
		}
	}
	return false
}

// tokens that the two models wrote, where the engine gave both: the first that differs,
// and how far apart the probabilities of those before it are.
func tokens(c *telemetry.Compared, a, b []inference.TokenLogProb) {
	if len(a) == 0 || len(b) == 0 {
		return
	}
	first, apart, n := 0, 0.0, 0
	for first < min(len(a), len(b)) && a[first].Token == b[first].Token {
		if d := math.Abs(a[first].LogProb - b[first].LogProb); !math.IsNaN(d) && !math.IsInf(d, 0) {
			apart, n = apart+d, n+1
		}
		first++
	}
	if n > 0 {
		c.Values[telemetry.LogProbs] = apart / float64(n)
	}
	alike := first == len(a) && first == len(b)
	c.Set(telemetry.SameTokens, alike)
	if !alike {
		c.Values[telemetry.FirstToken] = float64(first)
	}
}
