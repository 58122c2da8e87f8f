package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Surplus is how many files, and bytes of them, no bundle needs whose manifest is here:
// what is active, staged, to go back to, or begun. While a pull is under way there are
// none. With remove they are removed.
func (r *Receiver) Surplus(remove bool) (files int, bytes int64, err error) {
	select {
	case r.pulling <- struct{}{}:
	default:
		return 0, 0, nil
	}
	defer func() { <-r.pulling }()
	// Manifests of what is held, and of what a pull has begun.
	es, err := os.ReadDir(filepath.Join(r.local.dir, "manifests"))
	if err != nil {
		return 0, 0, err
	}
	var keep []*Manifest
	for _, e := range es {
		var h Hash
		if h.UnmarshalText([]byte(e.Name())) != nil {
			continue // half of one
		}
		m, err := r.local.manifest(h)
		if err != nil {
			return 0, 0, nil // what it needs is not known, so nothing goes
		}
		keep = append(keep, m)
	}
	paths, bytes, err := r.local.surplus(keep...)
	if err != nil || !remove {
		return len(paths), bytes, err
	}
	var errs []error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return len(paths), bytes, errors.Join(errs...)
}
