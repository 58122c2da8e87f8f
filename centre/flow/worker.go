package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/index/document"
)

// WorkerOptions of a worker. The zero value means the defaults.
type WorkerOptions struct {
	Read document.Options
	// MaxTries of one source before it is given up; 5.
	MaxTries int
	// Limit is how long one source may take before the worker ends itself; 15 minutes.
	Limit time.Duration
	// Vectors makes them where a unit wants those of this embedder; nil: none are made.
	Vectors *Embedding
	Log     *slog.Logger
	// tell is told of each unit that is taken up, with what gives it back, of each stage of
	// each source, and of the unit's end.
	tell func(word string, args ...any)

	// reads is document.Read, but for tests of what it should not do.
	reads func(ctx context.Context, name string, src io.Reader, size int64, opt document.Options, yield func(*document.Document) error) ([]document.Problem, error)
	stuck func() // ends the process
}

func (o WorkerOptions) withDefaults() WorkerOptions {
	if o.MaxTries <= 0 {
		o.MaxTries = 5
	}
	if o.Limit <= 0 {
		o.Limit = 15 * time.Minute
	}
	if o.Read.MaxFileTime <= 0 {
		o.Read.MaxFileTime = o.Limit * 2 / 3
	}
	if o.tell == nil {
		o.tell = func(string, ...any) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.reads == nil {
		o.reads = readSource
	}
	if o.stuck == nil {
		o.stuck = func() { os.Exit(exitStuck) }
	}
	return o
}

// exitStuck is the exit code of a worker process that ended itself over a source.
const exitStuck = 9

// Worker takes up units, one at a time.
type Worker struct {
	q   *Queue
	opt WorkerOptions
}

// NewWorker of the queue.
func NewWorker(q *Queue, o WorkerOptions) *Worker { return &Worker{q, o.withDefaults()} }

// Run until ctx ends. What is under way then is given back.
func (w *Worker) Run(ctx context.Context) error {
	for wait := 20 * time.Millisecond; ctx.Err() == nil; {
		got := false
		b, err := w.q.read.Fetch(1, jetstream.FetchMaxWait(2*time.Second))
		if err == nil {
			for m := range b.Messages() {
				got = true
				w.handle(ctx, m)
			}
			err = b.Error()
		}
		switch {
		case got:
			wait = 20 * time.Millisecond
		case errors.Is(err, nats.ErrConnectionClosed):
			return err
		case err != nil && !errors.Is(err, nats.ErrTimeout):
			// The bus is away, or has not found its leader yet.
			if sleep(ctx, wait) != nil {
				return nil
			}
			wait = min(2*wait, time.Second)
		}
	}
	return nil
}

// handle one unit.
func (w *Worker) handle(ctx context.Context, m jetstream.Msg) {
	md, err := m.Metadata()
	if err != nil {
		return
	}
	n := int(md.NumDelivered)
	u := &Unit{}
	if err := json.Unmarshal(m.Data(), u); err != nil || len(u.Sources) == 0 {
		w.opt.Log.Error("a message on the bus is no unit of work, and was taken out", "subject", m.Subject())
		_ = m.Term()
		return
	}
	if wait := time.Until(u.After); wait > 0 {
		_ = m.NakWithDelay(wait)
		return
	}
	w.opt.tell(tellUnit, n, m.Reply())
	defer w.opt.tell(tellIdle)
	b := w.beat(m)
	err = w.unit(ctx, u, n, b)
	b.stop()
	switch {
	case err == nil, errors.Is(err, errGone):
		// What is gone from the bus was done: it goes when its last result is in the library.
		if err := m.DoubleAck(ctx); err != nil {
			w.opt.Log.Warn("a unit that is done will be done again", "error", err)
		}
	case ctx.Err() != nil:
		_ = m.Nak()
	default:
		w.opt.Log.Warn("a unit failed and will be tried again", "tries", n, "error", err)
		_ = m.NakWithDelay(backoff(n))
	}
}

// beat tells the bus that the unit is worked on, and ends the process where one source
// takes too long: nothing else ends a parser that hangs.
type beat struct {
	began chan struct{}
	end   chan struct{}
	ended chan struct{}
}

func (w *Worker) beat(m jetstream.Msg) *beat {
	b := &beat{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(b.ended)
		t := time.NewTicker(max(w.q.ackWait/4, 50*time.Millisecond))
		defer t.Stop()
		limit := time.NewTimer(w.opt.Limit)
		defer limit.Stop()
		for {
			select {
			case <-b.end:
				return
			case <-b.began:
				limit.Reset(w.opt.Limit)
			case <-t.C:
				_ = m.InProgress()
			case <-limit.C:
				w.opt.stuck()
				return
			}
		}
	}()
	return b
}

func (b *beat) next() {
	select {
	case b.began <- struct{}{}:
	case <-b.ended:
	}
}

func (b *beat) stop() { close(b.end); <-b.ended }

// try is what is known of a source that failed.
type try struct {
	Tries  int    `json:"tries"`
	Stage  Stage  `json:"stage"`
	Reason string `json:"reason"`
}

// blind is how often a unit is handed out before its sources are noted one by one: as a
// rule the supervisor knows which one a worker died over, but it may have died as well.
const blind = 3

type job struct {
	placed
	try
}

// unit does all of u, which is handed out for the n-th time. Sources that failed before
// become a unit of their own, so that the others need not be done again.
func (w *Worker) unit(ctx context.Context, u *Unit, n int, b *beat) error {
	src, err := w.content(ctx, u)
	if err != nil {
		return err
	}
	defer src.Close()
	rest := &Unit{ID: newID(), Run: u.Run, Blob: u.Blob, Embedder: u.Embedder}
	jobs, err := w.jobs(ctx, u, n, rest)
	if err != nil {
		return err
	}
	p := &pack{q: w.q, ctx: ctx, at: -1, r: result{Unit: u.ID, Run: u.Run, Blob: u.Blob, Embedder: u.Embedder}}
	wait := 1
	for _, j := range jobs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.next()
		s, t := j.placed, j.try
		if t.Tries >= w.opt.MaxTries {
			if err := w.giveUp(ctx, u, s, t, src); err != nil {
				return err
			}
			p.done(s)
			continue
		}
		if n > blind {
			if err := w.q.note(ctx, s.key(), try{t.Tries + 1, Read, "its worker ended"}); err != nil {
				return err
			}
		}
		stage, err := w.source(ctx, s, src, p, func(it *item) error { return w.embed(ctx, u, b, t, it) })
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			t = try{t.Tries + 1, stage, err.Error()}
			if err := w.q.note(ctx, s.key(), t); err != nil {
				return err
			}
			rest.Sources, wait = append(rest.Sources, s), max(wait, t.Tries)
			continue
		}
		if n > blind || t.Tries > 0 {
			if err := w.q.forget(ctx, s.key()); err != nil {
				return err
			}
		}
		p.done(s)
	}
	p.r.Last = len(rest.Sources) == 0
	if err := p.flush(); err != nil || p.last {
		return err
	}
	rest.After = time.Now().Add(backoff(wait))
	return w.q.putUnit(ctx, rest)
}

