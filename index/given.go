package index

import (
	"slices"

	"rxedge/index/dense"
	"rxedge/index/document"
)

// given are vectors that were made elsewhere.
type given struct {
	from *Vectors // nil: none can be used
	id   string   // of the document that of is about
	of   map[TextHash][]float32
	used int
}

// usable says whether vectors are of the embedder that the batch would ask.
func (b *build) usable(v *Vectors) *Vectors {
	e := b.by.Info
	if v == nil || !b.embeds() || b.adapts() || e.SHA256 == "" || v.Embedder.SHA256 != e.SHA256 || v.Embedder.Dimension != e.Dimension {
		return nil
	}
	return v
}

// elsewhere gives the vector of a text of a document that was made elsewhere, of unit
// length; nil: there is none that fits.
func (b *build) elsewhere(id string, h TextHash) []float32 {
	g := &b.given
	if g.from == nil {
		return nil
	}
	if g.id != id || g.of == nil {
		var err error
		if g.of, err = g.from.Of(id); err != nil {
			b.ix.opt.Logger.Warn("vectors that came with a document can't be used; they are made here", "document", id, "error", err)
		}
		g.id = id
		if g.of == nil {
			g.of = map[TextHash][]float32{}
		}
	}
	v := slices.Clone(g.of[h])
	if len(v) != b.by.Info.Dimension || dense.Normalise(v) != nil {
		return nil
	}
	g.used++
	return v
}

// Texts are what an index with these options embeds of a document, passage by
// passage.
func (o Options) Texts(d *document.Document) []string {
	o = o.cutting()
	var out []string
	for _, p := range o.split(d) {
		out = append(out, EmbeddedText(p.Heading, d.Sections[p.Section].Text[p.Start:p.End]))
	}
	return out
}
