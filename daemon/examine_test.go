package main

import (
	"bytes"
	"net/http"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/control"
)

// What an evaluation asks through a running daemon is answered as people are, and counted
// nowhere among theirs; nobody but the tool on the daemon's own socket can ask so.
func TestExaminedIsNotCounted(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	q := answer.Question{Text: "What are the contraindications of metformin?"}
	a, err := k.Examine(t.Context(), q, answer.Events{})
	if err != nil || a.Status != answer.StatusAnswered {
		t.Fatal(err, a)
	}
	if tel, err := k.Telemetry(t.Context(), 1); err != nil || tel.Questions != 0 {
		t.Errorf("%d questions are counted, %v", tel.Questions, err)
	}
	if status, _, body := s.send(t, "POST", "/v1/feedback", `{"answer_id": "`+a.ID+`", "thumb": "down"}`); status != http.StatusNotFound {
		t.Errorf("feedback on what nobody was answered: %d %s", status, body)
	}
	if _, _, body := s.send(t, "GET", "/metrics", ""); bytes.Contains([]byte(body), []byte(`rxedge_answers_total{`)) {
		t.Errorf("counted:\n%s", body)
	}
	if status, _, _ := s.send(t, "POST", "/control/examine", `{"question": "dose?"}`); status != http.StatusNotFound {
		t.Errorf("the port leads to the tool's calls: %d", status)
	}
	for range 2 { // and what is kept of it serves nobody
		b, err := k.Ask(t.Context(), q, answer.Events{})
		if err != nil || b.Claims[0].Text != a.Claims[0].Text {
			t.Fatal(err, b)
		}
	}
	if tel, err := k.Telemetry(t.Context(), 1); err != nil || tel.Questions != 2 || tel.By["cached"]["yes"] == nil || tel.By["cached"]["yes"].N != 1 {
		t.Errorf("%d questions are counted, %v: %+v", tel.Questions, err, tel.By["cached"])
	}
}