// jobs of a unit that are done now; those under suspicion go to rest where there are others.
func (w *Worker) jobs(ctx context.Context, u *Unit, n int, rest *Unit) (jobs []job, err error) {
	clean := 0
	for _, s := range u.Sources {
		j := job{placed: s}
		if n > 1 || !u.After.IsZero() {
			if j.try, err = w.q.tried(ctx, s.key()); err != nil {
				return nil, err
			}
		}
		if j.Tries == 0 {
			clean++
		}
		jobs = append(jobs, j)
	}
	if clean == 0 || clean == len(jobs) {
		return jobs, nil
	}
	all := jobs
	jobs = nil
	for _, j := range all {
		if j.Tries == 0 {
			jobs = append(jobs, j)
		} else {
			rest.Sources = append(rest.Sources, j.placed)
		}
	}
	return jobs, nil
}

func (q *Queue) putUnit(ctx context.Context, u *Unit) error {
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	m := nats.NewMsg(subjectRead + u.ID)
	m.Data = data
	m.Header.Set(nats.MsgIdHdr, u.ID)
	m.Header.Set(headerOf, keysOf(u.Sources))
	m.Header.Set(headerBlob, u.Blob.ID)
	return q.put(ctx, m)
}

func (q *Queue) tried(ctx context.Context, key string) (t try, err error) {
	err = again(ctx, func(ctx context.Context) error {
		m, err := q.tries.GetLastMsgForSubject(ctx, subjectTry+key)
		if err == nil {
			err = json.Unmarshal(m.Data, &t)
		}
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = nil
	}
	return t, err
}

func (q *Queue) note(ctx context.Context, key string, t try) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return q.put(ctx, &nats.Msg{Subject: subjectTry + key, Data: b})
}

