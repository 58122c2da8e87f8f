package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"

	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/inference/bert/berttest"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
)

// What a request can ask of a language model, through the official client.
func TestChatAsksMore(t *testing.T) {
	t.Parallel()
	s := withStories(t, nil)
	client := s.openAI()
	params := openai.ChatCompletionNewParams{
		Model: "stories260K", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Once upon a time")},
		MaxTokens: openai.Int(6), Temperature: openai.Float(0), Logprobs: openai.Bool(true), TopLogprobs: openai.Int(3),
	}
	got, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	probs, text := got.Choices[0].Logprobs.Content, ""
	for _, p := range probs {
		text += p.Token
		if len(p.TopLogprobs) != 3 || p.TopLogprobs[0].Logprob != p.Logprob || p.Logprob > 0 || p.Logprob < -10 || p.TopLogprobs[2].Logprob > p.TopLogprobs[1].Logprob {
			t.Errorf("greedy, so each is the likeliest of its place: %+v", p)
		}
	}
	if len(probs) != 6 || !strings.Contains(text, strings.TrimSpace(got.Choices[0].Message.Content)) {
		t.Errorf("%d tokens %q of %q", len(probs), text, got.Choices[0].Message.Content)
	}

	params.Logprobs, params.TopLogprobs, params.MaxTokens = openai.ChatCompletionNewParams{}.Logprobs, openai.ChatCompletionNewParams{}.TopLogprobs, openai.Int(120)
	params.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
		JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{Name: "dose", Schema: map[string]any{
			"type": "object", "required": []string{"unit"}, "additionalProperties": false,
			"properties": map[string]any{"unit": map[string]any{"enum": []string{"mg", "mL"}}},
		}}}}
	if got, err = client.Chat.Completions.New(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	var out map[string]string
	if err := json.Unmarshal([]byte(got.Choices[0].Message.Content), &out); err != nil || len(out) != 1 || out["unit"] != "mg" && out["unit"] != "mL" {
		t.Errorf("%v: %q", err, got.Choices[0].Message.Content)
	}

	for body, code := range map[string]string{
		`"grammar": "root ::= ("`:              "invalid_grammar",
		`"adapters": [{"name": "none"}]`:       "no_such_adapter",
		`"response_format": {"type": "xml"}`:   "invalid_request",
		`"top_logprobs": 3`:                    "invalid_request",
		`"logprobs": true, "top_logprobs": 21`: "invalid_request",
	} {
		resp, err := http.Post(s.url+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model": "stories260K", "max_tokens": 2, "messages": [{"role": "user", "content": "x"}], `+body+`}`))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(b), code) {
			t.Errorf("%s: %d %s", body, resp.StatusCode, b)
		}
	}
}

// Encoders: vectors through the official client, passages in order of a
// cross-encoder's scores, and what is said where there is none.
func TestEncoders(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	s := startDaemon(t, func(c *config.Config) { c.Model.Embedder, c.Model.Reranker = "encoder", "judge" })
	client := s.openAI()
	texts := []string{"the dose of metformin", "renal risk", "the dose of metformin"}
	params := openai.EmbeddingNewParams{Model: "rxedge", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts}}
	_, err := client.Embeddings.New(t.Context(), params)
	var apiErr *openai.Error
	if !errors.As(err, &apiErr) || apiErr.StatusCode != http.StatusNotFound {
		t.Errorf("before it is imported: %v", err)
	}
	c, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, labels := range map[string][]string{"encoder": nil, "judge": {"LABEL_0"}} {
		if _, err := c.ImportModel(t.Context(), berttest.Folder(t, labels...), catalog.ImportOptions{Name: name}, nil); err != nil {
			t.Fatal(err)
		}
	}
	list, err := client.Embeddings.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Data) != 3 || list.Model != "encoder" || list.Usage.PromptTokens == 0 {
		t.Fatalf("%d vectors of %s", len(list.Data), list.Model)
	}
	var norm float64
	for _, v := range list.Data[0].Embedding {
		norm += v * v
	}
	if math.Abs(norm-1) > 1e-4 || !slices.Equal(list.Data[0].Embedding, list.Data[2].Embedding) || slices.Equal(list.Data[0].Embedding, list.Data[1].Embedding) {
		t.Errorf("norm %v; equal texts have equal vectors, others not", norm)
	}
	params.EncodingFormat = openai.EmbeddingNewParamsEncodingFormatBase64
	if raw, err := client.Embeddings.New(t.Context(), params); err == nil && len(raw.Data) != 3 {
		t.Errorf("base64: %d", len(raw.Data))
	}

	var ranked struct {
		Model   string
		Results []struct {
			Index    int
			Score    float64 `json:"relevance_score"`
			Document *struct{ Text string }
		}
	}
	docs := []string{"renal risk of metformin", "bleeding with warfarin", "the dose", "take it with food"}
	s.do(t, "POST", "/v1/rerank", map[string]any{"query": "the risk of bleeding", "documents": docs, "top_n": 3, "return_documents": true}, &ranked)
	if ranked.Model != "judge" || len(ranked.Results) != 3 {
		t.Fatalf("%+v", ranked)
	}
	for i, r := range ranked.Results {
		if r.Score <= 0 || r.Score >= 1 || i > 0 && r.Score > ranked.Results[i-1].Score || r.Document == nil || r.Document.Text != docs[r.Index] {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	for body, want := range map[string]int{
		`{"query": "x", "documents": []}`:                                                    422,
		`{"query": "", "documents": ["x"]}`:                                                  422,
		fmt.Sprintf(`{"query": "x", "documents": ["%s"]}`, strings.Repeat("warfarin ", 600)): 400,
		`{"model": "encoder", "query": "x", "documents": ["x"]}`:                             404,
		`{"model": "none", "query": "x", "documents": ["x"]}`:                                404,
	} {
		resp, err := http.Post(s.url+"/v1/rerank", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || strings.Contains(string(b), "warfarin") {
			t.Errorf("%.60s: %d %s", body, resp.StatusCode, b)
		}
	}
	// Two engines run now, within the budget, and status shows them.
	h, err := c.Status(t.Context())
	if err != nil || h.Embedder == nil || h.Embedder.Phase != "ready" || h.Embedder.MemoryBytes == 0 || len(h.Others) != 1 || h.Others[0].Name != "judge" || h.Profile == "" {
		t.Errorf("%v %+v", err, h)
	}
}
