package central

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"rxedge/sync/bundle"
)

// Embedding makes vectors of a release's documents.
type Embedding struct {
	Name      string // of the embedder
	Embedder  bundle.Hash
	Dimension int
	// Make gives the rows of a document's passages (bundle.Vectors). before are rows
	// of what it was before, or nil; what is among them need not be made.
	Make func(id string, content, before []byte) ([]byte, error)
	// Progress is told how many documents of total are done; nil: nobody is.
	Progress func(done, total int)

	made map[bundle.Hash][]byte // by the hash of a document's content
}

// ahead makes the vectors of what is to be published before the folder is taken, for
// it takes minutes, and enrolments wait meanwhile. What another command publishes at
// the same time is made when it is found missing.
func (f *Folder) ahead(rel *Release) error {
	if rel.Vectors == nil {
		return nil
	}
	if _, err := f.signingKey("tuf/keys/targets"); err != nil {
		return err
	}
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	prev, err := f.latestToBuildOn(rel.Channel)
	unlock()
	if err != nil {
		return err
	}
	var before *bundle.Set
	if prev != nil {
		before = bundle.OpenSet(prev, packs{f})
	}
	built, err := bundle.Build(before, rel.documents(nil), rel.Withdraw, rel.Replace)
	if err != nil {
		return err
	}
	_, _, err = f.vectors(rel, prev, before, built)
	return err
}

func (f *Folder) latestToBuildOn(channel string) (*bundle.Manifest, error) {
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	t, err := f.trail()
	if err != nil {
		return nil, err
	}
	return f.latest(r, channel, func(n int64) bool { return !t.rolls.aborted(channel, n) })
}

// fresh is a store of packs that are not written yet, before those that are.
type fresh struct {
	new   map[bundle.Hash][]byte
	store packs
}

// Pack implements bundle.Store.
func (s fresh) Pack(h bundle.Hash) ([]byte, error) {
	if b, ok := s.new[h]; ok {
		return b, nil
	}
	return s.store.Pack(h)
}

// vectors of the documents that were built: those of before for what has not changed,
// of each embedder, and those that rel makes. new are the packs that they need.
func (f *Folder) vectors(rel *Release, prev *bundle.Manifest, before *bundle.Set, built *bundle.Built) (out []bundle.Vectors, new map[bundle.Hash][]byte, err error) {
	now := bundle.OpenSet(&bundle.Manifest{Documents: built.Documents}, fresh{built.New, packs{f}})
	ch, err := now.Compare(before)
	if err != nil {
		return nil, nil, err
	}
	new = map[bundle.Hash][]byte{}
	add := func(v bundle.Vectors, of *Embedding) error {
		v, more, err := f.vectorsOf(v, of, now, ch)
		if err != nil {
			return fmt.Errorf("the vectors of %s: %w", v.Name, err)
		}
		if v.Count > 0 {
			out = append(out, v)
		}
		maps.Copy(new, more)
		return nil
	}
	found := rel.Vectors == nil
	if prev != nil && !rel.DropVectors {
		for _, v := range prev.Vectors {
			var of *Embedding
			if rel.Vectors != nil && rel.Vectors.Embedder == v.Embedder {
				of, found = rel.Vectors, true
				if of.Dimension != v.Dimension {
					return nil, nil, fmt.Errorf("the embedder %s gives vectors of %d dimensions, and those that are published have %d", of.Name, of.Dimension, v.Dimension)
				}
			}
			if err := add(v, of); err != nil {
				return nil, nil, err
			}
		}
	}
	if !found {
		e := rel.Vectors
		if err := add(bundle.Vectors{Name: e.Name, Embedder: e.Embedder, Dimension: e.Dimension}, e); err != nil {
			return nil, nil, err
		}
	}
	return out, new, nil
}

// vectorsOf one embedder: those of what has changed go, and where of makes them, all
// that is missing comes.
func (f *Folder) vectorsOf(v bundle.Vectors, of *Embedding, now *bundle.Set, ch *bundle.Changes) (bundle.Vectors, map[bundle.Hash][]byte, error) {
	var old *bundle.Set
	had, changed := map[string]bool{}, map[string]bool{}
	was := &bundle.Changes{}
	if v.Documents != nil {
		old = v.Set(packs{f})
		var err error
		if was, err = old.Compare(nil); err != nil {
			return v, nil, err
		}
	}
	for _, id := range was.Put {
		had[id] = true
	}
	count := func(id string, b []byte, sign int) error {
		n, err := v.Rows(b, nil)
		if err != nil {
			return fmt.Errorf("document %.80q: %w", id, err)
		}
		v.Count += sign * n
		return nil
	}
	var remove []string
	for _, id := range slices.Concat(ch.Put, ch.Removed) {
		changed[id] = true
		if !had[id] {
			continue
		}
		b, err := was.Content(id)
		if err == nil {
			err = count(id, b, -1)
		}
		if err != nil {
			return v, nil, err
		}
		remove = append(remove, id)
	}
	if of != nil { // what has changed is put, which takes the place of what was
		remove = slices.DeleteFunc(remove, func(id string) bool { return slices.Contains(ch.Put, id) })
	} else if len(remove) == 0 {
		return v, nil, nil
	}
	stopped := errors.New("stopped")
	put := func(yield func(bundle.Document, error) bool) {
		if of == nil {
			return
		}
		done, total := 0, now.Manifest.Documents.Count
		err := now.Each(func(id string, content func() ([]byte, error)) error {
			if done++; of.Progress != nil {
				of.Progress(done, total)
			}
			if had[id] && !changed[id] {
				return nil
			}
			b, err := content()
			if err != nil {
				return err
			}
			var before []byte
			if had[id] {
				if before, err = was.Content(id); err != nil {
					return err
				}
			}
			made, err := of.rows(id, b, before)
			if err == nil {
				err = count(id, made, 1)
			}
			if err == nil && !yield(bundle.Document{ID: id, Parts: [][]byte{made}}, nil) {
				err = stopped
			}
			return err
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(bundle.Document{}, err)
		}
	}
	built, err := bundle.BuildVectors(old, put, remove)
	if err != nil {
		return v, nil, err
	}
	v.Documents = built.Documents
	return v, built.New, nil
}

func (e *Embedding) rows(id string, content, before []byte) ([]byte, error) {
	h := bundle.HashOf(content)
	if b, ok := e.made[h]; ok {
		return b, nil
	}
	b, err := e.Make(id, content, before)
	if err != nil {
		return nil, err
	}
	if e.made == nil {
		e.made = map[bundle.Hash][]byte{}
	}
	e.made[h] = b
	return b, nil
}
