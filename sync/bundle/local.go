package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rxedge/sync/durable"
)

// local is what a site has on disk: packs, manifests, artefacts.
type local struct{ dir string }

func openLocal(dir string) (*local, error) {
	for _, d := range []string{"packs", "manifests", "artefacts"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	return &local{dir}, nil
}

func (l *local) packPath(h Hash) string { return filepath.Join(l.dir, "packs", h.String()) }

// Pack implements Store.
func (l *local) Pack(h Hash) ([]byte, error) {
	fi, err := os.Stat(l.packPath(h))
	if err == nil && fi.Size() > MaxChunk {
		return nil, ErrNotFound // damaged
	}
	b, err := os.ReadFile(l.packPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return b, err
}

// has says whether the pack is there and whole.
func (l *local) has(h Hash) bool {
	b, err := l.Pack(h)
	return err == nil && HashOf(b) == h
}

func (l *local) putPack(h Hash, b []byte) error { return durable.Write(l.packPath(h), b) }

func (l *local) manifestPath(h Hash) string { return filepath.Join(l.dir, "manifests", h.String()) }

func (l *local) manifest(h Hash) (*Manifest, error) {
	b, err := os.ReadFile(l.manifestPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if HashOf(b) != h {
		return nil, ErrNotFound
	}
	return ParseManifest(b)
}

func (l *local) artefactPath(a Artefact) string {
	return filepath.Join(l.dir, "artefacts", a.SHA256.String())
}

// partSuffix marks a file that is being fetched.
const partSuffix = ".part"

// sweep removes what none of the manifests needs.
func (l *local) sweep(keep ...*Manifest) error {
	paths, _, err := l.surplus(keep...)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range paths {
		errs = append(errs, os.Remove(p))
	}
	return errors.Join(errs...)
}

// surplus is the files that none of the manifests needs, and their bytes.
func (l *local) surplus(keep ...*Manifest) (paths []string, bytes int64, err error) {
	want := map[string]bool{}
	for _, m := range keep {
		if m == nil {
			continue
		}
		for p := range m.Packs() {
			want[p.Hash.String()] = true
		}
		for _, a := range m.Artefacts {
			for _, h := range a.Lists {
				want[h.String()] = true
			}
			want["artefact "+a.SHA256.String()] = true
		}
	}
	for dir, prefix := range map[string]string{"packs": "", "artefacts": "artefact "} {
		es, err := os.ReadDir(filepath.Join(l.dir, dir))
		if err != nil {
			return nil, 0, err
		}
		for _, e := range es {
			if want[prefix+strings.TrimSuffix(e.Name(), partSuffix)] {
				continue
			}
			if fi, err := e.Info(); err == nil {
				bytes += fi.Size()
			}
			paths = append(paths, filepath.Join(l.dir, dir, e.Name()))
		}
	}
	return paths, bytes, nil
}

// sweepManifests removes all but those.
func (l *local) sweepManifests(keep map[Hash]bool) error {
	es, err := os.ReadDir(filepath.Join(l.dir, "manifests"))
	if err != nil {
		return err
	}
	for _, e := range es {
		var h Hash
		if h.UnmarshalText([]byte(e.Name())) != nil || !keep[h] {
			if err := os.Remove(filepath.Join(l.dir, "manifests", e.Name())); err != nil {
				return fmt.Errorf("tidying up manifests: %w", err)
			}
		}
	}
	return nil
}
