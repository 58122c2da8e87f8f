package bundle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/time/rate"
)

// maxInFlight bytes are asked for at the same time at most.
const maxInFlight = 4 << 20

// gate lets so much be in flight that a cut or a kill costs little of what came
// before it: one chunk, or a sixteenth of what this fetch has brought.
type gate struct {
	mu        sync.Mutex
	free      sync.Cond
	flying    int64
	delivered int64
	err       error
}

func newGate() *gate {
	g := &gate{}
	g.free.L = &g.mu
	return g
}

// enter waits for room for n bytes; false where something has failed.
func (g *gate) enter(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.err == nil && g.flying > 0 && g.flying+n > min(g.delivered/16, maxInFlight) {
		g.free.Wait()
	}
	if g.err != nil {
		return false
	}
	g.flying += n
	return true
}

func (g *gate) leave(n int64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying -= n
	if err == nil {
		g.delivered += n
	} else if g.err == nil {
		g.err = err
	}
	g.free.Broadcast()
}

// want is a chunk that is to be fetched.
type want struct {
	hash Hash
	size int64 // about
	put  func([]byte) error
}

// fetch brings chunks, checks each against its hash, and puts it where it
// belongs. It ends at the first error; what was put stays.
func fetch(ctx context.Context, src Source, limit *rate.Limiter, wants iter.Seq2[want, error]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := newGate()
	var wg sync.WaitGroup
	defer wg.Wait()
	fail := func(err error) error {
		g.mu.Lock()
		if g.err == nil {
			g.err = err
		}
		err = g.err
		g.free.Broadcast()
		g.mu.Unlock()
		cancel()
		wg.Wait()
		return err
	}
	for w, err := range wants {
		if err != nil {
			return fail(err)
		}
		if limit != nil {
			if err := limit.WaitN(ctx, int(min(w.size, int64(limit.Burst())))); err != nil {
				return fail(err)
			}
		}
		if !g.enter(w.size) {
			break
		}
		wg.Go(func() {
			err := bring(ctx, src, w)
			g.leave(w.size, err)
			if err != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return g.err
}

func bring(ctx context.Context, src Source, w want) error {
	b, err := src.Chunk(ctx, w.hash)
	switch {
	case errors.Is(err, ErrNotFound):
		return refuse(MissingChunk, err, "the hub does not have the chunk %.12s…", w.hash)
	case err != nil:
		return fmt.Errorf("fetching the chunk %.12s…: %w", w.hash, err)
	case len(b) > MaxChunk:
		return refuse(TooLarge, nil, "the chunk %.12s… has %d bytes; the most is %d", w.hash, len(b), MaxChunk)
	case HashOf(b) != w.hash:
		return refuse(TamperedChunk, nil, "the chunk %.12s… is not the one that was signed", w.hash)
	}
	return w.put(b)
}
