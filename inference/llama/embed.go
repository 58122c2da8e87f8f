package llama

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"rxedge/inference"
)

const (
	// textsPerCall bounds how many texts are handed to the engine at once.
	textsPerCall = 32
	// A call is as long as the engine needs this time for, so that one that
	// hangs is soon found; background work is handed over in smaller parts, so
	// that a question need not wait long.
	questionCall   = 2 * time.Second
	backgroundCall = 250 * time.Millisecond
)

// Embed implements inference.Embedder. Special tokens are added around a text;
// what looks like one inside it is taken as text. Other callers have their turn
// between the parts of a long list.
func (s *Server) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if s.o.Kind != Embed {
		return nil, fmt.Errorf("model %s is loaded to write text and makes no embeddings", s.o.Name)
	}
	out := make([][]float32, 0, len(texts))
	var ahead [][]int // tokens of the texts that follow those done
	for len(out) < len(texts) {
		var batch [][]int
		unread := 0
		err := s.with(ctx, func(k *call) (err error) {
			if len(ahead) == 0 {
				end := min(len(out)+textsPerCall, len(texts))
				if ahead, err = k.tokenizeTexts(texts[len(out):end], len(out)); err != nil {
					return err
				}
			}
			part := questionCall
			if inference.CallerOf(ctx).Priority == inference.Background {
				part = backgroundCall
			}
			n, most := 0, k.c.pulse.tokensIn(part)
			for unread = 0; n < len(ahead) && (n == 0 || unread+len(ahead[n]) <= most); n++ {
				unread += len(ahead[n])
			}
			batch, ahead = ahead[:n], ahead[n:]
			return nil
		})
		if err != nil {
			return nil, err
		}
		_, err = s.withSlot(ctx, unread, func(k *call, w *work) error {
			began := time.Now()
			vectors, err := k.embed(batch, k.c.dimension)
			if err != nil {
				return err
			}
			w.progress(0, true)
			k.c.pulse.measured(unread, time.Since(began))
			out = append(out, vectors...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tokenizeTexts reads one call's worth; first is the index of the first text,
// for errors.
func (k *call) tokenizeTexts(texts []string, first int) ([][]int, error) {
	batch := make([][]int, len(texts))
	for i, text := range texts {
		tokens, err := k.input(text)
		var over *inference.ContextError
		if err != nil && !errors.As(err, &over) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", first+i+1, err)
		}
		if len(tokens) == 0 {
			return nil, fmt.Errorf("text %d is empty", first+i+1)
		}
		if len(tokens) > k.c.limit {
			return nil, fmt.Errorf("text %d: %w", first+i+1, &inference.ContextError{Tokens: len(tokens), Limit: k.c.limit})
		}
		batch[i] = tokens
	}
	return batch, nil
}

// embed returns the unit vectors of token lists; dimension 0 takes what comes.
func (k *call) embed(batch [][]int, dimension int) ([][]float32, error) {
	const unitLength = 2
	out, err := k.vectors(batch, unitLength)
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		if dimension == 0 {
			dimension = len(v)
		}
		if len(v) != dimension {
			return nil, fmt.Errorf("the engine returned a vector of %d numbers where the model has %d", len(v), dimension)
		}
		if err := normalise(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// vectors are the numbers that the engine makes of token lists, in order;
// normalise is its embd_normalize.
func (k *call) vectors(batch [][]int, normalise int) ([][]float32, error) {
	// In base64 every bit of a number arrives, a NaN included, for which JSON
	// has no word.
	var answer struct {
		Data []struct {
			Index     int    `json:"index"`
			Embedding string `json:"embedding"`
		} `json:"data"`
	}
	if err := k.do("/v1/embeddings", map[string]any{"input": batch, "encoding_format": "base64", "embd_normalize": normalise}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Data) != len(batch) {
		return nil, fmt.Errorf("the engine returned %d vectors for %d texts", len(answer.Data), len(batch))
	}
	out := make([][]float32, len(batch))
	for _, d := range answer.Data {
		if d.Index < 0 || d.Index >= len(out) || out[d.Index] != nil {
			return nil, fmt.Errorf("the engine returned a vector for text %d of %d", d.Index, len(batch))
		}
		raw, err := base64.StdEncoding.DecodeString(d.Embedding)
		if err != nil || len(raw) == 0 || len(raw)%4 != 0 {
			return nil, fmt.Errorf("the engine returned a vector that cannot be read")
		}
		v := make([]float32, len(raw)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		out[d.Index] = v
	}
	return out, nil
}

// normalise scales v to unit length, in place.
func normalise(v []float32) error {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	norm := math.Sqrt(sum)
	if !(norm > 0) || math.IsInf(norm, 0) {
		return fmt.Errorf("the model returned a vector that has no direction (length %v); its file may be damaged", norm)
	}
	for i, x := range v {
		v[i] = float32(float64(x) / norm)
	}
	return nil
}
