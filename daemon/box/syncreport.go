package box

import (
	"context"
	"encoding/json"

	"rxedge/daemon/rollout"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/sync/bundle"
	"rxedge/sync/spool"
)

// Report puts a message for the centre into the spool: numbers, never text of a
// question or an answer. It does nothing where the box is no site.
func (b *Box) Report(ctx context.Context, class spool.Class, kind string, v any) error {
	b.sync.mu.Lock()
	sp := b.sync.spool
	b.sync.mu.Unlock()
	if sp == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = sp.Put(ctx, class, kind, data)
	return err
}

// Reports are messages for the centre, of one class and kind.
type Reports struct {
	Class spool.Class       `json:"class"`
	Kind  string            `json:"kind"`
	Each  []json.RawMessage `json:"each"`
}

// SyncReport keeps reports for the centre. When it returns they are on disk, as
// many as it says; those count even where there is an error.
func (b *Box) SyncReport(ctx context.Context, r Reports) (kept int, err error) {
	b.sync.mu.Lock()
	sp := b.sync.spool
	b.sync.mu.Unlock()
	if sp == nil {
		return 0, ErrSyncOff
	}
	for _, m := range r.Each {
		if _, err := sp.Put(ctx, r.Class, r.Kind, m); err != nil {
			return kept, err
		}
		kept++
	}
	return kept, nil
}

func (b *Box) bundleEvent(e bundle.Event) {
	if err := b.Report(context.Background(), spool.High, "bundle", e); err != nil {
		b.log.Warn("a line of the history could not be kept for the centre", "error", err)
	}
}

// tell the centre what this site has now.
func (b *Box) tell() {
	r, u := b.sync.parts()
	if r == nil || u == nil {
		return
	}
	g := b.Index.Stats().Generation
	state := rollout.SiteState{Version: Version, Profile: b.Models.profileName(), Generation: g.Label(), Documents: g.Documents, Rollout: b.rolloutState()}
	state.Take(r.Status())
	data, err := json.Marshal(state)
	if err != nil {
		return
	}
	b.sync.mu.Lock()
	same := b.sync.told == string(data)
	b.sync.told = string(data)
	b.sync.mu.Unlock()
	if !same {
		u.Tell(data)
	}
}

// reconcile puts documents of the active bundle that the index has lost, for
// example because its folder was moved away.
func (b *Box) reconcile(ctx context.Context) error {
	r, _ := b.sync.parts()
	if r == nil {
		return nil
	}
	active, err := r.Active()
	if err != nil || active == nil {
		return err
	}
	snap := b.Index.Acquire()
	if snap == nil {
		return index.ErrClosed
	}
	have := map[string]bool{}
	docs, err := snap.Documents()
	snap.Release()
	if err != nil {
		return err
	}
	for _, d := range docs {
		have[d.ID] = true
	}
	if w := b.keptOut(); w != nil {
		for _, id := range w.IDs {
			have[id] = true // it is to be missing
		}
	}
	missing := false
	if err := active.Each(func(id string, _ func() ([]byte, error)) error {
		missing = missing || !have[id]
		return nil
	}); err != nil || !missing {
		return err
	}
	b.log.Warn("the index lacks documents of the active bundle; they are put again")
	read := func(_ document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
		return nil, active.Each(func(id string, content func() ([]byte, error)) error {
			if have[id] {
				return nil
			}
			c, err := content()
			if err != nil {
				return err
			}
			d, err := ReadPublished(id, c)
			if err != nil {
				return err
			}
			return yield(d)
		})
	}
	_, err = b.apply(ctx, read, b.sampleIDs(), true, nil)
	return err
}
