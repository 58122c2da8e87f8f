package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/cdshooks"
)

func (s *server) cdsHooks(api huma.API, mux *http.ServeMux) {
	reg := api.OpenAPI().Components.Schemas
	describe := func(method, path, id, summary, description string, in, out *huma.Schema, errs ...int) {
		op := &huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Description: description,
			Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: out}}}}}
		if in != nil {
			op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: in}}}
		}
		if path != "/cds-services" {
			op.Parameters = []*huma.Param{{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}}
		}
		problems(api, op, errs...)
		api.OpenAPI().AddOperation(op)
	}
	mux.HandleFunc("GET /cds-services", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, cdshooks.Services()) })
	describe(http.MethodGet, "/cds-services", "cds-discovery", "Services for CDS Hooks 2.0", "", nil, reg.Schema(typeOf[cdshooks.Discovery](), true, "Discovery"))
	mux.HandleFunc("POST /cds-services/{id}", s.cdsService)
	describe(http.MethodPost, "/cds-services/{id}", "cds-service", "Cards for orders and current medicines",
		"As CDS Hooks 2.0 has it, with FHIR R4 resources. Nothing of the patient is kept. What is wrong with the request is answered with 400, what is missing of the prefetch with 412.",
		&huma.Schema{Type: "object", Required: []string{"hook", "hookInstance", "context"}, AdditionalProperties: true, Properties: map[string]*huma.Schema{
			"hook": {Type: "string"}, "hookInstance": {Type: "string", Format: "uuid"},
			"context":  {Type: "object", AdditionalProperties: true},
			"prefetch": {Type: "object", AdditionalProperties: true}}},
		reg.Schema(typeOf[cdshooks.Response](), true, "Response"), 400, 404, 412)
	mux.HandleFunc("POST /cds-services/{id}/feedback", s.cdsFeedback)
	describe(http.MethodPost, "/cds-services/{id}/feedback", "cds-feedback", "What became of cards", "",
		reg.Schema(typeOf[cdshooks.Feedback](), true, "CDSFeedback"), reg.Schema(typeOf[CDSReceipt](), true, "CDSReceipt"), 400, 404, 507)
}

// CDSReceipt says how many reports are kept.
type CDSReceipt struct {
	Kept int `json:"kept"`
}

func (s *server) cdsService(w http.ResponseWriter, r *http.Request) {
	service, ok := cdshooks.Find(r.PathValue("id"))
	if !ok {
		writeProblem(w, noService())
		return
	}
	req, err := cdshooks.ReadRequest(service, r.Body, time.Now())
	if err != nil {
		writeProblem(w, s.problem(err))
		return
	}
	ctx, cancel := s.context(caller(r))
	defer cancel()
	out, given, err := cdshooks.Cards(ctx, s.Answers, s.Index, req, "http://"+r.Host)
	if err != nil {
		writeProblem(w, s.problem(err))
		return
	}
	for _, g := range given {
		s.Feedback.Gave(g)
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *server) cdsFeedback(w http.ResponseWriter, r *http.Request) {
	if _, ok := cdshooks.Find(r.PathValue("id")); !ok {
		writeProblem(w, noService())
		return
	}
	var f cdshooks.Feedback
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			writeProblem(w, s.problem(err))
			return
		}
		writeProblem(w, invalid("the body is no CDS Hooks feedback: "+jsonFault(err)))
		return
	}
	items, err := f.Items()
	if err != nil {
		writeProblem(w, s.problem(err))
		return
	}
	// Sent again, a report counts once, so one that fails in the middle is sent
	// again whole.
	for _, i := range items {
		if _, _, err := s.Feedback.Add(i); err != nil {
			writeProblem(w, s.problem(err))
			return
		}
	}
	writeJSON(w, http.StatusOK, CDSReceipt{Kept: len(items)})
}

func noService() *Problem {
	return &Problem{Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound, Code: "not_found", Detail: "there is no such service; GET /cds-services lists those there are"}
}

// problems describes the errors of an operation that huma does not know of.
func problems(api huma.API, op *huma.Operation, statuses ...int) {
	schema := api.OpenAPI().Components.Schemas.Schema(typeOf[Problem](), true, "Problem")
	for _, status := range statuses {
		op.Responses[statusKey(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}}
	}
}
