package page

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rxedge/sync/central"
)

// Because is what every step is asked with.
type Because struct {
	Reason string `json:"reason"`
	// Rollback: sites that have the bundle go back; of abort alone.
	Rollback bool `json:"rollback,omitempty"`
}

// leastReason in characters: enough for a word that means something.
const leastReason = 3

// because reads why, and says who: every step is a signed record with both.
func because(w http.ResponseWriter, r *http.Request) (Because, central.By, bool) {
	var q Because
	if !asked(w, r, &q) {
		return q, central.By{}, false
	}
	by, ok := saidWhy(w, r, &q)
	return q, by, ok
}

func saidWhy(w http.ResponseWriter, r *http.Request, q *Because) (central.By, bool) {
	q.Reason = strings.TrimSpace(q.Reason)
	if len([]rune(q.Reason)) < leastReason || len(q.Reason) > 500 {
		problem(w, http.StatusBadRequest, "reason", "say why, in 3 characters to 500 bytes; it is kept on record")
		return central.By{}, false
	}
	return central.By{Who: person(r).Name, Reason: q.Reason}, true
}

// Step is what came of one.
type Step struct {
	State string `json:"state"`
	// Published: the hub has it. Where it is not reached it is signed here, and given to
	// it by 'rxedge central rollout run', or the next step.
	Published bool `json:"published"`
}

func (s *Server) stepRollout(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseInt(r.PathValue("bundle"), 10, 64)
	if err != nil || number < 1 {
		problem(w, http.StatusNotFound, "not_found", "this is no number of a bundle")
		return
	}
	steps := map[string]func(string, int64, central.By) (*central.Rollout, error){
		"pause": s.f.PauseRollout, "resume": s.f.ResumeRollout, "approve": s.f.ApproveRollout, "abort": nil,
	}
	step, ok := steps[r.PathValue("step")]
	if !ok {
		problem(w, http.StatusNotFound, "not_found", "there is no such step of a rollout")
		return
	}
	q, by, ok := because(w, r)
	if !ok {
		return
	}
	var out *central.Rollout
	switch {
	case step == nil:
		out, err = s.f.AbortRollout(r.PathValue("channel"), number, q.Rollback, by)
	case q.Rollback:
		problem(w, http.StatusBadRequest, "bad_request", "a rollback is of abort alone")
		return
	default:
		out, err = step(r.PathValue("channel"), number, by)
	}
	if err != nil {
		s.refused(w, err)
		return
	}
	s.log.Info("a step of a rollout", "who", by.Who, "step", r.PathValue("step"), "channel", out.Channel, "bundle", out.Bundle)
	reply(w, Step{string(out.State), s.give(func(ctx context.Context) error { return s.f.PushGates(ctx, s.opt.Hubs) })})
}

func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	decision := r.PathValue("decision")
	if decision != "approve" && decision != "decline" {
		problem(w, http.StatusNotFound, "not_found", "there is no such decision")
		return
	}
	if strings.HasPrefix(r.PathValue("id"), "review-") {
		problem(w, http.StatusConflict, "elsewhere", "documents are decided where they are looked at, in Review")
		return
	}
	_, by, ok := because(w, r)
	if !ok {
		return
	}
	m, err := s.f.Decide(r.PathValue("id"), decision == "approve", by)
	if err != nil {
		s.refused(w, err)
		return
	}
	s.log.Info("a decision", "who", by.Who, "decision", decision, "id", m.ID)
	reply(w, Step{m.State, s.give(func(ctx context.Context) error { _, err := s.f.PublishRecords(ctx, s.opt.Hubs); return err })})
}

// give the hub what was signed, for as long as a person waits; it is asked for whatever
// the browser does meanwhile.
func (s *Server) give(do func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := do(ctx); err != nil {
		s.log.Warn("it is signed here, and the hub does not have it yet", "error", err)
		return false
	}
	return true
}

// refused answers why a step could not be taken.
func (s *Server) refused(w http.ResponseWriter, err error) {
	var notNow *central.NotNowError
	var decided *central.DecidedError
	switch {
	case errors.As(err, &notNow), errors.As(err, &decided):
		problem(w, http.StatusConflict, "not_now", err.Error())
	case errors.Is(err, central.ErrNoRollout), errors.Is(err, central.ErrNoMatter):
		problem(w, http.StatusNotFound, "not_found", err.Error())
	default:
		s.log.Error("a step could not be taken", "error", err)
		problem(w, http.StatusInternalServerError, "failed", "it could not be done; the log of 'rxedge central serve' says why. Steps want the fleet's targets key (tuf/keys/targets.key) on this machine")
	}
}
