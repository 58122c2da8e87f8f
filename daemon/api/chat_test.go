package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"rxedge/daemon/answer"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference"
)

// judged is a language model that writes two sentences, and a judge that finds one
// of them borne out in part: what no real judge can be made to find on demand.
type judged struct{}

const (
	sure   = "Adults start metformin at 500 mg twice a day."
	doubts = "Metformin is contraindicated in acute metabolic acidosis."
)

func (judged) Model() string { return "test" }
func (judged) Generate(_ context.Context, _ inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	return inference.GenerateResult{FinishReason: "stop"}, emit(sure + " " + doubts)
}
func (judged) Entail(_ context.Context, pairs []inference.Pair) ([]inference.Probabilities, error) {
	out := make([]inference.Probabilities, len(pairs))
	for i, p := range pairs {
		out[i] = inference.Probabilities{Entail: 0.9, Neutral: 0.1}
		if p.Hypothesis == doubts {
			out[i] = inference.Probabilities{Entail: 0.6, Neutral: 0.4}
		}
	}
	return out, nil
}

// A claim that is borne out in part says so to the official client, whole or
// streamed, as it does in the native answer beside it.
func TestChatMarksDoubt(t *testing.T) {
	t.Parallel()
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	text, err := os.ReadFile("../formulary/sample/metformin.md")
	if err != nil {
		t.Fatal(err)
	}
	var docs []*document.Document
	if _, err := document.ReadBytes(t.Context(), "metformin.md", text, document.Options{}, func(d *document.Document) error {
		docs = append(docs, d)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	s := &server{Deps: Deps{Answers: &answer.Service{Index: ix,
		Generator: func(context.Context) (inference.Generator, error) { return judged{}, nil },
		Entailer:  func(context.Context) (inference.Entailer, error) { return judged{}, nil }}}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	web := httptest.NewServer(mux)
	defer web.Close()
	client := openai.NewClient(option.WithBaseURL(web.URL+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	params := openai.ChatCompletionNewParams{Model: GroundedModel,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Can metformin be started at 500 mg twice a day in acute metabolic acidosis?")}}

	whole, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	acc := openai.ChatCompletionAccumulator{}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"whole": whole.Choices[0].Message.Content, "streamed": acc.Choices[0].Message.Content} {
		marked, plain := false, false
		for _, line := range strings.Split(content, "\n") {
			mark := strings.HasSuffix(line, "(borne out in part: read the source)")
			marked = marked || mark && strings.HasPrefix(line, doubts)
			plain = plain || !mark && strings.HasPrefix(line, sure)
		}
		if !marked || !plain {
			t.Errorf("%s: %q", name, content)
		}
	}
	if native := whole.RawJSON(); !strings.Contains(native, `"support":"partly"`) || !strings.Contains(native, `"support":"grounded"`) {
		t.Errorf("the answer beside it: %s", native)
	}
}
