package generation

import (
	"context"
	"errors"
	"slices"

	"rxedge/index/codes"
	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
)

// Info of the generation as it is in this view.
func (v *View) Info() Info { return v.info }

// Analyzer that the passages were analysed with.
func (v *View) Analyzer() *lexical.Analyzer { return v.g.Analyzer }

// Lexical searches the passages of the view by their words.
func (v *View) Lexical() *lexical.Searcher { return v.lexical }

// Has says whether there is a document of that id.
func (v *View) Has(id string) bool { return v.owner(id) != nil }

// Header of a document, or ErrNotFound.
func (v *View) Header(id string) (h Header, err error) {
	u := v.owner(id)
	if u == nil {
		return h, ErrNotFound
	}
	return h, u.must(key(kindDocument, id), &h)
}

// Range is where the passages of a document lie in the view, or ErrNotFound.
func (v *View) Range(id string) (r Range, err error) {
	u := v.owner(id)
	if u == nil {
		return r, ErrNotFound
	}
	first, end, _ := u.table.find(id)
	r = Range{Passages: int(end - first), Cut: u.info.Cut}
	if first < end {
		s, p := v.locate(u.first + first)
		r.First = s.first + p
	}
	return r, nil
}

// Document whole, or ErrNotFound.
func (v *View) Document(id string) (*document.Document, error) {
	u := v.owner(id)
	if u == nil {
		return nil, ErrNotFound
	}
	return u.document(id)
}

// Section by id or alias with the header of its document, or ErrNotFound.
func (v *View) Section(id string) (Header, document.Section, int, error) {
	for n, u := range slices.Backward(v.units) {
		h, s, i, err := u.section(id)
		if errors.Is(err, ErrNotFound) || err == nil && !v.lives(n, h.ID) {
			continue
		}
		return h, s, i, err
	}
	return Header{}, document.Section{}, 0, ErrNotFound
}

// Passage by its number, or ErrNotFound.
func (v *View) Passage(n uint32) (Passage, error) {
	u, p, err := v.at(n)
	if err != nil {
		return Passage{}, err
	}
	return u.passage(p)
}

// Indexed is a passage by its number as it is searched by words, or ErrNotFound.
func (v *View) Indexed(n uint32) (lexical.Passage, error) {
	p, err := v.Passage(n)
	return p.indexed(), err
}

// Peek is Indexed of texts as they lie: they must not be used once the view is let go.
func (v *View) Peek(n uint32) (lexical.Passage, error) {
	u, p, err := v.at(n)
	if err != nil {
		return lexical.Passage{}, err
	}
	return u.peek(p)
}

// Hit is a passage with the facts of its document that a hit shows.
func (v *View) Hit(n uint32) (Passage, *Facts, error) {
	u, p, err := v.at(n)
	if err != nil {
		return Passage{}, nil, err
	}
	passage, err := u.passage(p)
	if err != nil {
		return passage, nil, err
	}
	f, err := u.factsOf(u.table.document(p))
	return passage, f, err
}

