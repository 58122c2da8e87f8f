// Package generation keeps immutable builds of the index on disk: each is a
// Badger store in a folder of its own, written once, sealed with checksums and
// opened read-only ever after. DESIGN.md describes the format.
package generation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
)

// ErrNotFound: the generation has no such document, section or passage.
var ErrNotFound = errors.New("not found")

// Generation is a sealed generation, open for reading. Safe for concurrent use
// until Close.
type Generation struct {
	dir      string
	manifest manifest
	db       *badger.DB
	Lexical  *lexical.Index
	Vectors  *dense.Flat // nil where there are none
	Analyzer *lexical.Analyzer

	owners func() ([]owner, error) // by first passage
}

// owner is a document with its first passage.
type owner struct {
	first uint32
	id    string
}

// Open a sealed generation and load what is searched into memory.
func Open(dir string) (*Generation, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	// Sizes first: a file that was cut short under a memory map is a signal,
	// not an error.
	for _, f := range m.Files {
		path := filepath.Join(dir, f.Name)
		fi, err := os.Stat(path)
		if err != nil {
			return nil, damaged(path, "it is missing")
		}
		if fi.Size() != f.Size {
			return nil, damaged(path, fmt.Sprintf("it has %d bytes instead of %d", fi.Size(), f.Size))
		}
	}
	if _, err := removeEmptyLogs(dir); err != nil {
		return nil, err
	}
	g := &Generation{dir: dir, manifest: m}
	g.owners = sync.OnceValues(g.readOwners)
	if err := g.open(); err != nil {
		return nil, err
	}
	if err := g.load(); err != nil {
		_ = g.Close()
		return nil, err
	}
	return g, nil
}

func storeOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).
		WithMemTableSize(16 << 20).WithNumMemtables(2).
		WithValueThreshold(1 << 10).WithValueLogFileSize(256 << 20).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithDetectConflicts(false).WithNumVersionsToKeep(1).WithMetricsEnabled(false)
}

func (g *Generation) open() (err error) {
	defer guard(&err, func() string { return g.dir })
	g.db, err = badger.Open(storeOptions(g.dir).WithReadOnly(true))
	if err != nil {
		return damaged(g.dir, err.Error())
	}
	return nil
}

func (g *Generation) load() error {
	return g.db.View(func(txn *badger.Txn) error {
		body, err := get(txn, key(kindNames, ""))
		if err != nil {
			return missing(err, key(kindNames, ""))
		}
		var names []string
		if err := json.Unmarshal(body, &names); err != nil {
			return damaged("name list", "it does not parse")
		}
		g.Analyzer = lexical.NewAnalyzer(names)
		blobs := make([][]byte, g.manifest.LexicalBlobs)
		for i := range blobs {
			k := numberKey(kindLexical, i)
			if blobs[i], err = get(txn, k); err != nil {
				return missing(err, k)
			}
		}
		if g.Lexical, err = lexical.Load(blobs, lexical.DefaultParams); err != nil {
			return damaged(g.dir, err.Error())
		}
		if g.Lexical.Passages() != g.manifest.Passages {
			return damaged(g.dir, fmt.Sprintf("its postings are of %d passages and its manifest says %d", g.Lexical.Passages(), g.manifest.Passages))
		}
		if g.manifest.Vectors == 0 {
			return nil
		}
		g.Vectors = dense.NewFlat(g.manifest.Embedder.Dimension, g.manifest.Vectors)
		for i := range g.manifest.VectorBlocks {
			k := numberKey(kindVectors, i)
			body, err := get(txn, k)
			if err != nil {
				return missing(err, k)
			}
			if err := g.Vectors.Load(body); err != nil {
				return damaged(describe(k), err.Error())
			}
		}
		return nil
	})
}

// missing makes a record that must be there and is not an error with its name.
func missing(err error, k []byte) error {
	if errors.Is(err, errNoRecord) {
		return damaged(describe(k), "it is missing")
	}
	return err
}

// Info of the generation.
func (g *Generation) Info() Info { return g.manifest.Info }

// Close the store.
func (g *Generation) Close() (err error) {
	defer guard(&err, func() string { return g.dir })
	return g.db.Close()
}

