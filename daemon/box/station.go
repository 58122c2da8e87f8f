package box

import (
	"context"
	"fmt"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/feedback"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/catalog"
)

// What follows is what a technician's tool asks of a box, here or through the
// daemon's socket.

// Ask answers a question.
func (b *Box) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	return b.Answers.Ask(ctx, q, ev)
}

// Examine answers a question that no person asked, as an evaluation does: by what
// serves, unseen by telemetry, metrics, cache, trials and feedback, and after those
// who wait for an answer. Only the daemon's own socket leads here.
func (b *Box) Examine(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	by := b.unseen()
	defer by.Release()
	if by.snap == nil {
		return nil, index.ErrClosed
	}
	ctx, d := b.behind(ctx)
	return side{by, d}.Ask(ctx, q, ev)
}

// Search finds passages.
func (b *Box) Search(ctx context.Context, q index.Query) (index.Result, error) {
	return b.Index.Search(ctx, q)
}

// Document returns a document, whole, or index.ErrNotFound.
func (b *Box) Document(_ context.Context, id string) (*document.Document, error) {
	snap := b.Index.Acquire()
	if snap == nil {
		return nil, index.ErrClosed
	}
	defer snap.Release()
	return snap.Document(id)
}

// Documents lists what is indexed.
func (b *Box) Documents(context.Context) ([]index.DocumentSummary, error) {
	snap := b.Index.Acquire()
	if snap == nil {
		return nil, index.ErrClosed
	}
	defer snap.Release()
	return snap.Documents()
}

// Section by its id or an alias, or index.ErrNotFound.
func (b *Box) Section(_ context.Context, id string) (index.SectionRef, error) {
	snap := b.Index.Acquire()
	if snap == nil {
		return index.SectionRef{}, index.ErrClosed
	}
	defer snap.Release()
	return snap.Section(id)
}

// Stats of the generation that serves.
func (b *Box) Stats(context.Context) (index.Stats, error) { return b.Index.Stats(), nil }

// Generations on disk, newest first.
func (b *Box) Generations(context.Context) ([]index.GenerationInfo, error) {
	return b.Index.Generations()
}

// Verify reads the index again, whole.
func (b *Box) Verify(ctx context.Context, progress func(index.Progress)) (index.Report, error) {
	return b.Index.Verify(ctx, progress)
}

// Rebuild makes the index again out of its own documents, with the embedder and analyser
// of now. Where it is damaged, only what reads as it was written is taken over, and the
// result names what was lost.
func (b *Box) Rebuild(ctx context.Context, progress func(index.Progress)) (index.ApplyResult, error) {
	b.ingest.Lock()
	defer b.ingest.Unlock()
	rep, err := b.Index.Verify(ctx, progress)
	if err != nil {
		return index.ApplyResult{}, err
	}
	if !rep.OK() {
		res, err := b.Index.Renew(ctx, progress)
		return res, b.heldUntil(err)
	}
	res, err := b.Index.Apply(ctx, index.Changes{}, progress)
	return res, b.heldUntil(err)
}

// Reembed makes the vectors that are missing or of another embedder, while
// documents come in and questions are answered.
func (b *Box) Reembed(ctx context.Context, progress func(index.Progress)) (index.ApplyResult, error) {
	defer b.reembedding.Store(nil)
	res, err := b.Index.Reembed(ctx, func(p index.Progress) {
		b.reembedding.Store(&p)
		if progress != nil {
			progress(p)
		}
	})
	return res, b.heldUntil(err)
}

// Compact packs the index anew, without what updates have replaced.
func (b *Box) Compact(ctx context.Context, progress func(index.Progress)) (index.ApplyResult, error) {
	b.ingest.Lock()
	defer b.ingest.Unlock()
	res, err := b.Index.Compact(ctx, progress)
	return res, b.heldUntil(err)
}

// Rollback takes back the latest batch.
func (b *Box) Rollback(ctx context.Context) (g index.GenerationInfo, err error) {
	b.ingest.Lock()
	defer b.ingest.Unlock()
	err = b.changing(func() (err error) {
		g, err = b.Index.Rollback(ctx)
		return err
	})
	return g, b.heldUntil(err)
}

// Quarantined lists what could not be read.
func (b *Box) Quarantined(context.Context) ([]document.Quarantined, error) {
	return b.Quarantine.List()
}

// ForgetQuarantined takes an entry out of the quarantine, or all of them where id is "",
// and says how many.
func (b *Box) ForgetQuarantined(_ context.Context, id string) (int, error) {
	all, err := b.Quarantine.List()
	n := 0
	for _, q := range all {
		if err == nil && (id == "" || q.ID == id) {
			if err = b.Quarantine.Remove(q.ID); err == nil {
				n++
			}
		}
	}
	if err == nil && n == 0 && id != "" {
		err = fmt.Errorf("quarantine %q: %w", id, index.ErrNotFound)
	}
	return n, err
}

// ImportModel puts a model file into the catalog.
func (b *Box) ImportModel(ctx context.Context, path string, opt catalog.ImportOptions, progress func(done, total int64)) (catalog.Entry, error) {
	return b.Catalog.Import(ctx, path, opt, progress)
}

// ListModels of the catalog.
func (b *Box) ListModels(context.Context) ([]catalog.Entry, error) { return b.Catalog.List() }

// RemoveModel takes a model out of the catalog.
func (b *Box) RemoveModel(ctx context.Context, name string) error { return b.Catalog.Remove(ctx, name) }

// Status says what works now.
func (b *Box) Status(context.Context) (api.Health, error) { return b.Health(), nil }

// AddFeedback keeps what somebody said of an answer.
func (b *Box) AddFeedback(_ context.Context, i feedback.Item) (feedback.Record, error) {
	r, _, err := b.Feedback.Add(i)
	return r, err
}

// FeedbackSummary counts feedback; it holds no text.
func (b *Box) FeedbackSummary(context.Context) (feedback.Summary, error) { return b.Feedback.Summary() }

// FeedbackRecords are all records, without what people wrote unless text is set.
func (b *Box) FeedbackRecords(_ context.Context, text bool) ([]feedback.Record, error) {
	rs, err := b.Feedback.Records()
	if !text {
		for i := range rs {
			if rs[i].Correction != "" {
				rs[i].Correction = feedback.Withheld
			}
		}
	}
	return rs, err
}

// RemoveFeedback takes out the records from before a time and says how many.
func (b *Box) RemoveFeedback(_ context.Context, before time.Time) (int, error) {
	return b.Feedback.Remove(before)
}
