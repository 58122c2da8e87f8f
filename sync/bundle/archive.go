package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rxedge/sync/durable"
)

// An archive is a tar file with metadata/NAME and chunks/HASH, for a site that a
// medium reaches and no line does. A site believes it as little as the hub.

// maxEntries of an archive.
const maxEntries = 8 << 20

// ArchiveSource is an archive as a Source.
type ArchiveSource struct {
	path    string
	entries map[string]span
}

type span struct{ at, size int64 }

var validEntry = pattern(`^(metadata/[a-z0-9.-]{1,100}\.json|chunks/[0-9a-f]{64})$`)

// OpenArchive reads where everything is in it.
func OpenArchive(path string) (*ArchiveSource, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &ArchiveSource{path: path, entries: map[string]span{}}
	bad := func(err error) error {
		return fmt.Errorf("%s is no bundle that 'rxedge bundle export' wrote, or it was cut short: %w", path, err)
	}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bad(err)
		}
		if h.Typeflag != tar.TypeReg || !validEntry().MatchString(h.Name) || len(a.entries) == maxEntries || h.Size < 0 {
			return nil, bad(errors.New("it holds something else"))
		}
		at, err := f.Seek(0, io.SeekCurrent) // tar reads whole blocks, no further
		if err != nil {
			return nil, bad(err)
		}
		a.entries[h.Name] = span{at, h.Size}
	}
	if len(a.entries) == 0 {
		return nil, bad(errors.New("it is empty"))
	}
	return a, nil
}

func (a *ArchiveSource) read(name string, most int64) ([]byte, error) {
	s, ok := a.entries[name]
	if !ok {
		return nil, ErrNotFound
	}
	f, err := os.Open(a.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(s.size, most+1)) // one more: whoever asked sees that it is too long
	_, err = f.ReadAt(b, s.at)
	return b, err
}

// Metadata implements Source.
func (a *ArchiveSource) Metadata(_ context.Context, name string, most int64) ([]byte, error) {
	return a.read("metadata/"+name, most)
}

// Chunk implements Source.
func (a *ArchiveSource) Chunk(_ context.Context, h Hash) ([]byte, error) {
	return a.read("chunks/"+h.String(), MaxChunk)
}

// WriteArchive writes one, whole or not at all.
func WriteArchive(path string, metadata iter.Seq2[string, []byte], chunks iter.Seq2[Hash, func() ([]byte, error)]) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	w := tar.NewWriter(f)
	put := func(name string, b []byte) error {
		if !validEntry().MatchString(name) {
			return fmt.Errorf("%q can't be in a bundle", name)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644, Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	}
	for name, b := range metadata {
		if err := put("metadata/"+strings.ToLower(name), b); err != nil {
			return 0, err
		}
	}
	for h, content := range chunks {
		b, err := content()
		if err != nil {
			return 0, err
		}
		if err := put("chunks/"+h.String(), b); err != nil {
			return 0, err
		}
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return 0, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	return fi.Size(), durable.SyncDir(filepath.Dir(path))
}
