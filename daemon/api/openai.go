package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/answer"
	"rxedge/inference"
)

// GroundedModel is the name under which /v1/chat/completions answers from the
// documents, with citations.
const GroundedModel = "rxedge"

// ChatRequest is the part of OpenAI's chat completion request that is heeded;
// other fields are accepted and ignored.
type ChatRequest struct {
	Model         string        `json:"model"`
	Messages      []ChatMessage `json:"messages"`
	Stream        bool          `json:"stream,omitempty"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options,omitempty"`
	MaxTokens           int      `json:"max_tokens,omitempty"`
	MaxCompletionTokens int      `json:"max_completion_tokens,omitempty"`
	Temperature         *float64 `json:"temperature,omitempty"`
	TopP                float64  `json:"top_p,omitempty"`
	Seed                int64    `json:"seed,omitempty"`
	N                   int      `json:"n,omitempty"`
	Stop                stops    `json:"stop,omitempty"`
	// LogProbs asks for the probability of each token that is written, and
	// TopLogProbs for those of so many others at its place.
	LogProbs       bool            `json:"logprobs,omitempty"`
	TopLogProbs    int             `json:"top_logprobs,omitempty"`
	ResponseFormat *responseFormat `json:"response_format,omitempty"`

	// What follows is llama.cpp's and ours, beyond OpenAI's.
	TopK          int       `json:"top_k,omitempty"`
	MinP          float64   `json:"min_p,omitempty"`
	RepeatPenalty float64   `json:"repeat_penalty,omitempty"`
	Grammar       string    `json:"grammar,omitempty"` // GBNF
	Adapters      []adapter `json:"adapters,omitempty"`
}

// adapter is a LoRA adapter that the configuration loads beside the model.
type adapter struct {
	Name  string   `json:"name"`
	Scale *float64 `json:"scale,omitempty"` // 1 where it is not given
}

// responseFormat asks for text, JSON, or JSON of a schema.
type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema *struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema,omitempty"`
}

// ChatMessage is one turn; Content is a string or a list of text parts.
type ChatMessage struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

type content string

func (c *content) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*c = content(text)
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return errors.New("content is neither a string nor a list of parts")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return fmt.Errorf("content of type %q can't be read; send text", p.Type)
		}
		*c += content(p.Text)
	}
	return nil
}

type stops []string

func (s *stops) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = stops{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// ChatCompletion is OpenAI's answer object, and with Object
// "chat.completion.chunk" one event of its stream.
type ChatCompletion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []ChatChoice `json:"choices"`
	Usage   *Usage       `json:"usage,omitempty"`
	// RxEdge is the whole answer where the model is GroundedModel.
	RxEdge *answer.Answer `json:"rxedge,omitempty"`
}

// ChatChoice is the one choice there is.
type ChatChoice struct {
	Index        int        `json:"index"`
	Message      *ChatDelta `json:"message,omitempty"`
	Delta        *ChatDelta `json:"delta,omitempty"`
	FinishReason *string    `json:"finish_reason"`
	LogProbs     *logProbs  `json:"logprobs,omitempty"`
}

// logProbs are of the tokens written, as OpenAI lays them out. Where the answer
// is streamed they come with its last piece.
type logProbs struct {
	Content []tokenLogProb `json:"content"`
}

type tokenLogProb struct {
	tokenProb
	Top []tokenProb `json:"top_logprobs"`
}

type tokenProb struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

func layOut(of []inference.TokenLogProb, top int) *logProbs {
	one := func(t inference.TokenProb) tokenProb {
		p := tokenProb{Token: t.Piece, LogProb: t.LogProb, Bytes: make([]int, len(t.Piece))}
		for i := range len(t.Piece) {
			p.Bytes[i] = int(t.Piece[i])
		}
		return p
	}
	out := &logProbs{Content: make([]tokenLogProb, 0, len(of))}
	for _, t := range of {
		l := tokenLogProb{tokenProb: one(t.TokenProb), Top: []tokenProb{}}
		for _, o := range t.Top[:min(top, len(t.Top))] {
			l.Top = append(l.Top, one(o))
		}
		out.Content = append(out.Content, l)
	}
	return out
}

