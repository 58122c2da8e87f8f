package index

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"rxedge/index/document"
	"rxedge/index/generation"
	"rxedge/index/pace"
)

// cutDocument is a document's passages.
type cutDocument struct {
	head     *document.Document // without its sections
	cut      string             // how they were cut
	passages []generation.Passage
	// kept: they are those of the generation before, from number old on.
	kept bool
	old  uint32
	err  error
}

// cuts reads and cuts the documents ahead of what is done with them, several at
// a time, and gives them in their order.
func (b *build) cuts(ctx context.Context) iter.Seq[cutDocument] {
	return func(yield func(cutDocument) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type job struct {
			head generation.Header
			done chan cutDocument
		}
		jobs, out := make(chan job), make(chan chan cutDocument, 64)
		var workers sync.WaitGroup
		for range min(runtime.GOMAXPROCS(0), mostCutters) {
			workers.Go(func() {
				work := pace.Begin()
				for j := range jobs {
					j.done <- b.cutDocument(j.head)
					work.Pause()
				}
			})
		}
		go func() {
			defer close(out)
			defer close(jobs)
			err := b.w.Documents(ctx, func(h generation.Header) error {
				j := job{h, make(chan cutDocument, 1)}
				select {
				case out <- j.done:
				case <-ctx.Done():
					return ctx.Err()
				}
				jobs <- j
				return nil
			})
			if err != nil && ctx.Err() == nil {
				failed := make(chan cutDocument, 1)
				failed <- cutDocument{err: err}
				out <- failed
			}
		}()
		// Nobody reads the store any more when this returns.
		defer func() {
			cancel()
			for range out {
			}
			workers.Wait()
		}()
		for c := range out {
			if !yield(<-c) {
				return
			}
		}
	}
}

// mostCutters read and cut documents at a time.
const mostCutters = 4

func (b *build) cutDocument(h generation.Header) cutDocument {
	c := cutDocument{head: &h.Document, cut: b.ix.cut()}
	kept := ""
	if b.renew {
		// Nothing of the generation before is used again.
	} else if c.passages, c.old, kept, c.err = b.kept(h, c.cut); c.err != nil {
		return c
	}
	if kept != "" {
		c.cut, c.kept = kept, true
		return c
	}
	d, err := b.w.Document(h)
	if err != nil {
		c.err = err
		return c
	}
	c.passages = b.split(d)
	return c
}