// read decodes a record, ErrNotFound where there is none.
func (g *Generation) read(k []byte, into any) error {
	return g.db.View(func(txn *badger.Txn) error {
		body, err := get(txn, k)
		if errors.Is(err, errNoRecord) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return decode(k, body, into)
	})
}

func decode(k, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return damaged(describe(k), "it does not parse")
	}
	return nil
}

// Header of a document, or ErrNotFound.
func (g *Generation) Header(id string) (h Header, err error) {
	err = g.read(key(kindDocument, id), &h)
	return h, err
}

// Range of the passages of a document, or ErrNotFound.
func (g *Generation) Range(id string) (r Range, err error) {
	err = g.read(key(kindRange, id), &r)
	return r, err
}

// Document whole, or ErrNotFound.
func (g *Generation) Document(id string) (*document.Document, error) {
	h, err := g.Header(id)
	if err != nil {
		return nil, err
	}
	d := h.Document
	d.Sections = make([]document.Section, h.Count)
	for i := range d.Sections {
		k := sectionKey(id, i)
		if err := g.read(k, &d.Sections[i]); err != nil {
			if errors.Is(err, ErrNotFound) {
				err = damaged(describe(k), "it is missing")
			}
			return nil, err
		}
	}
	return &d, nil
}

// Section by id or alias with the header of its document, or ErrNotFound.
func (g *Generation) Section(id string) (Header, document.Section, int, error) {
	var p place
	var s document.Section
	if err := g.read(lookupKey(id), &p); err != nil {
		return Header{}, s, 0, err
	}
	if p.ID != id {
		return Header{}, s, 0, ErrNotFound
	}
	h, err := g.Header(p.Document)
	if err == nil {
		err = g.read(sectionKey(p.Document, p.Section), &s)
	}
	if errors.Is(err, ErrNotFound) {
		err = damaged(fmt.Sprintf("section lookup %q", id), "it names a section that is not there")
	}
	return h, s, p.Section, err
}

// Passage by its number, or ErrNotFound.
func (g *Generation) Passage(n uint32) (p Passage, err error) {
	err = g.read(numberKey(kindPassage, int(n)), &p)
	return p, err
}

func (g *Generation) readOwners() ([]owner, error) {
	var out []owner
	err := each(context.Background(), g.db, []byte{kindRange, '/'}, func(k, body []byte) error {
		var r Range
		if err := decode(k, body, &r); err != nil {
			return err
		}
		if r.Passages > 0 {
			out = append(out, owner{r.First, string(k[2:])})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b owner) int { return cmp.Compare(a.first, b.first) })
	return out, err
}

// DocumentOf a passage by its number, without reading the passage. The table
// behind it is read at the first call.
func (g *Generation) DocumentOf(n uint32) (string, error) {
	owners, err := g.owners()
	if err != nil {
		return "", err
	}
	i := sort.Search(len(owners), func(i int) bool { return owners[i].first > n }) - 1
	if i < 0 || int(n) >= g.manifest.Passages {
		return "", ErrNotFound
	}
	return owners[i].id, nil
}

// Documents calls fn with each header in order of id until it fails.
func (g *Generation) Documents(ctx context.Context, fn func(Header) error) error {
	return eachDocument(ctx, g.db, fn)
}

func eachDocument(ctx context.Context, db *badger.DB, fn func(Header) error) error {
	return each(ctx, db, []byte{kindDocument, '/'}, func(k, body []byte) error {
		var h Header
		if err := decode(k, body, &h); err != nil {
			return err
		}
		return fn(h)
	})
}

// each calls fn with each record under prefix in order of the keys.
func each(ctx context.Context, db *badger.DB, prefix []byte, fn func(k, body []byte) error) error {
	return db.View(func(txn *badger.Txn) (err error) {
		at := prefix
		defer guard(&err, func() string { return "the record after " + describe(at) })
		opt := badger.DefaultIteratorOptions
		opt.Prefix = prefix
		opt.PrefetchValues = false // ahead of a slow fn they would only fill memory
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			at = item.KeyCopy(nil)
			body, err := itemBody(item)
			if err != nil {
				return err
			}
			if err := fn(at, body); err != nil {
				return err
			}
		}
		return nil
	})
}
