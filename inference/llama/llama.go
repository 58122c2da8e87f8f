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
	"errors"
	"fmt"
	"time"
)

// Kind says what a model is loaded for.
type Kind string

const (
	Generate Kind = "generate" // a language model that writes text
	Embed    Kind = "embed"    // an encoder; pooled as its file says, by the mean where it does not
	Rank     Kind = "rank"     // an encoder with a classification head, whose logits are asked for
)

const (
	// DefaultContext is the context, in tokens, where Options names none and
	// the model was trained for as many.
	DefaultContext = 4096
	// DefaultWait is how long a request waits for an engine that (re)starts.
	DefaultWait = 5 * time.Second
)

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
	// Proved is when this child last wrote a token or made an embedding. While
	// Phase is Ready that is never longer ago than a minute, unless a prompt is
	// being read: a child that is left idle is tried.
	Proved  time.Time `json:"proved,omitzero"`
	Running int       `json:"running"` // requests at the child
	Waiting int       `json:"waiting"` // requests in the queue before it
	Cause   error     `json:"-"`       // of Failed: one of the errors below, or nil
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
	Cause  error // what kind of failure, where that is known: one of the errors below
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the engine cannot serve model %s: %s", e.Model, e.Reason)
}

func (e *FailedError) Unwrap() error { return e.Cause }

var (
	// ErrOutOfMemory: there was no memory for the model, on this machine or its GPU.
	ErrOutOfMemory = errors.New("out of memory; give the model a smaller context or fewer slots, put fewer layers on the GPU, or take a smaller model")
	// ErrBrokenModel: the file is damaged or no model.
	ErrBrokenModel = errors.New("the model file is damaged; import it again")
	// ErrUnsupportedModel: the file is whole and the engine knows no such model.
	ErrUnsupportedModel = errors.New("the engine does not support this kind of model")
	// ErrSetAside: the model ended its engine again and again while it answered.
	ErrSetAside = errors.New("the model is set aside because its engine kept failing")
)
