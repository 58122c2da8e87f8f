package llama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

// llama.cpp's enum llama_pooling_type; "" is left to the caller.
var poolings = [...]string{"", "mean", "cls", "last", "rank"}

// readHead says how an encoder pools, and how many logits a classifier has.
func readHead(m *gguf.Metadata) (pooling string, labels int) {
	arch, _ := m.Text("general.architecture")
	if n, ok := m.Uint(arch + ".pooling_type"); ok && n < uint64(len(poolings)) {
		pooling = poolings[n]
	}
	names, _ := m.Texts(arch + ".classifier.output_labels")
	return pooling, max(len(names), 1) // llama.cpp takes one where none are named
}

// poolingFor is the pooling that a model of this kind is loaded with.
func (o Options) poolingFor() string {
	switch {
	case o.Kind == Rank:
		return "rank"
	case o.pooling == "cls" || o.pooling == "last":
		return o.pooling
	}
	return "mean"
}

// Classify returns the model's logits for each list of tokens, in order: as many
// as it has labels. The tokens are handed to it as they are, special ones
// included. A list over the limit is an *inference.ContextError, a logit that is
// no number an error. Other callers have their turn between the parts of a long
// list. It does not retry.
func (s *Server) Classify(ctx context.Context, tokens [][]int) ([][]float32, error) {
	if s.o.Kind != Rank {
		return nil, fmt.Errorf("model %s is loaded to %q and classifies nothing", s.o.Name, s.o.Kind)
	}
	out := make([][]float32, 0, len(tokens))
	for len(out) < len(tokens) {
		var batch [][]int
		unread := 0
		err := s.with(ctx, func(k *call) error {
			part := questionCall
			if inference.CallerOf(ctx).Priority == inference.Background {
				part = backgroundCall
			}
			most := k.c.pulse.tokensIn(part)
			batch, unread = nil, 0
			for i, ids := range tokens[len(out):] {
				switch {
				case len(ids) == 0:
					return fmt.Errorf("input %d is empty", len(out)+i+1)
				case len(ids) > k.c.limit:
					return fmt.Errorf("input %d: %w", len(out)+i+1, &inference.ContextError{Tokens: len(ids), Limit: k.c.limit})
				}
				if len(batch) == textsPerCall || len(batch) > 0 && unread+len(ids) > most {
					break
				}
				batch, unread = append(batch, ids), unread+len(ids)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		_, err = s.withSlot(ctx, unread, func(k *call, w *work) error {
			began := time.Now()
			logits, err := k.logits(batch)
			if err != nil {
				return err
			}
			w.progress(0, true)
			k.c.pulse.measured(unread, time.Since(began))
			out = append(out, logits...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

var errNoLogit = errors.New("the model returned a logit that is no number; its file may be damaged")

// logits of token lists. What the engine returns behind them is not initialised.
func (k *call) logits(batch [][]int) ([][]float32, error) {
	const asTheyAre = -1
	out, err := k.vectors(batch, asTheyAre)
	if err != nil {
		return nil, err
	}
	n := k.c.header.labels
	for i, v := range out {
		if len(v) < n {
			return nil, fmt.Errorf("the engine returned %d logits where the model has %d labels", len(v), n)
		}
		for _, x := range v[:n] {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, errNoLogit
			}
		}
		out[i] = v[:n:n]
	}
	return out, nil
}
