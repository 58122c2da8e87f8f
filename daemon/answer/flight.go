package answer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
)

// flights are the questions that are being worked on. One that is asked by
// several at the same time is worked on once, and each of them gets its events
// from the first. The work ends early only when all of them have gone.
type flights struct {
	mu   sync.Mutex
	open map[string]*flight
	wait sync.WaitGroup
}

type flight struct {
	cancel context.CancelFunc
	asking int // guarded by flights.mu

	mu     sync.Mutex
	events []func(Events)
	more   chan struct{} // closed when there are more events, or the end
	ended  bool
	answer *Answer
	err    error
}

var errPanicked = errors.New("answering failed in the code")

// do works on key, or joins those who do.
func (fs *flights) do(ctx context.Context, key string, ev Events, log *slog.Logger, work func(context.Context, Events) (*Answer, error)) (*Answer, error) {
	fs.mu.Lock()
	f := fs.open[key]
	if f == nil {
		// The values of the first who asks, but nobody's end.
		working, cancel := context.WithCancel(context.WithoutCancel(ctx))
		working, release := keepServing(working)
		f = &flight{cancel: cancel, more: make(chan struct{})}
		if fs.open == nil {
			fs.open = map[string]*flight{}
		}
		fs.open[key] = f
		fs.wait.Go(func() {
			defer release()
			defer cancel()
			a, err := f.run(working, log, work)
			fs.mu.Lock()
			if fs.open[key] == f {
				delete(fs.open, key)
			}
			fs.mu.Unlock()
			f.mu.Lock()
			defer f.mu.Unlock()
			f.answer, f.err, f.ended = a, err, true
			close(f.more)
		})
	}
	f.asking++
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if f.asking--; f.asking == 0 {
			f.cancel()
			if fs.open[key] == f { // whoever asks now must not join what was given up
				delete(fs.open, key)
			}
		}
	}()
	for seen := 0; ; {
		f.mu.Lock()
		events, more, ended := f.events[seen:], f.more, f.ended
		f.mu.Unlock()
		for _, e := range events {
			e(ev)
		}
		seen += len(events)
		if ended {
			return f.answer, f.err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run works, and makes an error of a panic: it must not end the others.
func (f *flight) run(ctx context.Context, log *slog.Logger, work func(context.Context, Events) (*Answer, error)) (a *Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			if log != nil { // its value may quote a question
				log.Error("answering failed in the code", "kind", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			}
			a, err = nil, errPanicked
		}
	}()
	return work(ctx, Events{
		Retrieved: func(r []Retrieved) {
			f.tell(func(ev Events) {
				if ev.Retrieved != nil {
					ev.Retrieved(r)
				}
			})
		},
		Claim: func(c Claim) {
			f.tell(func(ev Events) {
				if ev.Claim != nil {
					ev.Claim(c)
				}
			})
		},
		Withheld: func(n int) {
			f.tell(func(ev Events) {
				if ev.Withheld != nil {
					ev.Withheld(n)
				}
			})
		},
	})
}

func (f *flight) tell(e func(Events)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	close(f.more)
	f.more = make(chan struct{})
}
