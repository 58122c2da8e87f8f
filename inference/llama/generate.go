package llama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"rxedge/inference"
)

const mostLogProbs = 20

// Generate implements inference.Generator. The pieces that emit gets are whole
// runes; text that may yet turn out to begin a stop string is held back until
// that is known. Control tokens written out in Messages are taken as text; a
// Prompt is the caller's own, and they count in it.
func (s *Server) Generate(ctx context.Context, req inference.GenerateRequest, emit func(piece string) error) (inference.GenerateResult, error) {
	began := time.Now()
	if err := s.check(req); err != nil {
		return inference.GenerateResult{}, err
	}
	var tokens []int
	var limit int
	err := s.with(ctx, func(k *call) (err error) {
		limit = k.c.limit
		tokens, err = k.prompt(req)
		return err
	})
	if err != nil {
		return inference.GenerateResult{}, err
	}
	result := inference.GenerateResult{PromptTokens: len(tokens)}
	if len(tokens) == 0 {
		return result, errors.New("the prompt has no tokens")
	}
	room := limit - len(tokens)
	if room < 1 { // a context that is full has no room for an answer
		return result, &inference.ContextError{Tokens: len(tokens), Limit: limit}
	}
	if req.MaxTokens > 0 {
		room = min(room, req.MaxTokens)
	}
	body := s.sampling(req)
	body["prompt"], body["n_predict"] = tokens, room
	waited, err := s.withSlot(ctx, len(tokens), func(k *call, w *work) error {
		g := generation{began: began, emit: emit, stop: stopper{words: req.Stop}, result: result}
		adapters, _ := body["lora"].([]loraScale)
		k.c.pulse.remember(tokens, adapters)
		err := g.run(k, w, body)
		result = g.result
		result.Text = g.text.String()
		return err
	})
	result.Queued = waited
	return result, err
}

func (s *Server) check(req inference.GenerateRequest) error {
	switch {
	case s.o.Kind != Generate:
		return fmt.Errorf("model %s is loaded for embeddings and writes no text", s.o.Name)
	case (req.Prompt == "") == (len(req.Messages) == 0):
		return errors.New("a request to generate has either a prompt or messages")
	case req.MaxTokens < 0:
		return fmt.Errorf("max tokens is %d; it must not be negative", req.MaxTokens)
	case !(req.Temperature >= 0) || math.IsInf(req.Temperature, 0):
		return fmt.Errorf("temperature is %v; it must be 0 or more", req.Temperature)
	case !(req.TopP >= 0 && req.TopP <= 1):
		return fmt.Errorf("top p is %v; it lies between 0 and 1", req.TopP)
	case req.TopK < 0 || req.TopK > math.MaxInt32:
		return fmt.Errorf("top k is %d; it must not be negative", req.TopK)
	case !(req.MinP >= 0 && req.MinP <= 1):
		return fmt.Errorf("min p is %v; it lies between 0 and 1", req.MinP)
	case !(req.RepeatPenalty >= 0 && req.RepeatPenalty <= 10):
		return fmt.Errorf("repeat penalty is %v; it lies between 0 and 10", req.RepeatPenalty)
	case req.LogProbs < 0 || req.LogProbs > mostLogProbs:
		return fmt.Errorf("log-probabilities of %d tokens; there can be %d", req.LogProbs, mostLogProbs)
	case req.Grammar != "" && len(req.JSONSchema) > 0:
		return errors.New("a request has either a grammar or a JSON schema")
	}
	if err := checkRules(req); err != nil {
		return err
	}
	for _, a := range req.Adapters {
		if _, ok := s.o.Adapters[a.Name]; !ok {
			return fmt.Errorf("adapter %q: %w", a.Name, inference.ErrNoAdapter)
		}
		if math.IsNaN(a.Scale) || math.Abs(a.Scale) > 100 {
			return fmt.Errorf("adapter %q has scale %v; it lies between -100 and 100", a.Name, a.Scale)
		}
	}
	return nil
}

// prompt is a request's text in tokens.
func (k *call) prompt(req inference.GenerateRequest) ([]int, error) {
	text := req.Prompt
	if len(req.Messages) > 0 {
		if !k.c.header.template {
			return nil, inference.ErrNoChatTemplate
		}
		var err error
		if text, err = k.applyTemplate(req.Messages); err != nil {
			return nil, err
		}
	}
	return k.tokenize(text, true, true)
}

// generation is one answer in the making.
type generation struct {
	began  time.Time
	emit   func(string) error
	stop   stopper
	text   strings.Builder
	result inference.GenerateResult
}

// token is one of llama-server's completion_probabilities.
type token struct {
	ID      int     `json:"id"`
	Bytes   []int   `json:"bytes"`
	LogProb float64 `json:"logprob"`
	Top     []token `json:"top_logprobs"`
}

func (t token) prob() inference.TokenProb {
	piece := make([]byte, len(t.Bytes))
	for i, b := range t.Bytes {
		piece[i] = byte(b)
	}
	return inference.TokenProb{Token: t.ID, Piece: string(piece), LogProb: t.LogProb}
}

// event is one of llama-server's, of a completion that streams.
type event struct {
	Content   string       `json:"content"`
	Stop      bool         `json:"stop"`
	StopType  string       `json:"stop_type"`
	Predicted int          `json:"tokens_predicted"`
	Error     *engineError `json:"error"`
	Probs     []token      `json:"completion_probabilities"`
	Progress  *struct {
		Total     int     `json:"total"`
		Cached    int     `json:"cache"`
		Processed int     `json:"processed"` // the cached ones included
		Millis    float64 `json:"time_ms"`
	} `json:"prompt_progress"`
}

