package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"rxedge/daemon/config"
	"rxedge/daemon/rollout"
	"rxedge/index"
	"rxedge/index/chunk"
	"rxedge/inference"
	"rxedge/inference/catalog"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
	"rxedge/inference/wordpiece"
)

// embedder is a model ready to make vectors, and how its texts are counted.
type embedder struct {
	*llama.Handle
	info          index.EmbedderInfo
	passageTokens int
	counter       chunk.Counter
	counterName   string
}

// all-MiniLM-L6-v2 was trained on texts of at most 256 tokens, and is used so.
const maxPassageTokens = 256

// embedding gives the options of an index that is searched with the embedder
// of that name.
func (m *Models) embedding(ctx context.Context, name string) (index.Options, error) {
	if name == config.Builtin {
		return builtinOptions()
	}
	e, err := m.embedder(ctx, name)
	if err != nil {
		return index.Options{}, err
	}
	return e.options(), nil
}

// reembedTries are how long is waited before vectors are made once more, where
// making them failed.
var reembedTries = []time.Duration{time.Minute, 10 * time.Minute}

// KeepVectors makes the vectors that are missing or of another embedder than the
// one that is loaded, as after another one was configured. Until they are there
// questions are answered by words. It returns when there is nothing left to do,
// or when ctx ends.
func (b *Box) KeepVectors(ctx context.Context) {
	for try := 0; b.Index.NeedsVectors(); try++ {
		began := time.Now()
		b.log.Info("making the vectors of the index anew", "embedder", b.embedder)
		rep, err := b.Reembed(ctx, nil)
		if err == nil {
			b.log.Info("the vectors of the index are made", "generation", rep.Generation.Label(), "passages", rep.Embedded, "took", time.Since(began).Round(time.Millisecond))
			return
		}
		if errors.Is(err, rollout.ErrHeld) { // for as long as a candidate is watched
			try--
			sleepFor(ctx, reembedTries[0])
			continue
		}
		if ctx.Err() != nil || try == len(reembedTries) {
			return
		}
		b.log.Warn("the vectors of the index could not be made", "error", err, "again_in", reembedTries[try])
		select {
		case <-ctx.Done():
			return
		case <-time.After(reembedTries[try]):
		}
	}
}

func (m *Models) embedder(ctx context.Context, name string) (*embedder, error) {
	h, err := m.handle(name, catalog.Embedder)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(m.cfg.Start))
	defer cancel()
	if err := h.WaitReady(ctx); err != nil {
		return nil, err
	}
	i := h.Info()
	e := &embedder{Handle: h, info: index.EmbedderInfo{Name: i.Name, SHA256: i.SHA256, Dimension: i.Dimension}}
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
	return e.Handle.Embed(ctx, texts)
}

// Embedding runs the configured embedder, or where none is the one that is built
// in, without taking the data folder, for an index beside the box's own. The
// caller closes it.
func Embedding(ctx context.Context, cfg config.Config, log *slog.Logger) (index.Options, io.Closer, error) {
	c, err := catalog.Open(filepath.Join(cfg.Data, "models"))
	if err != nil {
		return index.Options{}, nil, fmt.Errorf("opening the catalog of models: %w", err)
	}
	m := newModels(c, cfg.Model, cfg.Data, log)
	name := m.use[catalog.Embedder]
	if name == "" {
		name = config.Builtin
	}
	opt, err := m.embedding(ctx, name)
	if err != nil {
		_ = m.Close()
		return index.Options{}, nil, err
	}
	return opt, m, nil
}

// options of an index that is searched by this embedder.
func (e *embedder) options() index.Options {
	return index.Options{Embedder: e, EmbedderInfo: e.info, MaxTokens: e.passageTokens, Counter: e.counter, CounterName: e.counterName}
}