// ChatDelta is a message or a piece of one.
type ChatDelta struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

// Usage counts tokens of the language model; 0 where none was used.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	// Details say how many of the prompt's were known from an earlier request.
	Details *promptDetails `json:"prompt_tokens_details,omitempty"`
}

type promptDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

// Model is an entry of /v1/models.
type Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// ModelList is the answer of /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

func (s *server) openAI(api huma.API, mux *http.ServeMux) {
	huma.Register(api, huma.Operation{OperationID: "models", Method: http.MethodGet, Path: "/v1/models", Summary: "Models, as OpenAI lists them"},
		func(context.Context, *struct{}) (*struct{ Body ModelList }, error) {
			out := ModelList{Object: "list", Data: []Model{{ID: GroundedModel, Object: "model", OwnedBy: "rxedge"}}}
			if s.Models != nil && s.RawCompletions {
				for _, n := range s.Models.Names() {
					out.Data = append(out.Data, Model{ID: n, Object: "model", OwnedBy: "local"})
				}
			}
			return &struct{ Body ModelList }{out}, nil
		})
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	reg := api.OpenAPI().Components.Schemas
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "chat", Method: http.MethodPost, Path: "/v1/chat/completions", Summary: "Chat, as OpenAI's API has it",
		Description: "Model \"rxedge\" answers from the documents, with citations. A model of the catalog named by its own name writes without documents and without citations.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
			Type: "object", Required: []string{"model", "messages"}, AdditionalProperties: true,
			Properties: map[string]*huma.Schema{
				"model":    {Type: "string"},
				"messages": {Type: "array", Items: &huma.Schema{Type: "object", AdditionalProperties: true}},
				"stream":   {Type: "boolean"},
			}}}}},
		Responses: map[string]*huma.Response{"200": {Description: "The completion, or a stream of chunks", Content: map[string]*huma.MediaType{
			"application/json":  {Schema: reg.Schema(typeOf[ChatCompletion](), true, "ChatCompletion")},
			"text/event-stream": {Schema: &huma.Schema{Type: "string"}},
		}}},
	})
}

// openAIError writes a problem the way OpenAI's clients read it.
func (s *server) openAIError(w http.ResponseWriter, p *Problem) {
	p.openAI = true
	writeProblem(w, p)
}

func (s *server) chat(w http.ResponseWriter, r *http.Request) {
	var req ChatRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		status, detail := http.StatusBadRequest, "the body is not a chat completion request: "+jsonFault(err)
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			status, detail = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", big.Limit)
		}
		s.openAIError(w, &Problem{Status: status, Code: codeOf(status), Detail: detail})
		return
	}
	if p := req.check(); p != nil {
		s.openAIError(w, p)
		return
	}
	ctx, cancel := s.context(caller(r))
	defer cancel()
	c := &completion{s: s, w: w, req: &req, head: ChatCompletion{ID: "chatcmpl-" + fmt.Sprintf("%x", time.Now().UnixNano()), Created: time.Now().Unix(), Model: req.Model}}
	if req.Model == "" || req.Model == GroundedModel {
		c.head.Model = GroundedModel
		c.grounded(ctx)
		return
	}
	c.raw(ctx)
}

// jsonFault says where JSON is wrong without quoting it.
func jsonFault(err error) string {
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the JSON ends in the middle"
	case errors.As(err, &syn):
		return fmt.Sprintf("bad JSON at byte %d", syn.Offset)
	case errors.As(err, &typ):
		return fmt.Sprintf("field %q at byte %d is of the wrong type, want %s", typ.Field, typ.Offset, typ.Type)
	}
	return err.Error()
}

