package generation

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"rxedge/index/codes"
	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
	"rxedge/index/names"
)

// unitInfo is what a unit holds: the base of a generation, or a live update.
type unitInfo struct {
	Documents     int    `json:"documents"`
	Sections      int    `json:"sections"`
	Passages      int    `json:"passages"`
	Vectors       int    `json:"vectors"`
	Cut           string `json:"cut"`
	LexicalBlobs  int    `json:"lexical_blobs"`
	PassageBlocks int    `json:"passage_blocks"`
	VectorBlocks  int    `json:"vector_blocks"`
	DenseBlocks   int    `json:"dense_blocks"`
	CodeBlobs     int    `json:"code_blobs"`
	NameBlobs     int    `json:"name_blobs"`
}

// updateInfo is what a live update's own record says.
type updateInfo struct {
	unitInfo
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	// Removed documents, by id, beside those that it replaces.
	Removed []string `json:"removed,omitempty"`
	// Dead says that it withdrew passages of the base, and holds all of those
	// that were withdrawn so far.
	Dead bool `json:"dead"`
}

// unit is loaded: what is searched is in memory or mapped.
type unit struct {
	space
	number int
	info   unitInfo
	// update is nil of the base.
	update   *updateInfo
	first    uint32 // number of its first passage in the generation
	table    *table
	codes    *codes.Index                  // by the place of a document in the table
	names    *names.Segment                // likewise
	facts    []atomic.Pointer[Facts]       // by document; nil: not read yet
	about    atomic.Pointer[documentFacts] // nil: not read yet
	passages passages
	lexical  *lexical.Segment
	dense    *dense.Segment // nil where there are no vectors
	vectors  *vectors
}

// load reads what is searched. Large blocks that have checksums of their own
// are left unread: Verify reads them.
func (u *unit) load(dim int) error {
	body, err := u.get(key(kindTable, ""))
	if err != nil {
		return missing(err, u.key(key(kindTable, "")))
	}
	if u.table, err = readTable(body, u.info.Passages); err != nil {
		return damaged(describe(u.key(key(kindTable, ""))), err.Error())
	}
	if len(u.table.ids) != u.info.Documents {
		return damaged(describe(u.key(key(kindTable, ""))), fmt.Sprintf("it has %d documents instead of %d", len(u.table.ids), u.info.Documents))
	}
	u.facts = make([]atomic.Pointer[Facts], len(u.table.ids))
	found := make([][]byte, u.info.CodeBlobs)
	for i := range found {
		if found[i], err = u.blob(numberKey(kindCodesOf, i), true); err != nil {
			return err
		}
	}
	learned := make([][]byte, u.info.NameBlobs)
	for i := range learned {
		if learned[i], err = u.blob(numberKey(kindLearned, i), true); err != nil {
			return err
		}
	}
	if u.names, err = names.LoadSegment(learned); err != nil {
		return damaged(u.named("names"), err.Error())
	}
	if n := u.names.Documents(); n != u.info.Documents {
		return damaged(u.named("names"), fmt.Sprintf("they are of %d documents instead of %d", n, u.info.Documents))
	}
	if u.codes, err = codes.Load(found); err != nil {
		return damaged(u.named("codes"), err.Error())
	}
	blobs := make([][]byte, u.info.LexicalBlobs)
	for i := range blobs {
		if blobs[i], err = u.blob(numberKey(kindLexical, i), true); err != nil {
			return err
		}
	}
	if u.lexical, err = lexical.OpenSegment(blobs); err != nil {
		return damaged(u.named("postings"), err.Error())
	}
	if n := u.lexical.Passages(); n != u.info.Passages {
		return damaged(u.named("postings"), fmt.Sprintf("they are of %d passages instead of %d", n, u.info.Passages))
	}
	for i := range u.info.PassageBlocks {
		k := numberKey(kindPassages, i)
		block, err := u.blob(k, false)
		if err == nil {
			if err = u.passages.add(block); err != nil {
				err = damaged(describe(u.key(k)), err.Error())
			}
		}
		if err != nil {
			return err
		}
	}
	if u.passages.n != u.info.Passages {
		return damaged(u.named("passage blocks"), fmt.Sprintf("they have %d passages instead of %d", u.passages.n, u.info.Passages))
	}
	if u.info.Vectors == 0 {
		return nil
	}
	u.vectors = &vectors{dim: dim}
	for i := range u.info.VectorBlocks {
		k := numberKey(kindVectors, i)
		block, err := u.blob(k, false)
		if err == nil {
			if err = u.vectors.add(block); err != nil {
				err = damaged(describe(u.key(k)), err.Error())
			}
		}
		if err != nil {
			return err
		}
	}
	blocks := make([][]byte, u.info.DenseBlocks)
	for i := range blocks {
		if blocks[i], err = u.blob(numberKey(kindCodes, i), false); err != nil {
			return err
		}
	}
	if u.dense, err = dense.Load(blocks); err != nil {
		return damaged(u.named("dense blocks"), err.Error())
	}
	if u.dense.Len() != u.info.Vectors || u.vectors.rows != u.info.Vectors || u.dense.Dimension() != dim {
		return damaged(u.named("dense blocks"), fmt.Sprintf("they are of %d vectors, and there are %d, where %d are said", u.dense.Len(), u.vectors.rows, u.info.Vectors))
	}
	return nil
}

