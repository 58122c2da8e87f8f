package llama

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"

	"rxedge/inference"
	"rxedge/inference/gguf"
	"rxedge/inference/wordpiece"
)

const (
	stopGrace   = 2 * time.Second
	killGrace   = 5 * time.Second
	steady      = time.Minute // a child that has served as long as this has not failed quickly
	suspicion   = 250 * time.Millisecond
	giveUpAfter = 3 // failed starts in a row of a model that was never ready
	// A model whose engine ends so often in such a time while it answers is set aside.
	crashLimit  = 3
	crashWindow = 10 * time.Minute
)

var errClosed = errors.New("the language engine is shut down")

// Server is one supervised child with one model. It is safe for concurrent use.
// It writes text (inference.Generator) where its Kind is Generate, makes vectors
// (inference.Embedder) where it is Embed, classifies where it is Rank, and tokenises
// in all.
type Server struct {
	o      Options
	log    *slog.Logger
	dir    *runDir
	header header // after Start the supervisor's alone
	queue  *queue

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	done    chan struct{} // the supervisor has ended
	retry   chan struct{}
	closing sync.Once

	mu      sync.Mutex
	state   State
	child   *child        // set while Ready
	last    *child        // the latest that was ready, for Properties
	changed chan struct{} // closed and replaced at each change of state
}

var (
	_ inference.Generator = (*Server)(nil)
	_ inference.Tokenizer = (*Server)(nil)
	_ inference.Embedder  = (*Server)(nil)
)

// Start starts the child and its supervision and returns at once; what can be
// seen to be wrong beforehand (no engine, no such file, a wrong option) is an
// error. Until Close the Server restarts the child whenever it ends: at once
// the first time, then after growing pauses. A model that three starts in a row
// could not bring up, and that was never up, is Failed; so is one whose child
// ended three times in ten minutes while it answered.
func Start(o Options) (*Server, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Server{
		log:     o.Log.With(slog.String("model", o.Name)),
		done:    make(chan struct{}),
		retry:   make(chan struct{}, 1),
		changed: make(chan struct{}),
		state:   State{Phase: Starting, Since: time.Now()},
	}
	s.header = readHeader(o.Model)
	if o.Context == 0 {
		o.Context = DefaultContext
		if s.header.trained > 0 {
			o.Context = min(o.Context, s.header.trained)
		}
	}
	if o.Kind != Generate && s.header.trained > 0 {
		// It has no vector for a further place; memory would be set aside for nothing.
		o.Context = min(o.Context, s.header.trained)
	}
	o.pooling = s.header.pooling
	s.o = o
	s.queue = newQueue(o.Slots, max(o.Queue, 0))
	if s.dir, err = newRunDir(o.RunDir); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.supervise()
	return s, nil
}

// header is what the model file says and the engine does not tell.
type header struct {
	template bool   // it has a chat template
	pooling  string // of an encoder; "": it does not say
	labels   int    // of a classifier
	trained  int    // for a context of so many tokens; 0: unknown
	defuse   *strings.Replacer
	words    *wordpiece.Tokenizer // of an encoder; nil: the engine cuts texts
	damage   error                // what cannot be read is left to the engine to judge
}

func readHeader(path string) header {
	f, err := gguf.Open(path)
	if err != nil {
		return header{damage: err, labels: 1, defuse: strings.NewReplacer()}
	}
	defer f.Close()
	template, _ := f.Metadata.Text("tokenizer.chat_template")
	arch, _ := f.Metadata.Text("general.architecture")
	n, _ := f.Metadata.Uint(arch + ".context_length")
	pooling, labels := readHead(&f.Metadata)
	return header{pooling: pooling, labels: labels, template: template != "", trained: int(min(n, 1<<30)), defuse: defuser(&f.Metadata), words: readWords(&f.Metadata)}
}

