package bundle

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Document to publish. What is in the parts is the business of whoever reads
// them, one after another; a part that stays the same does not travel again.
type Document struct {
	ID    string
	Parts [][]byte
}

const (
	packRaw     = 192 << 10 // a pack is closed when its objects reach this
	vectorsRaw  = 64 << 10  // one of vectors, which don't become smaller by compression
	maxPart     = 64 << 10  // longer parts are cut
	pageMean    = 16        // documents on a page
	pageMost    = 64
	rewriteLive = 3    // a pack of which less than a third is in use is written anew
	maxHoles    = 2048 // after which the table of packs is written anew
)

// Built is a tree of documents and the packs that it needs and prev had not.
type Built struct {
	Documents *Documents
	New       map[Hash][]byte
	// Put and Same count documents given; Removed those of prev that are gone.
	Put, Same, Removed int
}

type builder struct {
	d      *Documents
	new    map[Hash][]byte
	parts  map[Hash]Ref // by content, in packs that stay
	open   [][]byte
	size   int
	opened uint32 // its index, while open
	most   int    // bytes of a pack
}

// Build makes the tree of prev's documents (unless replace), without those of
// remove, with those of put. A later document of the same id replaces an earlier.
func Build(prev *Set, put iter.Seq2[Document, error], remove []string, replace bool) (*Built, error) {
	return build(prev, put, remove, replace, packRaw)
}

// BuildVectors is Build for the rows of documents.
func BuildVectors(prev *Set, put iter.Seq2[Document, error], remove []string) (*Built, error) {
	return build(prev, put, remove, false, vectorsRaw)
}

func build(prev *Set, put iter.Seq2[Document, error], remove []string, replace bool, most int) (*Built, error) {
	type doc struct {
		parts []Ref // with a hash alone where content is set
		bytes [][]byte
		item  *Ref // as it was
	}
	docs := map[string]*doc{}
	out := &Built{}
	if prev != nil {
		prev.limit = cacheCentre
	}
	if prev != nil && prev.Manifest.Documents != nil {
		for _, p := range prev.Manifest.Documents.Pages {
			es, err := prev.page(p)
			if err != nil {
				return nil, err
			}
			for _, e := range es {
				parts, err := prev.item(e.item)
				if err != nil {
					return nil, err
				}
				docs[e.id] = &doc{parts: parts, item: &e.item}
			}
		}
	}
	before := maps.Clone(docs)
	if replace {
		clear(docs)
	}
	for d, err := range put {
		if err != nil {
			return nil, err
		}
		if d.ID == "" || len(d.ID) > MaxID {
			return nil, fmt.Errorf("a document's id has 1 to %d bytes; %.40q has %d", MaxID, d.ID, len(d.ID))
		}
		n := &doc{}
		for _, p := range d.Parts {
			for len(p) > 0 {
				k := min(len(p), maxPart)
				n.parts, n.bytes = append(n.parts, Ref{Hash: HashOf(p[:k])}), append(n.bytes, p[:k])
				p = p[k:]
			}
		}
		if old := before[d.ID]; old != nil && itemHash(old.parts) == itemHash(n.parts) {
			docs[d.ID] = old
			out.Same++
		} else {
			docs[d.ID] = n
			out.Put++
		}
	}
	for _, id := range remove {
		delete(docs, id)
	}
	for id := range before {
		if docs[id] == nil {
			out.Removed++
		}
	}

	// Packs that stay, and the parts that are had in them.
	b := &builder{d: &Documents{Count: len(docs)}, new: map[Hash][]byte{}, parts: map[Hash]Ref{}, most: most}
	stays, at := map[uint32]bool{}, map[uint32]uint32{}
	if prev != nil && prev.Manifest.Documents != nil {
		var err error
		used, wanted := map[Ref]bool{}, map[Hash]bool{}
		for _, d := range docs {
			for _, r := range d.parts {
				if d.item != nil {
					used[r] = true
				} else {
					wanted[r.Hash] = true
				}
			}
		}
		for _, d := range before {
			for _, r := range d.parts {
				if wanted[r.Hash] {
					used[r] = true // of an older text of a document, say
				}
			}
		}
		if stays, err = staying(prev, used); err != nil {
			return nil, err
		}
		table := prev.Manifest.Documents.Packs
		holes := len(table) - len(stays)
		for i, p := range table {
			switch {
			case stays[uint32(i)]:
				at[uint32(i)] = uint32(len(b.d.Packs))
				b.d.Packs = append(b.d.Packs, p)
			case holes <= maxHoles:
				b.d.Packs = append(b.d.Packs, Pack{})
			}
		}
		for r := range used {
			if stays[r.Pack] {
				b.parts[r.Hash] = Ref{r.Hash, at[r.Pack], r.Index}
			}
		}
	}
	ids := slices.Sorted(maps.Keys(docs))
	for _, id := range ids {
		d := docs[id]
		for i, r := range d.parts {
			if have, ok := b.parts[r.Hash]; ok {
				d.parts[i] = have
				continue
			}
			var content []byte
			if d.bytes != nil {
				content = d.bytes[i]
			} else {
				var err error
				if content, err = prev.object(r); err != nil {
					return nil, err
				}
			}
			ref := b.add(r.Hash, bytes.Clone(content))
			b.parts[r.Hash], d.parts[i] = ref, ref
		}
		d.bytes = nil
	}
	b.flush() // what lists documents lies apart from what is in them
	items := map[string]Ref{}
	for _, id := range ids {
		d := docs[id]
		enc := encodeItem(d.parts)
		if d.item != nil && stays[d.item.Pack] {
			if old, err := prev.object(*d.item); err == nil && bytes.Equal(old, enc) {
				items[id] = Ref{d.item.Hash, at[d.item.Pack], d.item.Index}
				continue
			}
		}
		items[id] = b.add(itemHash(d.parts), enc)
	}
	old := map[Hash]Ref{}
	if prev != nil && prev.Manifest.Documents != nil {
		for _, p := range prev.Manifest.Documents.Pages {
			if stays[p.Pack] {
				old[p.Hash] = p
			}
		}
	}
	var page []entry
	for i, id := range ids {
		page = append(page, entry{id, items[id]})
		if h := HashOf([]byte(id)); int(h[0])%pageMean != 0 && len(page) < pageMost && i < len(ids)-1 {
			continue
		}
		enc := encodePage(page)
		if r, ok := old[pageHash(page)]; ok {
			if was, err := prev.object(r); err == nil && bytes.Equal(was, enc) {
				b.d.Pages = append(b.d.Pages, Ref{r.Hash, at[r.Pack], r.Index})
				page = nil
				continue
			}
		}
		b.d.Pages = append(b.d.Pages, b.add(pageHash(page), enc))
		page = nil
	}
	b.flush()
	b.dropUnused(items)
	out.Documents, out.New = b.d, b.new
	return out, nil
}

