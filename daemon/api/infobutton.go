package api

import (
	"encoding/xml"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/infobutton"
)

func (s *server) infobutton(api huma.API, mux *http.ServeMux) {
	mux.HandleFunc("GET /infobutton", s.knowledge)
	op := &huma.Operation{OperationID: "infobutton", Method: http.MethodGet, Path: "/infobutton", Summary: "What the labels say of a medicine, for HL7 Infobutton",
		Description: "The URL form of HL7's Context-Aware Knowledge Retrieval. Other parameters of the specification are accepted and ignored.",
		Responses: map[string]*huma.Response{"200": {Description: "A feed of label sections; without entries where no document is about the medicine", Content: map[string]*huma.MediaType{
			infobutton.JSON: {Schema: &huma.Schema{Type: "object", Required: []string{"feed"}, Properties: map[string]*huma.Schema{"feed": api.OpenAPI().Components.Schemas.Schema(typeOf[infobutton.Feed](), true, "Feed")}}},
			infobutton.Atom: {Schema: &huma.Schema{Type: "string"}}, infobutton.XML: {Schema: &huma.Schema{Type: "string"}}}}}}
	for _, p := range [][2]string{
		{"mainSearchCriteria.v.c", "Code of the medicine"},
		{"mainSearchCriteria.v.cs", "Its system: 2.16.840.1.113883.6.88 (RxNorm), 2.16.840.1.113883.6.69 (NDC) or 2.16.840.1.113883.4.9 (UNII)"},
		{"mainSearchCriteria.v.dn", "Name of the medicine"},
		{"taskContext.c.c", "Task, such as MEDOE"},
		{"subTopic.v.c", "What is asked about it, such as Q000744 (contraindications)"},
		{"subTopic.v.dn", "The same in words"},
		{"knowledgeResponseType", "application/json, application/atom+xml (where nothing is said) or text/xml"},
	} {
		op.Parameters = append(op.Parameters, &huma.Param{Name: p[0], In: "query", Description: p[1], Schema: &huma.Schema{Type: "string", MaxLength: ptr(200)}})
	}
	problems(api, op, http.StatusBadRequest)
	api.OpenAPI().AddOperation(op)
}

func ptr[T any](v T) *T { return &v }

func (s *server) knowledge(w http.ResponseWriter, r *http.Request) {
	req, err := infobutton.ReadRequest(r.URL.Query())
	if err != nil {
		writeProblem(w, s.problem(err))
		return
	}
	ctx, cancel := s.context(caller(r))
	defer cancel()
	f, err := infobutton.Answer(ctx, s.Answers, s.Index, req, "http://"+r.Host, time.Now())
	if err != nil {
		writeProblem(w, s.problem(err))
		return
	}
	if req.Form == infobutton.JSON {
		writeJSON(w, http.StatusOK, map[string]any{"feed": f})
		return
	}
	b, err := xml.MarshalIndent(f, "", "  ")
	if err != nil {
		writeProblem(w, s.problem(err))
		return
	}
	w.Header().Set("Content-Type", req.Form+"; charset=utf-8")
	_, _ = w.Write(append([]byte(xml.Header), b...))
}
