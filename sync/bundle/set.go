package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Store has packs by their hash.
type Store interface {
	// Pack returns the bytes as they travel; the caller checks the hash. The
	// error is ErrNotFound where it is not there.
	Pack(h Hash) ([]byte, error)
}

// Set reads the documents of a manifest out of packs. Not safe for concurrent
// use.
type Set struct {
	Manifest *Manifest
	store    Store
	cache    map[uint32][][]byte
	order    []uint32 // of the cache, the oldest first
	held     int      // bytes in it
	limit    int
}

// Bytes of decoded packs that a Set holds: at a site, and at the centre, which
// builds.
const (
	cacheSite   = 12 << 20
	cacheCentre = 512 << 20
)

// OpenSet reads m from store.
func OpenSet(m *Manifest, store Store) *Set {
	return &Set{Manifest: m, store: store, cache: map[uint32][][]byte{}, limit: cacheSite}
}

func (s *Set) object(r Ref) ([]byte, error) {
	d := s.Manifest.Documents
	if d == nil || int(r.Pack) >= len(d.Packs) || d.Packs[r.Pack].Size == 0 {
		return nil, refuse(BadContent, nil, "it refers to a pack that it does not have")
	}
	objects, ok := s.cache[r.Pack]
	if !ok {
		p := d.Packs[r.Pack]
		b, err := s.store.Pack(p.Hash)
		if err != nil {
			return nil, fmt.Errorf("pack %.12s…: %w", p.Hash, err)
		}
		if len(b) != p.Size || HashOf(b) != p.Hash {
			return nil, refuse(TamperedChunk, nil, "pack %.12s… is damaged", p.Hash)
		}
		if objects, err = decodePack(p, b); err != nil {
			return nil, refuse(BadContent, err, "pack %.12s… is whole and can't be opened", p.Hash)
		}
		for s.held += p.Raw; s.held > s.limit && len(s.order) > 0; s.order = s.order[1:] {
			s.held -= d.Packs[s.order[0]].Raw
			delete(s.cache, s.order[0])
		}
		s.cache[r.Pack], s.order = objects, append(s.order, r.Pack)
	}
	if int(r.Index) >= len(objects) {
		return nil, refuse(BadContent, nil, "it refers to an object that its pack does not have")
	}
	return objects[r.Index], nil
}

func (s *Set) page(r Ref) ([]entry, error) {
	b, err := s.object(r)
	if err != nil {
		return nil, err
	}
	es, err := decodePage(b)
	if err != nil || pageHash(es) != r.Hash {
		return nil, refuse(BadContent, err, "a page of its documents can't be read")
	}
	return es, nil
}

func (s *Set) item(r Ref) ([]Ref, error) {
	b, err := s.object(r)
	if err != nil {
		return nil, err
	}
	parts, err := decodeItem(b)
	if err != nil || itemHash(parts) != r.Hash {
		return nil, refuse(BadContent, err, "the parts of a document can't be read")
	}
	return parts, nil
}

// MaxDocument is the most bytes of one document.
const MaxDocument = 64 << 20

// content of a document: its parts, one after another.
func (s *Set) content(item Ref) ([]byte, error) {
	parts, err := s.item(item)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, p := range parts {
		b, err := s.object(p)
		if err != nil {
			return nil, err
		}
		if HashOf(b) != p.Hash {
			return nil, refuse(BadContent, nil, "a part of a document is another than its reference says")
		}
		if len(out)+len(b) > MaxDocument {
			return nil, refuse(TooLarge, nil, "a document of more than %d bytes", MaxDocument)
		}
		out = append(out, b...)
	}
	return out, nil
}

func pageHash(es []entry) Hash {
	h := sha256.New()
	h.Write([]byte("page\n"))
	for _, e := range es {
		fmt.Fprintf(h, "%d\n%s", len(e.id), e.id)
		h.Write(e.item.Hash[:])
	}
	return Hash(h.Sum(nil))
}

func itemHash(parts []Ref) Hash {
	h := sha256.New()
	h.Write([]byte("item\n"))
	for _, p := range parts {
		h.Write(p.Hash[:])
	}
	return Hash(h.Sum(nil))
}

// Each calls f for every document in order of their ids. content reads it.
func (s *Set) Each(f func(id string, content func() ([]byte, error)) error) error {
	if s == nil || s.Manifest.Documents == nil {
		return nil
	}
	n := 0
	for _, p := range s.Manifest.Documents.Pages {
		es, err := s.page(p)
		if err != nil {
			return err
		}
		for _, e := range es {
			if n++; n > s.Manifest.Documents.Count {
				return refuse(BadContent, nil, "it has more documents than it says")
			}
			if err := f(e.id, func() ([]byte, error) { return s.content(e.item) }); err != nil {
				return err
			}
		}
	}
	if n != s.Manifest.Documents.Count {
		return refuse(BadContent, nil, "it has %d documents and says %d", n, s.Manifest.Documents.Count)
	}
	return nil
}

// Changes between two sets.
type Changes struct {
	Put     []string // ids that are new or have another content, in order
	Removed []string // ids that were there and are not any more
	set     *Set
	items   map[string]Ref
}

// Content of one of Put.
func (c *Changes) Content(id string) ([]byte, error) {
	r, ok := c.items[id]
	if !ok {
		return nil, errors.New("not one of the changes")
	}
	return c.set.content(r)
}

// Compare finds what a site that has old, which may be nil, has to change to
// have s. Only pages that differ are read.
func (s *Set) Compare(old *Set) (*Changes, error) {
	c := &Changes{set: s, items: map[string]Ref{}}
	pages := func(t *Set) map[Hash]bool {
		m := map[Hash]bool{}
		if t != nil && t.Manifest.Documents != nil {
			for _, p := range t.Manifest.Documents.Pages {
				m[p.Hash] = true
			}
		}
		return m
	}
	entries := func(t *Set, but map[Hash]bool) ([]entry, error) {
		var out []entry
		if t == nil || t.Manifest.Documents == nil {
			return nil, nil
		}
		for _, p := range t.Manifest.Documents.Pages {
			if !but[p.Hash] {
				es, err := t.page(p)
				if err != nil {
					return nil, err
				}
				out = append(out, es...)
			}
		}
		return out, nil
	}
	before, err := entries(old, pages(s))
	if err != nil {
		return nil, fmt.Errorf("reading what was there before: %w", err)
	}
	after, err := entries(s, pages(old))
	if err != nil {
		return nil, err
	}
	had := map[string]Hash{}
	for _, e := range before {
		had[e.id] = e.item.Hash
	}
	for _, e := range after {
		if h, ok := had[e.id]; !ok || h != e.item.Hash {
			c.Put = append(c.Put, e.id)
			c.items[e.id] = e.item
		}
		delete(had, e.id)
	}
	for _, e := range before {
		if _, ok := had[e.id]; ok {
			c.Removed = append(c.Removed, e.id)
			delete(had, e.id)
		}
	}
	return c, nil
}

// Check reads the whole set: every page, item and part.
func (s *Set) Check() error {
	last := ""
	return s.Each(func(id string, content func() ([]byte, error)) error {
		if last != "" && id <= last {
			return refuse(BadContent, nil, "its documents are not in order")
		}
		last = id
		_, err := content()
		return err
	})
}
