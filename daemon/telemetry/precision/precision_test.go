package precision

import (
	"context"
	"errors"
	"math"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/telemetry"
	"rxedge/inference"
	"rxedge/inference/support"
)

func said(section string, claims ...string) *answer.Answer {
	a := &answer.Answer{Status: answer.StatusAnswered}
	for _, c := range claims {
		a.Claims = append(a.Claims, answer.Claim{Text: c, Citations: []answer.Citation{{SectionID: section}}})
	}
	return a
}

func abstained(reason string) *answer.Answer {
	return &answer.Answer{Status: answer.StatusAbstained, Reason: reason}
}

// What two answers come to, judged by the judge that every box carries: another number, a
// sentence that the other turns round or does not have, are no agreement.
func TestCompare(t *testing.T) {
	t.Parallel()
	const (
		renal = "Metformin is contraindicated in patients with an eGFR below 30 mL/min."
		same  = "Metformin is contraindicated in patients with an eGFR below  30 mL/min."
		more  = "Starting metformin is not recommended when the eGFR is between 30 and 45 mL/min."
		wrong = "Metformin is contraindicated in patients with an eGFR below 60 mL/min."
		turn  = "Metformin is not contraindicated in patients with an eGFR below 30 mL/min."
		apart = "Lactic acidosis was fatal in some patients."
	)
	type want struct {
		agreed, status  bool
		numbers         *bool
		supported, less float64
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		a, b *answer.Answer
		want want
	}{
		"the same":                  {said("s", renal), said("s", same), want{true, true, &yes, 1, 2}},
		"the other says more":       {said("s", renal), said("s", renal, more), want{true, true, &yes, 1, 2}},
		"it says what is not there": {said("s", renal, apart), said("s", renal), want{false, true, &yes, 0.5, 1}},
		"another number":            {said("s", wrong), said("s", renal), want{false, true, &no, 0, 1}},
		"turned round":              {said("s", turn), said("s", renal), want{false, true, &yes, 0, 1}},
		"both abstain":              {abstained("no_evidence"), abstained("stale"), want{true, true, nil, math.NaN(), 2}},
		"one abstains":              {said("s", renal), abstained("no_evidence"), want{false, false, nil, math.NaN(), 2}},
		"the other abstains":        {abstained("no_evidence"), said("s", renal), want{false, false, nil, math.NaN(), 2}},
	} {
		got, err := Compare(t.Context(), answer.InPlainWords(support.Builtin()), c.a, c.b)
		if err != nil {
			t.Fatal(name, err)
		}
		if got.Yes[telemetry.Agreed] != c.want.agreed || !got.Has[telemetry.Agreed] || got.Yes[telemetry.SameStatus] != c.want.status {
			t.Errorf("%s: %+v", name, got)
		}
		if n := c.want.numbers; got.Has[telemetry.SameNumbers] != (n != nil) || n != nil && got.Yes[telemetry.SameNumbers] != *n {
			t.Errorf("%s: numbers %v %v", name, got.Has[telemetry.SameNumbers], got.Yes[telemetry.SameNumbers])
		}
		if v := got.Values[telemetry.Supported]; v != c.want.supported && !(math.IsNaN(v) && math.IsNaN(c.want.supported)) {
			t.Errorf("%s: %v of the sentences are borne out", name, v)
		}
		if v := got.Values[telemetry.Overlap]; v >= c.want.less {
			t.Errorf("%s: ROUGE-L %v", name, v)
		}
	}
	if c, err := Compare(t.Context(), nil, said("a", renal), said("b", renal)); err != nil || c.Yes[telemetry.SameSections] || !c.Yes[telemetry.Agreed] {
		t.Errorf("of two sections, without a judge: %+v, %v", c, err)
	}
	if _, err := Compare(t.Context(), broken{}, said("a", apart), said("b", more)); !errors.Is(err, errBroken) {
		t.Errorf("a judge that fails: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Entail(context.Context, []inference.Pair) ([]inference.Probabilities, error) {
	return nil, errBroken
}
func (broken) Model() string { return "broken" }

func TestTokens(t *testing.T) {
	t.Parallel()
	of := func(p float64, ids ...int) (out []inference.TokenLogProb) {
		for _, id := range ids {
			out = append(out, inference.TokenLogProb{TokenProb: inference.TokenProb{Token: id, LogProb: p}})
		}
		return out
	}
	nan := math.NaN()
	for name, c := range map[string]struct {
		a, b               []inference.TokenLogProb
		has, yes           bool
		first, probability float64
	}{
		"the same":          {of(-1, 1, 2, 3), of(-1.5, 1, 2, 3), true, true, nan, 0.5},
		"the third":         {of(-1, 1, 2, 3), of(-1, 1, 2, 4), true, false, 2, 0},
		"the first":         {of(-1, 5), of(-1, 1, 2, 4), true, false, 0, nan},
		"one goes on":       {of(-1, 1, 2), of(-3, 1, 2, 3), true, false, 2, 2},
		"the engine is mum": {nil, of(-1, 1), false, false, nan, nan},
		"no probability":    {of(math.Inf(-1), 1), of(-1, 1), true, true, nan, nan},
	} {
		got := telemetry.NewCompared()
		tokens(&got, c.a, c.b)
		alike := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if got.Has[telemetry.SameTokens] != c.has || got.Yes[telemetry.SameTokens] != c.yes || !alike(got.Values[telemetry.FirstToken], c.first) || !alike(got.Values[telemetry.LogProbs], c.probability) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
