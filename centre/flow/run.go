package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"rxedge/centre/check"
	"rxedge/centre/library"
	"rxedge/sync/durable"
)

// Options of Run.
type Options struct {
	Centre string   // its folder
	Paths  []string // files and folders to take in; none: what was left of the last run
	Again  bool     // what is known is read again too
	// Mapping is the file that says what the columns of tables are that have none beside
	// them; "": that of the run that is gone on with.
	Mapping string
	// Workers on this machine; 0: one for each processor. Command makes each of them, as
	// a process that calls ServeWorker; nil: they are goroutines, which a crash would end
	// the run with.
	Workers int
	NoWork  bool // there are workers elsewhere; none are started here
	Command func() *exec.Cmd

	Hub *Hub // nil: a bus in this process
	Bus BusOptions

	Queue  QueueOptions
	Worker WorkerOptions
	Check  check.Options
	// Vectors are those of this embedder that workers who have it are to make. They make
	// those of what this command fetches; Worker.Vectors is for workers that are goroutines.
	Vectors Embedder
	By      library.By

	Progress func(Progress) // a few times a second
	Log      *slog.Logger
}

// Summary of a run.
type Summary struct {
	library.Run
	Finished  bool           `json:"finished"`
	Files     int            `json:"files"`         // that were looked at by this command
	Known     int            `json:"known"`         // sources of earlier runs, which cost a hash each
	Waiting   int            `json:"waiting"`       // messages that are left on the bus
	Dead      int            `json:"dead"`          // sources that were given up
	Why       map[string]int `json:"why,omitempty"` // of what was quarantined, refused or given up: how often for which reason
	Seconds   float64        `json:"seconds"`       // that this command took
	Vectors   int            `json:"vectors"`       // of passages, that this command brought in
	Bare      int            `json:"bare"`          // documents whose vectors were wanted and not made: publish makes them
	PerSecond float64        `json:"per_second"`    // documents that this command brought in
}

// state of the run on disk, so that the same command goes on with it.
type state struct {
	Centre  string    `json:"centre"` // id of the folder, for the bus
	Run     string    `json:"run"`
	Began   time.Time `json:"began"`
	Paths   []string  `json:"paths,omitempty"`
	Again   bool      `json:"again,omitempty"`
	Mapping string    `json:"mapping,omitempty"`
	Fetched bool      `json:"fetched"`
	Ended   bool      `json:"ended"`
}

// Folder of the flow in a centre's.
func Folder(centre string) string { return filepath.Join(centre, "flow") }

// HeldError: another process is at work there.
type HeldError struct{ Dir string }

func (e *HeldError) Error() string {
	return fmt.Sprintf("an ingest is under way in %s; wait for it, or stop it first", e.Dir)
}

func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// A child that is being forked holds a copy for a moment.
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || wait > time.Second {
			break
		}
		time.Sleep(wait)
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &HeldError{dir}
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}

func load(dir string) (*state, error) {
	st := &state{}
	b, err := os.ReadFile(filepath.Join(dir, "run.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.Ended = true
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, st); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w; take it away, and give the paths again", filepath.Join(dir, "run.json"), err)
		}
	}
	if st.Centre == "" {
		st.Centre = newID()
	}
	return st, nil
}

func (s *state) save(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.Write(filepath.Join(dir, "run.json"), append(b, '\n'))
}

// ErrNothing: there are no paths, and nothing is left of an earlier run.
var ErrNothing = errors.New("there is nothing to go on with; name files or folders")

