package generation

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"rxedge/index/codes"
	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
	"rxedge/index/names"
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
	unitWriter
	table    tableBuilder
	facts    factsBuilder
	codes    codes.Builder
	names    []names.Labelled
	docs     map[string]placed // documents so far
	inHand   map[string]inHand
	kept     int      // bytes of text in inHand
	order    []string // of the documents, once they are placed
	analyzer *lexical.Analyzer
	lexical  *lexical.Builder
	// Passages are analysed beside the rest of a build, in order.
	toAnalyse chan []lexical.Passage
	analysed  chan error // the first failure, once toAnalyse is closed
	passages  passageWriter
	vectors   *dense.BlockWriter
	copy      *os.File // of the vectors' rows, from which dense blocks are made
	rows      *bufio.Writer
	vectored  uint32 // the last passage that got a vector
	syncing   chan error
	closed    bool
}

// Begin a generation. Embedder is the zero value where there will be no vectors.
func (s *Store) Begin(parent string, embedder EmbedderInfo) (*Writer, error) {
	n, err := s.nextNumber()
	if err != nil {
		return nil, err
	}
	w := &Writer{store: s, docs: make(map[string]placed), inHand: make(map[string]inHand)}
	w.manifest.Format = Format
	w.manifest.Info = Info{Number: n, Name: folderName(n), Parent: parent, Analyzer: lexical.Version, Embedder: embedder}
	w.dir = filepath.Join(s.dir, w.manifest.Name+buildingSuffix)
	if err := os.RemoveAll(w.dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(w.dir, 0o750); err != nil {
		return nil, err
	}
	// Managed: where the store gives the versions, each transaction of a batch waits
	// until the one before is written.
	// Up to some hundred thousand passages its tables are not compacted: it is read soon
	// enough without, and a build has better use for a processor.
	w.db, err = badger.OpenManaged(storeOptions(w.dir).WithSyncWrites(false).WithNumLevelZeroTables(20).WithNumLevelZeroTablesStall(40))
	if err != nil {
		return nil, fmt.Errorf("a new generation can't be made in %s: %w", w.dir, err)
	}
	w.unitWriter = unitWriter{space: space{db: w.db}, batch: w.db.NewManagedWriteBatch(), managed: true, room: s.Room}
	w.passages.put = func(block []byte) error {
		k := numberKey(kindPassages, w.manifest.PassageBlocks)
		w.manifest.PassageBlocks++
		return w.give(k, block)
	}
	w.vectors = dense.NewBlockWriter(embedder.Dimension, func(block []byte) error {
		k := numberKey(kindVectors, w.manifest.VectorBlocks)
		w.manifest.VectorBlocks++
		return w.give(k, block)
	})
	return w, nil
}

// flush makes what was put visible to reads.
func (w *Writer) flush() error {
	return errors.Join(w.roll(), w.wait())
}

// PutDocument adds a document, or replaces the one of the same id.
func (w *Writer) PutDocument(d *document.Document, hash string) error {
	if err := w.document(d, hash); err != nil {
		return err
	}
	for i := len(d.Sections); i < len(w.docs[d.ID].sections); i++ { // of the one it replaces
		if err := w.remove(sectionKey(d.ID, i)); err != nil {
			return err
		}
	}
	p := placed{words: nameWords(d)}
	for i := range d.Sections {
		p.sections = append(p.sections, sectionIDs{strings.Clone(d.Sections[i].ID), d.Sections[i].Aliases})
	}
	w.docs[strings.Clone(d.ID)] = p
	w.keep(d, hash)
	return nil
}

// keepText bytes of documents' text stay in memory until they are cut: reading
// them back is a tenth of a build, and it would wait until they are written.
const keepText = 64 << 20

// inHand is a document that need not be read back.
type inHand struct {
	head     Header
	sections []document.Section
}

func (w *Writer) keep(d *document.Document, hash string) {
	size := func(sections []document.Section) (n int) {
		for i := range sections {
			n += len(sections[i].Text)
		}
		return n
	}
	w.kept -= size(w.inHand[d.ID].sections)
	delete(w.inHand, d.ID) // of one that it replaces
	if n := size(d.Sections); w.kept+n <= keepText {
		w.kept += n
		w.inHand[strings.Clone(d.ID)] = inHand{header(d, hash), d.Sections}
	}
}

// placed is what a build remembers of a document.
type placed struct {
	sections []sectionIDs
	words    []string // of its names
}

type sectionIDs struct {
	ID      string
	Aliases []string
}

func nameWords(d *document.Document) []string {
	var own []string
	for _, n := range d.Names {
		own = append(own, n.Text)
	}
	return lexical.NameWords(own)
}

func checkID(d *document.Document) error {
	if d.ID == "" || len(d.ID) > maxID {
		return fmt.Errorf("a document of %s has an id of %d bytes; 1 to %d can be kept", d.Source, len(d.ID), maxID)
	}
	return nil
}

// Has says whether a document was put or copied.
func (w *Writer) Has(id string) bool {
	_, ok := w.docs[id]
	return ok
}

// CopyDocument carries a document over from another generation, as it is.
func (w *Writer) CopyDocument(from *View, h Header) error {
	u := from.owner(h.ID)
	if u == nil {
		return fmt.Errorf("copy document %q: %w", h.ID, ErrNotFound)
	}
	p := placed{words: nameWords(&h.Document), sections: make([]sectionIDs, h.Count)}
	for i := -1; i < h.Count; i++ {
		k := key(kindDocument, h.ID)
		if i >= 0 {
			k = sectionKey(h.ID, i)
		}
		body, err := u.get(k)
		if err != nil {
			return missing(err, u.key(k))
		}
		if i >= 0 {
			s, err := decodeSection(body)
			if err != nil {
				return damaged(describe(u.key(k)), err.Error())
			}
			p.sections[i] = sectionIDs{strings.Clone(s.ID), s.Aliases} // not the whole record
			for j, a := range s.Aliases {
				s.Aliases[j] = strings.Clone(a)
			}
		}
		if err := w.put(k, body); err != nil {
			return err
		}
	}
	w.docs[h.ID] = p
	return nil
}

// PlaceDocuments ends the documents: it learns the names in them, writes where
// each section is, and makes the writer ready for passages.
func (w *Writer) PlaceDocuments(ctx context.Context) error {
	ids := slices.Sorted(maps.Keys(w.docs))
	var protect []string
	seen := make(map[string]bool)
	for _, id := range ids {
		w.manifest.Documents++
		w.manifest.Sections += len(w.docs[id].sections)
		for _, word := range w.docs[id].words {
			if !seen[word] {
				seen[word] = true
				protect = append(protect, word)
			}
		}
	}
	if protect == nil {
		protect = []string{}
	}
	if err := w.putJSON(key(kindNames, ""), protect); err != nil {
		return err
	}
	w.analyzer = lexical.NewAnalyzer(protect)
	w.lexical = lexical.NewBuilder(w.analyzer)
	todo, done, builder := make(chan []lexical.Passage, 64), make(chan error, 1), w.lexical
	w.toAnalyse, w.analysed = todo, done
	go func() {
		var failed error
		for ps := range todo {
			for i := range ps {
				if failed == nil {
					failed = builder.AddPassage(ps[i])
				}
			}
		}
		done <- failed
	}()
	if err := w.placeSections(ctx, ids); err != nil {
		return err
	}
	w.docs, w.order = nil, ids // of as many documents docs is large
	if len(w.inHand) < len(ids) {
		return w.flush() // the others are read back
	}
	return nil
}

// placeSections writes the lookup of sections: ids first, so that no alias
// hides an id; of two that are the same, the first in order of documents.
func (w *Writer) placeSections(ctx context.Context, ids []string) error {
	taken := make(map[string]bool, w.manifest.Sections)
	add := func(id, doc string, section int) error {
		if id == "" || taken[id] {
			return nil
		}
		taken[id] = true
		return w.putJSON(lookupKey(id), place{id, doc, section})
	}
	for _, aliases := range []bool{false, true} {
		for _, doc := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			for i, s := range w.docs[doc].sections {
				of := []string{s.ID}
				if aliases {
					of = s.Aliases
				}
				for _, id := range of {
					if err := add(id, doc, i); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// Documents calls fn with each document of the build in order of id; Document has
// its sections.
func (w *Writer) Documents(ctx context.Context, fn func(Header) error) error {
	if len(w.inHand) < len(w.order) {
		return w.eachDocument(ctx, fn)
	}
	for _, id := range w.order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(w.inHand[id].head); err != nil {
			return err
		}
	}
	return nil
}

// Counts of documents and sections, once they are placed.
func (w *Writer) Counts() (documents, sections int) { return w.manifest.Documents, w.manifest.Sections }

// Document of the build, whole.
func (w *Writer) Document(h Header) (*document.Document, error) {
	if in, ok := w.inHand[h.ID]; ok {
		d := h.Document
		d.Sections = in.sections
		return &d, nil
	}
	return w.whole(h)
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
	w.table.document(id, ps)
	texts := make([]lexical.Passage, len(ps))
	for i := range ps {
		if err := w.passages.add(&ps[i]); err != nil {
			return err
		}
		texts[i] = ps[i].indexed()
		w.manifest.Passages++
	}
	w.toAnalyse <- texts
	return nil
}

// analysis ends: every passage is in the builder.
func (w *Writer) analysis() error {
	if w.toAnalyse == nil {
		return nil
	}
	close(w.toAnalyse)
	w.toAnalyse = nil
	return <-w.analysed
}

// Describe the next document, before its passages: its facts, names and codes; its
// sections may be left out.
func (w *Writer) Describe(d *document.Document) {
	w.codes.AddDocument(uint32(len(w.table.ids)), d)
	w.names = append(w.names, labelled(d))
	w.facts.add(d.Effective, d.Kind, d.Source)
}

// NextPassage is the number that the next passage gets.
func (w *Writer) NextPassage() uint32 { return uint32(w.manifest.Passages) }

// AddVector of a passage, of unit length; passages ascend.
func (w *Writer) AddVector(passage uint32, v []float32) error {
	if w.manifest.Vectors > 0 && passage <= w.vectored {
		return fmt.Errorf("the vector of passage %d comes after that of passage %d", passage, w.vectored)
	}
	w.vectored = passage
	if w.copy == nil {
		f, err := os.CreateTemp(w.dir, copyPrefix)
		if err != nil {
			return err
		}
		w.copy, w.rows = f, bufio.NewWriterSize(f, 1<<20)
	}
	w.manifest.Vectors++
	if _, err := w.rows.Write(dense.Bytes(v)); err != nil {
		return err
	}
	return w.vectors.Add(passage, v)
}

// copyPrefix of the file that holds the vectors while dense blocks are made.
const copyPrefix = "vectors-"

// denseSegment makes what dense search scans. The vectors are read from the
// copy, mapped, so that they need not all be in memory.
func (w *Writer) denseSegment(ctx context.Context) (err error) {
	if w.copy == nil {
		return nil
	}
	path := w.copy.Name()
	defer func() {
		err = errors.Join(err, w.copy.Close(), os.Remove(path))
		w.copy = nil
	}()
	if err := w.rows.Flush(); err != nil {
		return err
	}
	dim := w.manifest.Embedder.Dimension
	rows, err := unix.Mmap(int(w.copy.Fd()), 0, 4*dim*w.manifest.Vectors, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(rows)) }()
	s, err := dense.Build(ctx, dim, w.manifest.Vectors, func(r int) []float32 { return floats(rows[4*dim*r:], dim) }, dense.BuildOptions{})
	if err != nil {
		return err
	}
	return w.denseBlocks(s, &w.manifest.DenseBlocks)
}

// syncAhead begins to sync what was put so far: the disk has time for it while the
// processors make postings and dense blocks.
func (w *Writer) syncAhead() error {
	if err := w.flush(); err != nil {
		return err
	}
	done := make(chan error, 1)
	w.syncing = done
	go func() {
		done <- func() (err error) {
			defer guard(&err, func() string { return w.dir })
			return w.db.Sync()
		}()
	}()
	return nil
}

// synced waits for what syncAhead began.
func (w *Writer) synced() error {
	if w.syncing == nil {
		return nil
	}
	err := <-w.syncing
	w.syncing = nil
	return err
}

// Seal writes postings and vectors, syncs every file, hashes it into the
// manifest, and puts the folder in place. It does not make it current.
func (w *Writer) Seal(ctx context.Context) (Info, error) {
	if err := errors.Join(w.passages.flush(), w.vectors.Flush()); err != nil {
		return Info{}, err
	}
	if w.manifest.Vectors == 0 {
		w.manifest.Embedder = EmbedderInfo{}
	}
	if err := w.syncAhead(); err != nil {
		return Info{}, err
	}
	if err := w.denseSegment(ctx); err != nil {
		return Info{}, err
	}
	if err := w.analysis(); err != nil {
		return Info{}, err
	}
	if err := w.lexicalBlobs(ctx, w.lexical, &w.manifest.LexicalBlobs); err != nil {
		return Info{}, err
	}
	if err := errors.Join(w.put(key(kindTable, ""), w.table.encode()), w.put(key(kindFacts, ""), w.facts.encode())); err != nil {
		return Info{}, err
	}
	if err := errors.Join(w.codeBlobs(&w.codes, &w.manifest.CodeBlobs), w.nameBlobs(w.names, &w.manifest.NameBlobs)); err != nil {
		return Info{}, err
	}
	if err := w.flush(); err != nil {
		return Info{}, err
	}
	if err := w.synced(); err != nil {
		return Info{}, err
	}
	w.batch.Cancel()
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
	sums := make([]fileSum, len(entries))
	var each errgroup.Group
	each.SetLimit(runtime.GOMAXPROCS(0))
	for i, e := range entries {
		if unsealed(e.Name()) {
			continue
		}
		each.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				sums[i], err = sumFile(filepath.Join(w.dir, e.Name()), true, nil)
			}
			return err
		})
	}
	if err := each.Wait(); err != nil {
		return Info{}, err
	}
	for _, s := range sums {
		if s.Name != "" {
			w.manifest.Files = append(w.manifest.Files, s)
			w.manifest.Bytes += s.Size
		}
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

// SetSame says that nothing changed beside the parent and its updates.
func (w *Writer) SetSame() { w.manifest.Same = true }

// Abandon removes what was built; after Seal it does nothing.
func (w *Writer) Abandon() error {
	_ = w.analysis()
	if !w.closed {
		w.closed = true
		_, _ = w.wait(), w.synced()
		w.batch.Cancel()
		_ = w.db.Close() // it is thrown away
		if w.copy != nil {
			_ = w.copy.Close()
		}
	}
	return os.RemoveAll(w.dir)
}
