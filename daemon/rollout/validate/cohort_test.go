package validate

import (
	"context"
	"slices"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
)

// overheard remembers of which cohorts it was asked.
type overheard struct {
	pair
	cohorts []string
}

func (a *overheard) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	a.cohorts = append(a.cohorts, q.Cohort)
	return a.pair.Ask(ctx, q, ev)
}

// Golden questions are asked for the cohort that they name, so that its threshold holds;
// a name that is none is asked without, and is no failure.
func TestGoldenIsAskedForItsCohort(t *testing.T) {
	t.Parallel()
	a := &overheard{pair: pairOf(t, sample(t))}
	s := &side{Side: a}
	for _, name := range []string{"children", "", "The Elderly"} {
		g := Golden{Question: evaluate.Question{ID: "q", Question: "What is the maximum adult dose of metformin?"}, Cohort: name}
		if _, err := s.one(t.Context(), g, answer.ModeExtractive); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(a.cohorts, []string{"children", "", ""}) || s.errs != 0 {
		t.Errorf("%q, %d errors", a.cohorts, s.errs)
	}
}
