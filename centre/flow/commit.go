package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/centre/check"
	"rxedge/centre/library"
	"rxedge/index/document"
)

// commitBatch is how many results go into the library in one write.
const commitBatch = 8

// commitTries of a write to the library before the run stops: it goes on later.
const commitTries = 7

// committer takes results from the bus into the library. There is one: it has the
// library's folder, and the check beside the version before needs it.
type committer struct {
	q     *Queue
	lib   *library.Library
	check *check.Checker
	log   *slog.Logger
	p     *progress
	by    library.By

	gather gatherer
	kept   *kept
	names  map[string]string // ids made of files' names → the source that has it in this run
}

// run until ctx ends, or the library can't be written.
func (c *committer) run(ctx context.Context) error {
	for wait := 20 * time.Millisecond; ctx.Err() == nil; {
		b, err := c.q.commit.Fetch(commitBatch, jetstream.FetchMaxWait(250*time.Millisecond))
		var whole []*arrived
		if err == nil {
			for m := range b.Messages() {
				a, aerr := c.gather.add(m)
				if aerr != nil {
					return aerr
				}
				if a != nil {
					whole = append(whole, a)
				}
			}
			err = b.Error()
		}
		if len(whole) > 0 {
			wait = 20 * time.Millisecond
			if err := c.take(ctx, whole); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			continue
		}
		if errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if err != nil && !errors.Is(err, nats.ErrTimeout) {
			if sleep(ctx, wait) != nil {
				return nil
			}
			wait = min(2*wait, time.Second)
		}
	}
	return nil
}

// checked is an item with what was found, or what kept the check from its end.
type checked struct {
	library.Item
	r    *result
	from placed
	err  error
}

// take results into the library, then acknowledge them: whoever dies in between does it
// again, which changes nothing.
func (c *committer) take(ctx context.Context, as []*arrived) error {
	results := make([]*result, len(as))
	var items []checked
	for i, a := range as {
		r, err := decodeResult(a.data)
		if err != nil {
			return fmt.Errorf("a result on the bus can't be read: %w; is a worker of another release about?", err)
		}
		results[i] = r
		for _, it := range r.Items {
			s := r.Sources[it.Source]
			items = append(items, checked{Item: library.Item{Document: it.Document, Source: s.Source.Source, Run: r.Run, Passages: it.Passages}, r: r, from: s})
		}
	}
	stop := c.alive(as)
	defer stop()
	c.checkAll(ctx, items)
	var good []checked
	for _, it := range items {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case it.err == nil:
		default:
			if err := c.bury(ctx, it, Check, it.err); err != nil {
				return err
			}
			continue
		}
		p, clash, err := c.clash(ctx, it)
		if err != nil {
			return err
		}
		if clash {
			if err := c.write(ctx, func() error { return c.lib.Refuse(ctx, it.Source, it.Run, p) }); err != nil {
				return err
			}
			continue
		}
		good = append(good, it)
	}
	if err := c.commit(ctx, good); err != nil {
		return err
	}
	for _, r := range results {
		for _, x := range r.Refused {
			s := r.Sources[x.Source]
			if err := c.write(ctx, func() error { return c.lib.Refuse(ctx, s.Source.Source, r.Run, x.Problem) }); err != nil {
				return err
			}
		}
	}
	for _, r := range results {
		var added int
		if err := c.write(ctx, func() (err error) {
			added, err = c.kept.keep(ctx, r)
			return err
		}); err != nil {
			return err
		}
		c.p.embedded(r, added)
	}
	for _, a := range as {
		for _, m := range a.msgs {
			_ = m.Ack() // where it is lost, the result comes again
		}
	}
	for _, r := range results {
		if r.Last {
			if err := c.q.dropBlob(ctx, r.Blob.ID); err != nil {
				return err
			}
		}
		c.p.committed(r)
	}
	return nil
}

