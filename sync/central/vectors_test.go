package central_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// counting is an embedder of three dimensions that makes two rows of a document, and
// says of which.
type counting struct{ made, before []string }

func rowsFor(content []byte) []byte {
	h := bundle.HashOf(content)
	out := bundle.AppendRow(nil, [16]byte(h[:16]), []uint16{0x3c00, uint16(h[0]), 0})
	return bundle.AppendRow(out, [16]byte(h[16:]), []uint16{0, 0x3c00, uint16(h[1])})
}

func (c *counting) embedding(name string) *central.Embedding {
	return &central.Embedding{Name: name, Embedder: bundle.HashOf([]byte(name)), Dimension: 3,
		Make: func(id string, content, before []byte) ([]byte, error) {
			c.made = append(c.made, id)
			if before != nil {
				c.before = append(c.before, id)
			}
			return rowsFor(content), nil
		}}
}

func (s *scene) openWith(t *testing.T, embedder string) *bundle.Receiver {
	t.Helper()
	cfg := s.cfg
	cfg.Facts = func() bundle.Facts {
		h := bundle.HashOf([]byte(embedder))
		return bundle.Facts{Rxedge: "0.1.0", Profile: "cpu-only", Embedder: &h}
	}
	r, err := bundle.Open(filepath.Join(t.TempDir(), "site"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func vectorPacks(m *bundle.Manifest) (out []bundle.Hash) {
	for _, v := range m.Vectors {
		for _, p := range v.Documents.Packs {
			if p.Size > 0 {
				out = append(out, p.Hash)
			}
		}
	}
	return out
}

// Vectors of what has not changed stay with the channel; of the rest they are made
// where that is asked for, and otherwise they go.
func TestVectorsFollowTheirDocuments(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c := &counting{}
	publish := func(rel central.Release, vectors int, made ...string) *bundle.Manifest {
		t.Helper()
		c.made, c.before, rel.Channel = nil, nil, "stable"
		p, err := s.f.Publish(rel)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Sort(c.made); p.Vectors != vectors || !slices.Equal(c.made, made) {
			t.Fatalf("%+v: made of %v, want %d of %v", p, c.made, vectors, made)
		}
		return s.f.Latest(t)
	}
	publish(central.Release{Vectors: c.embedding("e")}, 4, "a", "b") // of what was published before
	if _, err := s.f.Publish(central.Release{Channel: "stable", Vectors: c.embedding("e")}); err == nil {
		t.Error("nothing new was published")
	}
	publish(central.Release{Documents: docs(map[string]string{"a": "three", "c": "new"}), Vectors: c.embedding("e")}, 6, "a", "c")
	if !slices.Equal(c.before, []string{"a"}) {
		t.Errorf("what was before was given of %v", c.before)
	}
	publish(central.Release{Documents: docs(map[string]string{"a": "four"})}, 4) // those of a are of its older text
	publish(central.Release{Withdraw: []string{"b"}}, 2)
	publish(central.Release{Vectors: c.embedding("e")}, 4, "a")
	m := publish(central.Release{Vectors: c.embedding("other")}, 8, "a", "c")
	if len(m.Vectors) != 2 {
		t.Errorf("vectors of %d embedders", len(m.Vectors))
	}
	wrong := c.embedding("e")
	wrong.Dimension = 4
	if _, err := s.f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": "five"}), Vectors: wrong}); err == nil {
		t.Error("vectors of another dimension were published beside those of before")
	}
	r := s.openWith(t, "other")
	if res, err := r.Pull(t.Context(), hubOf(t, s.f)); err != nil || res.Staged != m.Number {
		t.Fatal(res, err)
	}
	st, err := r.Staged()
	if err != nil || st.Vectors == nil || st.Vectors.Name != "other" {
		t.Fatal(st, err)
	}
	for id, text := range map[string]string{"a": "four", "c": "new"} {
		if rows, err := st.Vectors.Of(id); err != nil || !bytes.Equal(rows, rowsFor([]byte(text))) {
			t.Errorf("%s: %x, %v", id, rows, err)
		}
	}
	if rows, err := st.Vectors.Of("b"); rows != nil || err != nil {
		t.Errorf("of what was withdrawn: %x, %v", rows, err)
	}
	publish(central.Release{DropVectors: true}, 0)
}

// A site that is set to make its own fetches none, and has nothing to tell.
func TestVectorsNotWanted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if _, err := s.f.Publish(central.Release{Channel: "stable", Vectors: (&counting{}).embedding("e")}); err != nil {
		t.Fatal(err)
	}
	h := bundle.HashOf([]byte("e"))
	cfg := s.cfg
	cfg.Facts = func() bundle.Facts { return bundle.Facts{Rxedge: "0.1.0", Embedder: &h, NoVectors: true} }
	dir := filepath.Join(t.TempDir(), "site")
	r, err := bundle.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.Pull(t.Context(), hubOf(t, s.f)); err != nil || res.Staged != 3 {
		t.Fatal(res, err)
	}
	if st, err := r.Staged(); err != nil || st.Vectors != nil {
		t.Fatal(st, err)
	}
	for _, p := range vectorPacks(s.f.Latest(t)) {
		if _, err := os.Stat(filepath.Join(dir, "packs", p.String())); err == nil {
			t.Error("a pack of vectors was fetched")
		}
	}
	for _, e := range r.History() {
		if e.Code != "" {
			t.Errorf("%+v", e)
		}
	}
}

// A site takes vectors of its own embedder, whole and as they were signed; else it
// says why not and takes the bundle without them. From a medium as from the hub.
func TestVectorsAtASite(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if _, err := s.f.Publish(central.Release{Channel: "stable", Vectors: (&counting{}).embedding("e")}); err != nil {
		t.Fatal(err)
	}
	m := s.f.Latest(t)
	hub := hubOf(t, s.f)
	medium := filepath.Join(t.TempDir(), "m.rxb")
	if _, _, err := s.f.Export("stable", medium); err != nil {
		t.Fatal(err)
	}
	archive, err := bundle.OpenArchive(medium)
	if err != nil {
		t.Fatal(err)
	}
	on := func(change func(h *hostile, p bundle.Hash)) *hostile {
		h := hubOf(t, s.f)
		change(h, vectorPacks(m)[0])
		return h
	}
	bySigned := func(change func(v *bundle.Vectors)) *hostile {
		next := *m
		next.Vectors = slices.Clone(m.Vectors)
		next.Number++
		change(&next.Vectors[0])
		f := s.f.Copy(t)
		chunks := f.Chunks(t)
		f.SignManifest(t, &next, "")
		return &hostile{f.Files(t), chunks}
	}
	for what, c := range map[string]struct {
		embedder string
		hub      bundle.Source
		code     bundle.Code // ""; they are taken
	}{
		"its own":           {"e", hub, ""},
		"its own, a medium": {"e", archive, ""},
		"another's":         {"x", hub, bundle.OtherEmbedder},
		"a tampered chunk": {"e", on(func(h *hostile, p bundle.Hash) {
			b := slices.Clone(h.chunks[p])
			b[len(b)/2] ^= 1
			h.chunks[p] = b
		}), bundle.TamperedChunk},
		"another chunk": {"e", on(func(h *hostile, p bundle.Hash) {
			h.chunks[p] = h.chunks[m.Documents.Packs[len(m.Documents.Packs)-1].Hash]
		}), bundle.TamperedChunk},
		"no chunk":                     {"e", on(func(h *hostile, p bundle.Hash) { delete(h.chunks, p) }), bundle.MissingChunk},
		"signed, of another dimension": {"e", bySigned(func(v *bundle.Vectors) { v.Dimension = 4 }), bundle.BadVectors},
		"signed, of another count":     {"e", bySigned(func(v *bundle.Vectors) { v.Count++ }), bundle.BadVectors},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := s.openWith(t, c.embedder)
			res, err := r.Pull(t.Context(), c.hub)
			if err != nil || res.Staged == 0 {
				t.Fatal("the bundle was not taken:", res, err)
			}
			st, err := r.Staged()
			if err != nil || (st.Vectors != nil) != (c.code == "") {
				t.Fatalf("vectors %v, %v", st.Vectors, err)
			}
			codes := []bundle.Code{}
			for _, e := range r.History() {
				if e.Code != "" {
					codes = append(codes, e.Code)
				}
			}
			if want := []bundle.Code{c.code}; c.code == "" && len(codes) > 0 || c.code != "" && !slices.Equal(codes, want) {
				t.Errorf("codes %v, want %q", codes, c.code)
			}
			if err := r.Activate(res.Staged); err != nil {
				t.Fatal(err)
			}
			if again, err := r.Pull(t.Context(), c.hub); err != nil || again.Staged != 0 || again.Bytes != 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}