// Run takes in what is under the paths, and what an earlier run left. It returns when
// all of it is in the library, refused or given up, or when ctx ends: then all that was
// begun lies on disk, the summary says what waits, and the error is that of ctx.
func Run(ctx context.Context, o Options) (*Summary, error) {
	began := time.Now()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	o.Worker = o.Worker.withDefaults()
	dir := Folder(o.Centre)
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	st, err := load(dir)
	if err != nil {
		return nil, err
	}
	if err := st.save(dir); err != nil { // before the bus knows whose it is
		return nil, err
	}
	lib, err := library.Open(o.Centre)
	if err != nil {
		return nil, err
	}
	defer lib.Close()
	nc, stop, err := o.bus(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer stop()
	o.Queue.Centre = st.Centre
	if o.Queue.own = o.Hub == nil; o.Queue.own {
		o.Queue.Replicas = 1
	}
	q, err := o.queue(ctx, nc)
	if err != nil {
		return nil, err
	}
	left, err := q.left(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.Paths) == 0 && st.Ended && left == 0 {
		return nil, ErrNothing
	}
	switch {
	case len(o.Paths) == 0 && st.Ended && st.Run != "":
		// A dead letter was sent again, which is of its own run: mostly the last one.
		st.Ended, st.Fetched = false, true
	case st.Ended:
		*st = state{Centre: st.Centre, Run: time.Now().UTC().Format("20060102T150405") + "-" + newID()[:6], Began: time.Now().UTC(), Paths: o.Paths, Again: o.Again, Mapping: o.Mapping}
	default:
		for _, p := range o.Paths {
			if !slices.Contains(st.Paths, p) {
				st.Paths = append(st.Paths, p)
			}
		}
		st.Again, st.Fetched = st.Again || o.Again, st.Fetched && len(o.Paths) == 0
		if o.Mapping != "" {
			st.Mapping = o.Mapping
		}
	}
	if err := lib.BeginRun(ctx, st.Run, o.By); err != nil {
		return nil, err
	}
	if err := st.save(dir); err != nil {
		return nil, err
	}
	r := &running{o: o, dir: dir, st: st, q: q, lib: lib, p: newProgress(), kept: &kept{centre: o.Centre}}
	defer r.kept.close()
	quiet, err := r.kept.answer(ctx, nc, o.Vectors)
	if err != nil {
		return nil, err
	}
	defer quiet()
	err = r.work(ctx)
	// What is left can be counted though ctx has ended.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	sum, serr := r.summary(within, err == nil)
	if sum != nil {
		sum.Seconds = time.Since(began).Seconds()
		p := r.p.at(0, 0)
		sum.PerSecond, sum.Vectors, sum.Bare = float64(p.Documents)/sum.Seconds, p.Vectors, p.Bare
	}
	if err == nil {
		err = serr
	}
	return sum, err
}

// peersIn is how long servers of a cluster that are away are waited for at the start.
const peersIn = 30 * time.Second

// queue of the bus, as soon as it answers.
func (o *Options) queue(ctx context.Context, nc *nats.Conn) (q *Queue, err error) {
	until := time.Now().Add(peersIn)
	for {
		other := false
		err = again(ctx, func(ctx context.Context) (err error) {
			q, err = OpenQueue(ctx, nc, o.Queue)
			if other = errors.Is(err, ErrOther); other {
				return nil
			}
			return err
		})
		var api *jetstream.APIError
		switch {
		case other:
			return nil, ErrOther
		case !errors.As(err, &api) || api.ErrorCode != noReplicas && api.ErrorCode != noPeers:
			return q, err
		case api.ErrorCode == noReplicas || time.Now().After(until):
			return nil, fmt.Errorf("%w: the bus is to keep %d copies of each message; are as many of its servers up, with JetStream, and one cluster?", err, o.Queue.Replicas)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// bus connects to the hub, or starts a bus here.
func (o *Options) bus(ctx context.Context, dir string) (*nats.Conn, func(), error) {
	if o.Hub != nil {
		nc, err := o.Hub.Reach(ctx, "ingest", peersIn, func(error) {})
		if err != nil {
			return nil, nil, err
		}
		return nc, nc.Close, nil
	}
	b, err := StartBus(dir, o.Bus)
	if err != nil {
		return nil, nil, err
	}
	nc, err := b.Connect("ingest")
	if err != nil {
		b.Close()
		return nil, nil, err
	}
	return nc, func() { nc.Close(); b.Close() }, nil
}

// Open the queue of a centre, as for its dead letters: that of the run which is under
// way, else of a bus that is started for it. stop ends that.
func Open(ctx context.Context, centre string, hub *Hub) (q *Queue, stop func(), err error) {
	dir := Folder(centre)
	held, err := lock(dir)
	var other *HeldError
	if hub == nil && errors.As(err, &other) {
		nc, err := Dial(dir, "dead letters")
		if err != nil {
			return nil, nil, other
		}
		q, err := JoinQueue(ctx, nc)
		return q, nc.Close, err
	}
	if err != nil && !errors.As(err, &other) {
		return nil, nil, err
	}
	release := func() {
		if held != nil {
			_ = held.Close()
		}
	}
	st, err := load(dir)
	if err != nil {
		release()
		return nil, nil, err
	}
	o := Options{Hub: hub}
	nc, end, err := o.bus(ctx, dir)
	if err != nil {
		release()
		return nil, nil, err
	}
	stop = func() { end(); release() }
	if err = st.save(dir); err == nil {
		if hub == nil {
			q, err = OpenQueue(ctx, nc, QueueOptions{Centre: st.Centre})
		} else {
			within, cancel := context.WithTimeout(ctx, lastAnswer)
			if q, err = JoinQueue(within, nc); err != nil && ctx.Err() == nil {
				err = fmt.Errorf("the bus has nothing of an ingest, or does not answer: %w", err)
			}
			cancel()
		}
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return q, stop, nil
}

// info of a stream, as soon as the bus gives it.
func (q *Queue) info(ctx context.Context, s jetstream.Stream, o ...jetstream.StreamInfoOpt) (info *jetstream.StreamInfo, err error) {
	err = again(ctx, func(ctx context.Context) (err error) {
		info, err = s.Info(ctx, o...)
		return err
	})
	return info, err
}

func (q *Queue) left(ctx context.Context) (n int, err error) {
	info, err := q.info(ctx, q.work)
	if err == nil {
		n = int(info.State.Msgs)
	}
	return n, err
}

// running is a run under way.
type running struct {
	o   Options
	dir string
	st  *state
	q   *Queue
	lib *library.Library
	p   *progress

	kept *kept
}

// work until all is done.
func (r *running) work(ctx context.Context) error {
	keys, blobs, err := r.q.onTheWay(ctx)
	if err != nil {
		return err
	}
	if err := r.q.sweep(ctx, blobs); err != nil {
		return err
	}
	var given *Mapping
	if r.st.Mapping != "" && !r.st.Fetched {
		if given, err = GivenMapping(r.st.Mapping); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Workers and the library go on after the fetch: they end when nothing is left.
	var wg sync.WaitGroup
	fetched := make(chan struct{})
	do := func(what string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	do("committing", (&committer{q: r.q, lib: r.lib, check: check.New(r.o.Check), log: r.o.Log, p: r.p, by: r.o.By, kept: r.kept, names: map[string]string{}}).run)
	if !r.o.NoWork {
		do("reading", r.workers)
	}
	if r.st.Fetched {
		close(fetched)
	} else {
		most := r.o.Queue.withDefaults().BlobBytes / 2
		f := &fetcher{q: r.q, lib: r.lib, run: r.st.Run, opt: r.o.Worker.Read, again: r.st.Again, most: most, tries: r.o.Worker.MaxTries, p: r.p, given: given, by: r.o.Vectors, waiting: keys}
		do("fetching", func(ctx context.Context) error {
			if err := f.all(ctx, r.st.Paths); err != nil {
				return err
			}
			r.st.Fetched = true
			if err := r.st.save(r.dir); err != nil {
				return err
			}
			close(fetched)
			return nil
		})
	}
	err = r.watch(ctx, fetched)
	cancel(nil)
	wg.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (r *running) workers(ctx context.Context) error {
	if r.o.Command != nil {
		s := &supervisor{q: r.q, n: r.o.Workers, command: r.o.Command, log: r.o.Log}
		return s.run(ctx)
	}
	var wg sync.WaitGroup
	errs := make([]error, r.o.Workers)
	for i := range r.o.Workers {
		wg.Go(func() { errs[i] = NewWorker(r.q, r.o.Worker).Run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// watch until all is fetched and nothing is left on the bus.
func (r *running) watch(ctx context.Context, fetched <-chan struct{}) error {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		all := false
		select {
		case <-fetched:
			all = true
		default:
		}
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		info, err := r.q.work.Info(within, jetstream.WithSubjectFilter("ingest.>"))
		cancel()
		if err != nil {
			continue // the bus is away; those who work wait for it too
		}
		read, commit := 0, 0
		for s, n := range info.State.Subjects {
			if len(s) > len(subjectRead) && s[:len(subjectRead)] == subjectRead {
				read += int(n)
			} else {
				commit += int(n)
			}
		}
		if r.o.Progress != nil {
			r.o.Progress(r.p.at(read, commit))
		}
		if all && info.State.Msgs == 0 && ctx.Err() == nil {
			return nil
		}
	}
}

// summary of the run, and its end.
func (r *running) summary(ctx context.Context, done bool) (*Summary, error) {
	s := &Summary{Finished: done, Why: map[string]int{}}
	end := r.lib.Run
	if done {
		end = r.lib.EndRun
	}
	run, err := end(ctx, r.st.Run)
	if err != nil {
		return nil, err
	}
	s.Run = *run
	if done {
		r.st.Ended = true
		if err := r.st.save(r.dir); err != nil {
			return nil, err
		}
	}
	p := r.p.at(0, 0)
	r.p.mu.Lock()
	s.Files, s.Known = p.Files, r.p.known
	r.p.mu.Unlock()
	if s.Waiting, err = r.q.left(ctx); err != nil {
		return s, err
	}
	dead, err := r.q.DeadLetters(ctx)
	if err != nil {
		return s, err
	}
	for _, d := range dead {
		if d.Run == r.st.Run {
			s.Dead++
			s.Why[string(d.Stage)+": "+d.Reason]++
		}
	}
	if s.Refused+s.Quarantined == 0 {
		return s, nil
	}
	held, err := r.lib.Quarantine(ctx, library.Filter{Run: r.st.Run})
	if err != nil {
		return s, err
	}
	for _, h := range held {
		switch {
		case h.Refused != nil:
			s.Why[h.Refused.Problem.Reason]++
		case h.Version != nil:
			for _, f := range h.Version.Findings {
				if f.Severity == check.Quarantine {
					s.Why[f.Code]++
				}
			}
		}
	}
	return s, nil
}
