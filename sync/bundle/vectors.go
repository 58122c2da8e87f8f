package bundle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// Vectors are those of the documents' passages, made at the centre with one embedder,
// so that sites with the same one need not make them. They are a tree of their own
// beside the documents, by the same ids, and a site with another embedder fetches
// nothing of it. What belongs to a document is rows:
//
//	the first 16 bytes of the SHA-256 of what was embedded | a float16 for each dimension, little-endian
type Vectors struct {
	Name      string     `json:"name"` // of the embedder, for people
	Embedder  Hash       `json:"embedder"`
	Dimension int        `json:"dimension"`
	Count     int        `json:"count"` // of rows
	Documents *Documents `json:"documents"`
}

const (
	maxEmbedders = 4
	maxDimension = 8192
	// TextHashSize is how much of a text's SHA-256 a row begins with.
	TextHashSize = 16
)

// RowSize in bytes.
func (v *Vectors) RowSize() int { return TextHashSize + 2*v.Dimension }

// Set reads them from store.
func (v *Vectors) Set(store Store) *Set {
	return OpenSet(&Manifest{Documents: v.Documents}, store)
}

// VectorsOf the embedder; nil: the bundle has none of it.
func (m *Manifest) VectorsOf(embedder Hash) *Vectors {
	for i := range m.Vectors {
		if m.Vectors[i].Embedder == embedder {
			return &m.Vectors[i]
		}
	}
	return nil
}

// Packs of the documents and of all vectors, holes left out.
func (m *Manifest) Packs() iter.Seq[Pack] {
	return func(yield func(Pack) bool) {
		trees := []*Documents{m.Documents}
		for _, v := range m.Vectors {
			trees = append(trees, v.Documents)
		}
		for _, d := range trees {
			if d == nil {
				continue
			}
			for _, p := range d.Packs {
				if p.Size > 0 && !yield(p) {
					return
				}
			}
		}
	}
}

func (m *Manifest) checkVectors() error {
	seen := map[Hash]bool{}
	if len(m.Vectors) > maxEmbedders {
		return errors.New("vectors of too many embedders")
	}
	for _, v := range m.Vectors {
		switch {
		case !validName().MatchString(v.Name):
			return errors.New("name of an embedder")
		case v.Dimension < 1 || v.Dimension > maxDimension || v.Count < 0 || v.Documents == nil || seen[v.Embedder]:
			return errors.New("vectors")
		}
		if err := v.Documents.check(); err != nil {
			return fmt.Errorf("vectors: %w", err)
		}
		seen[v.Embedder] = true
	}
	return nil
}

// Check reads all rows: whole ones, as many as it says, of finite numbers that are
// not all zero.
func (v *Vectors) Check(store Store) error {
	n := 0
	s := v.Set(store)
	if err := s.Check(); err != nil {
		return err
	}
	err := s.Each(func(id string, content func() ([]byte, error)) error {
		b, err := content()
		if err != nil {
			return err
		}
		k, err := v.Rows(b, nil)
		if err != nil {
			return refuse(BadVectors, err, "the vectors of %.80q: %v", id, err)
		}
		n += k
		return nil
	})
	if err == nil && n != v.Count {
		err = refuse(BadVectors, nil, "it has %d vectors and says %d", n, v.Count)
	}
	return err
}

// Rows calls f, where there is one, for each row of a document, and says how many
// there are. What it is given is not to be kept.
func (v *Vectors) Rows(b []byte, f func(text [TextHashSize]byte, halves []uint16)) (int, error) {
	size := v.RowSize()
	if len(b)%size != 0 {
		return 0, fmt.Errorf("%d bytes are no rows of %d", len(b), size)
	}
	halves := make([]uint16, v.Dimension)
	for at := 0; at < len(b); at += size {
		row, zero := b[at+TextHashSize:at+size], true
		for i := range halves {
			h := binary.LittleEndian.Uint16(row[2*i:])
			if h&0x7c00 == 0x7c00 {
				return 0, errors.New("an element is no number")
			}
			zero = zero && h&0x7fff == 0
			halves[i] = h
		}
		if zero {
			return 0, errors.New("a vector is zero")
		}
		if f != nil {
			f([TextHashSize]byte(b[at:]), halves)
		}
	}
	return len(b) / size, nil
}

// AppendRow of a text's hash and its vector.
func AppendRow(b []byte, text [TextHashSize]byte, halves []uint16) []byte {
	b = append(b, text[:]...)
	for _, h := range halves {
		b = binary.LittleEndian.AppendUint16(b, h)
	}
	return b
}

// fetchVectors brings those of this site's embedder. They are a convenience: what is
// wrong with them is told in the history and holds up no bundle. embedder is nil
// where the site makes its own; the error is of the line, or of this disk.
func (r *Receiver) fetchVectors(ctx context.Context, src Source, m *Manifest, v *Vectors, count func(int)) (embedder *Hash, refusal *Error, err error) {
	if len(m.Vectors) == 0 || r.cfg.Facts().NoVectors {
		return nil, nil, nil
	}
	if v == nil {
		return nil, refuse(OtherEmbedder, nil, "its vectors are of %s (%.12s…), and this box searches with another embedder: it makes its own", m.Vectors[0].Name, m.Vectors[0].Embedder), nil
	}
	packs, _ := r.missingPacks(v.Documents)
	if err = r.fetchPacks(ctx, src, packs, count); err == nil {
		err = v.Check(r.local)
	}
	if errors.As(err, &refusal) && refusal.Code != NoRoom {
		return nil, refusal, nil
	}
	return &v.Embedder, nil, err
}

// vectorsFor this site's embedder; nil: none.
func (r *Receiver) vectorsFor(m *Manifest) *Vectors {
	f := r.cfg.Facts()
	if f.Embedder == nil || f.NoVectors {
		return nil
	}
	return m.VectorsOf(*f.Embedder)
}

// StagedVectors are those that came with a staged bundle, for the embedder of this
// site.
type StagedVectors struct {
	*Vectors
	all *Changes
}

// Of a document: its rows; nil where there are none.
func (s *StagedVectors) Of(id string) ([]byte, error) {
	if _, ok := s.all.items[id]; !ok {
		return nil, nil
	}
	return s.all.Content(id)
}

// vectorsOf a held bundle, where the site took them.
func (r *Receiver) vectorsOf(h *Held, m *Manifest) *StagedVectors {
	if h.Vectors == nil {
		return nil
	}
	v := m.VectorsOf(*h.Vectors)
	if v == nil {
		return nil
	}
	all, err := v.Set(r.local).Compare(nil)
	if err != nil {
		r.cfg.Log.Warn("the vectors of a bundle can't be read; this box makes its own", "bundle", h.Number, "error", err)
		return nil
	}
	return &StagedVectors{v, all}
}