// defuser makes a replacer that puts a zero-width space into every control token
// of the vocabulary that is written out in a text. A label or a question that
// holds "<|im_end|>" must not end its turn and speak as someone else.
func defuser(m *gguf.Metadata) *strings.Replacer {
	const control = 3 // LLAMA_TOKEN_TYPE_CONTROL
	words, _ := m.Texts("tokenizer.ggml.tokens")
	types, _ := m.Get("tokenizer.ggml.token_type")
	kinds, _ := types.([]int32)
	var pairs []string
	for i, kind := range kinds[:min(len(kinds), len(words))] {
		if _, first := utf8.DecodeRuneInString(words[i]); kind == control && first < len(words[i]) {
			pairs = append(pairs, words[i], words[i][:first]+"\u200b"+words[i][first:])
		}
	}
	return strings.NewReplacer(pairs...)
}

// run is how one child fared.
type run struct {
	served time.Duration // 0: it never did
	reason string        // why it ended
	cause  error         // the kind of that, where known
	busy   bool          // it ended while it answered
}

// supervise runs one child after the other until Close.
func (s *Server) supervise() {
	defer close(s.done)
	// The children die with this thread; see childAttributes.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	pause := &backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.1, MaxInterval: 30 * time.Second,
	}
	pause.Reset()
	var (
		wasReady bool
		quick    int         // ends since the last steady run
		failed   int         // of them in a row, those that never became ready
		crashes  []time.Time // ends while answering
	)
	for {
		r := s.runChild()
		if s.ctx.Err() != nil {
			s.enter(Closed, "", 0, nil, nil)
			return
		}
		if r.served > 0 {
			wasReady, failed = true, 0
		} else {
			failed++
		}
		if r.served > steady {
			quick = 0
			pause.Reset()
		}
		quick++
		if r.busy {
			crashes = append(crashes, time.Now())
			crashes = crashes[max(0, len(crashes)-crashLimit):]
		}
		s.log.Warn("the engine ended", slog.String("reason", r.reason), slog.Duration("served", r.served), slog.Int("quick_failures", quick), slog.Bool("answering", r.busy))
		aside := r.busy && len(crashes) == crashLimit && time.Since(crashes[0]) < crashWindow
		if aside {
			r.cause = ErrSetAside
			r.reason = fmt.Sprintf("its engine ended %d times within %v while it answered and the model is set aside; the last time: %s",
				crashLimit, time.Since(crashes[0]).Round(time.Second), r.reason)
		}
		if aside || failed >= giveUpAfter && !wasReady {
			select {
			case <-s.retry: // meant for the restart before
			default:
			}
			s.enter(Failed, r.reason, 0, nil, r.cause)
			select {
			case <-s.ctx.Done():
				s.enter(Closed, "", 0, nil, nil)
				return
			case <-s.retry:
				failed, quick, crashes = 0, 0, nil
				s.header = readHeader(s.o.Model) // it may have been replaced
				pause.Reset()
			}
			s.restarting(r.reason)
			continue
		}
		s.restarting(r.reason)
		if quick > 1 {
			t := time.NewTimer(pause.NextBackOff())
			select {
			case <-s.ctx.Done():
			case <-s.retry:
			case <-t.C:
			}
			t.Stop()
		}
	}
}

// runChild brings one child up and stays with it to its end.
func (s *Server) runChild() run {
	began := time.Now()
	c, err := launch(s.o, s.header, s.dir.socket(), s.log)
	if err != nil {
		return run{reason: err.Error()}
	}
	defer c.client.CloseIdleConnections()
	pid := c.cmd.Process.Pid
	s.mu.Lock()
	s.state.PID = pid
	s.mu.Unlock()
	if err := c.becomeReady(s.ctx); err != nil {
		reason := err.Error()
		lost := c.gone.Err() != nil
		if !c.stop(stopGrace) {
			s.log.Error("the engine cannot be ended; it is left behind", slog.Int("pid", pid))
		}
		if lost {
			reason = c.ending()
			if s.header.damage != nil {
				reason = s.header.damage.Error() + "; the engine says: " + reason
			}
		}
		return run{reason: reason, cause: loadFailure(reason, s.header.damage != nil, c)}
	}
	ready := time.Now()
	c.log.serve()
	s.enter(Ready, "", pid, c, nil)
	s.log.Info("the engine is ready", slog.Duration("took", ready.Sub(began)), slog.Int("pid", pid), slog.Int("context", c.limit))
	c.watch(s.ctx)
	grace := time.Duration(0)
	if s.ctx.Err() != nil {
		s.enter(Closed, "", 0, nil, nil)
		grace = stopGrace
	} else {
		s.enter(Restarting, "it stopped answering", 0, nil, nil)
	}
	if !c.stop(grace) {
		s.log.Error("the engine cannot be ended; it is left behind", slog.Int("pid", pid))
	}
	return run{served: max(time.Since(ready), 1), reason: c.ending(), busy: c.pulse.wasBusy()}
}

