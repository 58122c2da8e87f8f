package index_test

import (
	"errors"
	"math"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

// Vectors that were made elsewhere with the same embedder are taken, live and in a
// new generation and in a candidate: nothing is embedded, and what is found is the
// same. Those that do not fit are made.
func TestVectorsMadeElsewhere(t *testing.T) {
	t.Parallel()
	e := &words{name: "words-1"}
	docs := []*document.Document{metformin, warfarin, label("long", "1", "One section.", "Another section about bleeding.")}
	rows := map[string]map[index.TextHash][]float32{}
	n := 0
	for _, d := range docs {
		rows[d.ID] = map[index.TextHash][]float32{}
		texts := index.Options{}.Texts(d)
		vs, err := e.Embed(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			rows[d.ID][index.HashText(text)] = vs[i]
			n++
		}
	}
	from := func(info index.EmbedderInfo) *index.Vectors {
		return &index.Vectors{Embedder: info, Of: func(id string) (map[index.TextHash][]float32, error) { return rows[id], nil }}
	}
	info := e.info()
	info.SHA256 = "1"
	other := info
	other.SHA256 = "2"
	short := info
	short.Dimension--
	bad := &index.Vectors{Embedder: info, Of: func(id string) (map[index.TextHash][]float32, error) {
		out := map[index.TextHash][]float32{}
		for h, v := range rows[id] {
			switch id {
			case "long":
				out[h] = v[1:]
			case metformin.ID:
				out[h] = append([]float32{float32(math.NaN())}, v[1:]...)
			default:
				return nil, errors.New("damaged")
			}
		}
		return out, nil
	}}
	ask := func(ix *index.Index) index.Hit {
		t.Helper()
		r, err := ix.Search(t.Context(), index.Query{Text: "bleeding", Mode: index.ModeDense})
		if err != nil || len(r.Hits) == 0 {
			t.Fatal(r, err)
		}
		return r.Hits[0]
	}
	var want *index.Hit
	for what, c := range map[string]struct {
		v     *index.Vectors
		given int
	}{
		"none": {nil, 0}, "all": {from(info), n}, "of another embedder": {from(other), 0}, "of another dimension": {from(short), 0}, "bad ones": {bad, 0},
	} {
		for _, live := range []bool{false, true} {
			ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: info})
			if live { // an index that is not empty takes few documents as an update
				apply(t, ix, put(label("other", "1", "Aspirin thins the blood.")))
			}
			before := e.texts.Load()
			ch := put(docs...)
			ch.Vectors = c.v
			r := apply(t, ix, ch)
			if asked := int(e.texts.Load() - before); r.Given != c.given || asked != n-c.given || r.Embedded != asked || r.Generation.Vectors != r.Generation.Passages {
				t.Errorf("%s, live %v: %d asked of %d, %+v", what, live, asked, n, r)
			}
			got := ask(ix)
			if want == nil {
				want = &got
			}
			if got.Text != want.Text || math.Abs(got.Dense-want.Dense) > 1e-6 {
				t.Errorf("%s, live %v: found %q %v, want %q %v", what, live, got.Text, got.Dense, want.Text, want.Dense)
			}
			clean(t, ix)
		}
	}
	// A candidate beside what serves.
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: info})
	before := e.texts.Load()
	ch := put(docs...)
	ch.Vectors = from(info)
	if r, _, err := ix.Prepare(t.Context(), ch, nil); err != nil || r.Given != n || e.texts.Load() != before {
		t.Errorf("%+v, %v", r, err)
	}
}
