package bert

import (
	"context"
	"fmt"
	"math"

	"rxedge/inference"
)

// Classifier is an engine that has a model with a classification head loaded.
type Classifier interface {
	// Classify returns as many logits as the model has labels for each list of
	// tokens, which are handed to the model as they are, in order.
	Classify(ctx context.Context, tokens [][]int) ([][]float32, error)
}

// judge asks a classifier about pairs of texts. It is safe for concurrent use.
type judge struct {
	engine Classifier
	model  *Model
	name   string
	limit  int
}

// JudgeOptions of a Reranker or Entailer.
type JudgeOptions struct {
	Name      string // as the catalog names the model
	MaxTokens int    // that the engine was loaded for; 0: the model's
}

func newJudge(engine Classifier, m *Model, o JudgeOptions, kind Kind) (judge, error) {
	if m.Kind != kind {
		return judge{}, fmt.Errorf("model %s is of the kind %q and not %q", o.Name, m.Kind, kind)
	}
	limit := m.MaxTokens
	if o.MaxTokens > 0 {
		limit = min(limit, o.MaxTokens)
	}
	return judge{engine, m, o.Name, limit}, nil
}

// Model names the model as the catalog does.
func (j judge) Model() string { return j.name }

// ask returns finite logits. what names an input in errors.
func (j judge) ask(ctx context.Context, inputs [][]int, what string) ([][]float32, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	labels := len(j.model.Labels)
	logits, err := j.engine.Classify(ctx, inputs)
	if err != nil {
		return nil, err
	}
	if len(logits) != len(inputs) {
		return nil, fmt.Errorf("model %s returned %d answers for %d %ss", j.name, len(logits), len(inputs), what)
	}
	for i, l := range logits {
		if len(l) != labels {
			return nil, fmt.Errorf("model %s returned %d logits for %s %d, and it has %d labels", j.name, len(l), what, i+1, labels)
		}
		for _, v := range l {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("model %s returned %v for %s %d; its file may be damaged, import it again", j.name, v, what, i+1)
			}
		}
	}
	return logits, nil
}

type reranker struct{ judge }

// NewReranker makes a Reranker of a cross-encoder.
func NewReranker(engine Classifier, m *Model, o JudgeOptions) (inference.Reranker, error) {
	j, err := newJudge(engine, m, o, Reranker)
	if err != nil {
		return nil, err
	}
	return reranker{j}, nil
}

func (r reranker) Rerank(ctx context.Context, query string, passages []string) ([]float32, error) {
	inputs := make([][]int, len(passages))
	first := r.model.Encode(query)
	for i, p := range passages {
		var err error
		if inputs[i], err = r.model.pair(first, p, r.limit); err != nil {
			return nil, fmt.Errorf("passage %d: %w", i+1, err)
		}
	}
	logits, err := r.ask(ctx, inputs, "passage")
	if err != nil {
		return nil, err
	}
	scores := make([]float32, len(logits))
	for i, l := range logits {
		scores[i] = float32(1 / (1 + math.Exp(-float64(l[0]))))
	}
	return scores, nil
}

type entailer struct {
	judge
	order [3]int // logits of entail, neutral, contradict
}

// NewEntailer makes an Entailer of an entailment model.
func NewEntailer(engine Classifier, m *Model, o JudgeOptions) (inference.Entailer, error) {
	j, err := newJudge(engine, m, o, Entailer)
	if err != nil {
		return nil, err
	}
	order, err := entailOrder(m.Labels)
	if err != nil {
		return nil, err
	}
	return entailer{j, order}, nil
}

func (e entailer) Entail(ctx context.Context, pairs []inference.Pair) ([]inference.Probabilities, error) {
	inputs := make([][]int, len(pairs))
	for i, p := range pairs {
		var err error
		if inputs[i], err = e.model.Pair(p.Premise, p.Hypothesis, e.limit); err != nil {
			return nil, fmt.Errorf("pair %d: %w", i+1, err)
		}
	}
	logits, err := e.ask(ctx, inputs, "pair")
	if err != nil {
		return nil, err
	}
	out := make([]inference.Probabilities, len(logits))
	for i, l := range logits {
		p := softmax([3]float32{l[e.order[0]], l[e.order[1]], l[e.order[2]]})
		out[i] = inference.Probabilities{Entail: p[0], Neutral: p[1], Contradict: p[2]}
	}
	return out, nil
}

func softmax(l [3]float32) (p [3]float32) {
	top := max(l[0], l[1], l[2])
	var sum float64
	var e [3]float64
	for i, v := range l {
		e[i] = math.Exp(float64(v) - float64(top))
		sum += e[i]
	}
	for i := range p {
		p[i] = float32(e[i] / sum)
	}
	return p
}