func (q *Queue) forget(ctx context.Context, key string) error {
	return again(ctx, func(ctx context.Context) error { return q.tries.Purge(ctx, jetstream.WithPurgeSubject(subjectTry+key)) })
}

// content of a unit: in memory, or, where it is large, in a file.
type content interface {
	io.ReaderAt
	io.Closer
}

type inMemory struct{ *bytes.Reader }

// Close implements io.Closer.
func (inMemory) Close() error { return nil }

type inFile struct{ *os.File }

// Close implements io.Closer: the file goes.
func (f inFile) Close() error {
	return errors.Join(f.File.Close(), os.Remove(f.Name()))
}

const inMemoryBytes = 32 << 20

func (w *Worker) content(ctx context.Context, u *Unit) (content, error) {
	for _, s := range u.Sources {
		if s.At < 0 || s.Bytes < 0 || s.At+s.Bytes > u.Blob.Bytes {
			return nil, errors.New("a unit of work names what is not in its content")
		}
	}
	if u.Blob.Bytes <= inMemoryBytes {
		b, err := w.q.getBlob(ctx, u.Blob)
		if err != nil {
			return nil, err
		}
		return inMemory{bytes.NewReader(b)}, nil
	}
	f, err := os.CreateTemp("", "rxedge-flow-*")
	if err != nil {
		return nil, err
	}
	c := inFile{f}
	if err := w.q.copyBlob(ctx, w.q.blobs, subjectBlob, u.Blob, f); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// source does one source: what can't be read is a problem, in the pack as its documents
// are. An error is a failure that may go away; stage is where it happened.
func (w *Worker) source(ctx context.Context, s placed, from io.ReaderAt, p *pack, embed func(*item) error) (stage Stage, err error) {
	stage = Read
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked at %s", panicked())
		}
	}()
	p.begin(s)
	key := s.key()
	w.opt.tell(tellAt, key, stage)
	problems, err := w.opt.reads(ctx, s.As, io.NewSectionReader(from, s.At, s.Bytes), s.Bytes, s.reading(w.opt.Read), func(d *document.Document) error {
		it := item{Document: d}
		for _, st := range append(steps[:len(steps):len(steps)], step{Embed, embed}) {
			stage = st.stage
			w.opt.tell(tellAt, key, stage)
			if err := st.do(&it); err != nil {
				var pr document.Problem
				if errors.As(err, &pr) {
					p.refuse(pr)
					return nil
				}
				return err
			}
		}
		stage = Read
		w.opt.tell(tellAt, key, stage)
		return p.add(it)
	})
	for _, pr := range problems {
		p.refuse(pr)
	}
	return stage, err
}

func readSource(ctx context.Context, name string, src io.Reader, size int64, opt document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
	if size <= inMemoryBytes {
		b := make([]byte, size)
		if _, err := io.ReadFull(src, b); err != nil {
			return nil, err
		}
		return document.ReadBytes(ctx, name, b, opt, yield)
	}
	// A large file is read page by page, from a file of its own.
	dir, err := os.MkdirTemp("", "rxedge-flow-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, filepath.Base(name))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, src)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("unpacking a large file: %w", err)
	}
	return document.Read(ctx, path, opt, yield)
}
