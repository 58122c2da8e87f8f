package main

import (
	"testing"

	"rxedge/daemon/api"
)

// Feedback is taken of answers that this box gave, once each, also after a
// restart.
func TestFeedback(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	a := s.ask(t, "Can metformin be started with an eGFR of 40?")
	item := map[string]any{"id": "mine-1", "answer_id": a.ID, "thumb": "down", "reason": "incomplete", "correction": "See the table."}
	var r api.FeedbackReceipt
	if resp := s.do(t, "POST", "/v1/feedback", item, &r); resp.StatusCode != 201 || r.ID != "mine-1" || r.Again {
		t.Errorf("%s %+v", resp.Status, r)
	}
	if resp := s.do(t, "POST", "/v1/feedback", item, &r); resp.StatusCode != 200 || !r.Again {
		t.Errorf("again: %s %+v", resp.Status, r)
	}
	item["thumb"] = "up"
	for _, c := range []struct {
		body   any
		status int
		code   string
	}{
		{item, 409, "conflict"},
		{map[string]any{"answer_id": "000000000000000000000000", "thumb": "up"}, 404, "unknown_answer"},
		{map[string]any{"answer_id": a.ID}, 400, "invalid_request"},
		{map[string]any{"answer_id": a.ID, "thumb": "sideways"}, 422, "invalid_request"},
		{map[string]any{"answer_id": a.ID, "thumb": "up", "patient": "x"}, 422, "invalid_request"},
	} {
		var p struct{ Code string }
		if resp := s.do(t, "POST", "/v1/feedback", c.body, &p); resp.StatusCode != c.status || p.Code != c.code {
			t.Errorf("%v: %d %q, want %d %q", c.body, resp.StatusCode, p.Code, c.status, c.code)
		}
	}
}
