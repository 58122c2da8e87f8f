// Package llama runs llama.cpp's own server, installed as rxedge-llama, as a
// supervised child: one child for each model, on a private unix socket with a
// key. A fault in the engine ends the child and not the daemon, and the child
// never outlives the daemon.
//
// No text of a prompt or an answer reaches a log or an error from here: until a
// child has answered its own probe its log lines are passed on, and after that
// only those that are known to carry none.
package llama

import (
	"fmt"
	"log/slog"
	"time"
)

// Kind says what a model is loaded for.
type Kind string

const (
	Generate Kind = "generate" // a language model that writes text
	Embed    Kind = "embed"    // an encoder, mean pooling
)

const (
	// DefaultContext is the context, in tokens, where Options names none and
	// the model was trained for as many.
	DefaultContext = 4096
	// DefaultWait is how long a request waits for an engine that (re)starts.
	DefaultWait = 5 * time.Second
)

// Options say which model is served and how.
type Options struct {
	Engine Engine
	Model  string // path of the GGUF file
	Name   string // as the catalog names it; "": the file's name
	SHA256 string // of the model file, for Info
	Kind   Kind

	Context int           // tokens one request may use; 0: DefaultContext, or what the model was trained for if that is less
	Slots   int           // requests served at the same time, each with its own Context; 0: 1
	Threads int           // 0: the engine's choice
	RunDir  string        // under which the socket's private folder is made; "": the system's runtime folder
	Wait    time.Duration // how long a request waits for an engine that (re)starts; 0: DefaultWait
	Log     *slog.Logger  // nil: none

	pulse time.Duration // between two looks at a child that serves; 0: 10 s
}

// Phase is where a Server stands.
type Phase string

const (
	Starting   Phase = "starting"
	Ready      Phase = "ready"
	Restarting Phase = "restarting"
	Failed     Phase = "failed" // gave up; Retry when the cause is mended
	Closed     Phase = "closed"
)

// State is what an operator wants to know about a Server.
type State struct {
	Phase    Phase     `json:"phase"`
	Reason   string    `json:"reason,omitempty"` // of the latest failure
	Since    time.Time `json:"since"`            // of Phase
	Restarts int       `json:"restarts"`         // since Start
	PID      int       `json:"pid,omitempty"`    // of a child that is starting or ready
}

// Properties describe the loaded model.
type Properties struct {
	Model        string `json:"model"`
	Context      int    `json:"context"`       // tokens of one request, prompt and answer together
	Trained      int    `json:"trained"`       // context that the model was trained for
	Vocabulary   int    `json:"vocabulary"`    // tokens
	Dimension    int    `json:"dimension"`     // of an embedding; of the hidden state for a language model
	ChatTemplate bool   `json:"chat_template"` // whether Messages can be asked of it
}

// FailedError says that the engine could not be brought to serve the model.
type FailedError struct {
	Model  string
	Reason string
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the engine cannot serve model %s: %s", e.Model, e.Reason)
}
