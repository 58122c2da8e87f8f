package llama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"

	"rxedge/inference"
)

// longestAnswer bounds an answer of the engine that is read whole, in bytes.
const longestAnswer = 256 << 20

// call is a request to one child. It ends with the caller's context or with the
// child, whichever is first.
type call struct {
	c      *child
	caller context.Context
	ctx    context.Context
	fail   context.CancelCauseFunc
	cancel context.CancelFunc
}

func (c *child) begin(ctx context.Context) *call {
	merged, cancel := context.WithCancelCause(ctx)
	unwatch := context.AfterFunc(c.gone, func() { cancel(context.Cause(c.gone)) })
	return &call{c: c, caller: ctx, ctx: merged, fail: cancel, cancel: func() {
		unwatch()
		cancel(nil)
	}}
}

// send posts a value as JSON, or gets where body is nil. An answer that is not
// 200 becomes an error and is read to its end.
func (k *call) send(path string, body any) (*http.Response, error) {
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		method, reader = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(k.ctx, method, "http://engine"+path, reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+k.c.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := k.c.client.Do(req)
	if err != nil {
		return nil, k.broken(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var refused struct {
		Error engineError `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&refused); err != nil && k.ctx.Err() != nil {
		return nil, k.broken(err)
	}
	refused.Error.status = resp.StatusCode
	return nil, refused.Error.meaning()
}

// do sends and decodes the whole answer into out.
func (k *call) do(path string, body, out any) error {
	resp, err := k.send(path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, longestAnswer)).Decode(out); err != nil {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &kind) {
			return fmt.Errorf("the engine's answer to %s cannot be read", path) // its text may quote the request
		}
		return k.broken(err)
	}
	return nil
}

// errUnreached: nothing of the request was read by the engine.
var errUnreached = errors.New("the engine cannot be reached")

// broken says what a failed connection means: the caller went, or the engine.
func (k *call) broken(err error) error {
	if k.caller.Err() != nil {
		return context.Cause(k.caller)
	}
	if k.ctx.Err() != nil {
		return context.Cause(k.ctx)
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return errUnreached
	}
	k.c.suspect.Store(int64(time.Since(born) + suspicion))
	var network interface{ Timeout() bool }
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		if err := context.Cause(k.c.gone); err != nil {
			return err
		}
		return inference.ErrEngineLost
	}
	return fmt.Errorf("reading from the engine: %w", err)
}

// engineError is how llama-server says no. Its message may quote the request,
// so it goes nowhere.
type engineError struct {
	Type         string `json:"type"`
	Message      string `json:"message"` // never handed on: it may quote the request
	PromptTokens int    `json:"n_prompt_tokens"`
	Context      int    `json:"n_ctx"`
	status       int
}

var grammarMessage = regexp.MustCompile(`(?i)grammar|json_schema|json schema`)

func (e engineError) meaning() error {
	switch {
	case e.Type == "exceed_context_size_error" && e.PromptTokens > 0:
		return &inference.ContextError{Tokens: e.PromptTokens, Limit: e.Context}
	case e.status == http.StatusServiceUnavailable || e.Type == "unavailable_error":
		return inference.ErrEngineStarting
	case e.Type == "invalid_request_error" && grammarMessage.MatchString(e.Message):
		return inference.ErrGrammar
	}
	kind := e.Type
	if kind == "" {
		kind = "no reason given"
	}
	if e.status == 0 {
		return fmt.Errorf("the engine failed while it was answering (%s)", kind)
	}
	return fmt.Errorf("the engine refused the request (%s, status %d)", kind, e.status)
}

// describe asks what the model is.
func (c *child) describe(k *call) error {
	var models struct {
		Data []struct {
			Meta struct {
				Context    int `json:"n_ctx"`
				Trained    int `json:"n_ctx_train"`
				Vocabulary int `json:"n_vocab"`
				Dimension  int `json:"n_embd"`
			} `json:"meta"`
		} `json:"data"`
	}
	if err := k.do("/v1/models", nil, &models); err != nil {
		return err
	}
	if len(models.Data) != 1 || models.Data[0].Meta.Context < 1 {
		return errors.New("it names no model")
	}
	m := models.Data[0].Meta
	// The engine rounds a context up to a multiple of 256.
	c.limit = min(c.o.Context, m.Context)
	c.trained, c.vocabulary, c.dimension = m.Trained, m.Vocabulary, m.Dimension
	return nil
}

// tokenize: special adds what the model puts around a text; parse reads special
// tokens written out in the text as such.
func (k *call) tokenize(text string, special, parse bool) ([]int, error) {
	var out struct {
		Tokens []int `json:"tokens"`
	}
	err := k.do("/tokenize", map[string]any{"content": text, "add_special": special, "parse_special": parse}, &out)
	return out.Tokens, err
}

// Tokenize returns the model's tokens of a plain text, without the special ones
// that a request adds around it; what looks like a special token in the text is
// taken as text.
func (s *Server) Tokenize(ctx context.Context, text string) ([]int, error) {
	var tokens []int
	err := s.with(ctx, func(k *call) (err error) {
		tokens, err = k.plain(text)
		return err
	})
	return tokens, err
}

// with runs a request that needs no slot on the child that serves now. It waits
// for one that starts, up to Options.Wait, and goes to the next one where the
// child had ended before it could be reached.
func (s *Server) with(ctx context.Context, f func(*call) error) error {
	t := time.NewTimer(s.o.Wait)
	defer t.Stop()
	for {
		c, err := s.await(ctx, t.C)
		if err != nil {
			return err
		}
		k := c.begin(ctx)
		err = f(k)
		k.cancel()
		switch {
		case errors.Is(err, errUnreached):
			c.suspect.Store(int64(time.Since(born) + suspicion))
		case errors.Is(err, inference.ErrEngineLost) && s.ctx.Err() != nil:
			return errClosed
		default:
			return err
		}
	}
}

// withSlot runs a request that takes a slot: it waits its turn in the queue.
// unread is how many tokens the engine will read for it.
func (s *Server) withSlot(ctx context.Context, unread int, f func(*call, *work) error) (waited time.Duration, err error) {
	// While no child serves, nobody takes a place.
	t := time.NewTimer(s.o.Wait)
	defer t.Stop()
	if _, err := s.await(ctx, t.C); err != nil {
		return 0, err
	}
	ticket, err := s.queue.enter(inference.CallerOf(ctx))
	if err != nil {
		return 0, err
	}
	defer ticket.leave()
	select {
	case <-ticket.called:
	case <-ctx.Done():
		return time.Since(ticket.since), context.Cause(ctx)
	case <-s.ctx.Done():
		return time.Since(ticket.since), errClosed
	}
	if ticket.refused != nil {
		return time.Since(ticket.since), ticket.refused
	}
	err = s.with(ctx, func(k *call) error {
		w := k.c.pulse.begin(unread, func() { k.fail(inference.ErrEngineHung) })
		err := f(k, w)
		w.done(errors.Is(err, inference.ErrEngineLost))
		return err
	})
	return ticket.waited, err
}