func (s *Server) restarting(reason string) {
	s.mu.Lock()
	s.state.Restarts++
	s.mu.Unlock()
	s.enter(Restarting, reason, 0, nil, nil)
}

func (s *Server) enter(p Phase, reason string, pid int, c *child, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(p, reason, pid, c, cause)
}

// change is enter for who holds the lock.
func (s *Server) change(p Phase, reason string, pid int, c *child, cause error) {
	if p != s.state.Phase {
		s.state.Since = time.Now()
	}
	s.state.Phase, s.state.PID, s.state.Cause = p, pid, cause
	if reason != "" || p == Ready {
		s.state.Reason = reason
	}
	s.child = c
	if c != nil {
		s.last = c
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// State returns how the child is now.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	if s.child != nil {
		state.Proved = s.child.pulse.lastProof()
	}
	state.Running, state.Waiting = s.queue.counts()
	return state
}

// Retry starts a Failed model again, and ends the pause before a restart.
func (s *Server) Retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state.Phase {
	case Failed: // from here on requests wait for it again
		s.change(Restarting, "", 0, nil, nil)
	case Restarting:
	default:
		return
	}
	select {
	case s.retry <- struct{}{}:
	default:
	}
}

// WaitReady waits until the model answers. It returns a *FailedError where the
// Server has given up, and ctx's error where that ends first.
func (s *Server) WaitReady(ctx context.Context) error {
	_, err := s.await(ctx, nil)
	return err
}

// acquire returns the child that serves now; it waits up to Options.Wait for one
// that starts and then returns ErrEngineStarting.
func (s *Server) acquire(ctx context.Context) (*child, error) {
	t := time.NewTimer(s.o.Wait)
	defer t.Stop()
	return s.await(ctx, t.C)
}

func (s *Server) await(ctx context.Context, tooLong <-chan time.Time) (*child, error) {
	for {
		s.mu.Lock()
		c, state, changed := s.child, s.state, s.changed
		s.mu.Unlock()
		var trusted <-chan time.Time
		if c != nil && c.gone.Err() == nil {
			wait := time.Duration(c.suspect.Load()) - time.Since(born)
			if wait <= 0 {
				return c, nil
			}
			trusted = time.After(wait)
		}
		switch {
		case state.Phase == Failed:
			return nil, &FailedError{Model: s.o.Name, Reason: state.Reason, Cause: state.Cause}
		case state.Phase == Closed:
			return nil, errClosed
		}
		select {
		case <-changed:
		case <-trusted:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tooLong:
			return nil, inference.ErrEngineStarting
		}
	}
}

// Model names the model as the catalog does.
func (s *Server) Model() string { return s.o.Name }

// Info describes the vectors. Dimension and MaxTokens are 0 until the model has
// been ready for the first time.
func (s *Server) Info() inference.EmbedderInfo {
	info := inference.EmbedderInfo{Name: s.o.Name, SHA256: s.o.SHA256}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		info.Dimension, info.MaxTokens = s.last.dimension, s.last.limit
	}
	return info
}

// Properties describes the loaded model; it waits for the engine as a request does.
func (s *Server) Properties(ctx context.Context) (Properties, error) {
	c, err := s.acquire(ctx)
	if err != nil {
		return Properties{}, err
	}
	return Properties{
		Model: s.o.Name, Context: c.limit, Trained: c.trained, Vocabulary: c.vocabulary,
		Dimension: c.dimension, ChatTemplate: c.header.template,
	}, nil
}

// Close ends the child, gently and then by force, and removes its socket.
// Requests under way return an error. It may be called more than once.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		s.cancel()
		<-s.done
		err = s.dir.remove()
	})
	<-s.done
	return err
}
