package schema

import (
	"context"
	"path/filepath"

	"rxedge/index"
)

// migrations to each version from the one before, in order.
var migrations = []Migration{
	{
		To: 1, What: "documents of an index in an earlier format are indexed anew", Parts: []string{"index"},
		Needed: func(dir string) (bool, error) {
			_, outdated := index.Outdated(filepath.Join(dir, "index"))
			return outdated, nil
		},
		Build: func(ctx context.Context, dir, to string) error {
			_, err := index.Convert(ctx, filepath.Join(dir, "index"), filepath.Join(to, "index"), nil)
			return err
		},
	},
}
