package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"rxedge/centre/library"
	"rxedge/centre/review"
	"rxedge/sync/central"
)

// desk is where documents are decided; nil: the centre has no library yet. It is opened
// when it is first there, and kept.
func (s *Server) desk(w http.ResponseWriter) *review.Desk {
	s.deskMu.Lock()
	defer s.deskMu.Unlock()
	if s.deskOpen != nil {
		return s.deskOpen
	}
	there, err := library.Exists(s.f.Dir)
	if err == nil && !there {
		problem(w, http.StatusNotFound, "no_library", "the centre has no library yet; 'rxedge central ingest' fills it")
		return nil
	}
	if err == nil {
		var l *library.Library
		if l, err = library.Open(s.f.Dir); err == nil {
			s.deskOpen = &review.Desk{Library: l, Folder: s.f}
			return s.deskOpen
		}
	}
	s.log.Error("the library can't be opened", "error", err)
	problem(w, http.StatusInternalServerError, "library", "the library can't be opened; the log of 'rxedge central serve' says why")
	return nil
}

func (s *Server) closeDesk() {
	s.deskMu.Lock()
	defer s.deskMu.Unlock()
	if s.deskOpen != nil {
		_ = s.deskOpen.Library.Close()
		s.deskOpen = nil
	}
}

// mostHeld entries are given at a time.
const mostHeld = 500

// Documents are what of the library waits for somebody.
type Documents struct {
	Counts     map[library.State]int `json:"counts"`
	Candidates []library.Version     `json:"candidates"`
	Quarantine []library.Held        `json:"quarantine"`
	Runs       []library.Run         `json:"runs"` // the latest first
	Most       int                   `json:"most"` // of a list
}

func (s *Server) documents(w http.ResponseWriter, r *http.Request) {
	d := s.desk(w)
	if d == nil {
		return
	}
	out := Documents{Most: mostHeld}
	ctx := r.Context()
	counts, err1 := d.Library.Counts(ctx)
	candidates, err2 := d.Library.Candidates(ctx, library.Filter{Limit: mostHeld})
	held, err3 := d.Library.Quarantine(ctx, library.Filter{Limit: mostHeld})
	runs, err4 := d.Library.Runs(ctx, 20)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		s.undecided(w, err)
		return
	}
	out.Counts, out.Candidates, out.Quarantine, out.Runs = counts, append([]library.Version{}, candidates...), append([]library.Held{}, held...), append([]library.Run{}, runs...)
	reply(w, out)
}

// version is what a reviewer looks at: what changed, what of it matters, what checks said.
func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	d := s.desk(w)
	if d == nil {
		return
	}
	v, err := d.Library.Find(r.Context(), r.URL.Query().Get("id"), r.URL.Query().Get("hash"))
	if err != nil {
		s.undecided(w, err)
		return
	}
	rep, err := d.Assess(r.Context(), v)
	if err != nil {
		s.undecided(w, err)
		return
	}
	decisions, err := d.Library.Decisions(r.Context(), v.Ref)
	if err != nil {
		s.undecided(w, err)
		return
	}
	seen, err := d.Library.Sources(r.Context(), v.Ref)
	if err != nil {
		s.undecided(w, err)
		return
	}
	reply(w, map[string]any{"version": v, "report": rep, "decisions": append([]library.Decision{}, decisions...), "sources": append([]library.Seen{}, seen...)})
}

// deciding of a document is asked with what it is, and what it was compared with.
type deciding struct {
	Because
	ID   string `json:"id"`
	Hash string `json:"hash"`
	// Against is the hash of the version that the reviewer saw it beside.
	Against string `json:"against,omitempty"`
}

// decideVersion approves or rejects a candidate, releases or discards what is held.
func (s *Server) decideVersion(w http.ResponseWriter, r *http.Request) {
	what := r.PathValue("what")
	if what != "approve" && what != "reject" && what != "release" && what != "discard" {
		problem(w, http.StatusNotFound, "not_found", "there is no such decision")
		return
	}
	d := s.desk(w)
	if d == nil {
		return
	}
	var q deciding
	if !asked(w, r, &q) {
		return
	}
	by, ok := saidWhy(w, r, &q.Because)
	if !ok {
		return
	}
	ctx := context.WithoutCancel(r.Context()) // a decision is taken whole, whatever the browser does
	v, err := d.Library.Find(ctx, q.ID, q.Hash)
	if err != nil {
		s.undecided(w, err)
		return
	}
	state := library.Rejected
	switch what {
	case "release":
		state = library.Candidate
		_, err = d.Release(ctx, []library.Ref{v.Ref}, by)
	case "discard":
		state = library.Discarded
		_, err = d.Discard(ctx, []library.Ref{v.Ref}, by)
	default:
		var rep *review.Report
		if rep, err = d.Assess(ctx, v); err == nil && (rep.Against != q.Against || v.State != library.Candidate) {
			err = library.ErrChanged
		}
		if err == nil {
			if what == "approve" {
				state = library.Approved
			}
			_, err = d.Decide(ctx, []library.Version{*v}, what == "approve", by)
		}
	}
	if err != nil {
		s.undecided(w, err)
		return
	}
	s.decided(w, by, what, string(state))
}

func (s *Server) discardRefused(w http.ResponseWriter, r *http.Request) {
	key, err := strconv.ParseInt(r.PathValue("key"), 10, 64)
	if err != nil {
		problem(w, http.StatusNotFound, "not_found", "this is no number of a file that could not be read")
		return
	}
	d := s.desk(w)
	if d == nil {
		return
	}
	_, by, ok := because(w, r)
	if !ok {
		return
	}
	if _, err := d.DiscardRefused(context.WithoutCancel(r.Context()), key, by); err != nil {
		s.undecided(w, err)
		return
	}
	s.decided(w, by, "discard of a file", string(library.Discarded))
}

func (s *Server) approveRun(w http.ResponseWriter, r *http.Request) {
	d := s.desk(w)
	if d == nil {
		return
	}
	_, by, ok := because(w, r)
	if !ok {
		return
	}
	if _, err := d.ApproveRun(context.WithoutCancel(r.Context()), r.PathValue("run"), by); err != nil {
		s.undecided(w, err)
		return
	}
	s.decided(w, by, "approval of a run", "approved")
}

// decided answers, and gives the hub the record. The log has who and what, and no text.
func (s *Server) decided(w http.ResponseWriter, by central.By, what, state string) {
	s.log.Info("a decision about documents", "who", by.Who, "what", what)
	reply(w, Step{state, s.give(func(ctx context.Context) error { _, err := s.f.PublishRecords(ctx, s.opt.Hubs); return err })})
}

func (s *Server) undecided(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, library.ErrNotFound):
		problem(w, http.StatusNotFound, "not_found", "the library has no such thing")
	case errors.Is(err, library.ErrChanged):
		problem(w, http.StatusConflict, "changed", "another version was approved since you looked, or somebody has decided; look at it again")
	case errors.Is(err, library.ErrOlder), errors.Is(err, library.ErrState):
		problem(w, http.StatusConflict, "not_now", fmt.Sprint(err))
	default:
		s.refused(w, err)
	}
}
