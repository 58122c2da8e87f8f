package bert

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"rxedge/inference"
)

// scripted returns what it is told to; the real engine is asked in engine_test.go.
type scripted func(tokens [][]int) ([][]float32, error)

func (s scripted) Classify(_ context.Context, tokens [][]int) ([][]float32, error) {
	return s(tokens)
}

func tinyModel(t *testing.T, labels ...string) *Model {
	t.Helper()
	names := make(map[string]string)
	for i, l := range labels {
		names[string(rune('0'+i))] = l
	}
	path, _ := convert(t, tinyFolder(t, tinyBERT(len(labels)), map[string]any{"id2label": names}), Options{})
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRerank(t *testing.T) {
	t.Parallel()
	m := tinyModel(t, "LABEL_0")
	answer := [][]float32{{0}, {-2}, {40}}
	r, err := NewReranker(scripted(func(tokens [][]int) ([][]float32, error) { return answer, nil }), m, JudgeOptions{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	scores, err := r.Rerank(t.Context(), "warfarin", []string{"a", "b", "c"})
	if err != nil || scores[0] != .5 || math.Abs(float64(scores[1])-.1192029) > 1e-6 || scores[2] != 1 {
		t.Error(scores, err)
	}
	for _, bad := range [][][]float32{{{0}, {0}, {float32(math.NaN())}}, {{0}, {float32(math.Inf(1))}, {0}}, {{0}, {0}}, {{0}, {0, 0}, {0}}} {
		answer = bad
		if scores, err := r.Rerank(t.Context(), "warfarin", []string{"a", "b", "c"}); err == nil || scores != nil {
			t.Errorf("%v passed as %v", bad, scores)
		}
	}
	if scores, err := r.Rerank(t.Context(), "warfarin", nil); err != nil || len(scores) != 0 {
		t.Error(scores, err)
	}
	if _, err := NewEntailer(nil, m, JudgeOptions{}); err == nil {
		t.Error("a cross-encoder became an Entailer")
	}
}

func TestTooLongIsNeverCut(t *testing.T) {
	t.Parallel()
	m := tinyModel(t, "LABEL_0")
	asked := 0
	engine := scripted(func(tokens [][]int) ([][]float32, error) {
		asked = len(tokens[len(tokens)-1])
		return make([][]float32, len(tokens)), nil
	})
	r, err := NewReranker(engine, m, JudgeOptions{MaxTokens: 10})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Rerank(t.Context(), "warfarin", []string{"the", strings.Repeat("risk ", 7)})
	var over *inference.ContextError
	if !errors.As(err, &over) || over.Tokens != 11 || over.Limit != 10 || !strings.Contains(err.Error(), "passage 2") || asked != 0 {
		t.Errorf("%v, %d tokens asked", err, asked)
	}
	r.Rerank(t.Context(), "warfarin", []string{strings.Repeat("risk ", 6)})
	if asked != 10 {
		t.Errorf("%d tokens asked", asked)
	}
}

func TestEntailByLabel(t *testing.T) {
	t.Parallel()
	for _, labels := range [][]string{{"entailment", "neutral", "contradiction"}, {"CONTRADICTION", "ENTAILMENT", "NEUTRAL"}, {"Neutral", "Contradict", "Entail"}} {
		m := tinyModel(t, labels...)
		logits := make([]float32, 3)
		for i, l := range labels {
			logits[i] = map[byte]float32{'e': 3, 'n': 1, 'c': -80}[strings.ToLower(l)[0]]
		}
		e, err := NewEntailer(scripted(func(tokens [][]int) ([][]float32, error) { return [][]float32{logits}, nil }), m, JudgeOptions{Name: "nli"})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Entail(t.Context(), []inference.Pair{{Premise: "the", Hypothesis: "risk"}})
		if err != nil || math.Abs(float64(p[0].Entail)-.8807971) > 1e-6 || math.Abs(float64(p[0].Neutral)-.1192029) > 1e-6 || p[0].Contradict > 1e-30 {
			t.Errorf("%q: %+v, %v", labels, p, err)
		}
		if e.Model() != "nli" {
			t.Error(e.Model())
		}
	}
}