func (u *unit) named(what string) string {
	if u.number > 0 {
		return fmt.Sprintf("update %d, %s", u.number, what)
	}
	return what
}

// document of the unit, whole, or ErrNotFound.
func (u *unit) document(id string) (*document.Document, error) {
	var h Header
	if err := u.read(key(kindDocument, id), &h); err != nil {
		return nil, err
	}
	return u.whole(h)
}

func (s space) whole(h Header) (*document.Document, error) {
	d := h.Document
	d.Sections = make([]document.Section, h.Count)
	for i := range d.Sections {
		var err error
		if d.Sections[i], err = s.mustSectionAt(sectionKey(h.ID, i)); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

// section by id or alias: its document's header, itself and its number, or
// ErrNotFound.
func (u *unit) section(id string) (h Header, s document.Section, n int, err error) {
	var p place
	if err := u.read(lookupKey(id), &p); err != nil {
		return h, s, 0, err
	}
	if p.ID != id {
		return h, s, 0, ErrNotFound
	}
	if err = u.must(key(kindDocument, p.Document), &h); err == nil {
		s, err = u.mustSectionAt(sectionKey(p.Document, p.Section))
	}
	return h, s, p.Section, err
}

// passage of the unit by its number there.
func (u *unit) passage(n uint32) (Passage, error) {
	p, err := u.passages.read(int(n), int(n))
	return p, u.ofUpdate(n, err)
}

// peek is what of a passage is searched by words, as it lies.
func (u *unit) peek(n uint32) (lexical.Passage, error) {
	body, err := u.passages.body(int(n), int(n))
	var p lexical.Passage
	if err == nil {
		if p, err = peekPassage(body); err != nil {
			err = damaged(describe(numberKey(kindPassage, int(n))), err.Error())
		}
	}
	return p, u.ofUpdate(n, err)
}

// ofUpdate names the update in an error about a passage.
func (u *unit) ofUpdate(n uint32, err error) error {
	var d *DamageError
	if errors.As(err, &d) && u.number > 0 {
		err = damaged(describe(u.key(numberKey(kindPassage, int(n)))), d.What)
	}
	return err
}

// Facts of a document that a hit shows.
type Facts struct {
	ID, Version, Title, Effective, Notice string
}

// factsOf a document of the unit by its place in the table. They are kept: a
// search asks for the same few again and again.
func (u *unit) factsOf(i int) (*Facts, error) {
	if f := u.facts[i].Load(); f != nil {
		return f, nil
	}
	var h Header
	if err := u.must(key(kindDocument, u.table.ids[i]), &h); err != nil {
		return nil, err
	}
	f := &Facts{h.ID, h.Version, h.Title, h.Effective, h.Notice}
	u.facts[i].Store(f)
	return f, nil
}

// withdrawn passages of the base, as they are after this update.
func (u *unit) withdrawn(base *lexical.Segment) (*lexical.Dead, error) {
	k := key(kindDead, "")
	body, err := u.get(k)
	if err != nil {
		return nil, missing(err, u.key(k))
	}
	d, err := lexical.ReadDead(body, base)
	if err != nil {
		return nil, damaged(describe(u.key(k)), err.Error())
	}
	return d, nil
}
