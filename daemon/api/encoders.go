package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/inference"
)

// Limits of one request.
const (
	mostTexts    = 2048
	mostPassages = 1000
)

// EmbeddingRequest is OpenAI's.
type EmbeddingRequest struct {
	_              struct{} `json:"-" additionalProperties:"true"`
	Model          string   `json:"model,omitempty" doc:"an embedder of the catalog; empty or \"rxedge\": the configured one"`
	Input          texts    `json:"input" doc:"a text or a list of texts"`
	EncodingFormat string   `json:"encoding_format,omitempty" enum:"float,base64"`
	Dimensions     int      `json:"dimensions,omitempty" doc:"must be the model's where it is given"`
}

// texts is one text or several.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	if json.Unmarshal(b, (*[]string)(t)) != nil {
		return errors.New("input is neither a text nor a list of texts")
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (texts) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: "string"}, {Type: "array", Items: &huma.Schema{Type: "string"}}}}
}

// EmbeddingList is OpenAI's answer.
type EmbeddingList struct {
	Object string      `json:"object"`
	Data   []Embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  Usage       `json:"usage"`
}

// Embedding is a vector of unit length: numbers, or base64 of them as float32,
// little-endian.
type Embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// RerankRequest is what Cohere's and Jina's clients send.
type RerankRequest struct {
	_               struct{} `json:"-" additionalProperties:"true"`
	Model           string   `json:"model,omitempty" doc:"a reranker of the catalog; empty or \"rxedge\": the configured one"`
	Query           string   `json:"query" minLength:"1"`
	Documents       []string `json:"documents" minItems:"1" maxItems:"1000"`
	TopN            int      `json:"top_n,omitempty" minimum:"0" doc:"0: all"`
	ReturnDocuments bool     `json:"return_documents,omitempty"`
}

// RerankResult is a document with its score, between 0 and 1.
type RerankResult struct {
	Index    int             `json:"index"`
	Score    float32         `json:"relevance_score"`
	Document *RerankDocument `json:"document,omitempty"`
}

// RerankDocument is the text that was sent.
type RerankDocument struct {
	Text string `json:"text"`
}

// RerankList is the answer, best first.
type RerankList struct {
	Model   string         `json:"model"`
	Results []RerankResult `json:"results"`
}

func invalid(detail string) *Problem {
	return &Problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Code: "invalid_request", Detail: detail}
}

// named is "" where the configured model is meant.
func named(model string) string {
	if model == GroundedModel {
		return ""
	}
	return model
}

func (s *server) encoders(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "embeddings", Method: http.MethodPost, Path: "/v1/embeddings", Summary: "Vectors of texts, as OpenAI's API has it",
		MaxBodyBytes: -1, // guard has the limit
	}, func(ctx context.Context, in *struct{ Body EmbeddingRequest }) (*struct{ Body EmbeddingList }, error) {
		ctx, cancel := s.context(ctx)
		defer cancel()
		out, err := s.embed(ctx, in.Body)
		if err != nil {
			p := s.problem(err)
			p.openAI = true
			return nil, p
		}
		return &struct{ Body EmbeddingList }{out}, nil
	})
	huma.Register(api, huma.Operation{OperationID: "rerank", Method: http.MethodPost, Path: "/v1/rerank", Summary: "Passages by how well they answer a query",
		MaxBodyBytes: -1,
	}, func(ctx context.Context, in *struct{ Body RerankRequest }) (*struct{ Body RerankList }, error) {
		ctx, cancel := s.context(ctx)
		defer cancel()
		out, err := s.rerank(ctx, in.Body)
		if err != nil {
			p := s.problem(err)
			p.openAI = true
			return nil, p
		}
		return &struct{ Body RerankList }{out}, nil
	})
}

func (s *server) embed(ctx context.Context, req EmbeddingRequest) (EmbeddingList, error) {
	out := EmbeddingList{Object: "list"}
	switch {
	case s.Models == nil:
		return out, inference.ErrModelNotFound
	case len(req.Input) == 0 || slices.Contains(req.Input, ""):
		return out, invalid("input: send at least one text, and none that is empty")
	case len(req.Input) > mostTexts:
		return out, invalid("input: at most 2048 texts at once")
	}
	e, err := s.Models.Embedder(ctx, named(req.Model))
	if err != nil {
		return out, err
	}
	vectors, err := e.Embed(ctx, req.Input)
	if err != nil {
		return out, err
	}
	if n := req.Dimensions; n != 0 && n != len(vectors[0]) {
		return out, invalid("dimensions: the model's vectors can't be cut to another length")
	}
	out.Model = e.Info().Name
	for i, v := range vectors {
		d := Embedding{Object: "embedding", Index: i, Embedding: v}
		if req.EncodingFormat == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, f := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
			}
			d.Embedding = base64.StdEncoding.EncodeToString(b)
		}
		out.Data = append(out.Data, d)
	}
	if t, ok := e.(inference.Tokenizer); ok {
		for _, text := range req.Input {
			if ids, err := t.Tokenize(ctx, text); err == nil {
				out.Usage.PromptTokens += len(ids)
			}
		}
		out.Usage.TotalTokens = out.Usage.PromptTokens
	}
	return out, nil
}

func (s *server) rerank(ctx context.Context, req RerankRequest) (RerankList, error) {
	if s.Models == nil {
		return RerankList{}, inference.ErrModelNotFound
	}
	r, err := s.Models.Reranker(ctx, named(req.Model))
	if err != nil {
		return RerankList{}, err
	}
	scores, err := r.Rerank(ctx, req.Query, req.Documents)
	if err != nil {
		return RerankList{}, err
	}
	out := RerankList{Model: r.Model(), Results: make([]RerankResult, len(scores))}
	for i, score := range scores {
		out.Results[i] = RerankResult{Index: i, Score: score}
		if req.ReturnDocuments {
			out.Results[i].Document = &RerankDocument{req.Documents[i]}
		}
	}
	slices.SortStableFunc(out.Results, func(a, b RerankResult) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	if req.TopN > 0 {
		out.Results = out.Results[:min(req.TopN, len(out.Results))]
	}
	return out, nil
}
