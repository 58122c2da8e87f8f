package box

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"rxedge/daemon/rollout"
	"rxedge/sync/bundle"
	"rxedge/sync/durable"
)

// RolloutWithdrawn are documents that the newest bundle which came here has withdrawn. They
// stay out of search whatever became of that bundle: what was wrong with the rest of it
// is no reason to show what nobody may read. A bundle that has them again lets them in.
type RolloutWithdrawn struct {
	Bundle int64    `json:"bundle"`
	IDs    []string `json:"ids"`
	Note   string   `json:"note,omitempty"` // of the bundle
}

func (b *Box) withdrawnFile() string { return filepath.Join(b.Config.Data, "rollout", "withdrawn") }

// openWithdrawn reads what was withdrawn.
func (b *Box) openWithdrawn() {
	var w RolloutWithdrawn
	data, err := os.ReadFile(b.withdrawnFile())
	if err == nil {
		err = json.Unmarshal(data, &w)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			b.log.Error("what bundles have withdrawn can't be read; the next bundle says it again", "error", err)
		}
		return
	}
	b.rollout.withdrawn.Store(&w)
}

// noteWithdrawn keeps what a staged bundle withdraws, on disk when it returns.
func (b *Box) noteWithdrawn(st *bundle.Staged) error {
	now := b.rollout.withdrawn.Load()
	w := &RolloutWithdrawn{Bundle: st.Number, IDs: st.Set.Manifest.Withdrawn, Note: st.Set.Manifest.Note}
	if now == nil && len(w.IDs) == 0 || now != nil && (now.Bundle > w.Bundle || now.Bundle == w.Bundle && slices.Equal(now.IDs, w.IDs)) {
		return nil
	}
	data, err := json.Marshal(w)
	if err == nil {
		err = durable.Write(b.withdrawnFile(), data)
	}
	if err == nil {
		b.rollout.withdrawn.Store(w)
	}
	return err
}

// keptOut is what was withdrawn by a bundle that does not serve, and not only waits to;
// nil: nothing.
func (b *Box) keptOut() *RolloutWithdrawn {
	w := b.rollout.withdrawn.Load()
	if w == nil || len(w.IDs) == 0 {
		return nil
	}
	s := b.rollout.State()
	e := s.Entry(bundleID(w.Bundle))
	if e == nil || e.Slot != rollout.RolledBack || e.Check == rollout.CheckReplaced {
		return nil
	}
	return w
}

// keepOut takes what was withdrawn out of what serves after a rollback, where it is
// there again.
func (b *Box) keepOut(ctx context.Context) {
	w := b.keptOut()
	if w == nil || b.trying() {
		return
	}
	snap := b.Index.Acquire()
	if snap == nil {
		return
	}
	label := snap.Generation().Label()
	if looked := b.rollout.looked.Load(); looked != nil && *looked == label {
		snap.Release()
		return
	}
	var there []string
	for _, id := range w.IDs {
		if _, err := snap.Document(id); err == nil {
			there = append(there, id)
		}
	}
	snap.Release()
	if len(there) > 0 {
		if _, err := b.Withdraw(ctx, there, nil); err != nil {
			if ctx.Err() == nil && !rollout.Refused(err) {
				b.log.Error("what was withdrawn could not be taken out after a rollback; it is tried again", "error", err)
			}
			return
		}
		b.log.Warn("documents stay out of search though the bundle that withdrew them went back", "bundle", w.Bundle, "documents", there)
		return // what serves now is looked at once more
	}
	b.rollout.looked.Store(&label)
}
