package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rxedge/index/generation"
)

// ErrUnusable: nothing in the index's folder can be opened.
var ErrUnusable = errors.New("no generation of the index can be opened")

// Damaged says whether an error of reading means files that can't be trusted,
// and not something that may pass.
func Damaged(err error) bool {
	var d *generation.DamageError
	return errors.As(err, &d)
}

// Retreat lets the newest good generation before the one named bad serve in its
// place, because something read of that turned out damaged (why). The damaged
// one is marked, so that no start opens it again, and stays on disk until it
// can't be rolled back to. Where bad no longer serves nothing is done. The error
// is ErrNoEarlier where there is none.
func (ix *Index) Retreat(ctx context.Context, bad string, why error) (GenerationInfo, error) {
	if err := ix.takeOwn(ctx); err != nil {
		return GenerationInfo{}, err
	}
	defer func() { <-ix.writing }()
	if now := ix.now(); now.Name != bad {
		if now.Name == "" {
			return now, ErrClosed
		}
		return now, nil
	}
	infos, err := ix.store.Infos() // newest first
	if err != nil {
		return GenerationInfo{}, err
	}
	var number uint64
	for _, i := range infos {
		if i.Name == bad {
			number = i.Number
		}
	}
	for _, i := range infos {
		if i.Fault != "" || i.Candidate || i.Documents == 0 || i.Number >= number && number > 0 || i.Name == bad {
			continue
		}
		if err := ix.serve(i.Name); err != nil {
			ix.opt.Logger.Warn("an earlier generation of the index can't serve", "generation", i.Name, "error", err)
			continue
		}
		if err := ix.store.Mark(bad, why.Error()); err != nil {
			ix.opt.Logger.Warn("a damaged generation of the index could not be marked", "generation", bad, "error", err)
		}
		now := ix.now()
		ix.mu.Lock()
		ix.retreated = retreat(bad, now)
		ix.mu.Unlock()
		ix.opt.Logger.Error("a generation of the index is damaged and the one before serves", "damaged", bad, "serves", now.Label(), "error", why)
		return now, nil
	}
	return GenerationInfo{}, ErrNoEarlier
}

func retreat(bad string, now GenerationInfo) string {
	return fmt.Sprintf("generation %s of the index is damaged and %s of %s serves instead: ingest what was added since again, then 'rxedge index compact'",
		bad, now.Label(), now.Created.Format(time.DateOnly))
}

// Retreated says, in a sentence, that an earlier generation serves because a
// later one is damaged; "" where that is not so. It ends with the next
// generation that is built.
func (ix *Index) Retreated() string {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.retreated
}

// marked looks, when the index is opened, for a later generation that was found
// damaged.
func (ix *Index) marked(serves GenerationInfo) {
	infos, err := ix.store.Infos()
	if err != nil {
		return
	}
	for _, i := range infos {
		if i.Number <= serves.Number {
			break
		}
		if generation.Marked(ix.store.Dir(i.Name)) != "" {
			ix.retreated = retreat(i.Name, serves)
			return
		}
	}
}
