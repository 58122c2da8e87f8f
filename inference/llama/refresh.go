package llama

import (
	"context"

	"rxedge/inference"
)

// Refresh lets every model be loaded anew, with what Load says from now on, when
// it is asked for again. What nobody uses is unloaded at once; a use that goes on
// ends as it began, and those that come meanwhile wait for it. It returns without
// waiting for uses.
func (p *Pool) Refresh(why string) {
	p.mu.Lock()
	var idle []*entry
	for _, e := range p.entries {
		if e.stale == "" {
			e.stale, e.idle = why, make(chan struct{})
			if e.leases == 0 {
				close(e.idle)
				idle = append(idle, e)
			}
		}
	}
	p.mu.Unlock()
	for _, e := range idle {
		p.loading.Lock()
		p.unload(e, 0, why)
		p.loading.Unlock()
	}
}

// drain waits until nobody uses a model that is to be loaded anew, and unloads
// it. It is called with loading held.
func (p *Pool) drain(ctx context.Context, model string) error {
	p.mu.Lock()
	e := p.entries[model]
	p.mu.Unlock()
	if e == nil {
		return nil
	}
	select {
	case <-e.idle:
	case <-p.stop:
		return errClosed
	case <-ctx.Done():
		return inference.ErrEngineStarting
	}
	p.unload(e, 0, e.stale)
	return nil
}
