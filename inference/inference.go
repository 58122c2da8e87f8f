// Package inference holds what the rest of rxedge asks of a model: interfaces
// of one to three methods and the errors that come back. The packages below it
// (llama, extract) provide them.
package inference

import (
	"context"
	"encoding/json"
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

	TopK          int     // 0: all; used where Temperature > 0, as are the next two
	MinP          float64 // least probability beside the likeliest token's; 0: none
	RepeatPenalty float64 // over the last 64 tokens; 0 and 1: none

	Grammar    string          // GBNF that the text must follow; not together with JSONSchema
	JSONSchema json.RawMessage // a schema that the text must follow
	LogProbs   int             // so many likeliest tokens at each place, in the result; 0: none
	Adapters   []Adapter       // of those loaded beside the model; none: the model as it is
}

// Adapter names a LoRA adapter that was loaded with the model.
type Adapter struct {
	Name  string
	Scale float64 // 1: as it was trained; 0: not at all
}

// TokenProb is a token and the natural logarithm of its probability, before
// temperature and all other sampling.
type TokenProb struct {
	Token   int     `json:"token"`
	Piece   string  `json:"piece"` // may be part of a rune
	LogProb float64 `json:"logprob"`
}

// TokenLogProb is a token that was written.
type TokenLogProb struct {
	TokenProb
	Top []TokenProb `json:"top"` // the likeliest at its place, likeliest first
	// Skipped tokens precede this one of which nothing is known: together with
	// it they make one rune.
	Skipped int `json:"skipped,omitempty"`
}

// GenerateResult is what came of it.
type GenerateResult struct {
	Text             string
	FinishReason     string // "stop" or "length"
	PromptTokens     int
	CompletionTokens int
	TimeToFirst      time.Duration // from the call to the first piece, waiting included

	CachedTokens int            // of the prompt, read in an earlier request
	Queued       time.Duration  // waited for a place at the engine
	LogProbs     []TokenLogProb // one for each token written, where they were asked for
}

// Priority says which of the waiting goes first.
type Priority int

const (
	Question   Priority = iota // someone waits for it
	Background                 // re-embedding and the like
)

// Caller is who asks. Callers take turns, whatever each asks for at once.
type Caller struct {
	Key      string // "": shared by all who give none
	Priority Priority
}

type callerKey struct{}

// WithCaller returns a context that says who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who asks; the zero Caller where the context does not say.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
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

// BusyError says that too many requests wait already. It is ErrBusy.
type BusyError struct {
	Waiting    int
	RetryAfter time.Duration // when a place can be expected, in whole seconds
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the language engine is busy and %d requests wait for it; please ask again in %d s", e.Waiting, int(e.RetryAfter.Seconds()))
}

// Is makes a *BusyError equal to ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

var (
	// ErrBusy: too many requests wait already; the error is a *BusyError.
	ErrBusy = errors.New("the language engine is busy")
	// ErrEngineHung: the engine made no progress and was ended. It is also ErrEngineLost.
	ErrEngineHung = fmt.Errorf("the language engine made no progress and was ended: %w", ErrEngineLost)
	// ErrGrammar: the grammar or the JSON schema of a request cannot be used.
	ErrGrammar = errors.New("the grammar or JSON schema of the request cannot be used; check its syntax")
	// ErrNoAdapter: a request names a LoRA adapter that is not loaded with the model.
	ErrNoAdapter = errors.New("no such adapter is loaded with the model")

	// ErrSteppedBack: no model writes for now, to spare a card that is hot, full
	// or at fault.
	ErrSteppedBack = errors.New("no language model runs at the moment, to spare the card")

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