// staying are the packs of prev of which a third or more is in use.
func staying(prev *Set, used map[Ref]bool) (map[uint32]bool, error) {
	d := prev.Manifest.Documents
	for _, p := range d.Pages {
		used[p] = true
		es, err := prev.page(p)
		if err != nil {
			return nil, err
		}
		for _, e := range es {
			used[e.item] = true
		}
	}
	live := map[uint32]int{}
	inOrder := slices.SortedFunc(maps.Keys(used), func(a, b Ref) int { return cmp.Compare(a.Pack, b.Pack) })
	for _, r := range inOrder {
		o, err := prev.object(r)
		if err != nil {
			return nil, err
		}
		live[r.Pack] += len(o)
	}
	// What lists documents is not content: it is not for builder.parts.
	for _, p := range d.Pages {
		es, err := prev.page(p)
		if err != nil {
			return nil, err
		}
		delete(used, p)
		for _, e := range es {
			delete(used, e.item)
		}
	}
	stays := map[uint32]bool{}
	for i, p := range d.Packs {
		if p.Size > 0 && live[uint32(i)]*rewriteLive >= p.Raw {
			stays[uint32(i)] = true
		}
	}
	return stays, nil
}

func (b *builder) add(h Hash, content []byte) Ref {
	if b.size > 0 && b.size+len(content) > b.most {
		b.flush()
	}
	if len(b.open) == 0 {
		b.opened = uint32(len(b.d.Packs))
		b.d.Packs = append(b.d.Packs, Pack{})
	}
	b.open = append(b.open, content)
	b.size += len(content) + 3
	return Ref{h, b.opened, uint32(len(b.open) - 1)}
}

func (b *builder) flush() {
	if len(b.open) == 0 {
		return
	}
	p, stored := encodePack(b.open)
	b.d.Packs[b.opened] = p
	b.new[p.Hash] = stored
	b.open, b.size = nil, 0
}

// dropUnused makes holes of packs that nothing refers to any more, such as one
// whose every page and item was written anew.
func (b *builder) dropUnused(items map[string]Ref) {
	used := map[uint32]bool{}
	for _, r := range b.parts {
		used[r.Pack] = true
	}
	for _, r := range items {
		used[r.Pack] = true
	}
	for _, r := range b.d.Pages {
		used[r.Pack] = true
	}
	for i := range b.d.Packs {
		if !used[uint32(i)] {
			b.d.Packs[i] = Pack{}
		}
	}
	for len(b.d.Packs) > 0 && b.d.Packs[len(b.d.Packs)-1].Size == 0 {
		b.d.Packs = b.d.Packs[:len(b.d.Packs)-1]
	}
}
