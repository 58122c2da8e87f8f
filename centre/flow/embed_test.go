package flow

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"rxedge/centre/vectors"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/sync/bundle"
)

// fake gives each section of a document a vector of its own.
var fake = Embedder{Name: "fake", Hash: bundle.HashOf([]byte("fake")), Dimension: 2}

type faker struct {
	made, documents atomic.Int64
	fail            func(d *document.Document) error
}

func (f *faker) embedding() *Embedding {
	return &Embedding{Embedder: fake, Make: func(_ context.Context, d *document.Document, has func([]index.TextHash) map[index.TextHash]bool, tick func()) (rows []byte, err error) {
		f.documents.Add(1)
		if f.fail != nil {
			if err := f.fail(d); err != nil {
				return nil, err
			}
		}
		var texts []index.TextHash
		for i := range d.Sections {
			texts = append(texts, index.HashText(d.Sections[i].ID+d.Sections[i].Text))
		}
		known := has(texts)
		for _, t := range texts {
			if !known[t] {
				f.made.Add(1)
				rows = bundle.AppendRow(rows, t, []uint16{0x3c00, uint16(t[0])})
			}
			tick()
		}
		return rows, nil
	}}
}

// rows that the centre has of the fake.
func rowsOf(t *testing.T, centre string) int {
	t.Helper()
	s, err := vectors.Open(t.Context(), centre, fake.Hash, fake.Dimension)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n, err := s.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Vectors are made by the workers who have the embedder that the run wants, once for each
// text; what is read again makes none again.
func TestVectors(t *testing.T) {
	t.Parallel()
	p, centre := plant(t, 60, 4), t.TempDir()
	var f faker
	o := options(t, centre, p.dir)
	o.Vectors, o.Worker.Vectors = fake, f.embedding()
	sum, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.verify(t, centre, sum, 0)
	if n := rowsOf(t, centre); n != 180 || sum.Vectors != 180 || sum.Bare != 0 || f.made.Load() != 180 {
		t.Errorf("%d rows, %d made, %+v", n, f.made.Load(), sum)
	}
	o.Again = true
	if sum, err = Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if sum.Vectors != 0 || sum.Bare != 0 || f.made.Load() != 180 || f.documents.Load() != 120 {
		t.Errorf("again: %d made, of %d documents, %+v", f.made.Load(), f.documents.Load(), sum)
	}
}

// A run that wants none makes none, though the workers could; one whose workers have
// another embedder, or none, takes all in and says how many documents have no vectors.
func TestVectorsThatNobodyMakes(t *testing.T) {
	t.Parallel()
	var f faker
	other := f.embedding()
	other.Hash = bundle.HashOf([]byte("other"))
	for name, c := range map[string]struct {
		want Embedder
		has  *Embedding
		bare int
	}{
		"none wanted": {Embedder{}, f.embedding(), 0},
		"another":     {fake, other, 20},
		"none there":  {fake, nil, 20},
	} {
		p, centre := plant(t, 20, 0), t.TempDir()
		o := options(t, centre, p.dir)
		o.Vectors, o.Worker.Vectors = c.want, c.has
		sum, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(name, err)
		}
		p.verify(t, centre, sum, 0)
		if sum.Vectors != 0 || sum.Bare != c.bare || f.made.Load() != 0 {
			t.Errorf("%s: %+v, %d made", name, sum, f.made.Load())
		}
	}
}

// An embedder that fails for a while is asked again; where it always fails, the document
// goes in without its vectors.
func TestEmbedderThatFails(t *testing.T) {
	t.Parallel()
	p, centre := plant(t, 20, 0), t.TempDir()
	left := 1
	f := faker{fail: func(d *document.Document) error {
		switch {
		case d.ID == "label-00003":
			return errors.New("the engine is gone")
		case d.ID == "label-00005" && left > 0:
			left--
			return errors.New("the engine is busy")
		}
		return nil
	}}
	o := options(t, centre, p.dir)
	o.Workers, o.Worker.MaxTries, o.Vectors, o.Worker.Vectors = 1, 3, fake, f.embedding()
	sum, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.verify(t, centre, sum, 0)
	if n := rowsOf(t, centre); sum.Bare != 1 || sum.Vectors != 57 || n != 57 {
		t.Errorf("%d rows, %+v", n, sum)
	}
}
