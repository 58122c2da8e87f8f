package box

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"rxedge/daemon/config"
	"rxedge/index"
	"rxedge/inference/gguf"
	"rxedge/sync/bundle"
)

// PassageVectors makes the vectors that are published with documents, as a box with
// the same embedder would make them itself.
type PassageVectors struct {
	Name      string
	Embedder  bundle.Hash
	Dimension int

	opt index.Options
	io.Closer
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

// Make the rows of a published document's passages; those of before are taken over.
func (p *PassageVectors) Make(ctx context.Context, id string, content, before []byte) ([]byte, error) {
	d, err := ReadPublished(id, content)
	if err != nil {
		return nil, err
	}
	v := bundle.Vectors{Dimension: p.Dimension}
	rows := map[index.TextHash][]uint16{}
	if _, err := v.Rows(before, func(text [bundle.TextHashSize]byte, halves []uint16) {
		rows[text] = append([]uint16(nil), halves...)
	}); err != nil {
		return nil, fmt.Errorf("the vectors of before: %w", err)
	}
	texts := p.opt.Texts(d)
	var ask []string
	asked := map[index.TextHash]bool{}
	for _, t := range texts {
		if h := index.HashText(t); rows[h] == nil && !asked[h] {
			ask, asked[h] = append(ask, t), true
		}
	}
	for len(ask) > 0 {
		n := min(len(ask), vectorBatch)
		vs, err := p.opt.Embedder.Embed(ctx, ask[:n])
		if err != nil {
			return nil, fmt.Errorf("embedding document %.80q: %w", id, err)
		}
		if len(vs) != n {
			return nil, fmt.Errorf("the embedder gave %d vectors for %d texts", len(vs), n)
		}
		for i, v := range vs {
			if len(v) != p.Dimension {
				return nil, fmt.Errorf("the embedder gave a vector of %d dimensions and has %d", len(v), p.Dimension)
			}
			halves := make([]uint16, len(v))
			for j, x := range v {
				halves[j] = gguf.Float16(x)
			}
			rows[index.HashText(ask[i])] = halves
		}
		ask = ask[n:]
	}
	var out []byte
	done := map[index.TextHash]bool{}
	for _, t := range texts {
		if h := index.HashText(t); !done[h] {
			out, done[h] = bundle.AppendRow(out, h, rows[h]), true
		}
	}
	return out, nil
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
