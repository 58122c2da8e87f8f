// Package inference holds what the rest of rxedge asks of a model: interfaces
// of one to three methods and the errors that come back. The packages below it
// (llama, extract) provide them.
package inference

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// EmbedderInfo says whose vectors these are. Vectors of different embedders
// are never compared.
type EmbedderInfo struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"` // of the model file
	Dimension int    `json:"dimension"`
	MaxTokens int    `json:"max_tokens"` // longest input, special tokens included
}

// Embedder turns texts into vectors.
type Embedder interface {
	// Embed returns one vector of unit length for each text, in order, or an
	// error and none at all. A text over the limit is a *ContextError. Safe for
	// concurrent use. It does not retry.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
	Info() EmbedderInfo
}

// Tokenizer counts as the model counts.
type Tokenizer interface {
	Tokenize(ctx context.Context, text string) ([]int, error)
}

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant
	Content string `json:"content"`
}

// GenerateRequest asks for text. Exactly one of Prompt and Messages is set;
// Messages go through the model's own chat template.
type GenerateRequest struct {
	Prompt      string
	Messages    []Message
	MaxTokens   int      // 0: the model's context less the prompt
	Temperature float64  // 0: greedy
	TopP        float64  // 0: 1
	Seed        int64    // used where Temperature > 0
	Stop        []string // text before the first of these is returned
}

// GenerateResult is what came of it.
type GenerateResult struct {
	Text             string
	FinishReason     string // "stop" or "length"
	PromptTokens     int
	CompletionTokens int
	TimeToFirst      time.Duration
}

// Generator writes text.
type Generator interface {
	// Generate calls emit with each piece of text as it comes, in order, from
	// one goroutine; an error from emit stops the generation and is returned.
	// Cancelling ctx stops the model within one token. A prompt that does not
	// fit is a *ContextError before anything is generated; nothing is ever
	// truncated. ErrEngineLost means that the engine ended while it generated:
	// what was emitted so far is incomplete. It does not retry.
	Generate(ctx context.Context, req GenerateRequest, emit func(piece string) error) (GenerateResult, error)
	// Model names the model as the catalog does.
	Model() string
}

// ContextError says that a text is longer than the model can read.
type ContextError struct {
	Tokens int // of the prompt
	Limit  int // of the context
}

func (e *ContextError) Error() string {
	return fmt.Sprintf("the prompt has %d tokens and the model's context holds %d; ask for less text or load the model with a larger context", e.Tokens, e.Limit)
}

var (
	// ErrEngineMissing: the llama.cpp engine is not installed on this machine.
	ErrEngineMissing = errors.New("the llama.cpp engine is not installed; run 'make build' (it lies in bin/llama)")
	// ErrEngineLost: the engine ended while it was answering.
	ErrEngineLost = errors.New("the language engine stopped while it was answering; it is being restarted, please ask again")
	// ErrEngineStarting: the engine is not ready yet.
	ErrEngineStarting = errors.New("the language engine is starting; please ask again in a few seconds")
	// ErrNoChatTemplate: Messages were asked of a model that has no chat template.
	ErrNoChatTemplate = errors.New("the model has no chat template; send a plain prompt instead")
	// ErrModelNotFound: the catalog has no such model.
	ErrModelNotFound = errors.New("no such model")
)
