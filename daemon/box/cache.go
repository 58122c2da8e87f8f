package box

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"rxedge/daemon/cache"
	"rxedge/daemon/config"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/catalog"
)

// openCache opens the cache of the data folder; nil where there is none. What is
// wrong with it is a note and no more: questions are answered without it.
func openCache(cfg config.Config, now func() time.Time, key []byte, log *slog.Logger) *cache.Cache {
	if !cfg.Cache.Enabled {
		return nil
	}
	c, err := cache.Open(filepath.Join(cfg.Data, "cache"), cache.Options{Answers: time.Duration(cfg.Cache.Answers), Earlier: time.Duration(cfg.Cache.Earlier), Embeddings: time.Duration(cfg.Cache.Embeddings),
		DiskBytes: int64(cfg.Cache.Disk) << 20, Memory: int64(cfg.Cache.Memory) << 20, Now: now, Key: key, Log: log})
	if err != nil {
		log.Warn("answering without a cache", "error", err)
		return nil
	}
	if n := c.Note(); n != "" {
		log.Warn("cache", "note", n)
	}
	return c
}

// variant names what answers depend on beside the question and the index, where
// the model of that name writes.
func (b *Box) variant(model string) string {
	// The software, how it is told to answer, and what finds and judges passages.
	parts := []string{Version, fmt.Sprintf("%+v", b.Config.Answer), b.Config.Model.Profile, b.Answers.Embedder.Name, b.Answers.Embedder.SHA256, b.Models.use[catalog.Reranker], b.Models.use[catalog.Entailer]}
	if model != "" {
		sum := ""
		// A model of the same name may be another one tomorrow.
		if e, err := b.Catalog.Get(b.Models.variant(model).name); err == nil {
			sum = e.SHA256
		}
		parts = append(parts, model, sum, b.Models.chosen().profile.Name)
	}
	return strings.Join(parts, "\x00")
}

// changing makes a change of the index and then lets go of the answers that
// rest on documents which are no longer what they were.
func (b *Box) changing(change func() error) error {
	if b.cache == nil {
		return change()
	}
	before := b.Index.Acquire()
	if before == nil {
		return index.ErrClosed
	}
	defer before.Release()
	if err := change(); err != nil {
		return err
	}
	after := b.Index.Acquire()
	if after == nil {
		return nil // closed; a later start compares each answer with the index
	}
	defer after.Release()
	var changed []string
	for _, id := range b.cache.Documents() {
		if hashOf(before, id) != hashOf(after, id) {
			changed = append(changed, id)
		}
	}
	if n := b.cache.Invalidate(changed); n > 0 {
		b.log.Info("answers that rest on changed documents were let go", "answers", n, "documents", len(changed))
	}
	return nil
}

func hashOf(s *index.Snapshot, id string) string {
	d, err := s.Document(id)
	if err != nil {
		return ""
	}
	return document.Hash(d)
}

// remembering is an embedder that need not be asked for a question twice.
type remembering struct {
	index.Embedder
	cache *cache.Cache
	model string // hash of the model
}

// Embed implements index.Embedder.
func (r remembering) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if len(texts) != 1 {
		return r.Embedder.Embed(ctx, texts)
	}
	if v, ok := r.cache.Vector(r.model, texts[0]); ok {
		return [][]float32{v}, nil
	}
	vs, err := r.Embedder.Embed(ctx, texts)
	if err == nil && len(vs) == 1 {
		r.cache.PutVector(r.model, texts[0], vs[0])
	}
	return vs, err
}
