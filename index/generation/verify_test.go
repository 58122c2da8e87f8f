package generation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"rxedge/index/chunk"
	"rxedge/index/document"
)

// sealed makes a store with one generation of long documents, so that every
// kind of record has values in the value log.
func sealed(t *testing.T) (*Store, *View) {
	t.Helper()
	s, err := OpenStore(t.TempDir(), func() time.Time { return time.Unix(1e9, 0) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w, err := s.Begin("", EmbedderInfo{Name: "e", SHA256: "0", Dimension: 64})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		text := strings.Repeat(fmt.Sprintf("Sentence %d of the label with word%d. ", i, i*i), 60)
		d := &document.Document{ID: fmt.Sprintf("doc%02d", i), Title: strings.Repeat("Title ", 200), Kind: document.KindText,
			Names:    []document.Name{{Text: strings.Repeat("n", 5) + string(rune('a'+i)) + strings.Repeat("xyz", 40), Kind: "brand"}},
			Sections: []document.Section{{ID: fmt.Sprintf("doc%02d#1", i), Title: "One", Text: text}}}
		if err := w.PutDocument(d, document.Hash(d)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.PlaceDocuments(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = w.Documents(t.Context(), func(h Header) error {
		d, err := w.Document(h)
		if err != nil {
			return err
		}
		n := w.NextPassage()
		whole := chunk.Span{End: len(d.Sections[0].Text)}
		p := chunk.Passage{DocumentID: d.ID, SectionID: d.Sections[0].ID, Heading: "Heading", Span: whole, Sentences: []chunk.Span{whole}}
		w.Describe(d)
		if err := w.AddPassages(d.ID, "whole", []Passage{{Passage: p, Text: d.Sections[0].Text}}); err != nil {
			return err
		}
		v := make([]float32, 64)
		v[n%8] = 1
		return w.AddVector(n, v)
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, v, err := Open(s.Dir(info.Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return s, v
}

func verify(t *testing.T, g *View) Report {
	t.Helper()
	r, err := g.Verify(t.Context(), func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// flip turns a bit of a file round.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func faulty(r Report, where string) bool {
	for _, f := range r.Faults {
		if strings.HasSuffix(f.Where, where) {
			return true
		}
	}
	return false
}

func TestVerifyIsClean(t *testing.T) {
	t.Parallel()
	_, g := sealed(t)
	r := verify(t, g)
	if !r.OK() || r.Documents != 20 || r.Passages != 20 || r.Vectors != 20 || r.Postings == 0 || r.Files < 3 {
		t.Errorf("%+v", r)
	}
}

// A flipped bit in any file is found, and the file is named.
func TestVerifyNamesTheFile(t *testing.T) {
	t.Parallel()
	_, g := sealed(t)
	entries, err := os.ReadDir(g.g.dir)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if name == "DISCARD" || name == "LOCK" {
			continue
		}
		kinds[filepath.Ext(name)] = true
		path := filepath.Join(g.g.dir, name)
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		at := fi.Size() / 2
		flip(t, path, at)
		if r := verify(t, g); !faulty(r, name) {
			t.Errorf("%s: %v", name, r.Faults)
		}
		flip(t, path, at)
		if r := verify(t, g); !r.OK() {
			t.Errorf("%s, put right again: %v", name, r.Faults)
		}
	}
	for _, ext := range []string{".vlog", ".sst", ".json", ""} {
		if !kinds[ext] {
			t.Errorf("no file of kind %q was tried: %v", ext, kinds)
		}
	}
}

// A flipped bit in any record is found, and the record is named.
func TestVerifyNamesTheRecord(t *testing.T) {
	t.Parallel()
	_, g := sealed(t)
	for _, c := range []struct {
		key  []byte
		name string
	}{
		{key(kindDocument, "doc07"), `document "doc07"`},
		{sectionKey("doc07", 0), `section 0 of document "doc07"`},
		{numberKey(kindPassages, 0), "passage block 0"},
		{numberKey(kindLexical, 1), "lexical blob 1"},
		{numberKey(kindVectors, 0), "vector block 0"},
		{numberKey(kindCodes, 1), "dense block 1"},
		{key(kindNames, ""), "name list"},
	} {
		var raw []byte
		err := g.g.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(c.key)
			if err != nil {
				return err
			}
			raw, err = item.ValueCopy(nil)
			return err
		})
		if err != nil || len(raw) < 1<<10 {
			t.Fatalf("%s: %d bytes, %v", c.name, len(raw), err)
		}
		path, at := find(t, g.g.dir, raw)
		flip(t, path, at+int64(len(raw)/2))
		r := verify(t, g)
		if !faulty(r, c.name) || !faulty(r, filepath.Base(path)) {
			t.Errorf("%s: %v", c.name, r.Faults)
		}
		flip(t, path, at+int64(len(raw)/2))
	}
	if r := verify(t, g); !r.OK() {
		t.Errorf("put right again: %v", r.Faults)
	}
}

// find gives the place of a value in a value log.
func find(t *testing.T, dir string, value []byte) (path string, at int64) {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(dir, "*.vlog"))
	for _, l := range logs {
		b, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, value); i >= 0 {
			return l, int64(i)
		}
	}
	t.Fatal("the value is in no value log")
	return "", 0
}

// What has good checksums and does not fit together is found too.
func TestVerifyCrossChecks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(w *Writer) error
		want  string
	}{
		"a passage of other text": {func(w *Writer) error {
			return instead(w, &Passage{Passage: chunk.Passage{DocumentID: "a", SectionID: "a#1", Span: chunk.Span{End: 4}}, Text: "else"})
		}, "passage 0"},
		"a passage of another section": {func(w *Writer) error {
			return instead(w, &Passage{Passage: chunk.Passage{DocumentID: "a", SectionID: "b#1", Span: chunk.Span{End: 4}}, Text: "text"})
		}, "passage 0"},
		"a passage without its document": {func(w *Writer) error { w.manifest.Passages++; return nil }, ""},
		"postings of other text": {func(w *Writer) error {
			return instead(w, &Passage{Passage: chunk.Passage{DocumentID: "a", SectionID: "a#1", Heading: "other heading", Span: chunk.Span{End: 4}}, Text: "text"})
		}, "postings"},
		"a document of other content": {func(w *Writer) error {
			return w.put(sectionKey("a", 0), encodeSection(&document.Section{ID: "a#1", Text: "text, more of it"}))
		}, `document "a"`},
		"a section that can't be looked up": {func(w *Writer) error { return w.remove(lookupKey("a#1")) }, `section lookup "a#1"`},
		"a lookup that leads nowhere": {func(w *Writer) error { return w.putJSON(lookupKey("x"), place{"x", "gone", 0}) },
			`section lookup "x"`},
		"a vector of no passage":      {func(w *Writer) error { return w.AddVector(9, []float32{1, 0}) }, "vector block 0"},
		"a vector that is not a unit": {func(w *Writer) error { return w.AddVector(0, []float32{3, 0}) }, "vector block 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := OpenStore(t.TempDir(), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			w, err := s.Begin("", EmbedderInfo{Name: "e", Dimension: 2})
			if err != nil {
				t.Fatal(err)
			}
			d := &document.Document{ID: "a", Sections: []document.Section{{ID: "a#1", Text: "text"}}}
			w.Describe(d)
			if err := errors.Join(w.PutDocument(d, document.Hash(d)), w.PlaceDocuments(t.Context()),
				w.AddPassages("a", "", []Passage{{Passage: chunk.Passage{DocumentID: "a", SectionID: "a#1", Span: chunk.Span{End: 4}}, Text: "text"}}),
				w.flush(), c.spoil(w)); err != nil {
				t.Fatal(err)
			}
			info, err := w.Seal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			g, v, err := Open(s.Dir(info.Name))
			if err != nil {
				if c.want != "" {
					t.Fatal(err)
				}
				return // the loss is found on opening
			}
			defer g.Close()
			if r := verify(t, v); !faulty(r, c.want) {
				t.Errorf("faults %v, want one of %s", r.Faults, c.want)
			}
		})
	}
}

// instead of passage 0 another.
func instead(w *Writer, p *Passage) error {
	w.passages.ends, w.passages.data = nil, nil
	return w.passages.add(p)
}

// A flipped bit in a passage is found, and the passage is named, by Verify and by
// who reads it.
func TestVerifyNamesThePassage(t *testing.T) {
	t.Parallel()
	_, g := sealed(t)
	record, err := g.units[0].passages.at(3)
	if err != nil {
		t.Fatal(err)
	}
	path, at := find(t, g.g.dir, record)
	flip(t, path, at+int64(len(record)/2))
	if r := verify(t, g); !faulty(r, "passage 3") || faulty(r, "passage 2") || !faulty(r, "passage block 0") {
		t.Errorf("%v", r.Faults)
	}
	var d *DamageError
	if _, err := g.Passage(3); !errors.As(err, &d) || d.Where != "passage 3" {
		t.Errorf("%v", err)
	}
	flip(t, path, at+int64(len(record)/2))
	if r := verify(t, g); !r.OK() {
		t.Errorf("put right again: %v", r.Faults)
	}
}

func TestVerifyStops(t *testing.T) {
	t.Parallel()
	_, g := sealed(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Verify(ctx, func(int, int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAMovedGenerationIsRefused(t *testing.T) {
	t.Parallel()
	s, g := sealed(t)
	g.g.Close()
	if err := os.Rename(g.g.dir, s.Dir("gen-000009")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(s.Dir("gen-000009")); err == nil || !strings.Contains(err.Error(), "belongs to gen-000000") {
		t.Errorf("%v", err)
	}
}
