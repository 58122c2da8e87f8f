package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/feedback"
)

// FeedbackReceipt says that feedback is kept.
type FeedbackReceipt struct {
	ID       string `json:"id"`
	AnswerID string `json:"answer_id"`
	// Again: the same was sent before under this id, and counts once.
	Again bool `json:"again,omitempty"`
}

func (s *server) feedback(api huma.API) {
	type output struct {
		Status int
		Body   FeedbackReceipt
	}
	op := huma.Operation{OperationID: "feedback", Method: http.MethodPost, Path: "/v1/feedback", Summary: "Say what was right or wrong with an answer",
		Description:   "A thumb, a reason, a correction, or why advice was overridden. It is on disk when the call returns, and what was written stays on this box. The same item sent again under its id counts once, and is answered with 200.",
		DefaultStatus: http.StatusCreated,
		Errors:        []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusInsufficientStorage}}
	huma.Register(api, op, func(_ context.Context, in *struct{ Body feedback.Item }) (*output, error) {
		r, again, err := s.Feedback.Add(in.Body)
		if err != nil {
			return nil, s.problem(err)
		}
		out := &output{Status: http.StatusCreated, Body: FeedbackReceipt{ID: r.ID, AnswerID: r.AnswerID, Again: again}}
		if again {
			out.Status = http.StatusOK
		}
		return out, nil
	})
}
