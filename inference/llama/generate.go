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

// Generate implements inference.Generator. The pieces that emit gets are whole
// runes; text that may yet turn out to begin a stop string is held back until
// that is known. Control tokens written out in Messages are taken as text; a
// Prompt is the caller's own, and they count in it.
func (s *Server) Generate(ctx context.Context, req inference.GenerateRequest, emit func(piece string) error) (inference.GenerateResult, error) {
	began := time.Now()
	if err := s.check(req); err != nil {
		return inference.GenerateResult{}, err
	}
	var result inference.GenerateResult
	err := s.with(ctx, func(k *call) error {
		g := generation{began: began, emit: emit, stop: stopper{words: req.Stop}}
		err := g.run(k, req)
		result = g.result
		result.Text = g.text.String()
		return err
	})
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
	}
	return nil
}

// generation is one answer in the making.
type generation struct {
	began  time.Time
	emit   func(string) error
	stop   stopper
	text   strings.Builder
	result inference.GenerateResult
}

func (g *generation) run(k *call, req inference.GenerateRequest) error {
	prompt := req.Prompt
	if len(req.Messages) > 0 {
		if !k.c.header.template {
			return inference.ErrNoChatTemplate
		}
		var err error
		if prompt, err = k.applyTemplate(req.Messages); err != nil {
			return err
		}
	}
	tokens, err := k.tokenize(prompt, true, true)
	if err != nil {
		return err
	}
	if len(tokens) == 0 {
		return errors.New("the prompt has no tokens")
	}
	g.result.PromptTokens = len(tokens)
	room := k.c.limit - len(tokens)
	if room < 1 { // a context that is full has no room for an answer
		return &inference.ContextError{Tokens: len(tokens), Limit: k.c.limit}
	}
	if req.MaxTokens > 0 {
		room = min(room, req.MaxTokens)
	}
	resp, err := k.send("/completion", sampling(req, map[string]any{
		"prompt": tokens, "n_predict": room, "stream": true, "cache_prompt": true, "sse_ping_interval": -1,
		"response_fields": []string{"content", "stop", "stop_type", "tokens_predicted"},
	}))
	if err != nil {
		return err
	}
	defer resp.Body.Close() // ends the generation where it has not ended
	events := newEventReader(resp.Body)
	for {
		var ev struct {
			Content   string       `json:"content"`
			Stop      bool         `json:"stop"`
			StopType  string       `json:"stop_type"`
			Predicted int          `json:"tokens_predicted"`
			Error     *engineError `json:"error"`
		}
		if err := events.next(&ev); err != nil {
			if errors.Is(err, errEvent) {
				return err
			}
			return k.broken(err)
		}
		if ev.Error != nil {
			return ev.Error.meaning()
		}
		g.result.CompletionTokens = max(g.result.CompletionTokens, ev.Predicted)
		piece, stopped := g.stop.push(ev.Content)
		if ev.Stop && !stopped {
			piece += g.stop.rest()
		}
		if err := g.give(k.caller, piece); err != nil {
			return err
		}
		switch {
		case stopped:
			g.result.FinishReason = "stop"
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

// sampling adds how the next token is chosen: the likeliest, or one drawn by
// temperature and top p alone, without what llama.cpp would add of its own.
func sampling(req inference.GenerateRequest, body map[string]any) map[string]any {
	if req.Temperature == 0 {
		body["temperature"] = 0
		body["top_k"] = 1
		body["samplers"] = []string{"top_k"}
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
	body["top_k"] = 0
	body["min_p"] = 0
	body["seed"] = seed
	body["samplers"] = []string{"top_p", "temperature"}
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
