package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/answer"
	"rxedge/daemon/cdshooks"
	"rxedge/daemon/feedback"
	"rxedge/daemon/infobutton"
	"rxedge/daemon/store"
	"rxedge/index"
	"rxedge/inference"
	"rxedge/inference/llama"
)

// Problem is an error as RFC 9457 writes it, with a code that clients may
// decide on.
type Problem struct {
	Title  string              `json:"title"`
	Status int                 `json:"status"`
	Detail string              `json:"detail,omitempty"`
	Code   string              `json:"code"`
	Errors []*huma.ErrorDetail `json:"errors,omitempty"`

	retryAfter time.Duration // sent as Retry-After
	openAI     bool          // written as OpenAI's API writes errors
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string {
	if p.openAI {
		return "application/json"
	}
	return "application/problem+json"
}

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(p.retryAfter.Seconds()))))
	}
	return h
}

// MarshalJSON implements json.Marshaler.
func (p *Problem) MarshalJSON() ([]byte, error) {
	if !p.openAI {
		type plain Problem
		return json.Marshal((*plain)(p))
	}
	kind := "invalid_request_error"
	switch {
	case p.Status == http.StatusUnauthorized:
		kind = "authentication_error"
	case p.Status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case p.Status >= 500:
		kind = "server_error"
	}
	detail := p.Detail
	for _, e := range p.Errors {
		detail += "; " + e.Location + ": " + e.Message
	}
	return json.Marshal(map[string]any{"error": map[string]any{"message": detail, "type": kind, "code": p.Code, "param": nil}})
}

func init() {
	// huma makes its own errors (a body that does not fit the schema) through this.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		p := &Problem{Title: http.StatusText(status), Status: status, Detail: msg, Code: codeOf(status)}
		for _, e := range errs {
			var d huma.ErrorDetailer
			if errors.As(e, &d) {
				detail := d.ErrorDetail()
				detail.Value = nil // may hold the text of a question
				p.Errors = append(p.Errors, detail)
			}
		}
		return p
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		err := huma.NewError(status, msg, errs...)
		if p, ok := err.(*Problem); ok && ctx != nil && ctx.Operation() != nil {
			p.openAI = openAIPath(ctx.Operation().Path)
		}
		return err
	}
}

func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return "invalid_request"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusServiceUnavailable:
		return "unavailable"
	case http.StatusGatewayTimeout:
		return "timeout"
	}
	return "internal"
}

