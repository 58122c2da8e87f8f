package answer

import (
	"context"

	"rxedge/inference"
	"rxedge/inference/alignment"
)

// InPlainWords lets a judge that knows words and no meanings see each text in the
// same words as the other: of ways to say the same one stands for all.
func InPlainWords(judge inference.Entailer) inference.Entailer { return plainWords{judge} }

type plainWords struct{ inference.Entailer }

// Entail implements inference.Entailer.
func (p plainWords) Entail(ctx context.Context, pairs []inference.Pair) ([]inference.Probabilities, error) {
	same := make([]inference.Pair, len(pairs))
	for i, q := range pairs {
		same[i] = inference.Pair{Premise: alignment.Canonical(q.Premise), Hypothesis: alignment.Canonical(q.Hypothesis)}
	}
	return p.Entailer.Entail(ctx, same)
}
