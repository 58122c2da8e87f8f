package index_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"rxedge/index"
)

// fits is an embedder that turns its vectors by as many places as there were
// texts: vectors of another turn are of no use.
type fits struct {
	words
	turn int
}

func (e *fits) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vs, err := e.words.Embed(ctx, texts)
	for i, v := range vs {
		n := 1 + e.turn%(len(v)-1)
		vs[i] = slices.Concat(v[n:], v[:n])
	}
	return vs, err
}

func (e *fits) Adapt(_ context.Context, texts iter.Seq[string]) (index.Embedder, []byte, error) {
	n := 0
	for range texts {
		n++
	}
	// Of more than one blob.
	return &fits{turn: n}, fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", 3<<19)), nil
}

func (e *fits) Restore(state []byte) (index.Embedder, error) {
	if len(state) < 3<<19 {
		return nil, errors.New("it is cut short")
	}
	r := &fits{}
	_, err := fmt.Sscan(string(state), &r.turn)
	return r, err
}

func (e *fits) info() index.EmbedderInfo { i := e.words.info(); i.Name = "fits"; return i }

// nearest is the cosine of the nearest passage to its own words.
func nearest(t *testing.T, ix *index.Index, heading, text string) float64 {
	t.Helper()
	r, err := ix.Search(t.Context(), index.Query{Text: index.EmbeddedText(heading, text), Mode: index.ModeDense})
	if err != nil {
		t.Fatal(err)
	}
	if r.Hits[0].Text != text {
		return 0
	}
	return r.Hits[0].Dense
}

// What an embedder learned belongs to a generation: updates and questions are
// embedded by it, after a start and without the embedder in between too.
func TestAdaptation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	with := index.Options{Embedder: &fits{}, EmbedderInfo: (&fits{}).info()}
	ix := open(t, dir, with)
	first := label("first", "1", "The kidneys clear it slowly.", "Take it with food.")
	second := label("second", "1", "Do not drink alcohol with it.")
	near := func(text string, of string) {
		t.Helper()
		if got := nearest(t, ix, of, text); got < 0.999 {
			t.Errorf("%q is %.3f near to itself", text, got)
		}
	}
	apply(t, ix, put(first))
	heading := func(id string) string {
		s := ix.Acquire()
		defer s.Release()
		r, err := s.Search(t.Context(), index.Query{Text: id, Mode: index.ModeBM25, Plain: true, K: 50})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range r.Hits {
			if h.SetID == id {
				return h.Passage.Heading
			}
		}
		t.Fatalf("nothing of %s", id)
		return ""
	}
	near("The kidneys clear it slowly.", heading("first"))
	if r := apply(t, ix, put(second)); r.Generation.Update == 0 {
		t.Fatalf("no live update: %+v", r.Generation)
	}
	near("Do not drink alcohol with it.", heading("second"))
	near("The kidneys clear it slowly.", heading("first"))
	ix.Close()

	ix = open(t, dir, with)
	near("Do not drink alcohol with it.", heading("second"))
	clean(t, ix)
	ix.Close()

	// Without the embedder its vectors, and what it learned, are carried over.
	ix = open(t, dir, index.Options{LiveDocuments: -1})
	apply(t, ix, index.Changes{Delete: []string{"second"}})
	ix.Close()
	ix = open(t, dir, with)
	near("The kidneys clear it slowly.", heading("first"))

	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	near("The kidneys clear it slowly.", heading("first"))
	clean(t, ix)
	ix.Close()

	ix = open(t, dir, index.Options{Embedder: &broken{}, EmbedderInfo: with.EmbedderInfo})
	r, err := ix.Search(t.Context(), index.Query{Text: "kidneys"})
	if err != nil || r.Mode != index.ModeBM25 || len(r.Hits) == 0 {
		t.Errorf("with what was learned damaged: %v, %+v", err, r)
	}
	if n := strings.Join(ix.Notes(), "\n"); !strings.Contains(n, "what the embedder learned from gen-") {
		t.Errorf("notes %q", n)
	}
}

// broken can't restore anything.
type broken struct{ fits }

func (*broken) Restore([]byte) (index.Embedder, error) { return nil, errors.New("it is torn") }

// A batch may bring another embedder: what is built has its vectors alone, even where no
// document changed; updates keep it, a start finds it again, the generation before keeps
// its own, and without it at hand the vectors are foreign and are made anew.
func TestAnotherEmbedder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, other := &fits{}, &fits{}
	info := other.info()
	info.Name, info.SHA256 = "other", "other"
	opt := index.Options{Embedder: own, EmbedderInfo: own.info(), Others: func(i index.EmbedderInfo) (index.Embedder, bool) { return other, i == info }}
	ix := open(t, dir, opt)
	apply(t, ix, put(label("first", "1", "The kidneys clear it slowly."), label("second", "1", "Do not drink alcohol with it.")))
	by := index.Source{Embedder: other, Info: info}
	res, base, err := ix.Prepare(t.Context(), index.Changes{Embedder: by}, nil)
	if err != nil || !res.Changed || res.Generation.Embedder != info || res.Generation.Vectors != res.Generation.Passages || res.Embedded == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	serves := func(want index.EmbedderInfo) {
		t.Helper()
		st := ix.Stats()
		if st.Generation.Embedder != want || !st.Dense || len(st.Notes) > 0 || ix.NeedsVectors() {
			t.Fatalf("%+v", st)
		}
		if r, err := ix.Search(t.Context(), index.Query{Text: "kidneys", Mode: index.ModeDense}); err != nil || len(r.Hits) == 0 {
			t.Fatal(err)
		}
	}
	if err := ix.Serve(t.Context(), res.Generation.Name, base, nil); err != nil {
		t.Fatal(err)
	}
	serves(info)
	ix.Return(nil)
	serves(own.info())
	if err := ix.Confirm(t.Context(), res.Generation.Name, nil); err != nil {
		t.Fatal(err)
	}
	serves(info)
	if again, _, err := ix.Prepare(t.Context(), index.Changes{Embedder: by}, nil); err != nil || again.Changed {
		t.Fatalf("built anew for the same embedder: %+v, %v", again, err)
	}
	if r := apply(t, ix, put(label("third", "1", "It is kept in the fridge."))); r.Generation.Update == 0 {
		t.Fatalf("no live update: %+v", r.Generation)
	}
	serves(info)
	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	serves(info)
	ix.Close()
	ix = open(t, dir, opt)
	serves(info)
	ix.Close()

	gone := opt
	gone.Others = func(index.EmbedderInfo) (index.Embedder, bool) { return nil, false }
	ix = open(t, dir, gone)
	if !ix.NeedsVectors() || ix.Stats().Dense {
		t.Fatalf("%+v", ix.Stats())
	}
	if _, err := ix.Reembed(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	serves(own.info())
}
