package generation

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
)

// Writer builds a generation in a folder whose name ends in .building; nothing
// of it counts before Seal has returned. The order is: documents (PutDocument,
// CopyDocument), then PlaceDocuments, then passages and vectors in the order of
// Documents, then Seal. Not safe for concurrent use.
type Writer struct {
	store    *Store
	dir      string // of the build
	manifest manifest
	db       *badger.DB
	batch    *badger.WriteBatch
	sections map[string]int // of documents put so far
	analyzer *lexical.Analyzer
	lexical  *lexical.Builder
	vectors  *dense.BlockWriter
	closed   bool
}

// Begin a generation. Embedder is the zero value where there will be no vectors.
func (s *Store) Begin(parent string, embedder EmbedderInfo) (*Writer, error) {
	n, err := s.nextNumber()
	if err != nil {
		return nil, err
	}
	w := &Writer{store: s, sections: make(map[string]int)}
	w.manifest.Format = formatNumber
	w.manifest.Info = Info{Number: n, Name: folderName(n), Parent: parent, Analyzer: lexical.Version, Embedder: embedder}
	w.dir = filepath.Join(s.dir, w.manifest.Name+buildingSuffix)
	if err := os.RemoveAll(w.dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(w.dir, 0o750); err != nil {
		return nil, err
	}
	w.db, err = badger.Open(storeOptions(w.dir).WithSyncWrites(false))
	if err != nil {
		return nil, fmt.Errorf("a new generation can't be made in %s: %w", w.dir, err)
	}
	w.batch = w.db.NewWriteBatch()
	w.vectors = dense.NewBlockWriter(embedder.Dimension, func(block []byte) error {
		k := numberKey(kindVectors, w.manifest.VectorBlocks)
		w.manifest.VectorBlocks++
		return w.put(k, block)
	})
	return w, nil
}

func (w *Writer) put(k, body []byte) error {
	return w.batch.Set(k, sealValue(k, body))
}

func (w *Writer) putJSON(k []byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.put(k, body)
}

// flush makes what was put visible to reads.
func (w *Writer) flush() error {
	err := w.batch.Flush()
	w.batch = w.db.NewWriteBatch()
	return err
}

// PutDocument adds a document, or replaces the one of the same id.
func (w *Writer) PutDocument(d *document.Document, hash string) error {
	if d.ID == "" || len(d.ID) > maxID {
		return fmt.Errorf("a document of %s has an id of %d bytes; 1 to %d can be kept", d.Source, len(d.ID), maxID)
	}
	h := Header{Document: *d, Hash: hash, Count: len(d.Sections)}
	h.Sections = nil
	if err := w.putJSON(key(kindDocument, d.ID), h); err != nil {
		return err
	}
	for i := range d.Sections {
		if err := w.putJSON(sectionKey(d.ID, i), d.Sections[i]); err != nil {
			return err
		}
	}
	for i := len(d.Sections); i < w.sections[d.ID]; i++ { // of the one it replaces
		if err := w.batch.Delete(sectionKey(d.ID, i)); err != nil {
			return err
		}
	}
	w.sections[strings.Clone(d.ID)] = len(d.Sections)
	return nil
}

// Has says whether a document was put or copied.
func (w *Writer) Has(id string) bool {
	_, ok := w.sections[id]
	return ok
}

// CopyDocument carries a document over from another generation, byte for byte.
func (w *Writer) CopyDocument(from *Generation, h Header) error {
	keys := [][]byte{key(kindDocument, h.ID)}
	for i := range h.Count {
		keys = append(keys, sectionKey(h.ID, i))
	}
	for _, k := range keys {
		var body []byte
		err := from.db.View(func(txn *badger.Txn) (err error) {
			body, err = get(txn, k)
			return missing(err, k)
		})
		if err != nil {
			return err
		}
		if err := w.put(k, body); err != nil {
			return err
		}
	}
	w.sections[h.ID] = h.Count
	return nil
}

// PlaceDocuments ends the documents: it learns the names in them, writes where
// each section is, and makes the writer ready for passages.
func (w *Writer) PlaceDocuments(ctx context.Context) error {
	if err := w.flush(); err != nil {
		return err
	}
	var names []string
	seen := make(map[string]bool)
	err := eachDocument(ctx, w.db, func(h Header) error {
		w.manifest.Documents++
		w.manifest.Sections += h.Count
		var own []string
		for _, n := range h.Names {
			own = append(own, n.Text)
		}
		for _, word := range lexical.NameWords(own) {
			if !seen[word] {
				seen[word] = true
				names = append(names, word)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if names == nil {
		names = []string{}
	}
	if err := w.putJSON(key(kindNames, ""), names); err != nil {
		return err
	}
	w.analyzer = lexical.NewAnalyzer(names)
	w.lexical = lexical.NewBuilder(w.analyzer)
	if err := w.placeSections(ctx); err != nil {
		return err
	}
	return w.flush()
}

// placeSections writes the lookup of sections: ids first, so that no alias
// hides an id; of two that are the same, the first in order of documents.
func (w *Writer) placeSections(ctx context.Context) error {
	taken := make(map[string]bool, w.manifest.Sections)
	var aliases []place
	add := func(p place) error {
		if p.ID == "" || taken[p.ID] {
			return nil
		}
		taken[p.ID] = true
		return w.putJSON(lookupKey(p.ID), p)
	}
	err := eachDocument(ctx, w.db, func(h Header) error {
		for i := range h.Count {
			var s document.Section
			if err := readFrom(w.db, sectionKey(h.ID, i), &s); err != nil {
				return err
			}
			if err := add(place{s.ID, h.ID, i}); err != nil {
				return err
			}
			for _, a := range s.Aliases {
				aliases = append(aliases, place{a, h.ID, i})
			}
		}
		return nil
	})
	for _, p := range aliases {
		if err == nil {
			err = add(p)
		}
	}
	return err
}

func readFrom(db *badger.DB, k []byte, into any) error {
	return db.View(func(txn *badger.Txn) error {
		body, err := get(txn, k)
		if err != nil {
			return missing(err, k)
		}
		return decode(k, body, into)
	})
}

// Documents calls fn with each document of the build in order of id; sections
// are read with Section.
func (w *Writer) Documents(ctx context.Context, fn func(Header) error) error {
	return eachDocument(ctx, w.db, fn)
}

// Counts of documents and sections, once they are placed.
func (w *Writer) Counts() (documents, sections int) { return w.manifest.Documents, w.manifest.Sections }

// Document of the build, whole.
func (w *Writer) Document(h Header) (*document.Document, error) {
	d := h.Document
	d.Sections = make([]document.Section, h.Count)
	for i := range d.Sections {
		if err := readFrom(w.db, sectionKey(h.ID, i), &d.Sections[i]); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

// AddPassages of the next document; they are numbered on from the last.
func (w *Writer) AddPassages(id, cut string, ps []Passage) error {
	switch w.manifest.Cut {
	case "":
		w.manifest.Cut = cut
	case cut:
	default:
		w.manifest.Cut = CutMixed
	}
	r := Range{First: uint32(w.manifest.Passages), Passages: len(ps), Cut: cut}
	if err := w.putJSON(key(kindRange, id), r); err != nil {
		return err
	}
	for i := range ps {
		if err := w.putJSON(numberKey(kindPassage, w.manifest.Passages), &ps[i]); err != nil {
			return err
		}
		if err := w.lexical.Add(ps[i].Heading, ps[i].Text); err != nil {
			return err
		}
		w.manifest.Passages++
	}
	return nil
}

// NextPassage is the number that the next passage gets.
func (w *Writer) NextPassage() uint32 { return uint32(w.manifest.Passages) }

// AddVector of a passage, of unit length.
func (w *Writer) AddVector(passage uint32, v []float32) error {
	w.manifest.Vectors++
	return w.vectors.Add(passage, v)
}

// Seal writes postings and vectors, syncs every file, hashes it into the
// manifest, and puts the folder in place. It does not make it current.
func (w *Writer) Seal(ctx context.Context) (Info, error) {
	if err := w.vectors.Flush(); err != nil {
		return Info{}, err
	}
	if w.manifest.Vectors == 0 {
		w.manifest.Embedder = EmbedderInfo{}
	}
	err := w.lexical.Finish(func(blob []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := numberKey(kindLexical, w.manifest.LexicalBlobs)
		w.manifest.LexicalBlobs++
		return w.put(k, blob)
	})
	if err != nil {
		return Info{}, err
	}
	if err := w.batch.Flush(); err != nil {
		return Info{}, err
	}
	w.closed = true
	if err := w.db.Close(); err != nil {
		return Info{}, err
	}
	if _, err := removeEmptyLogs(w.dir); err != nil {
		return Info{}, err
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return Info{}, err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return Info{}, err
		}
		if unsealed(e.Name()) {
			continue
		}
		sum, err := sumFile(filepath.Join(w.dir, e.Name()), true)
		if err != nil {
			return Info{}, err
		}
		w.manifest.Files = append(w.manifest.Files, sum)
		w.manifest.Bytes += sum.Size
	}
	w.manifest.Created = w.store.now().UTC()
	if err := writeManifest(w.dir, w.manifest); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	if err := os.Rename(w.dir, filepath.Join(w.store.dir, w.manifest.Name)); err != nil {
		return Info{}, err
	}
	return w.manifest.Info, syncDir(w.store.dir)
}

// Abandon removes what was built; after Seal it does nothing.
func (w *Writer) Abandon() error {
	if !w.closed {
		w.closed = true
		w.batch.Cancel()
		_ = w.db.Close() // it is thrown away
	}
	return os.RemoveAll(w.dir)
}
