package answer

import (
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rxedge/index"
	"rxedge/index/names"
	"rxedge/inference"
)

// Support of a claim by what it cites.
const (
	Grounded   = "grounded"   // borne out
	Partly     = "partly"     // borne out in part: read the sentence that is cited
	Unverified = "unverified" // it could not be checked
)

// Scores of a judge from which a claim is grounded, and from which it is shown.
const (
	groundedFrom = 0.8
	partlyFrom   = 0.5
)

// judgeLimit is the longest that a judge may take over one sentence.
const judgeLimit = 5 * time.Second

// Verification says how what a model wrote was checked.
type Verification struct {
	// Model that wrote them, whether or not anything of it is shown.
	Model string `json:"model,omitempty"`
	// Judge that was asked; "" where there was none to be had.
	Judge string `json:"judge"`
	// Checked are the sentences that were written, Withheld those of them that
	// no passage bears out, Unverified those that the judge failed at: they are
	// withheld too.
	Checked    int `json:"checked"`
	Withheld   int `json:"withheld"`
	Unverified int `json:"unverified"`
	// Regenerated: sentences failed, and the model was asked again, more strictly.
	Regenerated bool `json:"regenerated"`
}

// verifier checks sentences against the passages: first by rules that nothing
// outweighs (binder), then by a judge.
type verifier struct {
	binder *binder
	judge  inference.Entailer // nil: none
	// order of the passages in the prompt.
	order []index.Hit
	spent time.Duration
}

// verdict on a sentence.
type verdict int

const (
	passed verdict = iota
	refused
	unchecked // the judge failed
)

var errNoScore = errors.New("the judge gave no score")

// verify gives the claim that a sentence becomes, where it may be shown.
func (v *verifier) verify(ctx context.Context, sentence string) (Claim, verdict) {
	began := time.Now()
	defer func() { v.spent += time.Since(began) }()
	sentence, said := marked(sentence)
	candidates := v.binder.candidates(sentence)
	if len(candidates) == 0 {
		return Claim{}, refused
	}
	best, score := candidates[0], math.Inf(-1)
	for i, p := range v.entail(ctx, sentence, candidates) {
		if math.IsNaN(p) {
			continue
		}
		if p > score {
			best, score = candidates[i], p
		}
	}
	switch {
	case math.IsInf(score, -1):
		return Claim{}, unchecked
	case score < partlyFrom:
		return Claim{}, refused
	}
	// A passage that the model itself named must be the one that bears it out.
	for _, n := range said {
		if n < 1 || n > len(v.order) || v.order[n-1].Passage.SectionID != best.hit.Passage.SectionID {
			return Claim{}, refused
		}
	}
	c := Claim{Text: sentence, Citations: []Citation{cite(best.hit, best.start, best.end)}, Support: Partly, Score: score}
	if score >= groundedFrom {
		c.Support = Grounded
	}
	return c, passed
}

// entail gives the judge's probability that each window bears the sentence out,
// NaN where it gave none.
func (v *verifier) entail(ctx context.Context, sentence string, ws []*window) []float64 {
	out := make([]float64, len(ws))
	pairs := make([]inference.Pair, len(ws))
	for i, w := range ws {
		out[i] = math.NaN()
		pairs[i] = inference.Pair{Premise: flow(w.hit.DocumentTitle+" "+w.hit.Passage.Heading) + "\n" + flow(w.text), Hypothesis: sentence}
	}
	if v.judge == nil {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, judgeLimit)
	defer cancel()
	ps, err := ask(ctx, v.judge, pairs)
	if err != nil && len(pairs) > 1 {
		// One that is too long for the judge does not keep it from the others.
		var long *inference.ContextError
		if !errors.As(err, &long) {
			return out
		}
		for i := range pairs {
			if p, err := ask(ctx, v.judge, pairs[i:i+1]); err == nil {
				out[i] = score(p[0])
			}
		}
		return out
	}
	if err != nil {
		return out
	}
	for i, p := range ps {
		out[i] = score(p)
	}
	return out
}

// ask keeps to the limit though a judge may not, and makes an error of a panic.
func ask(ctx context.Context, judge inference.Entailer, pairs []inference.Pair) ([]inference.Probabilities, error) {
	type result struct {
		ps  []inference.Probabilities
		err error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errPanicked}
		defer func() {
			_ = recover()
			done <- r
		}()
		ps, err := judge.Entail(ctx, pairs)
		if err == nil && len(ps) != len(pairs) {
			err = errNoScore
		}
		r = result{ps, err}
	}()
	select {
	case r := <-done:
		return r.ps, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// score of a judgement, NaN where it is no probability.
func score(p inference.Probabilities) float64 {
	e := float64(p.Entail)
	for _, x := range []float64{e, float64(p.Neutral), float64(p.Contradict)} {
		if math.IsNaN(x) || x < -1e-3 || x > 1+1e-3 {
			return math.NaN()
		}
	}
	return min(1, max(0, e))
}

var mark = regexp.MustCompile(`\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]`)

// marked takes the numbers of passages out of a sentence: a model may name what it
// read, and what is cited is found here.
func marked(sentence string) (string, []int) {
	var said []int
	for _, m := range mark.FindAllStringSubmatch(sentence, -1) {
		for _, n := range strings.Split(m[1], ",") {
			v, _ := strconv.Atoi(strings.TrimSpace(n))
			said = append(said, v)
		}
	}
	if said == nil {
		return sentence, nil
	}
	return flow(mark.ReplaceAllString(sentence, "")), said
}

// quoted gives the support of a verbatim sentence. Its bytes are the document's
// own, so it is grounded; what is left to check is that it speaks of the medicine
// that was asked about: its document is about it, or the sentence and its heading
// name it. false where it is another medicine's.
func quoted(p *looked, h *index.Hit, sentence string) (support string, score float64, ok bool) {
	if len(p.about) > 0 {
		return Grounded, 1, p.about[h.SetID]
	}
	if len(p.strangers) == 0 {
		return Grounded, 1, true
	}
	said, err := subjects{p.snap}.mentions(h.DocumentTitle + "\n" + h.Passage.Heading + "\n" + sentence)
	if err == nil {
		for _, s := range p.strangers {
			if slices.ContainsFunc(said, func(m names.Subject) bool { return m.Name == s.Name }) {
				return Grounded, 1, true
			}
		}
	}
	return Unverified, 0, true
}
