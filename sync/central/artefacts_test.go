package central_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// Files of every kind arrive whole, with their version, the bundle that brought
// them, and who signed; what is not for this box is refused.
func TestStagedFiles(t *testing.T) {
	t.Parallel()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	content := map[string][]byte{}
	file := func(kind, name string, b []byte) central.File {
		content[name] = b
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return central.File{Name: name, Kind: kind, Path: path}
	}
	first := []central.File{
		file(bundle.KindModel, "m.gguf", bytes.Repeat([]byte("model"), 50_000)),
		file(bundle.KindAdapter, "a.gguf", bytes.Repeat([]byte("adapter"), 9)),
		file(bundle.KindProfile, "p.toml", []byte("name = 'p'")),
		file(bundle.KindGolden, "g.jsonl", []byte("{}\n")),
	}
	first[1].Version = "2026.11"
	if _, err := f.Publish(central.Release{Channel: "stable", Files: first}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Publish(central.Release{Channel: "stable", Files: []central.File{file(bundle.KindModel, "m.gguf", []byte("a newer model"))}}); err != nil {
		t.Fatal(err)
	}
	root, least := f.Anchor(t)
	cfg := bundle.Config{Channel: "stable", Root: root, Least: least, Issued: time.Now(), Facts: func() bundle.Facts { return bundle.Facts{Rxedge: "0.1.0", Profile: "cpu-only"} }}
	r, err := bundle.Open(filepath.Join(t.TempDir(), "site"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.Pull(t.Context(), hubOf(t, f)); err != nil || res.Staged != 2 {
		t.Fatal(res, err)
	}
	st, err := r.Staged()
	if err != nil {
		t.Fatal(err)
	}
	files, err := st.Files()
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	versions := map[string]string{"m.gguf": "2", "a.gguf": "2026.11", "p.toml": "1", "g.jsonl": "1"}
	for _, x := range files {
		b, err := os.ReadFile(x.Path)
		if err != nil || !bytes.Equal(b, content[x.Name]) || sha256.Sum256(b) != x.SHA256 {
			t.Errorf("%s: %d bytes, %v", x.Name, len(b), err)
		}
		if x.Version != versions[x.Name] || x.Bundle != 2 || len(x.Signed) != 1 || x.Signed[0] != f.TargetsKeyID(t) {
			t.Errorf("%+v", x)
		}
	}
	if err := os.Truncate(files[0].Path, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Files(); bundle.CodeOf(err) != bundle.TamperedChunk {
		t.Errorf("a file that this disk has damaged: %v", err)
	}
	if err := os.Remove(files[0].Path); err != nil {
		t.Fatal(err)
	}
	if err := r.Discard(2, "it was damaged"); err != nil {
		t.Fatal(err)
	}
	if res, err := r.Pull(t.Context(), hubOf(t, f)); err != nil || res.Staged != 2 || res.Bytes == 0 {
		t.Fatalf("fetched again: %+v, %v", res, err)
	}
	if err := r.Activate(2); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Publish(central.Release{Channel: "stable", Requires: bundle.Requires{Profiles: []string{"rtx-4060"}}, Note: "for cards"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pull(t.Context(), hubOf(t, f)); bundle.CodeOf(err) != bundle.WrongProfile {
		t.Errorf("a bundle for another profile: %v", err)
	}
}