// alive tells the bus that the results are worked on.
func (c *committer) alive(as []*arrived) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(5 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-end:
				return
			case <-t.C:
				for _, a := range as {
					for _, m := range a.msgs {
						_ = m.InProgress()
					}
				}
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

// checkAll on all processors.
func (c *committer) checkAll(ctx context.Context, items []checked) {
	next := make(chan *checked)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for it := range next {
				it.Findings, it.err = c.checkOne(ctx, it.Document)
			}
		})
	}
	for i := range items {
		next <- &items[i]
	}
	close(next)
	wg.Wait()
}

func (c *committer) checkOne(ctx context.Context, d *document.Document) (fs []check.Finding, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked at %s", panicked())
		}
	}()
	before, err := c.lib.Current(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	return c.check.Check(d, before), nil
}

// clash says that the document's id was made of the name of a file, and another file of
// this run gave the same: the second is not to take the first one's place.
func (c *committer) clash(ctx context.Context, it checked) (document.Problem, bool, error) {
	switch it.Document.Kind {
	case document.KindSPL, document.KindOpenFDA, document.KindJSONL:
		return document.Problem{}, false, nil
	}
	id, key := it.Run+"\x00"+it.Document.ID, it.from.key()
	other, ok := c.names[id]
	if !ok {
		vs, err := c.lib.Versions(ctx, library.Filter{ID: it.Document.ID, Run: it.Run})
		if err != nil {
			return document.Problem{}, false, err
		}
		other = key
		for _, v := range vs {
			seen, err := c.lib.Sources(ctx, v.Ref)
			if err != nil {
				return document.Problem{}, false, err
			}
			for _, s := range seen {
				if s.Run == it.Run {
					other = (&Source{Source: s.Source}).key()
				}
			}
		}
		c.names[id] = other
	}
	if other == key {
		return document.Problem{}, false, nil
	}
	return document.Problem{File: it.from.As, Reason: fmt.Sprintf("gives the document id %.200q, which another file has already", it.Document.ID),
		Fix: "rename one of the files, or state an id in it (front matter: id: …)"}, true, nil
}

// commit the items. What the library takes of nobody is buried, and the rest goes in.
func (c *committer) commit(ctx context.Context, its []checked) error {
	if len(its) == 0 {
		return nil
	}
	all := make([]library.Item, len(its))
	for i := range its {
		all[i] = its[i].Item
	}
	if _, err := c.lib.CommitAll(ctx, all); err == nil || ctx.Err() != nil {
		return err
	}
	for _, it := range its {
		err := c.write(ctx, func() error {
			_, err := c.lib.Commit(ctx, it.Item)
			return err
		})
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		// Is it this document, or does the library take nothing at all?
		if werr := c.lib.BeginRun(ctx, it.Run, c.by); werr != nil {
			return fmt.Errorf("the library takes nothing: %w", werr)
		}
		if err := c.bury(ctx, it, Commit, err); err != nil {
			return err
		}
	}
	return nil
}

// write to the library, with a few tries.
func (c *committer) write(ctx context.Context, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		if err == nil || ctx.Err() != nil || n == commitTries {
			return err
		}
		if err := sleep(ctx, backoff(n)); err != nil {
			return err
		}
	}
}

// bury the source of an item, with its content.
func (c *committer) bury(ctx context.Context, it checked, stage Stage, why error) error {
	c.log.Warn("a document was given up", "stage", stage, "error", why)
	var from io.Reader
	if it.r.Blob.Bytes <= inMemoryBytes {
		if b, err := c.q.getBlob(ctx, it.r.Blob); err == nil && it.from.At >= 0 && it.from.Bytes >= 0 && it.from.At+it.from.Bytes <= int64(len(b)) {
			from = bytes.NewReader(b[it.from.At:][:it.from.Bytes])
		}
	}
	return c.q.bury(ctx, Dead{Key: it.from.key(), Run: it.Run, Source: it.from.Source, Stage: stage, Reason: why.Error(), Tries: 1, At: time.Now().UTC()}, from)
}
