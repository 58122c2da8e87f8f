package index_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/index"
)

// flip turns bits of a text wherever the files of a generation hold it, under
// the feet of whoever has it open.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	n := 0
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		for at := 0; ; {
			i := bytes.Index(b[at:], []byte(text))
			if i < 0 {
				return nil
			}
			at += i + 1
			if _, err := f.WriteAt([]byte{text[0] ^ 0x20}, int64(at-1)); err != nil {
				return err
			}
			n++
		}
	})
	if n == 0 {
		t.Fatalf("%q lies in no file of %s", text, dir)
	}
}

// A passage that turns out damaged while it is asked for: the generation before
// serves, at once and after a start, until the next is built.
func TestRetreat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{LiveDocuments: -1})
	filler := strings.Repeat("Take one tablet with water. ", 60) // so that passages lie in the mapped log
	apply(t, ix, put(label("first", "1", "The kidneys clear examplol slowly. "+filler)))
	apply(t, ix, put(label("second", "1", "Wondermab is given with food. "+filler)))
	bad := ix.Stats().Generation
	if got := first(t, ix, "wondermab food"); got != "second" || ix.Retreated() != "" {
		t.Fatalf("found %q, %q", got, ix.Retreated())
	}
	flip(t, filepath.Join(dir, bad.Name), "Wondermab is given with food.")
	s := ix.Acquire()
	_, err := s.Search(t.Context(), index.Query{Text: "wondermab food"})
	s.Release()
	if !index.Damaged(err) {
		t.Fatalf("reading it gives %v", err)
	}
	check := func(when string, ix *index.Index) {
		t.Helper()
		if got := first(t, ix, "wondermab food"); got == "second" {
			t.Errorf("%s: the damaged generation serves", when)
		}
		if got := first(t, ix, "examplol kidneys"); got != "first" {
			t.Errorf("%s: found %q", when, got)
		}
		if r := ix.Retreated(); !strings.Contains(r, bad.Name) || !strings.Contains(strings.Join(ix.Notes(), "\n"), bad.Name) {
			t.Errorf("%s: it says %q", when, r)
		}
	}
	check("at once", ix)
	if now, err := ix.Retreat(t.Context(), bad.Name, errors.New("again")); err != nil || now.Name == bad.Name {
		t.Errorf("asked a second time: %v %v", now.Name, err)
	}
	ix.Close()
	ix = open(t, dir, index.Options{LiveDocuments: -1})
	check("after a start", ix)
	apply(t, ix, put(label("second", "1", "Wondermab is given with food. "+filler)))
	if got := first(t, ix, "wondermab food"); got != "second" || ix.Retreated() != "" || len(ix.Notes()) > 0 {
		t.Errorf("ingested again: found %q, %q, %q", got, ix.Retreated(), ix.Notes())
	}
	// Without an earlier one the fault is told.
	alone := t.TempDir()
	ix = open(t, alone, index.Options{LiveDocuments: -1})
	apply(t, ix, put(label("second", "1", "Wondermab is given with food. "+filler)))
	now := ix.Stats().Generation
	flip(t, filepath.Join(alone, now.Name), "Wondermab is given with food.")
	if _, err := ix.Search(t.Context(), index.Query{Text: "wondermab food"}); !index.Damaged(err) {
		t.Errorf("there is none before: %v", err)
	}
	ix.Close()
	if err := os.WriteFile(filepath.Join(alone, now.Name, "manifest.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(alone, "gen-000000")); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Open(alone, index.Options{}); !errors.Is(err, index.ErrUnusable) {
		t.Errorf("nothing can be opened: %v", err)
	}
}
