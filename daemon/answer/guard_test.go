package answer

import (
	"context"
	"math"
	"testing"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/inference"
	"rxedge/inference/support"
)

// The guard takes an answer back only where it was told to, and then nothing of it
// is seen before.
func TestGuardAbstains(t *testing.T) {
	t.Parallel()
	strict := *guard.Builtin()
	strict.Some, strict.Threshold = 0, 0 // much doubt of everything
	for _, abstains := range []bool{false, true} {
		s := &Service{Index: sample(t), GuardAbstains: abstains, guard: &strict}
		seen := 0
		a, err := s.Ask(t.Context(), Question{Text: "max dose of metformin", Explain: true}, Events{Claim: func(Claim) { seen++ }})
		if err != nil {
			t.Fatal(err)
		}
		if a.Decision == nil || a.Decision.Doubt != guard.High || a.Decision.Advisory == abstains || len(a.Decision.Contributions) == 0 {
			t.Errorf("abstains %v: decision %+v", abstains, a.Decision)
		}
		if abstains != (a.Status == StatusAbstained && a.Reason == ReasonUnsafe && len(a.Claims) == 0 && seen == 0) || !abstains && seen != len(a.Claims) {
			t.Errorf("abstains %v: %s %s, %d claims, %d seen", abstains, a.Status, a.Reason, len(a.Claims), seen)
		}
	}
	// With little doubt all is shown, in order.
	mild := strict
	mild.Some, mild.Threshold = 2, 2
	var seen []string
	a, err := (&Service{Index: sample(t), GuardAbstains: true, guard: &mild}).Ask(t.Context(), Question{Text: "max dose of metformin"}, Events{Claim: func(c Claim) { seen = append(seen, c.Text) }})
	if err != nil || a.Status != StatusAnswered || len(seen) != len(a.Claims) || seen[0] != a.Claims[0].Text {
		t.Errorf("%v: %+v, seen %q", err, a, seen)
	}
}

// sure is a model that tells how likely its words were.
type sure struct{ writes }

func (m sure) Generate(ctx context.Context, r inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	res, err := m.writes.Generate(ctx, r, emit)
	if r.LogProbs > 0 {
		for _, p := range []float64{-0.1, -0.3, math.Inf(-1), -2} {
			res.LogProbs = append(res.LogProbs, inference.TokenLogProb{TokenProb: inference.TokenProb{LogProb: p}})
		}
	}
	return res, err
}

// What the guard is told of an answer that a model wrote, and of one that none did.
func TestGuardFeatures(t *testing.T) {
	t.Parallel()
	const text = "Adults start metformin at 500 mg by mouth twice a day or 850 mg once a day, with meals."
	s := &Service{Index: sample(t), Now: func() time.Time { return time.Date(2028, 1, 15, 0, 0, 0, 0, time.UTC) },
		Generator: func(context.Context) (inference.Generator, error) { return sure{writes{text: text}}, nil },
		Entailer:  func(context.Context) (inference.Entailer, error) { return support.Builtin(), nil }}
	ask := func(mode string) guard.Vector {
		a, err := s.Ask(t.Context(), Question{Text: "Can metformin be started at 500 mg?", Mode: mode}, Events{})
		if err != nil || a.Decision == nil || mode != "" && a.Mode != mode {
			t.Fatalf("%v: %+v", err, a)
		}
		return a.Decision.Features
	}
	wrote, quoted := ask(ModeGenerated), ask(ModeExtractive)
	if d := math.Abs(wrote[guard.LogProb] + 0.8); d > 1e-9 || wrote[guard.LeastProb] != -2 {
		t.Errorf("mean %v, least %v: what is no number is left out", wrote[guard.LogProb], wrote[guard.LeastProb])
	}
	if quoted[guard.LogProb] != 0 || quoted[guard.LeastProb] != 0 {
		t.Errorf("no model wrote: %v, %v", quoted[guard.LogProb], quoted[guard.LeastProb])
	}
	if wrote[guard.Age] != 2 || math.Abs(wrote[guard.Length]-math.Log1p(19.0/20)) > 1e-9 {
		t.Errorf("age %v, length %v", wrote[guard.Age], wrote[guard.Length])
	}
}