func (r *ChatRequest) check() *Problem {
	bad := func(detail string) *Problem {
		return &Problem{Status: http.StatusBadRequest, Code: "invalid_request", Detail: detail}
	}
	switch {
	case len(r.Messages) == 0:
		return bad("messages: send at least one")
	case r.N > 1:
		return bad("n: one choice is given, no more")
	case r.MaxTokens < 0 || r.MaxCompletionTokens < 0:
		return bad("max_tokens: must not be negative")
	case r.Temperature != nil && (*r.Temperature < 0 || *r.Temperature > 2):
		return bad("temperature: must be between 0 and 2")
	case len(r.Stop) > 16:
		return bad("stop: at most 16 strings")
	case r.TopLogProbs < 0 || r.TopLogProbs > 20:
		return bad("top_logprobs: must be between 0 and 20")
	case r.TopLogProbs > 0 && !r.LogProbs:
		return bad("top_logprobs: set logprobs too")
	case r.TopP < 0 || r.TopP > 1 || r.MinP < 0 || r.MinP > 1:
		return bad("top_p and min_p: must be between 0 and 1")
	case r.TopK < 0 || r.RepeatPenalty < 0:
		return bad("top_k and repeat_penalty: must not be negative")
	}
	if f := r.ResponseFormat; f != nil {
		switch {
		case f.Type != "text" && f.Type != "json_object" && f.Type != "json_schema":
			return bad("response_format.type: must be text, json_object or json_schema")
		case f.Type == "json_schema" && (f.JSONSchema == nil || len(f.JSONSchema.Schema) == 0):
			return bad("response_format.json_schema.schema: send the schema")
		case f.Type != "text" && r.Grammar != "":
			return bad("grammar: not together with response_format")
		}
	}
	for i, m := range r.Messages {
		switch m.Role {
		case "system", "user", "assistant", "developer":
		default:
			return bad(fmt.Sprintf("messages[%d].role: must be system, user or assistant", i))
		}
	}
	return nil
}

// completion writes one chat completion, plain or streamed.
type completion struct {
	s       *server
	w       http.ResponseWriter
	req     *ChatRequest
	head    ChatCompletion
	started bool
	text    strings.Builder
	probs   *logProbs
}

// piece is the next text.
func (c *completion) piece(text string) error {
	c.text.WriteString(text)
	if !c.req.Stream {
		return nil
	}
	d := &ChatDelta{Content: text}
	if !c.started {
		d.Role = "assistant"
	}
	return c.event([]ChatChoice{{Delta: d}}, nil)
}

func (c *completion) event(choices []ChatChoice, usage *Usage) error {
	if !c.started {
		c.started = true
		c.w.Header().Set("Content-Type", "text/event-stream")
		c.w.Header().Set("Cache-Control", "no-store")
	}
	e := c.head
	e.Object, e.Choices, e.Usage = "chat.completion.chunk", choices, usage
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.w, "data: %s\n\n", b); err != nil {
		return err
	}
	return http.NewResponseController(c.w).Flush()
}

func (c *completion) fail(err error) {
	p := c.s.problem(err)
	if !c.started {
		c.s.openAIError(c.w, p)
		return
	}
	// The status has gone out: the stream carries the error, as OpenAI's does.
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": p.Detail, "type": "server_error", "code": p.Code}})
	fmt.Fprintf(c.w, "data: %s\n\n", b)
	_ = http.NewResponseController(c.w).Flush()
}

func (c *completion) done(finish string, usage Usage) {
	usage.TotalTokens = usage.PromptTokens + usage.CompletionTokens
	if !c.req.Stream {
		c.head.Object = "chat.completion"
		c.head.Choices = []ChatChoice{{Message: &ChatDelta{Role: "assistant", Content: c.text.String()}, FinishReason: &finish, LogProbs: c.probs}}
		c.head.Usage = &usage
		writeJSON(c.w, http.StatusOK, c.head)
		return
	}
	_ = c.event([]ChatChoice{{Delta: &ChatDelta{}, FinishReason: &finish, LogProbs: c.probs}}, nil)
	if o := c.req.StreamOptions; o != nil && o.IncludeUsage {
		_ = c.event([]ChatChoice{}, &usage)
	}
	fmt.Fprint(c.w, "data: [DONE]\n\n")
	_ = http.NewResponseController(c.w).Flush()
}

