// Package api is the HTTP interface on localhost: the native calls, the ones
// that speak as OpenAI's API does, health, and the pages. It holds no logic of
// answering. Types of the native calls are those of daemon/answer, so that the
// OpenAPI description is made of what is really sent.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rxedge/daemon/answer"
	guardmodel "rxedge/daemon/answer/guard"
	"rxedge/daemon/backup"
	"rxedge/daemon/cache"
	"rxedge/daemon/feedback"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	"rxedge/daemon/schema"
	"rxedge/index"
	"rxedge/inference"
)

// Models are the language models of the box, by the catalog's names.
type Models interface {
	// Names of the models that write text.
	Names() []string
	// Generator of that name, or inference.ErrModelNotFound.
	Generator(ctx context.Context, name string) (inference.Generator, error)
	// Embedder and Reranker of that name, or the configured one by "".
	Embedder(ctx context.Context, name string) (inference.Embedder, error)
	Reranker(ctx context.Context, name string) (inference.Reranker, error)
}

// Feedback is what people say of answers.
type Feedback interface {
	// Add keeps an item durably; again says that it was there before. Errors are
	// those of feedback.Store.
	Add(feedback.Item) (r feedback.Record, again bool, err error)
	// Gave remembers an answer, so that feedback on it is taken.
	Gave(feedback.Given)
}

// Health says what the box can do now.
type Health struct {
	Ready bool `json:"ready"` // questions are answered
	// Conditions that hold, the one to mend first at the front.
	Conditions []health.Finding `json:"conditions,omitempty"`
	// Degraded says what does not work, one sentence each: the details of those
	// Conditions that are more than a notice.
	Degraded   []string `json:"degraded,omitempty"`
	Version    string   `json:"version"`
	Generation string   `json:"generation"` // of the index
	// Indexed is when the generation was made or last updated.
	Indexed time.Time `json:"indexed"`
	// NewestLabel is the effective date of the newest label, YYYY-MM-DD or shorter;
	// "" where none has one.
	NewestLabel string `json:"newest_label,omitempty"`
	Documents   int    `json:"documents"`
	Passages    int    `json:"passages"`
	Dense       bool   `json:"dense"` // vectors are searched
	// Generator and Embedder are the configured models and how they are.
	Generator *ModelState `json:"generator,omitempty"`
	Embedder  *ModelState `json:"embedder,omitempty"`
	// Reembedding is how far vectors are that are made anew; nil where none are.
	Reembedding *index.Progress `json:"reembedding,omitempty"`
	Engine      string          `json:"engine"` // of llama.cpp: installed or missing
	// Others are models that are loaded beside these.
	Others []ModelState `json:"other_models,omitempty"`
	// Profile is the firmware profile; "" until a model or a card calls for it.
	Profile    string `json:"profile,omitempty"`
	ProfileWhy string `json:"profile_why,omitempty"` // it was chosen
	// Step is where the ladder stands that spares a hot or full card; "" where
	// no card is watched.
	Step    string    `json:"step,omitempty"`
	StepWhy string    `json:"step_why,omitempty"`
	Started time.Time `json:"started"`
	// Unclean says how the stop before this start was not clean; "": it was.
	Unclean string `json:"unclean_stop,omitempty"`
	// Layout of the data folder.
	Layout *schema.Report `json:"layout,omitempty"`
	// Restored says which backup the box was restored from; nil: none.
	Restored *backup.Restored `json:"restored,omitempty"`
	// Encryption of the data folder; nil where it is not encrypted.
	Encryption *keyring.Report `json:"encryption,omitempty"`
	// Thresholds of cohorts that take the place of the guard's own; nil: there are none.
	Thresholds *guardmodel.Applied `json:"thresholds,omitempty"`
	// Cache of answers; nil where there is none.
	Cache *cache.Stats `json:"cache,omitempty"`
	// Disk of the data folder, by what lies there.
	Disk *StationDisk `json:"disk,omitempty"`
}

// ModelState is a model and how its engine is.
type ModelState struct {
	Name     string    `json:"name"`
	Phase    string    `json:"phase"`
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Running  int       `json:"running"` // requests at the engine
	Waiting  int       `json:"waiting"` // requests before it
	// MemoryBytes that its engine holds.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
}

// Deps are what the interface stands on.
type Deps struct {
	Answers         *answer.Service
	Index           *index.Index
	Models          Models
	Feedback        Feedback
	RawCompletions  bool // models other than rxedge may be asked without documents
	Health          func() Health
	Station         func(context.Context) (Station, error) // nil: there is no such page
	Metrics         http.Handler                           // nil: none
	Page            http.Handler                           // everything that is no API path
	Timeout         time.Duration
	MaxRequestBytes int64
	Access          *Access // nil: anybody on this machine may ask, as much as he likes
	Drain           *Drain  // nil: none
	Log             *slog.Logger
}

type server struct{ Deps }

// New returns the interface. It guards Host and Origin; the caller listens on
// loopback.
func New(d Deps) http.Handler {
	mux := http.NewServeMux()
	s := &server{d}
	s.register(mux)
	return guard(d.MaxRequestBytes, d.Log, d.Drain.serve(d.Access.check(mux)))
}

// Spec returns the OpenAPI description.
func Spec() *huma.OpenAPI {
	s := &server{}
	return s.register(http.NewServeMux()).OpenAPI()
}

func (s *server) register(mux *http.ServeMux) huma.API {
	cfg := huma.DefaultConfig("rxedge", "1")
	cfg.Info.Description = "Answers pharmacists' questions from drug labels, with citations. On this machine alone."
	cfg.DocsPath, cfg.SchemasPath = "", "" // the built-in page loads from a CDN
	cfg.CreateHooks = nil                  // $schema would echo the Host header
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "Called for where api.require_token is set; 'rxedge service token add NAME' makes one."}}
	cfg.Security = []map[string][]string{{}, {"token": {}}}
	cfg.Info.Description += " Any path may answer 401 (a token is called for), 429 (asked too fast) or 503 (busy or stopping), the latter two with Retry-After."
	api := humago.New(mux, cfg)
	s.native(api)
	s.openAI(api, mux)
	s.encoders(api)
	s.feedback(api)
	s.cdsHooks(api, mux)
	s.infobutton(api, mux)
	s.health(mux, api)
	s.station(api)
	if s.Page != nil {
		mux.Handle("/", s.Page)
	}
	return api
}

// schemaName puts the room before the type's name: several have a Timings.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	name, room := huma.DefaultSchemaNamer(t, hint), path.Base(t.PkgPath())
	if t.PkgPath() == "" || room == "api" || strings.EqualFold(room, name) {
		return name
	}
	return strings.ToUpper(room[:1]) + room[1:] + name
}

// context bounds one question.
func (s *server) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.Timeout)
}
