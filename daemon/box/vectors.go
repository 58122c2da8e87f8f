package box

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"

	"rxedge/daemon/config"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/gguf"
	"rxedge/sync/bundle"
)

// PassageVectors makes the vectors that are published with documents, as a box with
// the same embedder would make them itself.
type PassageVectors struct {
	Name      string
	Embedder  bundle.Hash
	Dimension int

	// Kept are those that were made before; nil: none.
	Kept KeptVectors

	opt index.Options
	io.Closer
}

// KeptVectors keeps rows by the hash of what was embedded.
type KeptVectors interface {
	// Get calls row for each of the texts that it has.
	Get(ctx context.Context, texts []index.TextHash, row func(text index.TextHash, halves []uint16)) error
	// Put keeps rows of a bundle (bundle.Vectors).
	Put(ctx context.Context, rows []byte) (added int, err error)
}

// MakesVectors starts the embedder of that name, of the catalog in the data folder.
// The built-in one is refused: it learns from what each box has, so its vectors are
// of no use to another.
func MakesVectors(ctx context.Context, cfg config.Config, name string, log *slog.Logger) (*PassageVectors, error) {
	if name == config.Builtin || name == config.Auto || name == config.None {
		return nil, fmt.Errorf("name an embedder of the catalog ('rxedge model list'): the one that is built in learns from the documents of each box, so its vectors can't be made elsewhere")
	}
	cfg.Model.Embedder = name
	opt, closer, err := Embedding(ctx, cfg, log)
	if err != nil {
		return nil, fmt.Errorf("the embedder %s: %w", name, err)
	}
	p := &PassageVectors{Name: opt.EmbedderInfo.Name, Dimension: opt.EmbedderInfo.Dimension, opt: opt, Closer: closer}
	if err := p.Embedder.UnmarshalText([]byte(opt.EmbedderInfo.SHA256)); err != nil {
		_ = closer.Close()
		return nil, fmt.Errorf("the embedder %s: %w", name, err)
	}
	return p, nil
}

// vectorBatch is how many passages the embedder is given at once.
const vectorBatch = 32

// Make the rows of a published document's passages; those of before, and those that are
// kept, are taken over, and the others are kept.
func (p *PassageVectors) Make(ctx context.Context, id string, content, before []byte) ([]byte, error) {
	d, err := ReadPublished(id, content)
	if err != nil {
		return nil, err
	}
	rows := map[index.TextHash][]uint16{}
	take := func(text index.TextHash, halves []uint16) { rows[text] = halves }
	v := bundle.Vectors{Dimension: p.Dimension}
	if _, err := v.Rows(before, func(text [bundle.TextHashSize]byte, halves []uint16) { take(text, append([]uint16(nil), halves...)) }); err != nil {
		return nil, fmt.Errorf("the vectors of before: %w", err)
	}
	texts := p.texts(d)
	lacking := texts.without(rows)
	if p.Kept != nil && len(lacking.hashes) > 0 {
		if err := p.Kept.Get(ctx, lacking.hashes, take); err != nil {
			return nil, err
		}
		lacking = texts.without(rows)
	}
	made, err := p.embed(ctx, d.ID, lacking, func() {})
	if err != nil {
		return nil, err
	}
	if _, err := v.Rows(made, func(text [bundle.TextHashSize]byte, halves []uint16) { take(text, append([]uint16(nil), halves...)) }); err != nil {
		return nil, fmt.Errorf("document %.80q: %w", id, err)
	}
	if p.Kept != nil && len(made) > 0 {
		if _, err := p.Kept.Put(ctx, made); err != nil {
			return nil, err
		}
	}
	var out []byte
	for _, h := range texts.hashes {
		out = bundle.AppendRow(out, h, rows[h])
	}
	return out, nil
}

// MakeLacking makes the rows of a document as it will be published, but for those of
// texts that has knows. tick is called as it goes on.
func (p *PassageVectors) MakeLacking(ctx context.Context, d *document.Document, has func([]index.TextHash) map[index.TextHash]bool, tick func()) ([]byte, error) {
	x, err := Publishable(d)
	if err != nil {
		return nil, err
	}
	// Read as publish will read it, so that the texts are the same ones.
	if d, err = ReadPublished(x.ID, bytes.Join(x.Parts, nil)); err != nil {
		return nil, err
	}
	texts := p.texts(d)
	lacking := &textsOf{}
	known := has(texts.hashes)
	for i, h := range texts.hashes {
		if !known[h] {
			lacking.texts, lacking.hashes = append(lacking.texts, texts.texts[i]), append(lacking.hashes, h)
		}
	}
	return p.embed(ctx, d.ID, lacking, tick)
}

// textsOf a document, each once, in order.
type textsOf struct {
	texts  []string
	hashes []index.TextHash
}

func (p *PassageVectors) texts(d *document.Document) *textsOf {
	t := &textsOf{}
	seen := map[index.TextHash]bool{}
	for _, s := range p.opt.Texts(d) {
		if h := index.HashText(s); !seen[h] {
			seen[h] = true
			t.texts, t.hashes = append(t.texts, s), append(t.hashes, h)
		}
	}
	return t
}

func (t *textsOf) without(rows map[index.TextHash][]uint16) *textsOf {
	out := &textsOf{}
	for i, h := range t.hashes {
		if rows[h] == nil {
			out.texts, out.hashes = append(out.texts, t.texts[i]), append(out.hashes, h)
		}
	}
	return out
}

// embed makes the rows of texts.
func (p *PassageVectors) embed(ctx context.Context, id string, t *textsOf, tick func()) (rows []byte, err error) {
	for at := 0; at < len(t.texts); at += vectorBatch {
		to := min(at+vectorBatch, len(t.texts))
		vs, err := p.opt.Embedder.Embed(ctx, t.texts[at:to])
		if err != nil {
			return nil, fmt.Errorf("embedding document %.80q: %w", id, err)
		}
		if len(vs) != to-at {
			return nil, fmt.Errorf("the embedder gave %d vectors for %d texts", len(vs), to-at)
		}
		for i, v := range vs {
			if len(v) != p.Dimension {
				return nil, fmt.Errorf("the embedder gave a vector of %d dimensions and has %d", len(v), p.Dimension)
			}
			halves := make([]uint16, len(v))
			for j, x := range v {
				halves[j] = gguf.Float16(x)
			}
			rows = bundle.AppendRow(rows, t.hashes[at+i], halves)
		}
		tick()
	}
	return rows, nil
}

// vectorsOf a staged bundle, as an index wants them; nil: there are none.
func vectorsOf(st *bundle.Staged) *index.Vectors {
	s := st.Vectors
	if s == nil {
		return nil
	}
	return &index.Vectors{
		Embedder: index.EmbedderInfo{Name: s.Name, SHA256: s.Embedder.String(), Dimension: s.Dimension},
		Of: func(id string) (map[index.TextHash][]float32, error) {
			b, err := s.Of(id)
			if err != nil {
				return nil, err
			}
			out := make(map[index.TextHash][]float32, len(b)/s.RowSize())
			_, err = s.Rows(b, func(text [bundle.TextHashSize]byte, halves []uint16) {
				v := make([]float32, len(halves))
				for i, h := range halves {
					v[i] = gguf.Float16ToFloat32(h)
				}
				out[text] = v
			})
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}
