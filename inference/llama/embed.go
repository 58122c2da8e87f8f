package llama

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"rxedge/inference"
)

// textsPerCall bounds how many texts are handed to the engine at once; it
// queues them for its slots.
const textsPerCall = 32

// Embed implements inference.Embedder. Special tokens are added around a text;
// what looks like one inside it is taken as text.
func (s *Server) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if s.o.Kind != Embed {
		return nil, fmt.Errorf("model %s is loaded to write text and makes no embeddings", s.o.Name)
	}
	var out [][]float32
	err := s.with(ctx, func(k *call) error {
		out = make([][]float32, 0, len(texts))
		for len(out) < len(texts) {
			end := min(len(out)+textsPerCall, len(texts))
			vectors, err := k.embedTexts(texts[len(out):end], len(out))
			if err != nil {
				return err
			}
			out = append(out, vectors...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// embedTexts embeds one call's worth; first is the index of the first text, for
// errors.
func (k *call) embedTexts(texts []string, first int) ([][]float32, error) {
	batch := make([][]int, len(texts))
	for i, text := range texts {
		tokens, err := k.tokenize(text, true, false)
		if err != nil {
			return nil, err
		}
		if len(tokens) == 0 {
			return nil, fmt.Errorf("text %d is empty", first+i+1)
		}
		if len(tokens) > k.c.limit {
			return nil, fmt.Errorf("text %d: %w", first+i+1, &inference.ContextError{Tokens: len(tokens), Limit: k.c.limit})
		}
		batch[i] = tokens
	}
	return k.embed(batch, k.c.dimension)
}

// embed returns the unit vectors of token lists; dimension 0 takes what comes.
func (k *call) embed(batch [][]int, dimension int) ([][]float32, error) {
	// In base64 every bit of a number arrives, a NaN included, for which JSON
	// has no word.
	var answer struct {
		Data []struct {
			Index     int    `json:"index"`
			Embedding string `json:"embedding"`
		} `json:"data"`
	}
	if err := k.do("/v1/embeddings", map[string]any{"input": batch, "encoding_format": "base64"}, &answer); err != nil {
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
		if dimension == 0 {
			dimension = len(raw) / 4
		}
		if len(raw)/4 != dimension {
			return nil, fmt.Errorf("the engine returned a vector of %d numbers where the model has %d", len(raw)/4, dimension)
		}
		v := make([]float32, dimension)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		if err := normalise(v); err != nil {
			return nil, err
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