func (g *generation) run(k *call, w *work, body map[string]any) error {
	resp, err := k.send("/completion", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // ends the generation where it has not ended
	events := newEventReader(resp.Body)
	for {
		var ev event
		if err := events.next(&ev); err != nil {
			if errors.Is(err, errEvent) {
				return err
			}
			return k.broken(err)
		}
		if ev.Error != nil {
			return ev.Error.meaning()
		}
		if p := ev.Progress; p != nil {
			g.result.CachedTokens = p.Cached
			w.progress(max(p.Total-p.Processed, 0), false)
			k.c.pulse.measured(p.Processed-p.Cached, time.Duration(p.Millis*float64(time.Millisecond)))
			continue
		}
		w.progress(0, true)
		before := g.result.CompletionTokens
		g.result.CompletionTokens = max(before, ev.Predicted)
		for _, t := range ev.Probs {
			g.probability(t, ev.Predicted)
		}
		piece, stopped := g.stop.push(ev.Content)
		if ev.Stop && !stopped {
			piece += g.stop.rest()
		}
		w.pause(true)
		err := g.give(k.caller, piece)
		w.pause(false)
		if err != nil {
			return err
		}
		switch {
		case stopped:
			g.result.FinishReason = "stop"
			g.cut()
			return nil
		case ev.Stop && ev.StopType == "limit":
			g.result.FinishReason = "length"
			return nil
		case ev.Stop:
			g.result.FinishReason = "stop"
			return nil
		}
	}
}

// probability notes the token that is the nth written.
func (g *generation) probability(t token, n int) {
	p := inference.TokenLogProb{TokenProb: t.prob()}
	for _, other := range t.Top {
		p.Top = append(p.Top, other.prob())
	}
	known := 0
	for _, q := range g.result.LogProbs {
		known += 1 + q.Skipped
	}
	p.Skipped = max(n-known-1, 0)
	g.result.LogProbs = append(g.result.LogProbs, p)
}

// cut drops the tokens that lie behind a stop string.
func (g *generation) cut() {
	length := 0
	for i, p := range g.result.LogProbs {
		if length >= g.text.Len() {
			g.result.LogProbs = g.result.LogProbs[:i]
			return
		}
		length += len(p.Piece)
	}
}

// give hands a piece on, unless the caller has gone.
func (g *generation) give(ctx context.Context, piece string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if piece == "" {
		return nil
	}
	if g.text.Len() == 0 {
		g.result.TimeToFirst = time.Since(g.began)
	}
	g.text.WriteString(piece)
	if g.emit == nil {
		return nil
	}
	return g.emit(piece)
}

// loraScale is an adapter as the engine knows it.
type loraScale struct {
	ID    int     `json:"id"`
	Scale float64 `json:"scale"`
}

// sampling is the body of a request less its prompt: how the next token is
// chosen, the likeliest, or one drawn as was asked, without what llama.cpp would
// add of its own.
func (s *Server) sampling(req inference.GenerateRequest) map[string]any {
	body := map[string]any{
		"stream": true, "return_progress": true, "cache_prompt": true, "sse_ping_interval": -1,
		"response_fields": []string{"content", "stop", "stop_type", "tokens_predicted"},
	}
	if req.Grammar != "" {
		body["grammar"] = req.Grammar
	}
	if len(req.JSONSchema) > 0 {
		body["json_schema"] = req.JSONSchema
	}
	if req.LogProbs > 0 {
		body["n_probs"] = req.LogProbs
	}
	if names := s.o.adapterNames(); len(names) > 0 {
		// All are named in every request: one that names none would read from
		// the cache what an adapter wrote there.
		scales := make([]loraScale, len(names))
		for i, name := range names {
			scales[i].ID = i
			for _, a := range req.Adapters {
				if a.Name == name {
					scales[i].Scale = a.Scale
				}
			}
		}
		body["lora"] = scales
	}
	var samplers []string
	if req.RepeatPenalty != 0 && req.RepeatPenalty != 1 {
		body["repeat_penalty"], body["repeat_last_n"] = req.RepeatPenalty, 64
		samplers = append(samplers, "penalties")
	}
	if req.Temperature == 0 {
		body["temperature"] = 0
		body["top_k"] = 1
		body["samplers"] = append(samplers, "top_k")
		return body
	}
	topP := req.TopP
	if topP == 0 {
		topP = 1
	}
	seed := uint32(uint64(req.Seed) ^ uint64(req.Seed)>>32)
	if seed == math.MaxUint32 { // which asks for a random one
		seed--
	}
	body["temperature"] = req.Temperature
	body["top_p"] = topP
	body["top_k"] = req.TopK
	body["min_p"] = req.MinP
	body["seed"] = seed
	body["samplers"] = append(samplers, "top_k", "top_p", "min_p", "temperature")
	return body
}

// applyTemplate writes a conversation the way the model was taught.
func (k *call) applyTemplate(messages []inference.Message) (string, error) {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].Content = k.c.header.defuse.Replace(messages[i].Content)
	}
	var out struct {
		Prompt string `json:"prompt"`
	}
	err := k.do("/apply-template", map[string]any{"messages": messages}, &out)
	if err != nil {
		if errors.Is(err, inference.ErrEngineLost) || errors.Is(err, errUnreached) || errors.Is(err, inference.ErrEngineStarting) || k.ctx.Err() != nil {
			return "", err
		}
		return "", errors.New("the model's chat template refuses this conversation; it may know no system message, or want user and assistant in turn")
	}
	return out.Prompt, nil
}