// problem says to a client what went wrong; the cause of an internal error
// stays in the log.
func (s *server) problem(err error) *Problem {
	var (
		p       *Problem
		invalid *answer.InvalidError
		filter  *index.FilterError
		full    *inference.ContextError
		busy    *inference.BusyError
		aside   *llama.FailedError
		memory  *llama.MemoryError
		item    *feedback.InvalidError
		request *cdshooks.RequestError
		asked   *infobutton.RequestError
		big     *http.MaxBytesError
	)
	mk := func(status int, code, detail string) *Problem {
		return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return mk(http.StatusBadRequest, "invalid_request", invalid.Error())
	case errors.As(err, &request) && request.Missing:
		return mk(http.StatusPreconditionFailed, "missing_data", request.Detail)
	case errors.As(err, &asked):
		return mk(http.StatusBadRequest, "invalid_request", asked.Error())
	case errors.As(err, &request):
		return mk(http.StatusBadRequest, "invalid_request", request.Detail)
	case errors.As(err, &big):
		return mk(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", big.Limit))
	case errors.As(err, &item):
		return mk(http.StatusBadRequest, "invalid_request", item.Error())
	case errors.Is(err, feedback.ErrUnknownAnswer):
		return mk(http.StatusNotFound, "unknown_answer", feedback.ErrUnknownAnswer.Error())
	case errors.Is(err, feedback.ErrConflict):
		return mk(http.StatusConflict, "conflict", feedback.ErrConflict.Error())
	case errors.Is(err, feedback.ErrFull):
		return mk(http.StatusInsufficientStorage, "feedback_full", feedback.ErrFull.Error())
	case errors.Is(err, store.ErrNoRoom):
		return mk(http.StatusInsufficientStorage, "disk_full", "the disk of this box is full, so this can't be kept; questions are answered")
	case errors.As(err, &filter):
		p := mk(http.StatusBadRequest, "invalid_request", filter.Error())
		p.Errors = []*huma.ErrorDetail{{Message: filter.Detail, Location: "body.filter." + filter.Field}}
		return p
	case errors.As(err, &full):
		return mk(http.StatusBadRequest, "context_length_exceeded", full.Error())
	case errors.As(err, &busy):
		p := mk(http.StatusServiceUnavailable, "busy", busy.Error())
		p.retryAfter = busy.RetryAfter
		return p
	case errors.As(err, &aside):
		// its reason may name files; it is for the technician
		return mk(http.StatusServiceUnavailable, "model_set_aside", "the engine cannot serve this model and it was set aside; 'rxedge status' says why")
	case errors.As(err, &memory):
		return mk(http.StatusServiceUnavailable, "out_of_memory", memory.Error())
	case errors.Is(err, inference.ErrSteppedBack):
		return mk(http.StatusServiceUnavailable, "stepped_back", inference.ErrSteppedBack.Error())
	case errors.Is(err, inference.ErrGrammar):
		return mk(http.StatusBadRequest, "invalid_grammar", inference.ErrGrammar.Error())
	case errors.Is(err, inference.ErrNoAdapter):
		return mk(http.StatusBadRequest, "no_such_adapter", inference.ErrNoAdapter.Error())
	case errors.Is(err, index.ErrNotFound):
		return mk(http.StatusNotFound, "not_found", "there is no such document on this box")
	case errors.Is(err, inference.ErrModelNotFound):
		return mk(http.StatusNotFound, "model_not_found", "there is no such model on this box; GET /v1/models lists those there are")
	case errors.Is(err, index.ErrNoVectors):
		return mk(http.StatusBadRequest, "no_vectors", index.ErrNoVectors.Error())
	case errors.Is(err, inference.ErrNoChatTemplate):
		return mk(http.StatusBadRequest, "no_chat_template", inference.ErrNoChatTemplate.Error())
	case errors.Is(err, inference.ErrEngineLost):
		return mk(http.StatusBadGateway, "engine_lost", inference.ErrEngineLost.Error())
	case errors.Is(err, inference.ErrEngineStarting):
		return mk(http.StatusServiceUnavailable, "engine_starting", inference.ErrEngineStarting.Error())
	case errors.Is(err, inference.ErrEngineMissing):
		return mk(http.StatusServiceUnavailable, "engine_missing", inference.ErrEngineMissing.Error())
	case errors.Is(err, answer.ErrLost):
		return mk(http.StatusServiceUnavailable, "documents_lost", answer.ErrLost.Error())
	case index.Damaged(err):
		if s.Log != nil {
			s.Log.Error("the index is damaged", "error", err)
		}
		return mk(http.StatusServiceUnavailable, "index_damaged", "the documents that answer this are damaged on this box's disk, and there is no earlier index to go back to; ask your technician to run 'rxedge index verify' and to ingest them again")
	case errors.Is(err, index.ErrClosed):
		return mk(http.StatusServiceUnavailable, "stopping", "the service is stopping; ask again when it is back")
	case errors.Is(err, context.DeadlineExceeded):
		return mk(http.StatusGatewayTimeout, "timeout", "the answer took too long and was given up; ask again, or ask more briefly")
	case errors.Is(err, context.Canceled):
		return mk(499, "cancelled", "the caller went away")
	}
	if s.Log != nil {
		s.Log.Error("request failed", "error", err)
	}
	return mk(http.StatusInternalServerError, "internal", "something went wrong on this box; 'rxedge status' and the service's log say more")
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func statusKey(status int) string { return strconv.Itoa(status) }
