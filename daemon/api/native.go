package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/answer"
	"rxedge/index"
	"rxedge/index/document"
)

// SearchRequest asks for passages.
type SearchRequest struct {
	Query string `json:"query" doc:"What to look for" minLength:"1" maxLength:"2000"`
	K     int    `json:"k,omitempty" doc:"Passages wanted; 0: 10" minimum:"0" maximum:"200"`
	Mode  string `json:"mode,omitempty" enum:"bm25,dense,hybrid," doc:"Empty: hybrid"`
	// Filter narrows the search; what is not given is not asked for.
	Filter  index.Filter `json:"filter,omitempty" required:"false" doc:"Which passages may be found: of one list any value will do, of what is given everything has to hold"`
	Explain bool         `json:"explain,omitempty" doc:"Give each hit the parts of its score"`
	// Prefix is for a search that is shown while it is typed.
	Prefix bool `json:"prefix,omitempty" doc:"The last word is the beginning of one"`
}

// SuggestResponse completes what was typed.
type SuggestResponse struct {
	Suggestions []index.Suggestion `json:"suggestions"`
}

type askInput struct {
	Accept string `header:"Accept" doc:"text/event-stream for the answer as it comes"`
	Body   answer.Question
}

func (s *server) native(api huma.API) {
	answerSchema := api.OpenAPI().Components.Schemas.Schema(typeOf[answer.Answer](), true, "Answer")
	huma.Register(api, huma.Operation{
		OperationID: "ask", Method: http.MethodPost, Path: "/v1/ask", Summary: "Ask a question",
		Description: "The answer as JSON, or with Accept: text/event-stream as events: retrieved, claim, withheld, done (the whole answer), error (a problem).",
		Responses: map[string]*huma.Response{"200": {Description: "The answer; an abstention is one too", Content: map[string]*huma.MediaType{
			"application/json":  {Schema: answerSchema},
			"text/event-stream": {Schema: &huma.Schema{Type: "string"}},
		}}},
	}, s.ask)
	huma.Register(api, huma.Operation{OperationID: "search", Method: http.MethodPost, Path: "/v1/search", Summary: "Find passages"},
		func(ctx context.Context, in *struct{ Body SearchRequest }) (*struct{ Body index.Result }, error) {
			ctx, cancel := s.context(ctx)
			defer cancel()
			mode := index.Mode(in.Body.Mode)
			if mode == "" {
				mode = index.ModeHybrid
			}
			res, err := s.Index.Search(ctx, index.Query{Text: in.Body.Query, K: in.Body.K, Mode: mode, Filter: in.Body.Filter, Explain: in.Body.Explain, Prefix: in.Body.Prefix})
			if err != nil {
				return nil, s.problem(err)
			}
			if res.Hits == nil {
				res.Hits = []index.Hit{}
			}
			return &struct{ Body index.Result }{res}, nil
		})
	huma.Register(api, huma.Operation{
		OperationID: "suggest", Method: http.MethodGet, Path: "/v1/suggest", Summary: "Complete what is being typed",
		Description: "Names of medicines that the documents are about first, then words of the passages, most frequent first.",
	}, func(_ context.Context, in *struct {
		Query string `query:"q" doc:"What has been typed so far" maxLength:"2000"`
		K     int    `query:"k" doc:"Suggestions wanted; 0: 8" minimum:"0" maximum:"50"`
	}) (*struct{ Body SuggestResponse }, error) {
		snap := s.Index.Acquire()
		if snap == nil {
			return nil, s.problem(index.ErrClosed)
		}
		defer snap.Release()
		found, err := snap.Suggest(in.Query, in.K)
		if err != nil {
			return nil, s.problem(err)
		}
		if found == nil {
			found = []index.Suggestion{}
		}
		return &struct{ Body SuggestResponse }{SuggestResponse{found}}, nil
	})
	huma.Register(api, huma.Operation{OperationID: "document", Method: http.MethodGet, Path: "/v1/documents/{id}", Summary: "A document, whole"},
		func(ctx context.Context, in *struct {
			ID string `path:"id" doc:"Set id"`
		}) (*struct{ Body *document.Document }, error) {
			snap := s.Index.Acquire()
			if snap == nil {
				return nil, s.problem(index.ErrClosed)
			}
			defer snap.Release()
			d, err := snap.Document(in.ID)
			if err != nil {
				return nil, s.problem(err)
			}
			return &struct{ Body *document.Document }{d}, nil
		})
}

func (s *server) ask(ctx context.Context, in *askInput) (*huma.StreamResponse, error) {
	if !strings.Contains(in.Accept, "text/event-stream") {
		ctx, cancel := s.context(ctx)
		defer cancel()
		a, err := s.Answers.Ask(ctx, in.Body, answer.Events{})
		if err != nil {
			return nil, s.problem(err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "application/json")
			_ = json.NewEncoder(hc.BodyWriter()).Encode(a)
		}}, nil
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		ctx, cancel := s.context(hc.Context())
		defer cancel()
		ev := newEvents(hc)
		a, err := s.Answers.Ask(ctx, in.Body, answer.Events{
			Retrieved: func(r []answer.Retrieved) {
				ev.send("retrieved", map[string]any{"retrieved": r})
			},
			Claim:    func(c answer.Claim) { ev.send("claim", c) },
			Withheld: func(n int) { ev.send("withheld", map[string]int{"count": n}) },
		})
		if err != nil {
			ev.send("error", s.problem(err))
			return
		}
		ev.send("done", a)
	}}, nil
}

// events writes server-sent events, each out at once.
type events struct {
	w     interface{ Write([]byte) (int, error) }
	flush func()
}

func newEvents(hc huma.Context) *events {
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetHeader("Cache-Control", "no-store")
	e := &events{w: hc.BodyWriter(), flush: func() {}}
	if f, ok := hc.BodyWriter().(http.Flusher); ok {
		e.flush = f.Flush
	}
	return e
}

func (e *events) send(name string, v any) {
	b, err := json.Marshal(v) // JSON holds no raw newline, so one data line is enough
	if err != nil {
		return
	}
	fmt.Fprintf(writerFunc(e.w.Write), "event: %s\ndata: %s\n\n", name, b)
	e.flush()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
