// Package catalog keeps model files: each on disk once, under its SHA-256, with
// an entry that says what it is.
//
//	blobs/<sha256>.gguf   the model, never changed after it is there
//	entries/<name>.json   one Entry
//	convert/<key>.gguf.*  a folder of Hugging Face that is being converted
//	lock                  held while something is imported or removed
//
// Every file is written under another name, synced and renamed, the blob before
// its entry. What a crash leaves behind (a temporary file, a blob without an
// entry) the next import or removal clears away, but for a conversion of the
// same folder, which goes on where it was.
package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"rxedge/inference"
)

// Entry is one model in the catalog.
type Entry struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the file in the catalog
	Size   int64  `json:"size"`   // bytes
	Format string `json:"format"` // "gguf"
	// ConvertedFrom is "llama2c" or "huggingface" where the model came in that
	// form.
	ConvertedFrom string `json:"converted_from,omitempty"`
	// Notes say for people what the conversion did to the weights, and what it
	// left out.
	Notes []string `json:"notes,omitempty"`
	Facts
	ImportedAt time.Time `json:"imported_at"` // UTC
	Source     string    `json:"source"`      // base name of what was imported
	Lineage    *Lineage  `json:"lineage,omitempty"`
}

// Catalog is a folder of models. It is safe for concurrent use, by several
// processes too.
type Catalog struct {
	// Room is asked before so many bytes are written, beside what is free; its error is
	// returned. Nil: there is. To be set before the catalog is used.
	Room func(bytes int64) error

	dir string
	now func() time.Time
}

// Open opens the catalog in dir and makes the folder where there is none.
func Open(dir string) (*Catalog, error) {
	c := &Catalog{dir: dir, now: time.Now}
	for _, d := range []string{c.blobs(), c.entries(), c.conversions()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("model catalog: %w", err)
		}
	}
	return c, nil
}

func (c *Catalog) blobs() string   { return filepath.Join(c.dir, "blobs") }
func (c *Catalog) entries() string { return filepath.Join(c.dir, "entries") }

func (c *Catalog) conversions() string { return filepath.Join(c.dir, "convert") }

// entryPath holds the name in small letters: a name keeps its capitals, and is
// found without regard to them.
func (c *Catalog) entryPath(name string) string {
	return filepath.Join(c.entries(), strings.ToLower(name)+".json")
}

// Path is the file of an entry.
func (c *Catalog) Path(e Entry) string {
	return filepath.Join(c.blobs(), e.SHA256+".gguf")
}

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	validHash = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// List returns the entries by name. An entry that can't be read is left out and
// named in the error; the others are returned all the same.
func (c *Catalog) List() ([]Entry, error) {
	files, err := os.ReadDir(c.entries())
	if err != nil {
		return nil, fmt.Errorf("model catalog: %w", err)
	}
	var out []Entry
	var bad []error
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok || !validName.MatchString(name) {
			continue // a temporary file, or something that is not ours
		}
		e, err := c.read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			bad = append(bad, err)
		default:
			out = append(out, e)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, errors.Join(bad...)
}

// Get returns the entry of that name, or inference.ErrModelNotFound.
func (c *Catalog) Get(name string) (Entry, error) {
	if !validName.MatchString(name) {
		return Entry{}, fmt.Errorf("%w: %q", inference.ErrModelNotFound, name)
	}
	e, err := c.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, fmt.Errorf("%w: %q ('rxedge model list' shows those there are)", inference.ErrModelNotFound, name)
	}
	return e, err
}

func (c *Catalog) read(name string) (Entry, error) {
	path := c.entryPath(name)
	b, err := os.ReadFile(path)
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return Entry{}, fmt.Errorf("%s is damaged (%w); delete it and import the model again", path, err)
	}
	if !strings.EqualFold(e.Name, name) || !validHash.MatchString(e.SHA256) {
		return Entry{}, fmt.Errorf("%s is damaged (it names the model %q with SHA-256 %.80q); delete it and import the model again", path, e.Name, e.SHA256)
	}
	return e, nil
}

// Remove takes a model out of the catalog, and its file where no other entry
// has the same. It waits for an import that is under way until ctx ends.
func (c *Catalog) Remove(ctx context.Context, name string) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.Get(name); err != nil {
		return err
	}
	if err := os.Remove(c.entryPath(name)); err != nil {
		return err
	}
	if err := syncDir(c.entries()); err != nil {
		return err
	}
	return c.clear("")
}

// clear removes temporary files, blobs that no entry names, and conversions
// that are not called keep. The lock is held.
func (c *Catalog) clear(keep string) error {
	entries, unreadable := c.List()
	used := make(map[string]bool)
	for _, e := range entries {
		used[filepath.Base(c.Path(e))] = true
	}
	for _, dir := range []string{c.blobs(), c.entries()} {
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			temporary := strings.HasPrefix(f.Name(), temporaryPrefix)
			// Beside an entry that can't be read any blob may be its own.
			orphan := dir == c.blobs() && unreadable == nil && strings.HasSuffix(f.Name(), ".gguf") && !used[f.Name()]
			if temporary || orphan {
				if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
	}
	return c.clearConversions(keep)
}

// Problem is a model whose file is not what was imported.
type Problem struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Verify hashes every model's file again and returns what is wrong; the error
// is for what kept it from looking. Files that several entries share are read
// once. Entries that can't be read are problems too.
func (c *Catalog) Verify(ctx context.Context) ([]Problem, error) {
	entries, unreadable := c.List()
	var out []Problem
	if unreadable != nil {
		out = append(out, Problem{Reason: unreadable.Error()})
	}
	checked := make(map[string]string)
	for _, e := range entries {
		reason, ok := checked[e.SHA256]
		if !ok {
			var err error
			if reason, err = c.verify(ctx, e); err != nil {
				return out, err
			}
			checked[e.SHA256] = reason
		}
		if reason != "" {
			out = append(out, Problem{Name: e.Name, Reason: reason})
		}
	}
	return out, nil
}

func (c *Catalog) verify(ctx context.Context, e Entry) (reason string, err error) {
	const mend = "; import the model again"
	f, err := os.Open(c.Path(e))
	if errors.Is(err, fs.ErrNotExist) {
		return "its file is missing" + mend, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum, n, err := copyHashed(ctx, nil, f, nil)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return fmt.Sprintf("its file can't be read: %v%s", err, mend), nil
	case n != e.Size:
		return fmt.Sprintf("its file has %d bytes instead of %d%s", n, e.Size, mend), nil
	case sum != e.SHA256:
		return "its file has changed: the SHA-256 is " + sum + mend, nil
	}
	return "", nil
}
