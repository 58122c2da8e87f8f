package bundle

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"rxedge/sync/durable"
)

// Whatever stands in the files that a site keeps of its bundles, opening says so
// or works, and what opens answers.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"active":{"number":3,"manifest":"` + Hash{1}.String() + `","at":"2026-01-02T03:04:05Z"},"quarantine":{"4":{"number":4,"code":"bad_content"}},"history":[{"state":"active"}]}`))
	f.Add([]byte(`{"quarantine":{"4":null}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := (&durable.Pair{Path: filepath.Join(dir, "state")}).Store(b); err != nil {
			t.Skip()
		}
		k, err := openBook(dir)
		if err != nil {
			return
		}
		l, err := openLocal(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := &Receiver{cfg: Config{Channel: "stable", Now: time.Now, Event: func(Event) {}}, local: l, trust: &trust{now: time.Now}, book: k}
		_ = r.Status()
		_ = r.History()
		_, _ = r.Active()
		_ = r.Retry(0)
	})
}

// A medium's file is read or refused.
func FuzzArchive(f *testing.F) {
	path := filepath.Join(f.TempDir(), "a.rxb")
	if _, err := WriteArchive(path, func(yield func(string, []byte) bool) { yield("timestamp.json", []byte("{}")) }, func(yield func(Hash, func() ([]byte, error)) bool) {
		yield(HashOf([]byte("x")), func() ([]byte, error) { return []byte("x"), nil })
	}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:700])
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := OpenArchive(p)
		if err != nil {
			return
		}
		if m, err := a.Metadata(t.Context(), "timestamp.json", 100); err == nil && len(m) > 101 {
			t.Fatal("more than was allowed")
		}
		_, _ = a.Chunk(t.Context(), HashOf([]byte("x")))
	})
}