// raw lets a model of the catalog write, without documents.
func (c *completion) raw(ctx context.Context) {
	if !c.s.RawCompletions || c.s.Models == nil {
		c.fail(inference.ErrModelNotFound)
		return
	}
	gen, err := c.s.Models.Generator(ctx, c.req.Model)
	if err != nil {
		c.fail(err)
		return
	}
	g := inference.GenerateRequest{MaxTokens: max(c.req.MaxTokens, c.req.MaxCompletionTokens), Temperature: 1,
		TopP: c.req.TopP, Seed: c.req.Seed, Stop: c.req.Stop, TopK: c.req.TopK, MinP: c.req.MinP, RepeatPenalty: c.req.RepeatPenalty, Grammar: c.req.Grammar}
	if c.req.LogProbs {
		g.LogProbs = max(c.req.TopLogProbs, 1)
	}
	switch f := c.req.ResponseFormat; {
	case f == nil:
	case f.Type == "json_object":
		g.JSONSchema = json.RawMessage(`{"type":"object"}`)
	case f.Type == "json_schema":
		g.JSONSchema = f.JSONSchema.Schema
	}
	for _, a := range c.req.Adapters {
		scale := 1.0
		if a.Scale != nil {
			scale = *a.Scale
		}
		g.Adapters = append(g.Adapters, inference.Adapter{Name: a.Name, Scale: scale})
	}
	if c.req.Temperature != nil {
		g.Temperature = *c.req.Temperature
	}
	for _, m := range c.req.Messages {
		role := m.Role
		if role == "developer" { // OpenAI's newer name for system
			role = "system"
		}
		g.Messages = append(g.Messages, inference.Message{Role: role, Content: string(m.Content)})
	}
	res, err := gen.Generate(ctx, g, c.piece)
	if err != nil {
		c.fail(err)
		return
	}
	if c.req.LogProbs {
		c.probs = layOut(res.LogProbs, c.req.TopLogProbs)
	}
	c.done(res.FinishReason, Usage{PromptTokens: res.PromptTokens, CompletionTokens: res.CompletionTokens,
		Details: &promptDetails{CachedTokens: res.CachedTokens}})
}

// grounded answers the last user message from the documents: each claim with
// the number of its source, then the sources.
func (c *completion) grounded(ctx context.Context) {
	q, previous := "", []string(nil)
	for _, m := range c.req.Messages {
		if m.Role == "user" {
			if q != "" && len(q) <= answer.MaxQuestionBytes {
				previous = append(previous, q)
			}
			q = string(m.Content)
		}
	}
	sources := newSources()
	var lost error
	a, err := c.s.Answers.Ask(ctx, answer.Question{Text: q, Previous: previous}, answer.Events{Claim: func(cl answer.Claim) {
		if lost == nil {
			lost = c.piece(sources.claim(cl))
		}
	}})
	if err != nil {
		c.fail(err)
		return
	}
	if lost != nil {
		return
	}
	end := sources.list(a)
	if a.Status == answer.StatusAbstained {
		end = "Not in my documents. " + a.Message
	}
	if c.piece(end) != nil {
		return
	}
	c.head.RxEdge = a
	c.done("stop", Usage{})
}

type sources struct {
	number map[string]int
	lines  []string
}

func newSources() *sources { return &sources{number: map[string]int{}} }

func (s *sources) claim(cl answer.Claim) string {
	var b strings.Builder
	b.WriteString(cl.Text)
	for _, ci := range cl.Citations {
		n := s.number[ci.SectionID]
		if n == 0 {
			n = len(s.lines) + 1
			s.number[ci.SectionID] = n
			line := fmt.Sprintf("[%d] %s, %s", n, ci.DocumentTitle, ci.SectionTitle)
			if ci.EffectiveDate != "" {
				line += ", effective " + ci.EffectiveDate
			}
			if ci.Version != "" {
				line += ", version " + ci.Version
			}
			if ci.Stale {
				line += ", old label"
			}
			s.lines = append(s.lines, line+" ("+ci.SectionID+")")
		}
		fmt.Fprintf(&b, " [%d]", n)
	}
	// As the page and rxedge ask have it.
	switch cl.Support {
	case answer.Partly:
		b.WriteString(" (borne out in part: read the source)")
	case answer.Unverified:
		b.WriteString(" (not checked: read the source)")
	}
	b.WriteString("\n")
	return b.String()
}

func (s *sources) list(a *answer.Answer) string {
	out := "\nSources:\n" + strings.Join(s.lines, "\n")
	for _, n := range a.Notices {
		out += "\n" + n + "."
	}
	return out
}
