package main

import (
	"context"
	"log/slog"
	"runtime"

	"rxedge/centre/flow"
	"rxedge/centre/vectors"
	"rxedge/daemon/box"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/sync/central"
)

// vectorsBy starts an embedder of this machine's catalog. With others beside it on the
// machine it takes its share of the processors.
func (a *app) vectorsBy(ctx context.Context, name string, others int) (*box.PassageVectors, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	if cfg.Model.Threads == 0 && others > 1 {
		cfg.Model.Threads = max(1, runtime.NumCPU()/others)
	}
	return box.MakesVectors(ctx, cfg, name, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// embedWith lets the release have vectors; stop ends the engine. Those that the centre in
// dir has made before are taken.
func (a *app) embedWith(ctx context.Context, dir, name string, rel *central.Release) (stop func(), err error) {
	v, err := a.vectorsBy(ctx, name, 1)
	if err != nil {
		return nil, err
	}
	kept, err := vectors.Open(ctx, dir, v.Embedder, v.Dimension)
	if err != nil {
		_ = v.Close()
		return nil, err
	}
	v.Kept = kept
	bar := a.progress()
	rel.Vectors = &central.Embedding{Name: v.Name, Embedder: v.Embedder, Dimension: v.Dimension,
		Progress: func(done, total int) { bar.set("vectors of documents", int64(done), int64(total)) },
		Make: func(id string, content, before []byte) ([]byte, error) {
			return v.Make(ctx, id, content, before)
		}}
	return func() { bar.finish(); _ = v.Close(); _ = kept.Close() }, nil
}

// ingestEmbedding is the embedder of a worker, one of some on this machine.
func (a *app) ingestEmbedding(ctx context.Context, name string, workers int) (e *flow.Embedding, stop func(), err error) {
	v, err := a.vectorsBy(ctx, name, workers)
	if err != nil {
		return nil, nil, err
	}
	return &flow.Embedding{Embedder: flow.Embedder{Name: v.Name, Hash: v.Embedder, Dimension: v.Dimension},
		Make: func(ctx context.Context, d *document.Document, has func([]index.TextHash) map[index.TextHash]bool, tick func()) ([]byte, error) {
			return v.MakeLacking(ctx, d, has, tick)
		}}, func() { _ = v.Close() }, nil
}

// ingestEmbedder says which one it is, and that it starts.
func (a *app) ingestEmbedder(ctx context.Context, name string) (flow.Embedder, error) {
	e, stop, err := a.ingestEmbedding(ctx, name, 1)
	if err != nil {
		return flow.Embedder{}, err
	}
	stop()
	return e.Embedder, nil
}
