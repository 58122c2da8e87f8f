package box

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/inference"
	"rxedge/inference/bert"
	"rxedge/inference/catalog"
	"rxedge/inference/semantic"
	"rxedge/inference/support"
)

// configured is the model of a kind that is meant by name: by "" the one that
// the configuration or the profile names.
func (m *Models) configured(name string, kind catalog.Kind) (string, error) {
	if name == "" {
		if name = m.use[kind]; name == "" {
			return "", fmt.Errorf("%w: no %s is configured; set model.%s, or 'rxedge model pull' the profile's", inference.ErrModelNotFound, kind, kind)
		}
	}
	return name, nil
}

// Embedder implements api.Models.
func (m *Models) Embedder(_ context.Context, name string) (inference.Embedder, error) {
	name, err := m.configured(name, catalog.Embedder)
	if err != nil {
		return nil, err
	}
	if name == config.Builtin {
		e, err := semantic.Builtin()
		if err != nil {
			return nil, err
		}
		return e, nil
	}
	h, err := m.handle(name, catalog.Embedder)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// builtin says whether the judge of a kind that is meant by name is the one built
// in: by its name, or by "" where no model is configured.
func (m *Models) builtin(name string, kind catalog.Kind) bool {
	return name == support.Name || name == "" && m.use[kind] == ""
}

// Reranker implements api.Models. Where no model is configured it is the one built in.
func (m *Models) Reranker(_ context.Context, name string) (inference.Reranker, error) {
	if m.builtin(name, catalog.Reranker) {
		return support.Builtin(), nil
	}
	engine, model, o, err := m.judge(name, catalog.Reranker)
	if err != nil {
		return nil, err
	}
	return bert.NewReranker(engine, model, o)
}

// Order is the reranker that orders what is found: the configured model, or the
// built-in one where it is named; nil where none is configured, because the
// built-in one finds less than the search's own order.
func (m *Models) Order(ctx context.Context) (inference.Reranker, error) {
	if m.use[catalog.Reranker] == "" {
		return nil, nil
	}
	return m.Reranker(ctx, "")
}

// Entailer of that name, the configured one by "", the one built in where none is
// configured.
func (m *Models) Entailer(_ context.Context, name string) (inference.Entailer, error) {
	if m.builtin(name, catalog.Entailer) {
		return support.Builtin(), nil
	}
	engine, model, o, err := m.judge(name, catalog.Entailer)
	if err != nil {
		return nil, err
	}
	return bert.NewEntailer(engine, model, o)
}

// Judge of what a model wrote: the configured entailment model, or the one built in,
// which is given both texts in the same words.
func (m *Models) Judge(ctx context.Context) (inference.Entailer, error) {
	e, err := m.Entailer(ctx, "")
	if err == nil && m.builtin("", catalog.Entailer) {
		e = answer.InPlainWords(e)
	}
	return e, err
}

func (m *Models) judge(name string, kind catalog.Kind) (bert.Classifier, *bert.Model, bert.JudgeOptions, error) {
	name, err := m.configured(name, kind)
	if err != nil {
		return nil, nil, bert.JudgeOptions{}, err
	}
	h, err := m.handle(name, kind)
	if err != nil {
		return nil, nil, bert.JudgeOptions{}, err
	}
	e, err := m.catalog.Get(name)
	if err != nil {
		return nil, nil, bert.JudgeOptions{}, err
	}
	model, err := m.read(e)
	return h, model, bert.JudgeOptions{Name: e.Name}, err
}

// read the vocabulary of a model, once: it takes some milliseconds.
func (m *Models) read(e catalog.Entry) (*bert.Model, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.berts[e.SHA256]; b != nil {
		return b, nil
	}
	b, err := bert.Open(m.catalog.Path(e))
	if err == nil {
		if m.berts == nil {
			m.berts = map[string]*bert.Model{}
		}
		m.berts[e.SHA256] = b
	}
	return b, err
}

// Reranking runs the configured reranker without taking the data folder, for
// an index beside the box's own. The caller closes it.
func Reranking(ctx context.Context, cfg config.Config, log *slog.Logger) (inference.Reranker, io.Closer, error) {
	c, err := catalog.Open(filepath.Join(cfg.Data, "models"))
	if err != nil {
		return nil, nil, fmt.Errorf("opening the catalog of models: %w", err)
	}
	m := newModels(c, cfg.Model, cfg.Data, log)
	r, err := m.Reranker(ctx, "")
	if err != nil {
		_ = m.Close()
		return nil, nil, err
	}
	return r, m, nil
}
