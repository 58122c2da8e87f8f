package index_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

// A text is embedded once: not again in a document's next version, live or in a
// new generation, nor in another document of the batch.
func TestTextsAreEmbeddedOnce(t *testing.T) {
	t.Parallel()
	for _, live := range []int{0, -1} {
		e := &words{name: "words-1"}
		ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info(), LiveDocuments: live})
		twin := label("twin", "1", "One section.", "Another section.")
		twin.Title, twin.Names = "Long", []document.Name{{Text: "long", Kind: "generic"}}
		if r := apply(t, ix, put(label("long", "1", "One section.", "Another section.", "A third one."), twin, metformin)); r.Embedded != 5 || e.texts.Load() != 5 {
			t.Errorf("%d: %d of 5 texts embedded, %d said", live, e.texts.Load(), r.Embedded)
		}
		r := apply(t, ix, put(label("long", "2", "One section.", "Another section that changed.", "A third one."), warfarin))
		if r.Embedded != 2 || e.texts.Load() != 7 || r.Generation.Vectors != r.Generation.Passages {
			t.Errorf("%d: %d of 2 texts embedded, %+v", live, e.texts.Load()-5, r)
		}
		if _, err := ix.Compact(t.Context(), nil); err != nil || e.texts.Load() != 7 {
			t.Errorf("%d: packing embeds %d texts, %v", live, e.texts.Load()-7, err)
		}
		clean(t, ix)
	}
}

// With another embedder questions are answered by words and batches come in
// without it, until everything was embedded anew; what a cancelled run made is
// not made again.
func TestReembed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := &words{name: "words-1"}, &words{name: "words-2"}
	ix := open(t, dir, index.Options{Embedder: a, EmbedderInfo: a.info()})
	apply(t, ix, put(metformin, warfarin, label("aspirin", "1", "Aspirin thins the blood.")))
	if r, err := ix.Reembed(t.Context(), nil); err != nil || r.Changed || r.Embedded != 0 {
		t.Errorf("nothing to do: %+v %v", r, err)
	}
	ix.Close()

	ix = open(t, dir, index.Options{Embedder: b, EmbedderInfo: b.info()})
	if n := strings.Join(ix.Notes(), "\n"); !strings.Contains(n, "words-1 (0, 64 dimensions) and words-2") || !strings.Contains(n, "rxedge index reembed") {
		t.Errorf("notes %q", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := ix.Reembed(ctx, func(p index.Progress) {
		if p.Stage != index.StageEmbed {
			cancel() // after all vectors were made, before the generation was
		}
	})
	cancel()
	if !errors.Is(err, context.Canceled) || b.texts.Load() != 4 {
		t.Errorf("cancelled: %v, %d texts embedded", err, b.texts.Load())
	}
	// Half a vector at the end is what a kill leaves.
	path := filepath.Join(dir, "reembed.vectors")
	if fi, err := os.Stat(path); err != nil || os.Truncate(path, fi.Size()-3) != nil {
		t.Fatal("what was made is gone: ", err)
	}
	r := apply(t, ix, put(lisinopril))
	if r.Embedded != 0 || r.Generation.Update != 1 || r.Generation.Vectors != 4 || first(t, ix, "fetus") != "lisinopril" {
		t.Errorf("a batch meanwhile: %+v", r)
	}
	r = apply(t, ix, put(lisinopril))
	if r.Changed || b.texts.Load() != 4 {
		t.Errorf("the same again: %+v, %d texts", r, b.texts.Load())
	}
	ix.Close()

	ix = open(t, dir, index.Options{Embedder: b, EmbedderInfo: b.info()})
	stages := map[string]int{}
	r, err = ix.Reembed(t.Context(), func(p index.Progress) { stages[p.Stage]++ })
	if err != nil || !r.Changed || r.Embedded != 2 || b.texts.Load() != 6 || r.Generation.Vectors != 5 || r.Generation.Embedder != b.info() || stages[index.StageEmbed] < 2 {
		t.Errorf("%+v %v, %d texts, %v", r, err, b.texts.Load(), stages)
	}
	if n := ix.Notes(); len(n) > 0 {
		t.Errorf("notes %q", n)
	}
	for text, id := range map[string]string{"blood thins": "aspirin", "antibiotic INR": "warfarin", "harms the fetus pregnancy": "lisinopril"} {
		if r, err := ix.Search(t.Context(), index.Query{Text: text, Mode: index.ModeDense}); err != nil || r.Hits[0].SetID != id {
			t.Errorf("%q: %+v %v", text, r.Hits, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log of vectors stays: %v", err)
	}
	clean(t, ix)
	ix.Close()
	none := open(t, dir, index.Options{})
	if _, err := none.Reembed(t.Context(), nil); !errors.Is(err, index.ErrNoEmbedder) {
		t.Errorf("%v", err)
	}
}
