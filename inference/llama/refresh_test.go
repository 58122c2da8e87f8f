package llama

import (
	"context"
	"errors"
	"testing"
	"time"

	"rxedge/inference"
)

// A use that goes on ends with the child it began with; the next has another.
func TestPoolRefresh(t *testing.T) {
	t.Parallel()
	p := testPool(t, PoolOptions{Memory: 1 << 40})
	a, err := p.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Acquire(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	p.Refresh("a test")
	if got := loaded(p); got != "a" {
		t.Errorf("loaded %s", got)
	}
	old := a.Server()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Acquire(short, "a"); !errors.Is(err, inference.ErrEngineStarting) {
		t.Errorf("while it is in use: %v", err)
	}
	next := make(chan *Lease, 1)
	go func() {
		l, err := p.Acquire(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		next <- l
	}()
	if r, err := old.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil); err != nil || r.CompletionTokens != 2 {
		t.Errorf("the use that goes on: %+v %v", r, err)
	}
	select {
	case <-next:
		t.Error("another use began with the old child")
	case <-time.After(50 * time.Millisecond):
	}
	a.Release()
	l := <-next
	defer l.Release()
	if l.Server() == old || old.State().Phase != Closed {
		t.Errorf("the same child serves, or the old one is %s", old.State().Phase)
	}
	if r, err := l.Server().Generate(t.Context(), inference.GenerateRequest{Prompt: "a", MaxTokens: 2}, nil); err != nil || r.CompletionTokens != 2 {
		t.Errorf("the next: %+v %v", r, err)
	}
}
