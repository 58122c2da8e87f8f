package control

import (
	"context"
	"errors"
	"fmt"

	"rxedge/index"
)

// ErrNotReady: the daemon works, and has nothing to answer from.
var ErrNotReady = errors.New("the daemon is not ready")

// Probe of the daemon of a data folder: it is of a version, ready, and finds its
// way through its index.
func Probe(dir string) func(ctx context.Context, version string) error {
	return func(ctx context.Context, version string) error {
		c, err := Dial(dir)
		if err != nil {
			return err
		}
		defer c.Close()
		h, err := c.Status(ctx)
		switch {
		case err != nil:
			return err
		case h.Version != version:
			return fmt.Errorf("the daemon is of version %s", h.Version)
		case !h.Ready:
			return ErrNotReady
		}
		if _, err := c.Search(ctx, index.Query{Text: "dose", K: 1, Mode: index.ModeBM25}); err != nil {
			return fmt.Errorf("searching: %w", err)
		}
		return nil
	}
}