// ByCode gives the documents that a code stands for, by id; the most exact
// matches alone.
func (v *View) ByCode(c codes.Code) []string {
	parts := make([]codes.Part, len(v.units))
	for i, u := range v.units {
		parts[i] = codes.Part{Index: u.codes, Dead: func(doc uint32) bool { return !v.lives(i, u.table.ids[doc]) }}
	}
	var ids []string
	for _, m := range codes.Lookup(parts, c) {
		ids = append(ids, v.units[m.Part].table.ids[m.Doc])
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// DocumentOf a passage, without reading the passage.
func (v *View) DocumentOf(n uint32) (string, error) {
	u, p, err := v.at(n)
	if err != nil {
		return "", err
	}
	return u.table.owner(p), nil
}

// SectionCode is the LOINC code of the section that a passage is of; "" where it
// has none.
func (v *View) SectionCode(n uint32) (string, error) {
	u, p, err := v.at(n)
	if err != nil {
		return "", err
	}
	return u.table.section(p), nil
}

// Vector of a passage; nil where it has none. Not to be changed.
func (v *View) Vector(n uint32) []float32 {
	u, p, err := v.at(n)
	if err != nil || u.vectors == nil {
		return nil
	}
	row, ok := u.vectors.row(p)
	if !ok {
		return nil
	}
	return u.vectors.at(row)
}

// HasVectors says whether dense search finds anything.
func (v *View) HasVectors() bool { return v.info.Vectors > 0 }

// Dense gives the k passages of highest cosine with the unit vector q, best
// first, of equal ones the earlier first, among those that are allowed; nil are
// all.
func (v *View) Dense(q []float32, k int, allowed *Allowed) ([]dense.Scored, error) {
	if k <= 0 {
		return nil, nil
	}
	var out []dense.Scored
	var hits []dense.Hit
	bar := 0.0
	for i, s := range v.segments {
		if s.dense == nil {
			continue
		}
		o := dense.SearchOptions{Dead: s.gone, Vector: s.vector, Threshold: bar}
		if allowed != nil {
			if o.Within, o.Allow = allowed.rows[i].within, allowed.rows[i].bitmap; o.Allow == nil && len(o.Within) == 0 {
				continue
			}
		}
		var err error
		if hits, err = s.dense.Search(hits[:0], q, k, o); err != nil {
			return nil, err
		}
		for _, h := range hits {
			p := h.Row
			if s.rows != nil {
				p = s.rows[p]
			}
			out = append(out, dense.Scored{Passage: s.first + p, Score: h.Score})
		}
		slices.SortFunc(out, nearer)
		if out = out[:min(k, len(out))]; len(out) == k {
			bar = out[k-1].Score
		}
	}
	return out, nil
}

func nearer(a, b dense.Scored) int {
	switch {
	case a.Score > b.Score:
		return -1
	case a.Score < b.Score:
		return 1
	}
	return int(int64(a.Passage) - int64(b.Passage))
}

// Documents calls fn with each header in order of id until it fails.
func (v *View) Documents(ctx context.Context, fn func(Header) error) error {
	ids := v.ids()
	for _, d := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		var h Header
		if err := d.unit.must(key(kindDocument, d.id), &h); err != nil {
			return err
		}
		if err := fn(h); err != nil {
			return err
		}
	}
	return nil
}

// IDs of the documents, in order. None is read.
func (v *View) IDs() []string {
	ids := v.ids()
	out := make([]string, len(ids))
	for i, d := range ids {
		out[i] = d.id
	}
	return out
}

type owned struct {
	id   string
	unit *unit
}

// ids of the documents in order, each with the unit of its newest version.
func (v *View) ids() []owned {
	out := make([]owned, 0, len(v.units[0].table.ids))
	if len(v.units) == 1 {
		for _, id := range v.units[0].table.ids {
			out = append(out, owned{id, v.units[0]})
		}
		return out
	}
	seen := map[string]bool{}
	for _, u := range slices.Backward(v.units[1:]) {
		for _, id := range u.table.ids {
			if !seen[id] {
				seen[id] = true
				if v.removed[id] <= u.number {
					out = append(out, owned{id, u})
				}
			}
		}
	}
	base := v.units[0]
	for _, id := range base.table.ids {
		if !seen[id] && v.removed[id] == 0 {
			out = append(out, owned{id, base})
		}
	}
	slices.SortFunc(out, func(a, b owned) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return out
}

// Sizes: segments that a search looks at, terms of the largest dictionary, bytes
// of postings and of what dense search reads.
func (v *View) Sizes() (segments, terms int, lexicalBytes, vectorBytes int64) {
	for _, s := range v.segments {
		segments++
		terms = max(terms, s.lexical.Terms())
		lexicalBytes += s.lexical.Bytes()
		if s.dense != nil {
			vectorBytes += s.dense.Bytes() + int64(s.dense.Len())*int64(s.dense.Dimension())*4
		}
	}
	return segments, terms, lexicalBytes, vectorBytes
}

// SealedPassages are those of the sealed part, withdrawn ones included.
func (v *View) SealedPassages() int { return v.units[0].info.Passages }
