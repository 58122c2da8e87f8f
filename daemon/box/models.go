package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/config"
	"rxedge/index"
	"rxedge/index/chunk"
	"rxedge/inference"
	"rxedge/inference/catalog"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
	"rxedge/inference/wordpiece"
)

// phaseIdle: a model that is loaded when it is first asked for.
const phaseIdle = "idle"

// Models runs one engine for each model that is asked for, and keeps it.
type Models struct {
	catalog *catalog.Catalog
	cfg     config.Model
	log     *slog.Logger

	mu      sync.Mutex
	servers map[string]*llama.Server
	closed  bool
}

func newModels(c *catalog.Catalog, cfg config.Model, log *slog.Logger) *Models {
	return &Models{catalog: c, cfg: cfg, log: log, servers: map[string]*llama.Server{}}
}

// Names implements api.Models.
func (m *Models) Names() []string {
	entries, err := m.catalog.List()
	if err != nil {
		m.log.Warn("listing the catalog", "error", err)
	}
	var out []string
	for _, e := range entries {
		if e.Kind == catalog.Generator {
			out = append(out, e.Name)
		}
	}
	return out
}

// Generator implements api.Models; the model's engine is started where it does
// not run yet.
func (m *Models) Generator(_ context.Context, name string) (inference.Generator, error) {
	return m.server(name, catalog.Generator, llama.Generate)
}

func (m *Models) server(name string, kind catalog.Kind, as llama.Kind) (*llama.Server, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, inference.ErrEngineStarting
	}
	if s := m.servers[name]; s != nil {
		if s.State().Phase != llama.Failed {
			return s, nil
		}
		return nil, &llama.FailedError{Model: name, Reason: s.State().Reason}
	}
	e, err := m.catalog.Get(name)
	if err != nil {
		return nil, err
	}
	if e.Kind != kind {
		return nil, fmt.Errorf("model %s is a %s, not a %s: %w", name, e.Kind, kind, inference.ErrModelNotFound)
	}
	engine, err := llama.Find()
	if err != nil {
		return nil, err
	}
	s, err := llama.Start(llama.Options{Engine: engine, Model: m.catalog.Path(e), Name: e.Name, SHA256: e.SHA256, Kind: as,
		Context: m.cfg.Context, Threads: m.cfg.Threads, Log: m.log})
	if err != nil {
		return nil, err
	}
	m.servers[name] = s
	return s, nil
}

func (m *Models) state(name string) api.ModelState {
	m.mu.Lock()
	s := m.servers[name]
	m.mu.Unlock()
	if s != nil {
		st := s.State()
		return api.ModelState{Name: name, Phase: string(st.Phase), Reason: st.Reason, Since: st.Since, Restarts: st.Restarts}
	}
	if _, err := m.catalog.Get(name); err != nil {
		return api.ModelState{Name: name, Phase: "missing", Reason: "not in the catalog; 'rxedge model import' adds it"}
	}
	return api.ModelState{Name: name, Phase: phaseIdle}
}

// Close ends every engine.
func (m *Models) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var errs []error
	for name, s := range m.servers {
		errs = append(errs, s.Close())
		delete(m.servers, name)
	}
	return errors.Join(errs...)
}

// embedder is a model ready to make vectors, and how its texts are counted.
type embedder struct {
	*llama.Server
	info          index.EmbedderInfo
	passageTokens int
	counter       chunk.Counter
	counterName   string
}

// all-MiniLM-L6-v2 was trained on texts of at most 256 tokens, and is used so.
const maxPassageTokens = 256

func (m *Models) embedder(ctx context.Context, name string) (*embedder, error) {
	s, err := m.server(name, catalog.Embedder, llama.Embed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(m.cfg.Start))
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		return nil, err
	}
	i := s.Info()
	e := &embedder{Server: s, info: index.EmbedderInfo{Name: i.Name, SHA256: i.SHA256, Dimension: i.Dimension}}
	e.passageTokens = min(maxPassageTokens, i.MaxTokens) - 2 // [CLS] and [SEP]
	entry, err := m.catalog.Get(name)
	if err != nil {
		return nil, err
	}
	if f, err := gguf.Open(m.catalog.Path(entry)); err == nil {
		defer f.Close()
		if tok, err := wordpiece.FromGGUF(&f.Metadata); err == nil {
			e.counter, e.counterName = tok, "wordpiece "+i.SHA256
		}
	}
	return e, nil
}

// Embed lets a single text, a question, go before the many of an index.
func (e *embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if len(texts) > 1 {
		ctx = inference.WithCaller(ctx, inference.Caller{Key: "index", Priority: inference.Background})
	}
	return e.Server.Embed(ctx, texts)
}

// Embedding runs the configured embedder without taking the data folder, for
// an index beside the box's own. The caller closes it.
func Embedding(ctx context.Context, cfg config.Config, log *slog.Logger) (index.Options, io.Closer, error) {
	c, err := catalog.Open(filepath.Join(cfg.Data, "models"))
	if err != nil {
		return index.Options{}, nil, fmt.Errorf("opening the catalog of models: %w", err)
	}
	m := newModels(c, cfg.Model, log)
	e, err := m.embedder(ctx, cfg.Model.Embedder)
	if err != nil {
		_ = m.Close()
		return index.Options{}, nil, err
	}
	return e.options(), m, nil
}

// options of an index that is searched by this embedder.
func (e *embedder) options() index.Options {
	return index.Options{Embedder: e, EmbedderInfo: e.info, MaxTokens: e.passageTokens, Counter: e.counter, CounterName: e.counterName}
}
