package inference

import "context"

// Reranker judges how well passages answer a query, each read together with it.
type Reranker interface {
	// Rerank returns one score for each passage, in order, between 0 (does not
	// answer it) and 1: the sigmoid of the model's logit. Scores of different
	// models are not comparable. A query and passage that are longer together
	// than the model reads are a *ContextError, wrapped with the passage's
	// number; nothing is ever truncated. A model that returns NaN is an error.
	// No passages are no scores. Safe for concurrent use. It does not retry.
	Rerank(ctx context.Context, query string, passages []string) ([]float32, error)
	// Model names the model as the catalog does.
	Model() string
}

// Pair is a text and what is claimed of it.
type Pair struct {
	Premise, Hypothesis string
}

// Probabilities of what a premise says about a hypothesis; their sum is 1.
type Probabilities struct {
	Entail     float32 `json:"entail"`     // it follows
	Neutral    float32 `json:"neutral"`    // it is left open
	Contradict float32 `json:"contradict"` // it cannot be true
}

// Entailer tells whether hypotheses follow from their premises.
type Entailer interface {
	// Entail returns one result for each pair, in order. A pair that is longer
	// than the model reads is a *ContextError, wrapped with the pair's number;
	// nothing is ever truncated. A model that returns NaN is an error. No pairs
	// are no results. Safe for concurrent use. It does not retry.
	Entail(ctx context.Context, pairs []Pair) ([]Probabilities, error)
	// Model names the model as the catalog does.
	Model() string
}
